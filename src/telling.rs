//! The thread that tells how things stand, beside the one that makes passes: it never keeps a pass waiting, and it can
//! say that passes are stuck.
//!
//! It serves HTTP where `[metrics]` says so, and sends notifications to `[notify.NAME]`. A reload changes both; what
//! cannot be changed stays as it was, and that is said.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, LocalSet};

use crate::config::{Listen, Receiver};
use crate::daemon::{self, Phase, Pulse, Setup};
use crate::notify::{self, Memory, Session, Shared};
use crate::report::Failure;
use crate::serve::{self, Asked, Bound, ServeError};
use crate::state::Loaded;
use crate::status::{self, Facts, Status};
use crate::targets::Providers;

/// What the daemon shows of itself.
#[derive(Clone, Debug)]
pub struct View {
    /// What it is doing and what passes have shown.
    pub daemon: watch::Receiver<daemon::Status>,
    /// The configuration in use.
    pub in_use: watch::Receiver<Arc<Setup>>,
    /// Whether its loop lives.
    pub pulse: Arc<Pulse>,
    /// What asks the clouds.
    pub providers: Providers,
}

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Telling {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum TellingError {
    /// Nothing can be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system gives no thread.
    #[error("cannot start the thread that tells how things stand")]
    Thread(#[from] io::Error),
}

impl TellingError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Serve(error) => error.hint(),
            Self::Thread(_) => None,
        }
    }
}

impl Telling {
    /// Starts to tell.
    ///
    /// # Errors
    /// Where nothing can be listened on as the configuration says.
    pub fn start(view: View) -> Result<Self, TellingError> {
        let (stop, stopped) = oneshot::channel();
        let (begun, answer) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("tagwall-telling".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(begun.send(Err(error.into()))),
            };
            LocalSet::new().block_on(&runtime, async {
                let mut server = Server::new(view.clone());
                let listening = server.listen(view.in_use.borrow().config.listen.as_ref());
                let failed = listening.is_err();
                if begun.send(listening.map_err(TellingError::from)).is_err() || failed {
                    return;
                }
                tokio::select! {
                    () = server.follow() => {}
                    _ = stopped => {}
                }
            });
            // A name server that hangs must not keep the process.
            runtime.shutdown_background();
        })?;
        match answer.recv() {
            Ok(answer) => answer?,
            Err(_) => return Err(io::Error::other("it ended at once").into()),
        }
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has shown itself already.
            let _ = thread.join();
        }
    }
}

/// Status on request.
#[derive(Debug)]
struct Desk {
    view: View,
    shared: Rc<Shared>,
}

impl Asked for Desk {
    fn status(&self) -> Status {
        let setup = Arc::clone(&self.view.in_use.borrow());
        let daemon = self.view.daemon.borrow().clone();
        let (state, trouble) = match setup.state_dir.load() {
            Ok(Loaded { state, warning }) => (state, warning),
            Err(error) => (crate::state::State::default(), Some(Failure::of(&error, None).message)),
        };
        let mut status = Status::new(Facts {
            config: &setup.config,
            state: &state,
            tally: &daemon.tally,
            daemon: Some(told(&daemon)),
            receivers: self.shared.tallies.borrow().clone(),
            requests: self.view.providers.requests(),
            now: Timestamp::now(),
        });
        status.warnings.extend(trouble);
        status
    }

    async fn is_alive(&self, patience: Duration) -> bool {
        self.view.pulse.is_felt(patience).await
    }
}

fn told(status: &daemon::Status) -> status::Daemon {
    let (doing, since) = match status.phase {
        Phase::Idle => ("idle", None),
        Phase::Fetching { since, .. } => ("fetching", Some(since)),
        Phase::Waiting { since } => ("waiting", Some(since)),
        Phase::Enforcing { since, .. } => ("enforcing", Some(since)),
        Phase::Stopping => ("stopping", None),
    };
    status::Daemon {
        started: status.started,
        doing,
        since,
        passes: status.iteration,
        next_pass: status.next,
        reload_failure: status.reload_failure.as_ref().map(|failure| failure.message.clone()),
    }
}

/// What is served and who is told, as the configuration in use says.
struct Server {
    desk: Rc<Desk>,
    serving: Option<(Rc<Bound>, AbortHandle)>,
    told: BTreeMap<String, Reached>,
}

/// A receiver that is being told.
struct Reached {
    receiver: Receiver,
    session: Rc<RefCell<Session>>,
    task: AbortHandle,
}

impl Server {
    fn new(view: View) -> Self {
        let memory = Memory::load(view.in_use.borrow().state_dir.path());
        let shared = Rc::new(Shared { memory: RefCell::new(memory), tallies: RefCell::default() });
        Self { desk: Rc::new(Desk { view, shared }), serving: None, told: BTreeMap::new() }
    }

    /// Follows the configuration in use for as long as there is a daemon.
    async fn follow(&mut self) {
        let mut in_use = self.desk.view.in_use.clone();
        let receivers = in_use.borrow_and_update().config.receivers.clone();
        self.tell(&receivers, |_| Session::default());
        while in_use.changed().await.is_ok() {
            let setup = Arc::clone(&in_use.borrow_and_update());
            if let Err(error) = self.listen(setup.config.listen.as_ref()) {
                let failure = Failure::of(&error, error.hint());
                tracing::error!("{}; what was served before stays", failure.message);
            }
            self.tell(&setup.config.receivers, Session::from_now);
        }
    }

    /// Tells these, and nobody else from then on. What is on its way to one that is changed is sent again.
    fn tell(&mut self, receivers: &[Receiver], session: fn(&Status) -> Session) {
        let is_configured = |name: &str| receivers.iter().any(|receiver| receiver.name == name);
        let shared = &self.desk.shared;
        shared.memory.borrow_mut().retain(is_configured);
        shared.tallies.borrow_mut().retain(|tally| is_configured(&tally.name));
        let mut before = std::mem::take(&mut self.told);
        for receiver in receivers {
            let reached = match before.remove(&receiver.name) {
                Some(reached) if reached.receiver == *receiver => reached,
                Some(reached) => {
                    reached.task.abort();
                    self.reach(receiver, reached.session)
                }
                None => self.reach(receiver, Rc::new(RefCell::new(session(&self.desk.status())))),
            };
            self.told.insert(receiver.name.clone(), reached);
        }
        for gone in before.values() {
            gone.task.abort();
        }
    }

    fn reach(&self, receiver: &Receiver, session: Rc<RefCell<Session>>) -> Reached {
        let desk = Rc::clone(&self.desk);
        let status = move || desk.status();
        let (happens, shared) = (self.desk.view.daemon.clone(), Rc::clone(&self.desk.shared));
        let telling = notify::keep_told(receiver.clone(), happens, status, Rc::clone(&session), shared);
        let task = tokio::task::spawn_local(telling).abort_handle();
        Reached { receiver: receiver.clone(), session, task }
    }

    /// Serves there, and nowhere else from then on.
    fn listen(&mut self, listen: Option<&Listen>) -> Result<(), ServeError> {
        let now = self.serving.as_ref().map(|(bound, _)| bound.listen());
        if now == listen {
            return Ok(());
        }
        if let (Some(Listen::Socket { path: old, .. }), Some(Listen::Socket { path, mode })) = (now, listen)
            && old == path
        {
            let moded = fs::set_permissions(path, Permissions::from_mode(*mode));
            return moded
                .map_err(|source| ServeError { listen: Listen::Socket { path: path.clone(), mode: *mode }, source });
        }
        let new = listen.map(Bound::new).transpose()?;
        if let Some((_, task)) = self.serving.take() {
            task.abort();
        }
        if let Some(bound) = new {
            tracing::info!("metrics and status are served on {}", bound.listen());
            let bound = Rc::new(bound);
            let task = tokio::task::spawn_local(serve::serve(Rc::clone(&bound), Rc::clone(&self.desk)));
            self.serving = Some((bound, task.abort_handle()));
        }
        Ok(())
    }
}
