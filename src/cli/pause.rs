//! `tagwall pause` and `tagwall resume`: what an operator decides, remembered until they decide otherwise.

use super::args::{Global, Pause, Resume, Sync};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, sync};
use crate::audit::{self, Decided};
use crate::exit::ExitStatus;
use crate::report::Failure;
use crate::state::{Decision, TargetRecord};

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
    let all: Vec<String> = context.targets(&args.target)?.iter().map(|target| target.name.clone()).collect();
    let lock = context.lock(output).await?;
    let mut state = context.state.clone();
    if let (true, Some(decision)) = (named, &state.paused) {
        return Err(CliError::Failed(Failure {
            hint: Some("`tagwall resume` without --target ends that pause".to_owned()),
            ..Failure::of(&AllPaused(decision.to_string()), None)
        }));
    }
    let all_paused = state.paused.take().is_some();
    let mut stopped = all.clone();
    stopped.retain(|name| state.targets.get(name).is_some_and(TargetRecord::is_stopped));
    let ended = ended(args, all_paused, &stopped)?;
    if ended.is_empty() && !all_paused {
        output.say("nothing of that is paused, pinned, withdrawn or unconfirmed");
        return Ok(ExitStatus::Done);
    }
    for name in &ended {
        if let Some(record) = state.targets.get_mut(name) {
            record.resume();
        }
    }
    context.state_dir.save(&state)?;
    written(&context, "resume", if all_paused { &[] } else { &ended }, args.reason.as_deref(), output);
    drop(lock);
    let is_left = |name: &&String| stopped.contains(name) && !ended.contains(name);
    for name in all.iter().filter(is_left) {
        output.say(format!("`{name}` stays as somebody decided: `tagwall resume --target {name}` ends that"));
    }
    // A pause of everything is followed by a pass over everything that nothing else stops.
    let target: Vec<String> =
        if all_paused { all.iter().filter(|name| !is_left(name)).cloned().collect() } else { ended.clone() };
    if target.is_empty() {
        return Ok(ExitStatus::Done);
    }
    let pass = Sync {
        dry_run: false,
        target,
        defaults: false,
        overrides: Vec::new(),
        reason: None,
        yes: args.yes,
        fail_on: None,
        format: args.format,
        metrics_file: None,
        notify: false,
    };
    sync::run(global, &pass, output).await
}

/// What ends, of all that is stopped. One decision ends by one word; several by names, for they may be of several
/// people.
fn ended(args: &Resume, all_paused: bool, stopped: &[String]) -> Result<Vec<String>, CliError> {
    let named = args.all || !args.target.is_empty();
    match stopped {
        _ if named => Ok(stopped.to_vec()),
        _ if all_paused => Ok(Vec::new()),
        [] | [_] => Ok(stopped.to_vec()),
        several => Err(CliError::Failed(Failure {
            hint: Some("name them with --target, or end all of it with --all".to_owned()),
            ..Failure::of(&Several(several.join(", ")), None)
        })),
    }
}

/// Several decisions stand.
#[derive(Debug, thiserror::Error)]
#[error("several targets are paused, pinned, withdrawn or unconfirmed: {0}")]
struct Several(String);

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
    };
    if let Err(error) = context.state_dir.audit(&decided) {
        output.warn(Failure::of(&error, None).message);
    }
}
