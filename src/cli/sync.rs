//! `tagwall sync`: one pass.

use std::net::IpAddr;
use std::time::Instant;

use tagwall_provider::Limit;

use super::args::{Global, ReportFormat, Sync};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, afterwards, plan, progress, summary};
use crate::exit::ExitStatus;
use crate::reconcile::{Memory, Options, OwnSession, Pass, Purpose, pass};
use crate::record::{self, Record};
use crate::report::{Outcome, Report, json, markdown, text};

pub(super) async fn run(global: &Global, args: &Sync, output: Output) -> Result<ExitStatus, CliError> {
    if args.dry_run {
        return Box::pin(plan::dry_run(global, &args.as_plan(), output)).await;
    }
    let without = if args.defaults { Without::OnlyDefaults } else { Without::Error };
    let begun = Instant::now();
    let mut context = Context::load(global, without, output)?;
    let _lock = context.lock(output).await?;
    let context = context;
    if context.config.targets.is_empty() {
        return Err(CliError::NoTargets);
    }
    let kept = context.kept(&args.target)?;
    let source = context.source()?;
    let options = Options {
        overrides: args.overrides.clone(),
        own_session: if args.yes { None } else { own_session() },
        ..Options::new(Purpose::Enforce, context.now)
    };
    let run = |options, memory| {
        let pass = pass(&context.config, &source, memory, &kept, options);
        progress::shown(output, "fetching the publication, reading the firewalls", pass)
    };
    let mut done = run(&options, context.memory()).await;
    if would_cut_session(&done.report) {
        output.say(text::render(&done.report, output.detail()));
        if output.ask("Go on and cut your own connection?") {
            // What was not confirmed a moment ago is not tried again.
            let state = record::noted(&context.state, &done.report);
            let memory = Memory { state: &state, ..context.memory() };
            let again = Options { own_session: None, ..options.clone() };
            let again = run(&again, memory).await;
            done = together(done, again);
        }
    }
    context.judge_by(args.fail_on.as_deref(), &mut done.report);
    let mut report = recorded(&context, done, "sync", args.reason.as_deref());
    if args.metrics_file.is_some() || args.notify {
        let status = afterwards::status(&context, &report, begun);
        report.warnings.extend(args.metrics_file.as_ref().and_then(|path| afterwards::write(path, &status)));
        if args.notify {
            report.warnings.extend(afterwards::tell(&context, &status).await);
        }
    }
    print(&report, &context, args.format, output)?;
    Ok(report.exit_status())
}

/// Writes down what a pass did, and yields its report.
pub(super) fn recorded(context: &Context, done: Pass, cause: &str, reason: Option<&str>) -> Report {
    let Pass { mut report, fetched, accepted, lists } = done;
    let pass = Record {
        config: &context.config,
        dir: &context.state_dir,
        state: &context.state,
        report: &report,
        fetched: fetched.as_ref(),
        accepted: &accepted,
        lists: &lists,
        cause,
        reason,
    };
    let warnings = pass.write().warnings;
    report.warnings.extend(warnings);
    report
}

/// A pass that was run again for the sake of some targets: what the first one did to the others is told as done.
fn together(first: Pass, mut second: Pass) -> Pass {
    for (before, after) in first.report.targets.into_iter().zip(&mut second.report.targets) {
        if matches!((&before.outcome, &after.outcome), (Outcome::Applied(..), Outcome::InSync(_))) {
            *after = before;
        }
    }
    for refusal in first.report.overridden {
        if !second.report.overridden.contains(&refusal) {
            second.report.overridden.push(refusal);
        }
    }
    second
}

/// Prints a report: the result to stdout, its warnings to stderr.
pub(super) fn print(report: &Report, context: &Context, format: ReportFormat, output: Output) -> Result<(), CliError> {
    // Where they are annotations, they would stand there twice.
    for warning in report.warnings.iter().filter(|_| format != ReportFormat::Github) {
        output.warn(warning);
    }
    match format {
        ReportFormat::Text => output.result(&text::render(report, output.detail()))?,
        ReportFormat::Json => output.json(&json::Report::from(report))?,
        ReportFormat::Markdown => output.result(&markdown::render(report, &context.config))?,
        ReportFormat::Github => summary::write(report, &context.config, output)?,
    }
    Ok(())
}

pub(super) fn would_cut_session(report: &Report) -> bool {
    let cuts = |outcome: &Outcome| matches!(outcome, Outcome::Refused { refusals, .. } if refusals.iter().all(|refusal| refusal.limit == Limit::OwnSession));
    report.targets.iter().any(|target| cuts(&target.outcome))
}

/// The connection that this command is typed over: sshd tells it as `client port server port`. sudo drops the variable
/// from the environment, so those of the parent processes are looked through, too.
pub(super) fn own_session() -> Option<OwnSession> {
    let told = std::env::var("SSH_CONNECTION").ok();
    parse_ssh_connection(&told.or_else(|| of_parents(std::process::id()))?)
}

fn of_parents(of: u32) -> Option<String> {
    /// More than any shell in a multiplexer in a session has.
    const GENERATIONS: usize = 16;
    let mut process = of;
    for _ in 0..GENERATIONS {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        process = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
        let found = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="));
        if let Some(found) = found {
            return String::from_utf8(found.to_vec()).ok();
        }
    }
    None
}

fn parse_ssh_connection(text: &str) -> Option<OwnSession> {
    let mut words = text.split_ascii_whitespace();
    let client: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
    let port = words.nth(2)?.parse().ok()?;
    // sshd on a socket of both families names IPv4 clients as mapped addresses.
    Some(OwnSession { client: client.to_canonical(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_as_sshd_writes_it() {
        let check = |text, expect: Option<(&str, u16)>| {
            let expect = expect.map(|(client, port)| OwnSession { client: client.parse().unwrap(), port });
            assert_eq!(parse_ssh_connection(text), expect, "{text}");
        };
        check("203.0.113.9 50022 192.0.2.1 22", Some(("203.0.113.9", 22)));
        check("::ffff:203.0.113.9 50022 ::ffff:192.0.2.1 8443", Some(("203.0.113.9", 8443)));
        check("fe80::1%eth0 50022 fe80::2%eth0 22", Some(("fe80::1", 22)));
        check("", None);
        check("nonsense 1 2 3", None);
        check("203.0.113.9 50022 192.0.2.1", None);
    }
}
