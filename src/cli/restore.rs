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
    let _lock = Context::load_whatever_the_state(global, Without::Error, output)?.lock_alone(output).await?;
    // What was read before the lock may be another pass's past.
    let context = Context::load_whatever_the_state(global, Without::Error, Output::silent(output))?;
    let mut warnings = Vec::new();
    let mut recent = BTreeMap::new();
    let mut kept = context.kept(&args.target)?;
    kept.retain(|kept| {
        let target = kept.target;
        let passed_over = if !target.backend.is_local() {
            // Clouds keep their rules, and cannot be reached yet.
            "its rules are not on this host"
        } else if target.policy == Policy::Observe {
            "its policy is `observe`"
        } else if context.state.is_withdrawn(&target.name) {
            "it is withdrawn"
        } else if context.state.pinned(&target.name).is_some() {
            return true;
        } else if let Some(enforced) = context.memory().enforced(&context.config, &target.name, &mut warnings) {
            recent.insert(target.name.clone(), enforced);
            return true;
        } else if target.backend.boots_closed() {
            warnings.push(format!(
                "nothing is known that target `{}` was enforced with: where no rules of it stand, its ports are closed \
                 until a pass succeeds",
                target.name
            ));
            return true;
        } else {
            "nothing is known that it was enforced with"
        };
        output.say(format!("`{}` is left as it is: {passed_over}", target.name));
        false
    });
    let options = Options { restores: true, verb: "restore", ..Options::new(Purpose::Enforce, context.now) };
    let memory = Memory { recent: &recent, ..context.memory() };
    let mut report = again(None, &context.config, memory, &kept, &options).await;
    report.warnings.extend(warnings);
    if let Some(line) = audit::Pass::of(&report, &context.config, "restore", None, None)
        && let Err(error) = context.state_dir.audit(&line)
    {
        report.warnings.push(Failure::of(&error, None).message);
    }
    sync::print(&report, &context, args.format, output)?;
    Ok(report.exit_status())
}
