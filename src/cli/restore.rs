//! `tagwall restore`: what was enforced last, from disk. For boot, before there is a network, and after somebody has
//! loaded a ruleset that begins with `flush ruleset`.
//!
//! It enforces rather than not wherever it can: a state that cannot be read costs the memory of who withdrew what, and
//! is said, but a port that was closed does not come up open.

use std::collections::BTreeMap;

use super::args::{Global, Restore};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, sync};
use crate::audit;
use crate::config::Policy;
use crate::exit::ExitStatus;
use crate::reconcile::{Memory, Options, Purpose, again};
use crate::report::Failure;

pub(super) async fn run(global: &Global, args: &Restore, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load_whatever_the_state(global, Without::Error, output)?;
    let _lock = context.lock_whatever_the_state(output).await?;
    let context = context;
    let mut warnings = Vec::new();
    let mut recent = BTreeMap::new();
    let mut kept = context.kept(&args.target)?;
    kept.retain(|kept| {
        let target = kept.target;
        // Clouds keep their rules, and cannot be reached yet.
        if !target.backend.is_local() || target.policy == Policy::Observe || context.state.is_withdrawn(&target.name) {
            return false;
        }
        let enforced = context.memory().enforced(&context.config, &target.name, &mut warnings);
        let known = enforced.filter(|(_, enforced)| enforced.lists_today(target, &context.config).is_some());
        match known {
            Some(enforced) => {
                recent.insert(target.name.clone(), enforced);
                true
            }
            None if target.backend.boots_closed() => {
                warnings.push(format!(
                    "nothing is known that target `{}` was enforced with: its ports are closed until a pass succeeds",
                    target.name
                ));
                true
            }
            None => false,
        }
    });
    let options = Options {
        purpose: Purpose::Enforce,
        overrides: Vec::new(),
        own_session: None,
        restores: true,
        now: context.now,
    };
    let memory = Memory { recent: &recent, ..context.memory() };
    let mut report = again(None, &context.config, memory, &kept, &options).await;
    report.warnings.extend(warnings);
    if let Some(line) = audit::Pass::of(&report, &context.config, "restore", None, None)
        && let Err(error) = context.state_dir.audit(&line)
    {
        report.warnings.push(Failure::of(&error, None).message);
    }
    sync::print(&report, args.format, output)?;
    Ok(report.exit_status())
}
