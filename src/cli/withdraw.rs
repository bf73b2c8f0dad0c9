//! `tagwall withdraw`: removes what tagwall wrote. The only verb that takes rules away as a whole.

use serde::Serialize;
use tagwall_provider::{Applied, Limit, Refusal};

use super::CliError;
use super::args::{Global, Withdraw};
use super::context::{Context, Without};
use super::output::Output;
use crate::exit::ExitStatus;
use crate::reconcile::Kept;
use crate::report::Failure;
use crate::targets;

pub(super) async fn run(global: &Global, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let without = if args.defaults || args.orphans { Without::Defaults } else { Without::Error };
    let context = Context::load(global, without, output)?;
    if args.orphans { orphans(&context, args, output).await } else { withdraw(&context, args, output).await }
}

async fn withdraw(context: &Context, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let kept = context.kept(&args.target)?;
    let names: Vec<&str> = kept.iter().map(|kept| kept.target.name.as_str()).collect();
    if names.is_empty() {
        output.say("the configuration has no targets; `--orphans` removes what older ones left");
        return Ok(ExitStatus::Done);
    }
    let question =
        format!("Remove the rules of {}? On this host their ports are then open to everybody.", names.join(", "));
    confirm(args, output, &question)?;
    let _lock = context.lock(output)?;
    let mut state = context.state_dir.load()?.state;
    let mut status = ExitStatus::Done;
    for Kept { target, provider } in &kept {
        let done = match provider {
            Ok(provider) => provider.withdraw().await.map_err(|error| Failure::of(&error, error.hint())),
            Err(failure) => Err(failure.clone()),
        };
        match done {
            Ok(applied) => {
                let record = state.targets.entry(target.name.clone()).or_default();
                record.withdrawn = Some(context.now);
                record.claimed = false;
                output.result(&format!("{}: {}\n", target.name, told(applied)))?;
                audit(context, "withdraw", &target.name, applied, output);
            }
            Err(failure) => {
                output.error(format!("{}: {}", target.name, failure.message), failure.hint.as_deref());
                status = ExitStatus::Failed;
            }
        }
    }
    context.state_dir.save(&state)?;
    Ok(status)
}

async fn orphans(context: &Context, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let sweepers = targets::sweepers(&context.config);
    let unmarked = context.state.unmarked_leftovers(&context.config);
    let mut found = Vec::new();
    for sweeper in sweepers {
        let sweeper = sweeper.map_err(CliError::Failed)?;
        let observed = sweeper.observe().await.map_err(|error| CliError::Failed(Failure::of(&error, error.hint())))?;
        if !observed.orphans.is_empty() {
            found.push((sweeper, observed.orphans));
        }
    }
    if found.is_empty() && unmarked.is_empty() {
        output.result("no orphans\n")?;
        return Ok(ExitStatus::Done);
    }
    for (target, object) in &unmarked {
        output.result(&format!(
            "{object}, of the former target `{target}`: no marks there, empty it yourself if nobody needs it\n"
        ))?;
    }
    for orphan in found.iter().flat_map(|(_, orphans)| orphans) {
        output.result(&format!("{} {}\n", orphan.object, orphan.mark))?;
    }
    if !found.is_empty() {
        confirm(args, output, "Remove these?")?;
    }
    let _lock = context.lock(output)?;
    let mut state = context.state_dir.load()?.state;
    state.targets.retain(|name, _| !unmarked.iter().any(|(target, _)| target == name));
    for (sweeper, orphans) in found {
        let done = sweeper.remove_orphans(&orphans).await;
        let applied = done.map_err(|error| CliError::Failed(Failure::of(&error, error.hint())))?;
        output.result(&format!("{}\n", told(applied)))?;
        for orphan in &orphans {
            state.targets.remove(orphan.mark.target());
            audit(context, "withdraw-orphan", orphan.mark.target(), applied, output);
        }
    }
    context.state_dir.save(&state)?;
    Ok(ExitStatus::Done)
}

fn confirm(args: &Withdraw, output: Output, question: &str) -> Result<(), CliError> {
    if args.yes || output.ask(question) {
        return Ok(());
    }
    Err(CliError::Refused(vec![Refusal {
        limit: Limit::Unconfirmed,
        finding: "nobody said yes".to_owned(),
        choices: vec!["`--yes` says it for a script".to_owned()],
    }]))
}

fn told(applied: Applied) -> String {
    if applied == Applied::default() { "nothing of ours was there".to_owned() } else { "withdrawn".to_owned() }
}

/// A line of the audit file about something that was taken away.
#[derive(Serialize)]
struct Withdrawn<'a> {
    time: String,
    event: &'static str,
    target: &'a str,
    removed: u64,
    user: Option<String>,
}

/// Writes it down. That it could not be is said, and stops nothing: what is withdrawn is withdrawn.
fn audit(context: &Context, event: &'static str, target: &str, applied: Applied, output: Output) {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok();
    let record = Withdrawn { time: context.now.to_string(), event, target, removed: applied.removed, user };
    if let Err(error) = context.state_dir.audit(&record) {
        output.warn(Failure::of(&error, None).message);
    }
}
