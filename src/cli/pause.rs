//! `tagwall pause` and `tagwall resume`: what an operator decides, remembered until they decide otherwise.

use super::args::{Global, Pause, Resume, Sync};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, sync};
use crate::audit::{self, Decided};
use crate::exit::ExitStatus;
use crate::report::Failure;
use crate::state::Decision;

pub(super) async fn pause(global: &Global, args: &Pause, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load(global, Without::Error, output)?;
    let names: Vec<String> = context.targets(&args.target)?.iter().map(|target| target.name.clone()).collect();
    let _lock = context.lock(output).await?;
    let mut state = context.state.clone();
    let decision = Decision::now(context.now, args.reason.as_deref());
    if args.target.is_empty() {
        state.paused = Some(decision);
    } else {
        for name in &names {
            state.targets.entry(name.clone()).or_default().paused = Some(decision.clone());
        }
    }
    context.state_dir.save(&state)?;
    written(&context, "pause", &args.target, args.reason.as_deref(), output);
    let what = if args.target.is_empty() { "everything".to_owned() } else { args.target.join(", ") };
    output.result(&format!("paused: {what}; what is enforced stays, drift is not mended\n"))?;
    Ok(ExitStatus::Done)
}

pub(super) async fn resume(global: &Global, args: &Resume, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load(global, Without::Error, output)?;
    let named = !args.target.is_empty();
    let mut names: Vec<String> = context.targets(&args.target)?.iter().map(|target| target.name.clone()).collect();
    let lock = context.lock(output).await?;
    let mut state = context.state.clone();
    if let (true, Some(decision)) = (named, &state.paused) {
        return Err(CliError::Failed(Failure {
            hint: Some("`tagwall resume` without --target goes on with everything".to_owned()),
            ..Failure::of(&AllPaused(decision.to_string()), None)
        }));
    }
    let all = state.paused.take().is_some();
    names.retain(|name| {
        let Some(record) = state.targets.get_mut(name) else { return all };
        let stopped = [record.paused.take(), record.pinned.take()].iter().any(Option::is_some);
        let stopped = record.withdrawn.take().is_some() || stopped;
        record.unconfirmed.take().is_some() || stopped || all
    });
    if names.is_empty() {
        output.say("nothing is paused, pinned, withdrawn or unconfirmed");
        return Ok(ExitStatus::Done);
    }
    context.state_dir.save(&state)?;
    written(&context, "resume", &names, args.reason.as_deref(), output);
    drop(lock);
    let pass = Sync {
        metrics_file: None,
        dry_run: false,
        target: names,
        defaults: false,
        overrides: Vec::new(),
        reason: None,
        yes: args.yes,
        format: args.format,
    };
    sync::run(global, &pass, output).await
}

/// Everything is paused, and one target alone cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("everything is paused {0}")]
struct AllPaused(String);

/// Writes a decision to the audit file. That it could not be is said, and stops nothing.
fn written(context: &Context, event: &'static str, targets: &[String], reason: Option<&str>, output: Output) {
    let decided = Decided {
        time: context.now.to_string(),
        event,
        targets: targets.iter().map(String::as_str).collect(),
        user: audit::user(),
        reason,
        generation: None,
        removed: None,
    };
    if let Err(error) = context.state_dir.audit(&decided) {
        output.warn(Failure::of(&error, None).message);
    }
}
