//! The thread that owns the socket.
//!
//! Netlink calls block, and libnftnl's objects stay where they are made: one thread does all of it. It starts in
//! the network namespace of the thread that creates it and stays there, whatever becomes of that one. It ends
//! when the provider is dropped.

use std::sync::mpsc;
use std::thread;

use tagwall_provider::{Applied, Cause, Observed, Orphan, ProviderError, Revision, Steps};
use tokio::sync::oneshot;

use crate::error::classified;
use crate::layout::Layout;
use crate::netlink::socket::Socket;
use crate::session::Session;
use crate::settings::Settings;
use crate::watch::{self, WakeUps, Watch};

type Reply<T> = oneshot::Sender<Result<T, ProviderError>>;

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    Observe(Reply<Observed>),
    Apply { base: Revision, steps: Steps, reply: Reply<Applied> },
    Withdraw(Reply<Applied>),
    RemoveOrphans { orphans: Vec<Orphan>, reply: Reply<Applied> },
    Watch(Watch),
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    requests: mpsc::Sender<Request>,
}

impl Worker {
    /// Starts the thread. It opens its socket at the first request.
    pub(crate) fn start(thread: Thread) -> std::io::Result<Self> {
        let (requests, received) = mpsc::channel();
        thread::Builder::new().name("tagwall-nft".to_owned()).spawn(move || thread.run(&received))?;
        Ok(Self { requests })
    }

    /// Asks for a watch, which has begun before any request that is made after this is looked at. Where it cannot
    /// begin, the stream ends.
    pub(crate) fn watch(&self) -> Option<WakeUps> {
        let (wake_ups, watch) = watch::pair().ok()?;
        self.requests.send(Request::Watch(watch)).ok()?;
        Some(wake_ups)
    }

    /// Hands over a request and waits for its answer. Where the waiting is given up, what was begun is finished
    /// all the same: a transaction is either not sent or whole.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, ProviderError> {
        let (reply, answer) = oneshot::channel();
        let ended = || ProviderError::Transient(Cause::new("the netlink thread has ended"));
        self.requests.send(request(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// What the thread takes along.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) settings: Settings,
    #[cfg(feature = "testing")]
    pub(crate) faults: crate::testing::Faults,
}

impl Thread {
    fn run(self, requests: &mpsc::Receiver<Request>) {
        let mut session = None;
        for request in requests {
            match request {
                Request::Observe(reply) => answer(reply, self.session(&mut session).and_then(Session::observe)),
                Request::Apply { base, steps, reply } => {
                    answer(reply, self.session(&mut session).and_then(|session| session.apply(&base, &steps)));
                }
                Request::Withdraw(reply) => answer(reply, self.session(&mut session).and_then(Session::withdraw)),
                Request::RemoveOrphans { orphans, reply } => {
                    answer(reply, self.session(&mut session).and_then(|session| session.remove_orphans(&orphans)));
                }
                Request::Watch(watch) => {
                    let begun = self.session(&mut session).and_then(|session| session.watch(watch));
                    if let Err(error) = begun {
                        tracing::warn!(%error, "changes by others are not noticed at once");
                    }
                }
            }
        }
    }

    /// The session, with a socket opened now unless it is open.
    fn session<'a>(&self, session: &'a mut Option<Session>) -> Result<&'a mut Session, ProviderError> {
        let open = match session.take() {
            Some(open) => open,
            None => Session {
                layout: Layout::new(&self.settings),
                settings: self.settings.clone(),
                socket: Socket::open().map_err(|error| classified(&error))?,
                #[cfg(feature = "testing")]
                faults: self.faults.clone(),
            },
        };
        Ok(session.insert(open))
    }
}

/// Nobody waiting any more is no error.
fn answer<T>(reply: Reply<T>, result: Result<T, ProviderError>) {
    drop(reply.send(result));
}
