//! `tagwall apply`: just what a saved plan says, or nothing.
//!
//! What is done is worked out anew, as every pass does it, by today's configuration, source and limits; the file only
//! says what it has to come to. So the limits are judged again, and a file that was forged can hold back, and no more.

use std::path::Path;
use std::sync::Arc;

use tagwall_provider::{Limit, Refusal};

use super::args::{Apply, Global};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, progress, sync};
use crate::audit::NotApplied;
use crate::exit::ExitStatus;
use crate::reconcile::{Options, Pass, Purpose, against};
use crate::report::{Failure, Outcome, Published, text};
use crate::saved::SavedError;
use crate::saved::plan::{PlanContent, PlannedTarget, SavedPlan};
use crate::source::Fetched;

pub(super) async fn run(global: &Global, args: &Apply, output: Output) -> Result<ExitStatus, CliError> {
    let saved = SavedPlan::read(&args.file)?;
    let mut context = Context::load(global, Without::Defaults, output)?;
    let _lock = context.lock(output).await?;
    let context = context;
    let applied = apply(&context, &saved, args, output).await;
    if let Err(CliError::Refused(refusals)) = &applied
        && let Err(error) = context.state_dir.audit(&NotApplied::new(context.now, &saved.hash, refusals))
    {
        output.warn(Failure::of(&error, None).message);
    }
    applied
}

async fn apply(context: &Context, saved: &SavedPlan, args: &Apply, output: Output) -> Result<ExitStatus, CliError> {
    refuse(unfit(context, saved, args))?;
    let planned = &saved.content;
    let names: Vec<String> = planned.targets.iter().map(|target| target.name.clone()).collect();
    let kept = context.kept(&names).map_err(|error| unknown(&args.file, &names, error))?;
    let source = context.source()?;
    let fetch = source.fetch_and_compare(Some(&context.last_good));
    let fetched = progress::shown(output, "fetching the publication", fetch).await?;
    let published = Published::of(&fetched, &context.state, context.now);
    refuse(planned.other_publication(&published))?;

    let pass = async |fetched: Fetched, options: &Options| {
        let pass = against(fetched, &context.config, context.memory(), &kept, options);
        progress::shown(output, "reading and changing the firewalls", pass).await
    };
    let mut options = Options {
        overrides: args.overrides.clone(),
        own_session: if args.yes { None } else { sync::own_session() },
        verb: "apply FILE",
        ..Options::new(Purpose::DryRun, context.now)
    };
    let mut look = pass(fetched, &options).await;
    if let Some(fetched) = look.fetched.take_if(|_| sync::would_cut_session(&look.report)) {
        output.say(text::render(&look.report, output.detail()));
        options.own_session = options.own_session.filter(|_| !output.ask("Go on and cut your own connection?"));
        look = pass(fetched, &options).await;
    }
    let Pass { report, fetched, .. } = look;
    refuse(planned.moved_targets(&PlanContent::of(&report, &context.config)))?;
    let is_as_planned = |outcome: &Outcome| matches!(outcome, Outcome::InSync(_) | Outcome::Planned(_));
    let Some(fetched) = fetched.filter(|_| report.outcomes().all(is_as_planned)) else {
        // What cannot be read, or is refused by now, says so itself; nothing was changed.
        sync::print(&report, context, args.format, output)?;
        return Ok(report.exit_status());
    };

    // What is agreed to has just been read, and holds until it is written: what moves in between is refused.
    let agreed = report.targets.iter().filter_map(|told| Some((told.target.name.clone(), told.plan()?.clone())));
    let options = Options { purpose: Purpose::Enforce, agreed: Some(Arc::new(agreed.collect())), ..options };
    let mut done = pass(fetched, &options).await;
    done.report.plan = Some(saved.hash.clone());
    context.judge_by(args.fail_on.as_deref(), &mut done.report);
    let report = sync::recorded(context, done, "apply", args.reason.as_deref());
    sync::print(&report, context, args.format, output)?;
    Ok(report.exit_status())
}

/// Why a plan is not looked at any further.
fn unfit(context: &Context, saved: &SavedPlan, args: &Apply) -> Vec<String> {
    let found = saved.content.hash();
    let expected = args.expect_hash.as_ref().filter(|hash| **hash != found);
    let expected =
        expected.map(|hash| format!("it is not the plan that was reviewed: its hash is {found}, not {hash}"));
    let altered =
        saved.is_altered().then(|| format!("it was altered: it says its hash is {}, and it is {found}", saved.hash));
    let expired = saved.expires.filter(|expires| *expires <= context.now);
    let expired = expired.map(|expires| format!("it expired at {expires:.0}"));
    let empty = saved.content.targets.is_empty().then(|| "it is of no target".to_owned());
    let configuration = saved.content.other_configuration(&context.config);
    let of_file = [expected, altered, expired, empty, configuration].into_iter().flatten();
    of_file.chain(saved.content.targets.iter().filter_map(PlannedTarget::held_back)).collect()
}

fn refuse(findings: impl IntoIterator<Item = String>) -> Result<(), CliError> {
    let refusal = |finding| Refusal {
        limit: Limit::StalePlan,
        finding,
        choices: vec!["nothing was changed; `tagwall plan` shows what is to be done now".to_owned()],
    };
    let refusals: Vec<Refusal> = findings.into_iter().map(refusal).collect();
    if refusals.is_empty() { Ok(()) } else { Err(CliError::Refused(refusals)) }
}

/// A target that the configuration does not have is a fault of the file.
fn unknown(path: &Path, names: &[String], error: CliError) -> CliError {
    let CliError::Unknown { name, known, .. } = error else { return error };
    let place = names.iter().position(|other| *other == name).unwrap_or_default();
    CliError::Saved(SavedError::Value {
        path: path.to_owned(),
        key: format!("content.targets[{place}].name"),
        problem: format!("is `{name}`, and the configuration has no such target (there are: {known})"),
    })
}
