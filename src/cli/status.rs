//! `tagwall status`: what is enforced now, read live, beside what the last good publication wants. Asks no network.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tagwall_provider::Skeleton;

use super::args::{Global, ReportFormat, Status};
use super::check::environment;
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, sync};
use crate::exit::ExitStatus;
use crate::reconcile::{Options, Purpose, against, without_publication};
use crate::report::{Class, Failure, Outcome, Report, json, text};
use crate::serve;
use crate::source::{Kind, Source, SourceError};
use crate::state::TargetRecord;

pub(super) async fn run(global: &Global, args: &Status, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Defaults, output)?;
    let kept = context.kept(&args.target)?;
    let options = Options::new(Purpose::Status, context.now);
    let told = |error: SourceError| {
        output.warn(Failure::of(&error, error.hint()).message);
        None
    };
    let remembered = Source::remembered(&context.config.source, &context.last_good).unwrap_or_else(told);
    let remembered = match (remembered, &context.config.source.kind) {
        // A file is no network: it is read where nothing of it is remembered.
        (None, Kind::File(_)) => context.source()?.fetch(None).await.map_or_else(told, Some),
        (remembered, _) => remembered,
    };
    let pass = if let Some(fetched) = remembered {
        against(fetched, &context.config, context.memory(), &kept, &options).await
    } else {
        let failure = Failure {
            message: "no publication is known yet".to_owned(),
            hint: Some("`tagwall sync --dry-run` fetches one and shows what it would do".to_owned()),
            class: Class::Rejected,
        };
        let report = Report::new(&options, None);
        without_publication(report, &Outcome::Failed(failure), &context.config, context.memory(), &kept, &options).await
    };
    let mut report = pass.report;
    context.judge_by(args.fail_on.as_deref(), &mut report);
    for (target, kept) in report.targets.iter().zip(&kept) {
        let foreign = match (target.seen(), &kept.provider) {
            (Some(plan), _) => plan.observed.foreign.clone(),
            // Nothing was planned, and the firewall is there to be looked at all the same.
            (None, Ok(provider)) => provider.observe().await.map(|observed| observed.foreign).unwrap_or_default(),
            (None, Err(_)) => Vec::new(),
        };
        let mut warnings = environment(&target.target, &foreign);
        let enforced = context.state.targets.get(&target.target.name);
        let was_there = enforced.is_some_and(|record| record.last_verified.is_some() && record.withdrawn.is_none());
        let is_gone = target.seen().is_some_and(|plan| plan.observed.skeleton == Skeleton::Absent);
        if was_there && is_gone && target.target.backend.listens_here() {
            let ports: Vec<String> = target.target.ports.iter().map(u16::to_string).collect();
            let protocol = target.target.protocol.name();
            warnings.push(format!(
                "its rules are gone: {protocol} {} is open to everybody whom no rule of others keeps out",
                ports.join(" ")
            ));
        }
        let warnings = warnings.into_iter().map(|warning| format!("target `{}`: {warning}", target.target.name));
        // What surely closes a port every pass warns about.
        let unsaid: Vec<String> = warnings.filter(|warning| !report.warnings.contains(warning)).collect();
        report.warnings.extend(unsaid);
    }
    if context.config.targets.is_empty() {
        // No target's plan lists them, and they judge ports all the same.
        for sweeper in context.providers.sweepers(&context.config).into_iter().filter_map(|it| it.provider.ok()) {
            let orphans = sweeper.observe().await.map(|observed| observed.orphans).unwrap_or_default();
            report.warnings.extend(orphans.iter().map(|orphan| {
                format!("orphan {} {}; `tagwall withdraw --orphans` removes it", orphan.object, orphan.mark)
            }));
        }
    }
    // What the firewalls hold was read here and now; the daemon adds what it alone knows.
    let daemon = match &context.config.listen {
        Some(listen) => {
            let asked = serve::ask(listen).await;
            asked.map_err(|error| output.warn(format!("no daemon answers on {listen}: {error}"))).ok()
        }
        None => None,
    };
    match args.format {
        ReportFormat::Json => output.json(&StatusJson::new(&report, &context, daemon.clone()))?,
        format => sync::print(&report, &context, format, output)?,
    }
    if args.format == ReportFormat::Text {
        output.result(&times(&report, &context))?;
        output.result(&daemon.as_ref().map(of_daemon).unwrap_or_default())?;
    }
    Ok(report.exit_status())
}

/// What the daemon says of itself, in a line.
fn of_daemon(status: &Value) -> String {
    let daemon = &status["daemon"];
    let text = |key: &str| daemon[key].as_str().unwrap_or("unknown");
    let next = daemon["next_pass"].as_str().map(|next| format!(", next pass at {next}")).unwrap_or_default();
    let reload = daemon["reload_failure"].as_str();
    let reload = reload.map(|why| format!("\n  an older configuration is in use: {why}")).unwrap_or_default();
    format!("daemon: {}, running since {}{next}{reload}\n", text("doing"), text("started"))
}

/// When each target was last looked at and last seen right.
fn times(report: &Report, context: &Context) -> String {
    let mut out = String::new();
    if let Some(decision) = &context.state.paused {
        let _ = writeln!(out, "everything is paused {decision}; `tagwall resume` goes on");
    }
    for report in &report.targets {
        let name = &report.target.name;
        let record = context.state.targets.get(name).cloned().unwrap_or_default();
        let differs = report.seen().is_some_and(|plan| !plan.steps.is_empty());
        let _ = writeln!(out, "{name}: {}", told(&record, differs, context.now));
    }
    out
}

fn told(record: &TargetRecord, differs: bool, now: Timestamp) -> String {
    let generation = record.generation.map(|number| format!("; generation {number}")).unwrap_or_default();
    let paused = record.paused.as_ref().map(|decision| format!("; paused {decision}")).unwrap_or_default();
    let pinned =
        record.pinned.as_ref().map(|pin| format!("; pinned to generation {} {}", pin.generation, pin.decision));
    let trouble = record.trouble.as_ref().map(|trouble| format!("\n  {trouble}")).unwrap_or_default();
    format!("{}{generation}{paused}{}{trouble}", passes(record, differs, now), pinned.unwrap_or_default())
}

fn passes(record: &TargetRecord, differs: bool, now: Timestamp) -> String {
    if let Some(withdrawn) = record.withdrawn {
        return format!(
            "withdrawn on purpose {} ago; `tagwall sync` enforces it again",
            text::ago(now.duration_since(withdrawn))
        );
    }
    match (record.last_verified, record.last_attempt) {
        (Some(verified), Some(attempt)) if verified == attempt && differs => {
            format!("not so now; left right by a pass {} ago", text::ago(now.duration_since(verified)))
        }
        (Some(verified), Some(attempt)) if verified == attempt => {
            format!("last pass {} ago, enforced as it should be", text::ago(now.duration_since(verified)))
        }
        (Some(verified), Some(attempt)) => format!(
            "last pass {} ago did not succeed; last enforced as it should be {} ago",
            text::ago(now.duration_since(attempt)),
            text::ago(now.duration_since(verified))
        ),
        (None, Some(attempt)) => {
            format!("last pass {} ago; never yet enforced", text::ago(now.duration_since(attempt)))
        }
        _ => "never yet synchronised".to_owned(),
    }
}

/// `status --format json`: the report with what is remembered of each target.
#[derive(Serialize)]
struct StatusJson {
    #[serde(flatten)]
    report: json::Report,
    records: std::collections::BTreeMap<String, TargetRecord>,
    /// What the daemon serves as /status, where it runs and serves it.
    daemon: Option<Value>,
}

impl StatusJson {
    fn new(report: &Report, context: &Context, daemon: Option<Value>) -> Self {
        let names = report.targets.iter().map(|target| target.target.name.clone());
        let records = names.map(|name| {
            let record = context.state.targets.get(&name).cloned().unwrap_or_default();
            (name, record)
        });
        Self { report: json::Report::from(report), records: records.collect(), daemon }
    }
}
