//! The passes of a configuration over the firewalls of this host.

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

use super::{Passes, Settled};
use crate::config::{Config, Target};
use crate::enforce::{JudgedList, JudgedLists};
use crate::reconcile::{self, Kept, Options, Pass, Purpose};
use crate::record::Record;
use crate::report::{Class, Failure, Outcome, Published, Report};
use crate::schedule::Schedule;
use crate::source::{Fetched, Freshness, LastGood, Source, SourceError};
use crate::state::{Loaded, Lock, State, StateDir, StateError};

/// How long another process may hold the lock before a pass gives up, to be tried again like any that failed.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
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
/// Makes the provider of a target: [`crate::targets::provider`], but in tests.
pub type MakeProvider = Arc<dyn Fn(&Target, &Config, &State) -> Result<Box<dyn Provider>, Failure>>;

/// The passes of a configuration over the firewalls of this host.
pub struct Live {
    load: Load,
    make: MakeProvider,
    setup: Arc<Setup>,
    /// Where others see which configuration is in use.
    in_use: watch::Sender<Arc<Setup>>,
    enforced: Enforced,
}

/// What was last enforced, and seen to be: all that drift is mended with.
#[derive(Clone, Debug, Default)]
struct Enforced {
    targets: BTreeMap<String, JudgedLists>,
    published: Option<Published>,
    /// The state on disk when that pass had ended: where it is another, somebody else has done something since.
    seen: State,
}

/// What a pass came to.
#[derive(Debug)]
pub struct Done {
    setup: Arc<Setup>,
    settled: Settled,
    /// What it enforced; `None` where it was not to find out.
    enforced: Option<Enforced>,
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
        Ok(Self { load, make, setup, in_use, enforced: Enforced::default() })
    }

    /// The configuration in use, from now on.
    pub fn in_use(&self) -> watch::Receiver<Arc<Setup>> {
        self.in_use.subscribe()
    }
}

/// Reads a configuration and makes sure that passes can be made with it.
fn checked(load: &Load) -> Result<Setup, Failure> {
    let setup = load()?;
    Source::new(setup.config.source.clone()).map_err(|error| Failure::of(&error, error.hint()))?;
    setup.state_dir.load().map_err(|error| Failure::of(&error, None))?;
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
        let setup = Arc::clone(&self.setup);
        Box::pin(async move {
            // Made for each fetch: idle, the certificates of the system would be most of the memory.
            let source = Source::new(setup.config.source.clone())?;
            source.fetch(Some(&setup.last_good())).await
        })
    }

    fn lock(&self) -> LocalBoxFuture<'static, Locked> {
        let setup = Arc::clone(&self.setup);
        Box::pin(async move { lock(&setup.state_dir).await })
    }

    fn pass(&self, lock: Locked, arrival: Self::Arrival) -> LocalBoxFuture<'static, Done> {
        let (setup, make) = (Arc::clone(&self.setup), Arc::clone(&self.make));
        Box::pin(async move { whole(setup, make, lock, arrival).await })
    }

    fn can_mend(&self) -> bool {
        !self.enforced.targets.is_empty()
    }

    fn mend(&self, lock: Locked) -> LocalBoxFuture<'static, Done> {
        let (setup, make) = (Arc::clone(&self.setup), Arc::clone(&self.make));
        let enforced = self.enforced.clone();
        Box::pin(async move { mend(setup, make, lock, &enforced).await })
    }

    fn settle(&mut self, done: Done) -> Settled {
        if let Some(mut enforced) = done.enforced {
            self.enforced.targets.append(&mut enforced.targets);
            self.enforced.published = enforced.published.or(self.enforced.published.take());
            self.enforced.seen = enforced.seen;
        }
        // The configuration may have been replaced meanwhile.
        forget_changed(&mut self.enforced.targets, &done.setup.config, &self.setup.config);
        done.settled
    }

    fn reload(&mut self) -> Result<(), Failure> {
        let setup = Arc::new(checked(&self.load)?);
        forget_changed(&mut self.enforced.targets, &self.setup.config, &setup.config);
        self.in_use.send_replace(Arc::clone(&setup));
        self.setup = setup;
        Ok(())
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        let config = &self.setup.config;
        let state = self.setup.state_dir.load().map(|loaded| loaded.state).unwrap_or_default();
        let streams = config.targets.iter().filter_map(|target| (self.make)(target, config, &state).ok()?.watch());
        stream::select_all(streams).boxed()
    }
}

/// Forgets what was enforced where the configuration now wants something else: that is for the next pass to do.
fn forget_changed(enforced: &mut BTreeMap<String, JudgedLists>, old: &Config, new: &Config) {
    let of = |config: &Config, name: &str| config.targets.iter().find(|target| target.name == name).cloned();
    enforced.retain(|name, lists| {
        let target = of(new, name);
        target.is_some()
            && target == of(old, name)
            && lists.keys().all(|list| new.lists.get(list).is_some_and(|now| old.lists.get(list) == Some(now)))
    });
}

impl Setup {
    fn last_good(&self) -> LastGood {
        LastGood::open(self.state_dir.path())
    }

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
    Options { purpose: Purpose::Enforce, overrides: Vec::new(), own_session: None, now: Timestamp::now() }
}

/// Begins a pass under the lock: the state, or why there can be no pass.
fn begin(setup: &Setup, lock: Locked) -> Result<(Option<Lock>, Loaded), Failure> {
    let lock = lock?;
    let loaded = setup.state_dir.load().map_err(|error| Failure::of(&error, None))?;
    Ok((lock, loaded))
}

/// A pass that came to nothing for every target alike.
fn failed(setup: Arc<Setup>, failure: Failure) -> Done {
    let all =
        setup.config.targets.iter().map(|target| Kept { target, provider: Err(failure.clone()) }).collect::<Vec<_>>();
    let report = reconcile::without_publication(&all, &options(), &Outcome::Failed(failure)).report;
    Done { setup, settled: Settled::Told(Box::new(report)), enforced: None }
}

/// A whole pass, from the arrival of a publication on.
async fn whole(setup: Arc<Setup>, make: MakeProvider, lock: Locked, arrival: Result<Fetched, SourceError>) -> Done {
    let (_lock, Loaded { state, warning }) = match begin(&setup, lock) {
        Ok(begun) => begun,
        Err(failure) => return failed(setup, failure),
    };
    let (config, last_good, options) = (&setup.config, setup.last_good(), options());
    let kept = setup.kept(setup.targets(&state), &state, &make);
    let pass = match arrival {
        Ok(fetched) => reconcile::against(fetched, config, &last_good, &state, &kept, &options).await,
        Err(error) => reconcile::without_publication(&kept, &options, &Outcome::of_source_error(&error)),
    };
    let Pass { mut report, fetched, accepted, lists } = pass;
    report.warnings.extend(warning);
    report.warnings.extend(withdrawn(config, &state));
    let record = Record {
        config,
        state_dir: &setup.state_dir,
        last_good: &last_good,
        state: &state,
        report: &report,
        fetched: fetched.as_ref(),
        accepted: &accepted,
        reason: None,
    };
    let warnings = record.write();
    report.warnings.extend(warnings);
    let enforced = Enforced {
        targets: enforced(&report, &lists),
        published: report.publication.clone(),
        // What is on disk: where it could not be written, that is still what others go by.
        seen: setup.state_dir.load().map(|loaded| loaded.state).unwrap_or_default(),
    };
    drop(kept);
    Done { setup, settled: Settled::Told(Box::new(report)), enforced: Some(enforced) }
}

/// The lists that each target was seen right with. Whatever was said against them before, it is behind us.
fn enforced(report: &Report, lists: &JudgedLists) -> BTreeMap<String, JudgedLists> {
    let agreed = |list: &Arc<JudgedList>| {
        if list.standing.is_empty() && list.measured {
            return Arc::clone(list);
        }
        Arc::new(JudgedList { resolved: list.resolved.clone(), standing: Vec::new(), measured: true })
    };
    let right = report.targets.iter().filter(|told| matches!(told.outcome, Outcome::InSync(_) | Outcome::Applied(..)));
    let of = |target: &Target| {
        let own = target.lists.iter().filter_map(|name| Some((name.clone(), agreed(lists.get(name)?))));
        (target.name.clone(), own.collect())
    };
    right.map(|told| of(&told.target)).collect()
}

fn withdrawn(config: &Config, state: &State) -> Vec<String> {
    let left = config.targets.iter().filter(|target| state.is_withdrawn(&target.name));
    left.map(|target| format!("target `{}` is withdrawn and left alone; `tagwall sync` enforces it again", target.name))
        .collect()
}

/// A pass that brings targets back to what they were last seen right with.
async fn mend(setup: Arc<Setup>, make: MakeProvider, lock: Locked, enforced: &Enforced) -> Done {
    let (_lock, Loaded { state, .. }) = match begin(&setup, lock) {
        Ok(begun) => begun,
        Err(failure) => return failed(setup, failure),
    };
    if state != enforced.seen {
        return Done { setup, settled: Settled::Outdated, enforced: None };
    }
    let known = setup.targets(&state).into_iter().filter(|target| enforced.targets.contains_key(&target.name));
    let kept = setup.kept(known.collect(), &state, &make);
    let mut published = enforced.published.clone();
    if let Some(published) = &mut published {
        // It was not asked for anew: that its source had nothing then is no trouble of this pass.
        published.freshness = Freshness::NotModified;
    }
    let report = reconcile::again(published, &enforced.targets, &setup.config, &state, &kept, &options()).await;
    drop(kept);
    Done { setup, settled: Settled::Told(Box::new(report)), enforced: None }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("setup", &self.setup).finish_non_exhaustive()
    }
}
