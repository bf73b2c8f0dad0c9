//! `tagwall withdraw`: removes what tagwall wrote. The only verb that takes rules away as a whole.

use serde::Serialize;
use tagwall_provider::{Applied, Entry, Limit, Observed, Orphan, PrefixSet, Provider, Refusal, Skeleton};

use super::CliError;
use super::args::{Global, Withdraw};
use super::context::{Context, Without};
use super::output::Output;
use super::rollback;
use crate::audit;
use crate::config::{Policy, Target};
use crate::exit::ExitStatus;
use crate::reconcile::{Kept, Memory};
use crate::report::Failure;
use crate::report::number::{counted, thousands};
use crate::targets::{Made, Sweeper};

pub(super) async fn run(global: &Global, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    // What is wanted by no target is known only to the whole configuration: the defaults would call every target an orphan.
    let without = if args.defaults { Without::OnlyDefaults } else { Without::Error };
    let mut context = Context::load(global, without, output)?;
    if args.orphans { orphans(&mut context, args, output).await } else { withdraw(&mut context, args, output).await }
}

async fn withdraw(context: &mut Context, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let targets = context.targets(&args.target)?;
    if targets.is_empty() {
        output.say("the configuration has no targets; `--orphans` removes what older ones left");
        return Ok(ExitStatus::Done);
    }
    if args.dry_run {
        return foretell(context, args, output).await;
    }
    confirm(args, output, &question(&targets))?;
    let _lock = context.lock(output).await?;
    let context = &*context;
    if !args.even_paused {
        rollback::refuse_paused(
            context,
            &context.targets(&args.target)?,
            &["`--even-paused` withdraws it all the same"],
        )?;
    }
    let kept = context.kept(&args.target)?;
    // Remembered first: a daemon beside this would mend what is being withdrawn.
    let mut state = context.state.clone();
    state.owner.get_or_insert_with(|| context.config.owner.clone());
    for Kept { target, .. } in &kept {
        state.targets.entry(target.name.clone()).or_default().withdrawn = Some(context.now);
    }
    context.state_dir.save(&state)?;
    let mut status = ExitStatus::Done;
    let mut lines = Vec::new();
    for Kept { target, provider } in &kept {
        let mut in_part = false;
        let done = match provider {
            Ok(provider) => provider.withdraw().await.map_err(|error| {
                in_part = error.applied() != Applied::default();
                Failure::of(&error, error.hint())
            }),
            Err(failure) => Err(failure.clone()),
        };
        let record = state.targets.entry(target.name.clone()).or_default();
        match done {
            Ok(applied) => {
                record.claimed = false;
                lines.push(format!("{}: {}\n", target.name, told(applied)));
                write_down(context, "withdraw", &target.name, applied, output);
            }
            Err(failure) => {
                // What has gone in part is not to come back: the rest goes when it is asked for again.
                if in_part {
                    output.say(format!("{}: withdrawn in part, and stays so: `tagwall withdraw` again", target.name));
                } else {
                    let before = context.state.targets.get(&target.name);
                    record.withdrawn = before.and_then(|record| record.withdrawn);
                }
                output.error(format!("{}: {}", target.name, failure.message), failure.hint.as_deref());
                status = ExitStatus::Failed;
            }
        }
    }
    // Remembered first: a reader of the result that has gone must not cost the memory.
    context.state_dir.save(&state)?;
    output.result(&lines.concat())?;
    Ok(status)
}

/// Says what would go.
async fn foretell(context: &Context, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let mut status = ExitStatus::Done;
    for Kept { target, provider } in &context.kept(&args.target)? {
        let seen = match provider {
            Ok(provider) => provider.observe().await.map_err(|error| Failure::of(&error, error.hint())),
            Err(failure) => Err(failure.clone()),
        };
        match seen {
            Ok(seen) if seen.entries.is_empty() && seen.skeleton == Skeleton::Absent => {
                output.result(&format!("{}: nothing of ours is there\n", target.name))?;
            }
            Ok(seen) => {
                let entries = thousands(seen.entries.len());
                let (object, after) = (target.backend.object(), target.without_us());
                output.result(&format!("{}: would take {entries} entries out of {object}; {after}\n", target.name))?;
                status = status.max(ExitStatus::Pending);
            }
            Err(failure) => {
                output.error(format!("{}: {}", target.name, failure.message), failure.hint.as_deref());
                status = ExitStatus::Failed;
            }
        }
    }
    Ok(status)
}

/// Says what withdrawing means for each kind of target.
fn question(targets: &[&Target]) -> String {
    let told = |target: &&Target| format!("{}: {}.", target.name, target.without_us());
    let lines: Vec<String> = targets.iter().map(told).collect();
    format!("{}\nWithdraw?", lines.join("\n"))
}

async fn orphans(context: &mut Context, args: &Withdraw, output: Output) -> Result<ExitStatus, CliError> {
    let unmarked = context.state.unmarked_leftovers(&context.config);
    let (mut found, mut unread) = (Vec::<(_, Vec<Orphan>)>::new(), None);
    let (mut looked, mut awaited) = (Vec::new(), Vec::new());
    for Sweeper { place, target, provider } in context.providers.sweepers(&context.config) {
        match look(provider).await {
            Ok((sweeper, observed)) => {
                awaited.extend(target.and_then(|target| awaits(context, target, &observed)));
                let mut orphans = observed.orphans;
                // Several may see the same.
                orphans.retain(|orphan| !found.iter().any(|(_, seen)| seen.contains(orphan)));
                if !orphans.is_empty() {
                    found.push((sweeper, orphans));
                }
                if !looked.contains(&place) {
                    looked.push(place);
                }
            }
            // Told in the end: a cloud that cannot be reached keeps nobody from removing what this host has left.
            Err(failure) => unread = Some(failure),
        }
    }
    // What is found nowhere else may be there all the same.
    output.say(format!("looked at {}; and nowhere else", looked.join("; ")));
    let ends = |unread: Option<Failure>| unread.map_or(Ok(ExitStatus::Done), |failure| Err(CliError::Failed(failure)));
    if found.is_empty() && unmarked.is_empty() {
        if unread.is_none() {
            output.result("no orphans\n")?;
        }
        return ends(unread);
    }
    for (target, object) in &unmarked {
        output.result(&format!(
            "{object}, of the former target `{target}`: no marks there, empty it yourself if nobody needs it\n"
        ))?;
    }
    for orphan in found.iter().flat_map(|(_, orphans)| orphans) {
        output.result(&format!("{} {}\n", orphan.object, orphan.mark))?;
    }
    if !awaited.is_empty() {
        return Err(CliError::Refused(awaited));
    }
    if args.dry_run {
        return if unread.is_some() { ends(unread) } else { Ok(ExitStatus::Pending) };
    }
    if !found.is_empty() {
        let question = "What they close on this host is then open to everybody, what they open in a cloud is closed. If \
                        another configuration has the same owner, they may be its targets.\nRemove these?";
        confirm(args, output, question)?;
    }
    let _lock = context.lock(output).await?;
    let context = &*context;
    let mut state = context.state.clone();
    let configured = |name: &str| context.config.targets.iter().any(|target| target.name == name);
    for (name, _) in &unmarked {
        if let Some(record) = state.targets.get_mut(name) {
            (record.unmarked, record.claimed) = (None, false);
        }
    }
    // Decisions about targets that are there stay.
    state.targets.retain(|name, _| configured(name) || !unmarked.iter().any(|(target, _)| target == name));
    state.abandoned.retain(|abandoned| !unmarked.contains(abandoned));
    let mut failed = None;
    for (sweeper, orphans) in found {
        let applied = match sweeper.remove_orphans(&orphans).await {
            Ok(applied) => applied,
            // What is left in one place keeps nobody from removing what is left in another.
            Err(error) => {
                let failure = Failure::of(&error, error.hint());
                if let Some(before) = failed.replace(failure) {
                    tell(&before, output);
                }
                continue;
            }
        };
        output.result(&format!("{}\n", told(applied)))?;
        for orphan in &orphans {
            if !configured(orphan.mark.target()) {
                state.targets.remove(orphan.mark.target());
            }
            write_down(context, "withdraw-orphan", orphan.mark.target(), applied, output);
        }
    }
    context.state_dir.save(&state)?;
    if let (Some(failure), Some(_)) = (&unread, &failed) {
        tell(failure, output);
    }
    ends(failed.or(unread))
}

fn tell(failure: &Failure, output: Output) {
    output.error(&failure.message, failure.hint.as_deref());
}

/// What older configurations left, with who can remove it.
async fn look(sweeper: Made) -> Result<(Box<dyn Provider>, Observed), Failure> {
    let sweeper = sweeper?;
    let observed = sweeper.observe().await.map_err(|error| Failure::of_provider(&error, None))?;
    Ok((sweeper, observed))
}

/// Why orphans have to wait: a target would take some over, and has nothing of its own in their place yet.
fn awaits(context: &Context, target: &Target, observed: &Observed) -> Option<Refusal> {
    if target.policy == Policy::Observe || context.state.is_withdrawn(&target.name) {
        return None;
    }
    let left: PrefixSet = observed.adoptable.iter().filter_map(Entry::range).collect();
    let left = left.difference(&observed.admitted());
    let memory = Memory::on_disk(&context.state_dir, &context.state);
    // Of a target that was never enforced under its name nobody knows what it wants.
    let wanted = match memory.enforced(&context.config, &target.name, &mut Vec::new()) {
        Some((_, enforced)) => left.intersection(&enforced.all()),
        None => left,
    };
    (!wanted.is_empty()).then(|| Refusal {
        limit: Limit::NotOurs,
        finding: format!(
            "{} that target `{}` may be to admit stand under another target's mark alone: to remove them would shut \
             these out",
            counted(wanted.prefixes().count(), "prefix", "prefixes"),
            target.name
        ),
        choices: vec!["`tagwall sync` takes over what is wanted; what is left then can be removed".to_owned()],
    })
}

fn confirm(args: &Withdraw, output: Output, question: &str) -> Result<(), CliError> {
    if args.yes || output.ask(question) {
        return Ok(());
    }
    Err(CliError::Refused(vec![Refusal {
        limit: Limit::Unconfirmed,
        finding: "nobody said yes, and nothing was changed".to_owned(),
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
fn write_down(context: &Context, event: &'static str, target: &str, applied: Applied, output: Output) {
    let user = audit::user();
    let record = Withdrawn { time: context.now.to_string(), event, target, removed: applied.removed, user };
    if let Err(error) = context.state_dir.audit(&record) {
        output.warn(Failure::of(&error, None).message);
    }
}
