//! The passes of a configuration over the firewalls of this host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use tagwall_provider::Provider;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Passes, Reason};
use crate::audit;
use crate::config::{Config, Target};
use crate::generation::Enforced;
use crate::reconcile::{self, Kept, Memory, Options, Pass, Purpose};
use crate::record::{Record, Remembered};
use crate::report::{Class, Failure, Outcome, Published, Report, TargetReport};
use crate::schedule::Schedule;
use crate::source::{Fetched, Freshness, Source, SourceError};
use crate::state::{Loaded, Lock, State, StateDir, StateError};
use crate::targets::Providers;

/// How long another process may hold the lock before a pass gives up, to be tried again like any that failed.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often the lock is tried meanwhile.
const KNOCK: Duration = Duration::from_millis(200);

/// What a configuration comes to on this host.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Where the state is.
    pub state_dir: StateDir,
}

/// Reads the configuration, at the start and at every reload.
pub type Load = Box<dyn Fn() -> Result<Setup, Failure>>;
/// Makes the provider of a target: [`crate::targets::Providers::of`], but in tests.
pub type MakeProvider = Arc<dyn Fn(&Target, &Config, &State) -> Result<Box<dyn Provider>, Failure>>;

/// The passes of a configuration over the firewalls of this host.
pub struct Live {
    load: Load,
    make: MakeProvider,
    /// What asks a source that is an API of a cloud.
    providers: Providers,
    setup: Arc<Setup>,
    /// Where others see which configuration is in use.
    in_use: watch::Sender<Arc<Setup>>,
    last: Last,
    /// Those that tell of changes, for they may know who made them.
    watching: RefCell<Vec<Box<dyn Provider>>>,
}

/// What the last pass enforced. The generations on disk say the same, unless the disk is full.
#[derive(Clone, Debug, Default)]
struct Last {
    enforced: BTreeMap<String, (u64, Enforced)>,
    published: Option<Published>,
    /// The state on disk when that pass had ended: where it is another, somebody else has done something since, and
    /// the disk is right.
    seen: State,
}

/// What a pass came to.
#[derive(Debug)]
pub struct Done {
    report: Box<Report>,
    /// What it enforced; `None` where it was not to find out.
    last: Option<Last>,
}

/// The lock of a pass, or none where the state directory cannot be written: then the firewall's own lock is the only
/// one, as in `sync`.
type Locked = Result<Option<Lock>, Failure>;

impl Live {
    /// The passes of the configuration that `load` reads.
    ///
    /// # Errors
    /// Why that configuration cannot be used.
    pub fn new(load: Load, make: MakeProvider) -> Result<Self, Failure> {
        let setup = Arc::new(checked(&load)?);
        let in_use = watch::Sender::new(Arc::clone(&setup));
        let (providers, last, watching) = Default::default();
        Ok(Self { load, make, providers, setup, in_use, last, watching })
    }

    /// Lets a source that is an API of a cloud be asked by the clients of these providers.
    #[must_use]
    pub fn asking_by(self, providers: &Providers) -> Self {
        Self { providers: providers.clone(), ..self }
    }

    /// The configuration in use, from now on.
    pub fn in_use(&self) -> watch::Receiver<Arc<Setup>> {
        self.in_use.subscribe()
    }
}

/// Reads a configuration and makes sure that passes can be made with it.
fn checked(load: &Load) -> Result<Setup, Failure> {
    let mut setup = load()?;
    Source::new(setup.config.source.clone()).map_err(|error| Failure::of(&error, error.hint()))?;
    let loaded = setup.state_dir.load().map_err(|error| Failure::of(&error, None))?;
    let owned = setup.state_dir.owned(setup.config, &loaded.state);
    setup.config = owned.map_err(|error| Failure::of(&error, None))?;
    Ok(setup)
}

impl Passes for Live {
    type Arrival = Result<Fetched, SourceError>;
    type Lock = Locked;
    type Done = Done;

    fn schedule(&self) -> &Schedule {
        &self.setup.config.schedule
    }

    fn fetch(&self) -> LocalBoxFuture<'static, Self::Arrival> {
        let (setup, providers) = (Arc::clone(&self.setup), self.providers.clone());
        Box::pin(async move {
            // Made for each fetch: idle, the certificates of the system would be most of the memory.
            let source = providers.source(setup.config.source.clone())?;
            source.fetch_and_compare(Some(&setup.state_dir.last_good())).await
        })
    }

    fn lock(&self) -> LocalBoxFuture<'static, Locked> {
        let setup = Arc::clone(&self.setup);
        Box::pin(async move { lock(&setup.state_dir).await })
    }

    fn pass(&self, lock: Locked, arrival: Self::Arrival, reason: Reason) -> LocalBoxFuture<'static, Done> {
        let (setup, make) = (Arc::clone(&self.setup), Arc::clone(&self.make));
        let last = self.last.clone();
        Box::pin(async move { whole(setup, make, lock, arrival, &last, reason).await })
    }

    fn mend(&self, lock: Locked) -> LocalBoxFuture<'static, Done> {
        let (setup, make) = (Arc::clone(&self.setup), Arc::clone(&self.make));
        let last = self.last.clone();
        Box::pin(async move { mend(setup, make, lock, &last).await })
    }

    fn settle(&mut self, done: Done) -> Box<Report> {
        if let Some(last) = done.last {
            let published = last.published.clone().or(self.last.published.take());
            self.last = Last { published, ..last };
        }
        done.report
    }

    fn reload(&mut self) -> Result<(), Failure> {
        self.setup = Arc::new(checked(&self.load)?);
        self.in_use.send_replace(Arc::clone(&self.setup));
        Ok(())
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        let config = &self.setup.config;
        let state = self.setup.state_dir.load().map(|loaded| loaded.state).unwrap_or_default();
        let providers = config.targets.iter().filter_map(|target| (self.make)(target, config, &state).ok());
        let watched = providers.filter_map(|provider| Some((provider.watch()?, provider)));
        let (streams, providers): (Vec<_>, Vec<_>) = watched.unzip();
        *self.watching.borrow_mut() = providers;
        stream::select_all(streams).boxed()
    }

    fn disturber(&self) -> Option<String> {
        self.watching.borrow().iter().find_map(|provider| provider.last_disturber())
    }
}

impl Setup {
    /// The targets that may be enforced: what was withdrawn on purpose stays so.
    fn targets(&self, state: &State) -> Vec<&Target> {
        self.config.targets.iter().filter(|target| !state.is_withdrawn(&target.name)).collect()
    }

    fn kept<'a>(&self, targets: Vec<&'a Target>, state: &State, make: &MakeProvider) -> Vec<Kept<'a>> {
        let provider = |target: &'a Target| Kept { target, provider: make(target, &self.config, state) };
        targets.into_iter().map(provider).collect()
    }
}

/// Takes the lock; waits for another process, and says for whom.
async fn lock(state_dir: &StateDir) -> Locked {
    let until = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        match state_dir.lock() {
            Ok(lock) => return Ok(Some(lock)),
            Err(error @ StateError::Locked { .. }) if Instant::now() >= until => {
                return Err(Failure { class: Class::Transient, ..Failure::of(&error, None) });
            }
            Err(error @ StateError::Locked { .. }) => {
                if !told {
                    tracing::info!("{error}: waiting for it");
                    told = true;
                }
            }
            Err(error) => {
                tracing::warn!("{}", Failure::of(&error, None).message);
                return Ok(None);
            }
        }
        tokio::time::sleep(KNOCK).await;
    }
}

fn options() -> Options {
    Options::new(Purpose::Enforce, Timestamp::now())
}

/// Begins a pass under the lock: the state, or why there can be no pass.
fn begin(setup: &Setup, lock: Locked) -> Result<(Option<Lock>, Loaded), Failure> {
    let lock = lock?;
    let loaded = setup.state_dir.load().map_err(|error| Failure::of(&error, None))?;
    Ok((lock, loaded))
}

/// A pass that could not begin.
fn failed(setup: &Setup, failure: &Failure) -> Done {
    let mut report = Report::new(&options(), None);
    let outcome = Outcome::Failed(failure.clone());
    report.targets = setup.config.targets.iter().map(|target| TargetReport::new(target, outcome.clone())).collect();
    if report.targets.is_empty() {
        report.outcome_without_targets = Some(outcome);
    }
    Done { report: Box::new(report), last: None }
}

/// A whole pass, from the arrival of a publication on.
async fn whole(
    setup: Arc<Setup>,
    make: MakeProvider,
    lock: Locked,
    arrival: Result<Fetched, SourceError>,
    last: &Last,
    cause: Reason,
) -> Done {
    let (_lock, Loaded { state, warning }) = match begin(&setup, lock) {
        Ok(begun) => begun,
        Err(failure) => return failed(&setup, &failure),
    };
    let (config, options) = (&setup.config, options());
    let kept = setup.kept(setup.targets(&state), &state, &make);
    let memory = last.memory(&setup, &state);
    let pass = match arrival {
        Ok(fetched) => reconcile::against(fetched, config, memory, &kept, &options).await,
        Err(error) => {
            let (report, outcome) = (Report::new(&options, None), Outcome::of_source_error(&error));
            reconcile::without_publication(report, &outcome, config, memory, &kept, &options).await
        }
    };
    let Pass { mut report, fetched, accepted, lists } = pass;
    report.warnings.extend(warning);
    report.warnings.extend(withdrawn(config, &state));
    let record = Record {
        config,
        dir: &setup.state_dir,
        state: &state,
        report: &report,
        fetched: fetched.as_ref(),
        accepted: &accepted,
        lists: &lists,
        cause: cause.name(),
        reason: None,
    };
    let Remembered { warnings, enforced } = record.write();
    report.warnings.extend(warnings);
    drop(kept);
    let last = Last {
        enforced,
        published: report.publication.clone(),
        // What is on disk: where it could not be written, that is still what others go by.
        seen: setup.state_dir.load().map(|loaded| loaded.state).unwrap_or_default(),
    };
    Done { report: Box::new(report), last: Some(last) }
}

impl Last {
    /// What is remembered: here, or on disk where somebody else has made a pass since.
    fn memory<'a>(&'a self, setup: &'a Setup, state: &'a State) -> Memory<'a> {
        let memory = Memory::on_disk(&setup.state_dir, state);
        if *state == self.seen { Memory { recent: &self.enforced, ..memory } } else { memory }
    }
}

fn withdrawn(config: &Config, state: &State) -> Vec<String> {
    let left = config.targets.iter().filter(|target| state.is_withdrawn(&target.name));
    left.map(|target| format!("target `{}` is withdrawn and left alone; `tagwall sync` enforces it again", target.name))
        .collect()
}

/// A pass that brings targets back to what they were last seen right with.
async fn mend(setup: Arc<Setup>, make: MakeProvider, lock: Locked, last: &Last) -> Done {
    let (_lock, Loaded { state, .. }) = match begin(&setup, lock) {
        Ok(begun) => begun,
        Err(failure) => return failed(&setup, &failure),
    };
    let (config, memory) = (&setup.config, last.memory(&setup, &state));
    let mut recent = BTreeMap::new();
    let mut warnings = Vec::new();
    for target in &config.targets {
        let enforced = memory.enforced(config, &target.name, &mut warnings);
        recent.extend(enforced.map(|enforced| (target.name.clone(), enforced)));
    }
    let known = |target: &&Target| recent.contains_key(&target.name) || state.pinned(&target.name).is_some();
    let kept = setup.kept(setup.targets(&state).into_iter().filter(known).collect(), &state, &make);
    let mut published = last.published.clone();
    if let Some(published) = &mut published {
        // It was not asked for anew: that its source had nothing then is no trouble of this pass.
        published.freshness = Freshness::NotModified;
    }
    let memory = Memory { recent: &recent, ..memory };
    let mut report = reconcile::again(published, config, memory, &kept, &options()).await;
    drop(kept);
    if let Some(line) = audit::Pass::of(&report, config, Reason::Drift.name(), None, None)
        && let Err(error) = setup.state_dir.audit(&line)
    {
        warnings.push(Failure::of(&error, None).message);
    }
    report.warnings.extend(warnings);
    Done { report: Box::new(report), last: None }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("setup", &self.setup).finish_non_exhaustive()
    }
}
