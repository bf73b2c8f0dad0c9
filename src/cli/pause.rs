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
    let names: Vec<String> = context.targets(&args.target)?.iter().map(|target| target.name.clone()).collect();
    let lock = context.lock(output).await?;
    let mut state = context.state.clone();
    if let (true, Some(decision)) = (named, &state.paused) {
        return Err(CliError::Failed(Failure {
            hint: Some("`tagwall resume` without --target ends that pause".to_owned()),
            ..Failure::of(&AllPaused(decision.to_string()), None)
        }));
    }
    let all_paused = state.paused.take().is_some();
    let mut stopped = names.clone();
    stopped.retain(|name| state.targets.get(name).is_some_and(TargetRecord::is_stopped));
    // One decision ends by one word; several by names, for they may be of several people.
    let ended = match (named || args.all, all_paused, stopped.as_slice()) {
        (true, ..) | (false, false, [_]) => stopped.clone(),
        (false, true, _) => Vec::new(),
        (false, false, []) => Vec::new(),
        (false, false, several) => {
            return Err(CliError::Failed(Failure {
                hint: Some("name them with --target, or end all of it with --all".to_owned()),
                ..Failure::of(&Several(several.join(", ")), None)
            }));
        }
    };
    if ended.is_empty() && !all_paused {
        output.say("nothing of that is paused, pinned, withdrawn or unconfirmed");
        return Ok(ExitStatus::Done);
    }
    for record in ended.iter().filter_map(|name| Some((name, state.targets.remove(name)?))).collect::<Vec<_>>() {
        let (name, record) = record;
        state.targets.insert(name.clone(), record.resumed());
    }
    context.state_dir.save(&state)?;
    written(&context, "resume", if all_paused { &[] } else { &ended }, args.reason.as_deref(), output);
    drop(lock);
    for name in stopped.iter().filter(|name| !ended.contains(name)) {
        output.say(format!("`{name}` stays as somebody decided: `tagwall resume --target {name}` ends that"));
    }
    let left: Vec<&String> = stopped.iter().filter(|name| !ended.contains(name)).collect();
    let pass = Sync {
        dry_run: false,
        // A pause of everything is followed by a pass over everything that nothing else stops.
        target: if all_paused { names.into_iter().filter(|name| !left.contains(&name)).collect() } else { ended },
        defaults: false,
        overrides: Vec::new(),
        reason: None,
        yes: args.yes,
        format: args.format,
        metrics_file: None,
    };
    if pass.target.is_empty() {
        return Ok(ExitStatus::Done);
    }
    sync::run(global, &pass, output).await
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
        removed: None,
    };
    if let Err(error) = context.state_dir.audit(&decided) {
        output.warn(Failure::of(&error, None).message);
    }
}
