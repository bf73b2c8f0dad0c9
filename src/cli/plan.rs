//! `tagwall plan`: what a pass would do, to be looked at and to be saved.

use jiff::SignedDuration;

use super::args::{Global, Plan};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, progress, sync};
use crate::exit::ExitStatus;
use crate::reconcile::{Options, Pass, Purpose, pass};
use crate::report::Report;
use crate::saved::observation::Observation;
use crate::saved::plan::{PlanContent, SavedPlan};

pub(super) async fn run(global: &Global, args: &Plan, output: Output) -> Result<ExitStatus, CliError> {
    let (context, mut report) = look(global, args, output).await?;
    let planned = PlanContent::of(&report, &context.config);
    report.plan = Some(planned.hash());
    if let Some(path) = &args.output {
        let lives = args.expires.and_then(|span| SignedDuration::try_from(span.0).ok());
        let expires = lives.and_then(|span| context.now.checked_add(span).ok());
        SavedPlan::new(planned, context.now, expires).write(path)?;
    }
    sync::print(&report, &context, args.format, output)?;
    if let Some(path) = &args.output {
        output.say(format!("written to {}", path.display()));
    }
    Ok(report.exit_status())
}

/// `sync --dry-run`: the same, with no word of plans.
pub(super) async fn dry_run(global: &Global, args: &Plan, output: Output) -> Result<ExitStatus, CliError> {
    let (context, report) = look(global, args, output).await?;
    sync::print(&report, &context, args.format, output)?;
    Ok(report.exit_status())
}

/// The pass that changes nothing. It needs no lock and no state directory.
async fn look(global: &Global, args: &Plan, output: Output) -> Result<(Context, Report), CliError> {
    let without = if args.defaults { Without::OnlyDefaults } else { Without::Defaults };
    let observation = args.state.as_deref().map(|path| Observation::read(path).map(|read| (read, path))).transpose()?;
    let mut context = Context::load(global, without, output)?;
    if let Some((observation, path)) = &observation {
        context.stand_in(observation, path)?;
    }
    if context.config.targets.is_empty() {
        return Err(CliError::NoTargets);
    }
    let mut kept = context.kept(&args.target)?;
    if let Some((observation, path)) = &observation {
        kept = observation.in_place_of(kept, path);
    }
    let source = context.source()?;
    let options = Options {
        overrides: args.overrides.clone(),
        own_session: if args.yes { None } else { sync::own_session() },
        verb: if args.output.is_some() { "apply FILE" } else { "sync" },
        ..Options::new(Purpose::DryRun, context.now)
    };
    let look = pass(&context.config, &source, context.memory(), &kept, &options);
    let Pass { mut report, .. } =
        progress::shown(output, "fetching the publication, reading the firewalls", look).await;
    context.judge_by(args.fail_on.as_deref(), &mut report);
    drop(kept);
    Ok((context, report))
}
