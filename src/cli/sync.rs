//! `tagwall sync`: one pass.

use std::net::IpAddr;

use tagwall_provider::Limit;

use super::args::{Format, Global, Sync};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, progress};
use crate::exit::ExitStatus;
use crate::reconcile::{Options, OwnSession, Pass, Purpose, pass};
use crate::record::Record;
use crate::report::{Outcome, Report, json, text};

pub(super) async fn run(global: &Global, args: &Sync, output: Output) -> Result<ExitStatus, CliError> {
    let without = if args.dry_run || args.defaults { Without::Defaults } else { Without::Error };
    let mut context = Context::load(global, without, output)?;
    // A dry run writes nothing, so it needs no lock and no state directory.
    let _lock = if args.dry_run { None } else { context.lock(output)? };
    context.state = context.state_dir.load()?.state;
    let kept = context.kept(&args.target)?;
    let source = context.source()?;
    let options = Options {
        purpose: if args.dry_run { Purpose::DryRun } else { Purpose::Enforce },
        overrides: args.overrides.clone(),
        own_session: if args.yes { None } else { own_session() },
        now: context.now,
    };
    let run = |options| {
        let pass = pass(&context.config, &source, &context.last_good, &context.state, &kept, options);
        progress::shown(output, "fetching the publication, reading the firewalls", pass)
    };

    let mut done = run(&options).await;
    if !args.dry_run && would_cut_session(&done.report) {
        output.say(text::render(&done.report, output.detail()));
        if output.ask("Go on and cut your own connection?") {
            done = run(&Options { own_session: None, ..options.clone() }).await;
        }
    }
    let Pass { mut report, fetched, accepted, .. } = done;
    if !args.dry_run {
        let reason = args.reason.as_deref();
        let pass = Record {
            config: &context.config,
            state_dir: &context.state_dir,
            last_good: &context.last_good,
            state: &context.state,
            report: &report,
            fetched: fetched.as_ref(),
            accepted: &accepted,
            reason,
        };
        let warnings = pass.write();
        report.warnings.extend(warnings);
    }
    print(&report, args.format, output)?;
    Ok(report.exit_status())
}

/// Prints a report: the result to stdout, its warnings to stderr.
pub(super) fn print(report: &Report, format: Format, output: Output) -> Result<(), CliError> {
    for warning in &report.warnings {
        output.warn(warning);
    }
    match format {
        Format::Text => output.result(&text::render(report, output.detail()))?,
        Format::Json => output.json(&json::Report::from(report))?,
    }
    Ok(())
}

fn would_cut_session(report: &Report) -> bool {
    let cuts = |outcome: &Outcome| matches!(outcome, Outcome::Refused { refusals, .. } if refusals.iter().all(|refusal| refusal.limit == Limit::OwnSession));
    report.targets.iter().any(|target| cuts(&target.outcome))
}

/// The connection that this command is typed over: sshd tells it as `client port server port`.
fn own_session() -> Option<OwnSession> {
    parse_ssh_connection(&std::env::var("SSH_CONNECTION").ok()?)
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
