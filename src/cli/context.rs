//! What every command begins with: the configuration, the state, the source.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tagwall_provider::Skeleton;
use url::Url;

use super::CliError;
use super::args::{self, Global};
use super::output::Output;
use crate::config::{Config, DEFAULT_PATH, Origin, Target};
use crate::plan::Plan;
use crate::reconcile::{Kept, Memory};
use crate::report::{FailOn, Failure, Report};
use crate::saved::SavedError;
use crate::saved::observation::Observation;
use crate::source::{self, LastGood, Source};
use crate::state::{Lock, State, StateDir, StateError};
use crate::targets::Providers;

/// What a command does where no configuration is given and none is at the default place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// It goes by the defaults.
    Defaults,
    /// It was told to go by the defaults, so none may be there.
    OnlyDefaults,
    /// It cannot go on.
    Error,
}

/// A configuration with its state and source.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) state_dir: StateDir,
    pub(super) state: State,
    pub(super) last_good: LastGood,
    pub(super) now: Timestamp,
    pub(super) providers: Providers,
    /// How long another pass is waited for.
    wait: Duration,
}

impl Context {
    pub(super) fn load(global: &Global, without: Without, output: Output) -> Result<Self, CliError> {
        let (config, state_dir) = configured(global, without)?;
        let loaded = state_dir.load()?;
        if let Some(warning) = loaded.warning {
            output.warn(warning);
        }
        if config.origin == Origin::Defaults && is_there("tagwall.toml") {
            output.warn("this goes by the defaults: the `tagwall.toml` that is here is read with `-c tagwall.toml`");
        }
        let last_good = state_dir.last_good();
        let config = state_dir.owned(config, &loaded.state)?;
        let (now, providers) = (Timestamp::now(), Providers::default());
        Ok(Self { config, state: loaded.state, last_good, state_dir, now, providers, wait: global.wait.0 })
    }

    /// The same where enforcing hangs on it: a state that cannot be used is said and done without.
    pub(super) fn load_whatever_the_state(global: &Global, without: Without, output: Output) -> Result<Self, CliError> {
        match Self::load(global, without, output) {
            Err(CliError::State(error)) => {
                output.warn(Failure::of(&error, None).message);
                let (config, state_dir) = configured(global, without)?;
                let last_good = state_dir.last_good();
                let (state, now, providers) = (State::default(), Timestamp::now(), Providers::default());
                Ok(Self { config, state, last_good, state_dir, now, providers, wait: global.wait.0 })
            }
            loaded => loaded,
        }
    }

    /// What earlier passes left to go by.
    pub(super) fn memory(&self) -> Memory<'_> {
        Memory::on_disk(&self.state_dir, &self.state)
    }

    /// Takes the lock of a pass, and waits for who holds it. A state directory that cannot be written does not stop
    /// enforcement: then the firewall's own lock is the only one.
    /// What was read before may be another pass's past by now: the state is read again.
    pub(super) async fn lock(&mut self, output: Output) -> Result<Option<Lock>, CliError> {
        let lock = self.lock_alone(output).await?;
        if lock.is_some() {
            self.state = self.state_dir.load()?.state;
        }
        Ok(lock)
    }

    /// The lock without another look at the state.
    pub(super) async fn lock_alone(&self, output: Output) -> Result<Option<Lock>, CliError> {
        /// How often the lock is tried.
        const KNOCK: Duration = Duration::from_millis(100);
        let until = Instant::now() + self.wait;
        let mut told = false;
        loop {
            match self.state_dir.lock() {
                Ok(lock) => return Ok(Some(lock)),
                Err(error @ StateError::Locked { .. }) if Instant::now() < until => {
                    if !told {
                        output.say(format!("{error}: waiting for it"));
                        told = true;
                    }
                    tokio::time::sleep(KNOCK).await;
                }
                Err(error @ StateError::Io { .. }) => {
                    output.warn(Failure::of(&error, None).message);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets what the operator said, in place of the defaults, make the exit status another than 0, and looks for drift
    /// where that is to.
    pub(super) fn judge_by(&self, on: Option<&[args::FailOn]>, report: &mut Report) {
        let Some(on) = on else { return };
        let is = |what| on.contains(&what);
        let [refused, pending, drift] = [args::FailOn::Refused, args::FailOn::Pending, args::FailOn::Drift].map(is);
        report.fail_on = FailOn { refused, pending, drift };
        if drift {
            for target in &mut report.targets {
                target.drifted = target.seen().is_some_and(|plan| self.has_drifted(&target.target, plan));
            }
        }
    }

    /// Whether a target was found otherwise than it was last enforced, whatever is published since.
    fn has_drifted(&self, target: &Target, found: &Plan) -> bool {
        if matches!(found.observed.skeleton, Skeleton::Drifted(_)) {
            return true;
        }
        let enforced = self.memory().enforced(&self.config, &target.name, &mut Vec::new());
        let Some((_, enforced)) = enforced.filter(|_| !self.state.is_withdrawn(&target.name)) else { return false };
        let today = || enforced.today(target, &self.config, self.now).desired(target.policy).prefixes();
        found.observed.skeleton == Skeleton::Absent || (found.before != enforced.all() && found.before != today())
    }

    /// Goes by what is remembered where the firewalls were observed, in place of what is remembered here.
    pub(super) fn stand_in(&mut self, observation: &Observation, path: &Path) -> Result<(), SavedError> {
        let (observed, configured) = (&observation.owner, &self.config.owner);
        if observed != configured && !self.config.owner_is_host {
            let problem = format!("is `{observed}`, and the configuration's owner is `{configured}`");
            return Err(SavedError::Value { path: path.to_owned(), key: "owner".to_owned(), problem });
        }
        self.config = self.config.clone().owned_by(observed);
        self.state = observation.state.clone();
        Ok(())
    }

    pub(super) fn source(&self) -> Result<Source, CliError> {
        Ok(self.providers.source(self.config.source.clone())?)
    }

    /// The targets of these names, all of them where none is named.
    pub(super) fn targets(&self, names: &[String]) -> Result<Vec<&Target>, CliError> {
        let known = || {
            let names: Vec<&str> = self.config.targets.iter().map(|target| target.name.as_str()).collect();
            if names.is_empty() { "no targets".to_owned() } else { names.join(", ") }
        };
        if let Some(name) = names.iter().find(|name| !self.config.targets.iter().any(|target| target.name == **name)) {
            return Err(CliError::Unknown { what: "target", name: name.clone(), known: known() });
        }
        let wanted = |target: &&Target| names.is_empty() || names.contains(&target.name);
        Ok(self.config.targets.iter().filter(wanted).collect())
    }

    /// The same, each with its provider.
    pub(super) fn kept(&self, names: &[String]) -> Result<Vec<Kept<'_>>, CliError> {
        Ok(self.providers.keep(self.targets(names)?, &self.config, &self.state))
    }
}

/// The configuration and the place of the state, as the options of every command say.
pub(super) fn configured(global: &Global, without: Without) -> Result<(Config, StateDir), CliError> {
    let mut config = match (&global.config, without) {
        (Some(path), _) => Config::read(path)?,
        (None, Without::OnlyDefaults) if is_there(DEFAULT_PATH) => return Err(CliError::ConfigIsThere),
        (None, _) if is_there(DEFAULT_PATH) => Config::read(Path::new(DEFAULT_PATH))?,
        (None, Without::Defaults | Without::OnlyDefaults) => Config::defaults(),
        (None, Without::Error) => return Err(CliError::NoConfig),
    };
    if let Some(feed) = &global.feed {
        config.source.kind = feed_kind(feed);
        // What is given in place of the source is gone by as it is.
        config.source.compare = None;
    }
    // Whoever goes by the host's configuration means what the host does: another state would make all that is said of
    // it, and every decision, an empty one.
    let of_host = matches!(&config.origin, Origin::File(path) if path == Path::new(DEFAULT_PATH));
    let default = || StateDir::default_path(of_host);
    let path = global.state_dir.clone().or_else(|| config.state_dir.clone()).unwrap_or_else(default);
    Ok((config, StateDir::new(path)))
}

/// Whether a file is there, or may be: one that may not be looked at is not done without.
fn is_there(path: &str) -> bool {
    Path::new(path).try_exists().unwrap_or(true)
}

/// A feed is an address where it looks like one, a file otherwise.
fn feed_kind(feed: &str) -> source::Kind {
    match Url::parse(feed) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => source::Kind::Url(url),
        _ => source::Kind::File(PathBuf::from(feed)),
    }
}
