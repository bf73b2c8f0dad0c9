//! The thread that owns the socket.
//!
//! Netlink calls block, and libnftnl's objects stay where they are made: one thread does all of it. It starts in
//! the network namespace of the thread that creates it and stays there, whatever becomes of that one. It ends
//! when the provider is dropped.

use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;

use tagwall_provider::{Answer, Applied, Cause, Observed, Orphan, ProviderError, Revision, Steps};
use tokio::sync::oneshot;

use crate::error::classified;
use crate::layout::Layout;
use crate::netlink::socket::Socket;
use crate::session::Session;
use crate::settings::Settings;
use crate::watch::{self, Disturber, WakeUps, Watch};

type Reply<T> = oneshot::Sender<Result<T, ProviderError>>;

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    Observe(Reply<Observed>),
    LookUp { address: IpAddr, reply: Reply<Answer> },
    Apply { base: Revision, steps: Steps, reply: Reply<Applied> },
    Withdraw(Reply<Applied>),
    RemoveOrphans { orphans: Vec<Orphan>, reply: Reply<Applied> },
    Watch(Watch),
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    requests: mpsc::Sender<Request>,
    pub(crate) disturber: Disturber,
}

impl Worker {
    /// Starts the thread. It opens its socket at the first request.
    pub(crate) fn start(thread: Thread) -> std::io::Result<Self> {
        let (requests, received) = mpsc::channel();
        thread::Builder::new().name("tagwall-nft".to_owned()).spawn(move || thread.run(&received))?;
        Ok(Self { requests, disturber: Disturber::default() })
    }

    /// Asks for a watch, which has begun before any request that is made after this is looked at. Where it cannot
    /// begin, the stream ends.
    pub(crate) fn watch(&self) -> Option<WakeUps> {
        let (wake_ups, watch) = watch::pair(&self.disturber).ok()?;
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
            let open = self.session(&mut session);
            match request {
                Request::Observe(reply) => answer(reply, open.and_then(Session::observe)),
                Request::LookUp { address, reply } => {
                    answer(reply, open.and_then(|session| session.look_up(address)));
                }
                Request::Apply { base, steps, reply } => {
                    answer(reply, open.and_then(|session| session.apply(&base, &steps)));
                }
                Request::Withdraw(reply) => answer(reply, open.and_then(Session::withdraw)),
                Request::RemoveOrphans { orphans, reply } => {
                    answer(reply, open.and_then(|session| session.remove_orphans(&orphans)));
                }
                Request::Watch(watch) => {
                    if let Err(error) = open.and_then(|session| session.watch(watch)) {
                        tracing::warn!(%error, "changes by others are not noticed at once");
                    }
                }
            }
            // The next request begins with a socket that nothing is left in.
            session = session.filter(|session| !session.socket.is_confused());
        }
    }

    /// The session, with a socket opened now unless it is open.
    fn session<'a>(&self, session: &'a mut Option<Session>) -> Result<&'a mut Session, ProviderError> {
        let open = match session.take() {
            Some(open) => open,
            None => self.open()?,
        };
        Ok(session.insert(open))
    }

    fn open(&self) -> Result<Session, ProviderError> {
        let socket = Socket::open().and_then(|socket| {
            watch::own(socket.port()?);
            Ok(socket)
        });
        #[cfg(feature = "testing")]
        let socket = socket.map(|socket| socket.with_faults(&self.faults));
        Ok(Session {
            layout: Layout::new(&self.settings),
            settings: self.settings.clone(),
            socket: socket.map_err(|error| classified(&error))?,
            last: None,
        })
    }
}

/// Nobody waiting any more is no error.
fn answer<T>(reply: Reply<T>, result: Result<T, ProviderError>) {
    drop(reply.send(result));
}
