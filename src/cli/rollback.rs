//! `tagwall rollback`: back to what an earlier pass enforced, and no further until somebody says so.

use std::collections::BTreeMap;

use tagwall_provider::{Limit, Refusal};

use super::args::{Global, Rollback};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, sync};
use crate::audit::{self, Decided};
use crate::config::{Policy, Target};
use crate::exit::ExitStatus;
use crate::generation::Enforced;
use crate::reconcile::{Memory, Options, Purpose, again};
use crate::report::{Failure, Outcome, text};
use crate::state::{Decision, Pin, State};

pub(super) async fn run(global: &Global, args: &Rollback, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load(global, Without::Error, output)?;
    let _lock = if args.dry_run { None } else { context.lock(output).await? };
    let context = context;
    let mut targets = context.targets(&args.target)?;
    targets.retain(|target| {
        let writes = target.policy != Policy::Observe;
        if !writes {
            output.warn(format!("target `{}` is left alone: its policy is `observe`", target.name));
        }
        writes
    });
    if let Some(target) = targets.iter().find(|target| target.service_tag.is_some()) {
        let others = "name the others with --target";
        return Err(CliError::Refused(vec![Refusal {
            limit: Limit::Unsupported,
            finding: format!("target `{}`: Azure keeps its tag by itself, and no older one can be had", target.name),
            choices: vec!["`mode = \"prefixes\"` has generations to go back to".to_owned(), others.to_owned()],
        }]));
    }
    refuse_paused(&context, &targets, &[])?;
    let back = chosen(&context, &targets, args.to, output)?;
    let pinned = pinned(&context, &back, args.reason.as_deref());
    let memory = Memory { state: &pinned, recent: &back, ..context.memory() };
    let mut kept = context.kept(&args.target)?;
    kept.retain(|kept| back.contains_key(&kept.target.name));
    let purpose = if args.dry_run { Purpose::DryRun } else { Purpose::Enforce };
    let own_session = if args.yes { None } else { sync::own_session() };
    let mut options = Options { own_session, verb: "rollback", ..Options::new(purpose, context.now) };
    if !args.dry_run && options.own_session.is_some() {
        let look = Options { purpose: Purpose::DryRun, ..options.clone() };
        let report = again(None, &context.config, memory, &kept, &look).await;
        if sync::would_cut_session(&report) {
            output.say(text::render(&report, output.detail()));
            if !output.ask("Go on and cut your own connection?") {
                sync::print(&report, &context, args.format, output)?;
                return Ok(report.exit_status());
            }
            options.own_session = None;
        }
    }
    if !args.dry_run {
        // Remembered first: what is not pinned the next pass would undo.
        context.state_dir.save(&pinned)?;
    }
    let mut report = again(None, &context.config, memory, &kept, &options).await;
    if !args.dry_run {
        let told = |result: Result<(), _>| result.err().map(|error| Failure::of(&error, None).message);
        let decided = Decided {
            time: context.now.to_string(),
            event: "rollback",
            targets: back.keys().map(String::as_str).collect(),
            user: audit::user(),
            reason: args.reason.as_deref(),
            generation: args.to,
        };
        report.warnings.extend(told(context.state_dir.audit(&decided)));
        if let Some(line) = audit::Pass::of(&report, &context.config, "rollback", args.reason.as_deref(), None) {
            report.warnings.extend(told(context.state_dir.audit(&line)));
        }
        let mut state = pinned.clone();
        for target in &report.targets {
            let record = state.targets.entry(target.target.name.clone()).or_default();
            record.last_attempt = Some(context.now);
            if matches!(target.outcome, Outcome::InSync(_) | Outcome::Applied(..)) {
                record.last_verified = Some(context.now);
                record.generation = target.generation;
                record.trouble = None;
            }
        }
        report.warnings.extend(told(context.state_dir.save(&state)));
    }
    sync::print(&report, &context, args.format, output)?;
    Ok(report.exit_status())
}

/// What is paused is not written, by nobody.
pub(super) fn refuse_paused(context: &Context, targets: &[&Target], more: &[&str]) -> Result<(), CliError> {
    let paused = targets.iter().find_map(|target| Some((target, context.state.paused(&target.name)?)));
    let Some((target, decision)) = paused else { return Ok(()) };
    Err(CliError::Refused(vec![Refusal {
        limit: Limit::Paused,
        finding: format!("target `{}` is paused {decision}", target.name),
        choices: ["`tagwall resume` ends the pause"].iter().chain(more).map(ToString::to_string).collect(),
    }]))
}

/// Which generation each target goes back to.
fn chosen(
    context: &Context,
    targets: &[&Target],
    to: Option<u64>,
    output: Output,
) -> Result<BTreeMap<String, (u64, Enforced)>, CliError> {
    let generations = context.state_dir.generations();
    let failed = |error| CliError::Failed(Failure::of(&error, None));
    let owned = |number: u64| -> Result<_, CliError> {
        let generation = generations.read(number).map_err(failed)?;
        Ok(generation.filter(|generation| generation.owner == context.config.owner))
    };
    let mut back = BTreeMap::new();
    if let Some(number) = to {
        let missing = || CliError::NoGeneration(format!("there is no generation {number}"));
        let mut generation = owned(number)?.ok_or_else(missing)?;
        for target in targets {
            if let Some(enforced) = generation.targets.remove(&target.name) {
                back.insert(target.name.clone(), (number, enforced));
            } else {
                output.warn(format!("generation {number} does not know target `{}`: it is left alone", target.name));
            }
        }
    } else {
        let mut numbers = generations.numbers()?;
        numbers.reverse();
        for target in targets {
            let admits = |enforced: &Enforced| {
                enforced.today(target, &context.config, context.now).desired(target.policy).prefixes()
            };
            let mut warnings = Vec::new();
            let now = context.memory().enforced(&context.config, &target.name, &mut warnings);
            // What comes to the same today is nothing to go back to; one that is damaged is not what is asked for.
            let older = now.and_then(|(now, enforced)| {
                let before = numbers.iter().filter(|number| **number < now);
                let of = |number: &u64| generations.of_target(&context.config.owner, &target.name, *number);
                let mut known = before.filter_map(|number| Some((*number, of(number).ok().flatten()?)));
                known.find(|(_, older)| admits(older) != admits(&enforced))
            });
            match older {
                Some(older) => {
                    back.insert(target.name.clone(), older);
                }
                None => output.warn(format!("target `{}` has no earlier generation: it is left alone", target.name)),
            }
        }
    }
    if back.is_empty() {
        return Err(CliError::NoGeneration("there is no earlier generation of these targets".to_owned()));
    }
    Ok(back)
}

/// The state in which these targets stay where they go.
fn pinned(context: &Context, back: &BTreeMap<String, (u64, Enforced)>, reason: Option<&str>) -> State {
    let mut state = context.state.clone();
    state.owner.get_or_insert_with(|| context.config.owner.clone());
    for (name, (number, _)) in back {
        let record = state.targets.entry(name.clone()).or_default();
        record.pinned = Some(Pin { generation: *number, decision: Decision::now(context.now, reason) });
        record.withdrawn = None;
        record.unconfirmed = None;
    }
    state
}
