//! `tagwall run`: the daemon.

use std::error::Error;
use std::sync::Arc;

use super::CliError;
use super::args::Global;
use super::context::{Without, configured};
use crate::daemon::{Ended, Live, Load, Loop, MakeProvider, Notifier, Setup, SystemClock, signals};
use crate::exit::ExitStatus;
use crate::report::Failure;
use crate::targets::Providers;
use crate::telling::{Telling, View};

pub(super) async fn run(global: &Global) -> Result<ExitStatus, CliError> {
    // Signals that come while the first pass is made ready are not lost.
    let events = signals()?;
    let global = global.clone();
    let load: Load = Box::new(move || {
        let failed = |error: CliError| {
            let error: &dyn Error = &error;
            Failure::of(error, None)
        };
        let (config, state_dir) = configured(&global, Without::Error).map_err(failed)?;
        Ok(Setup { config, state_dir })
    });
    let providers = Providers::default();
    let shared = providers.clone();
    let make: MakeProvider = Arc::new(move |target, config, state| shared.of(target, config, state));
    let live = Live::new(load, make).map_err(CliError::Failed)?.asking_by(&providers);
    let in_use = live.in_use();
    let passes = Loop::new(live, SystemClock, Notifier::from_environment());
    let view = View { daemon: passes.status(), in_use, pulse: passes.pulse(), providers };
    let telling = Telling::start(view).map_err(|error| CliError::Failed(Failure::of(&error, error.hint())))?;
    let ended = passes.run(events).await;
    drop(telling);
    Ok(match ended {
        Ended::AtRest => ExitStatus::Done,
        Ended::Cut => ExitStatus::Failed,
    })
}
