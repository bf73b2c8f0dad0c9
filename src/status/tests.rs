use jiff::ToSpan as _;
use tagwall_provider::{Applied, Desired, Limit, Observed, Refusal, Skeleton, Steps};

use super::metrics::{Form, render};
use super::tally::Ended;
use super::*;
use crate::plan::Plan;
use crate::reconcile::{Options, Purpose};
use crate::report::{Class, Failure as Told, Outcome, Report, TargetReport};

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + minutes.minutes()
}

/// A plan that leaves these prefixes as they are.
fn plan(prefix: &str) -> Box<Plan> {
    let set = [prefix.parse::<tagwall_provider::IpNet>().unwrap()].into_iter().collect::<tagwall_provider::PrefixSet>();
    let observed = Observed::new(Vec::new(), Skeleton::Intact, "");
    Box::new(Plan {
        observed: Observed { counters: Some(tagwall_provider::Counters::default()), ..observed },
        before: set.clone(),
        desired: Desired::listed(set.clone()),
        after: set,
        left: tagwall_provider::PrefixSet::new(),
        steps: Steps::default(),
    })
}

fn in_sync() -> Outcome {
    Outcome::InSync(plan("192.0.2.0/24"))
}

fn refused() -> Outcome {
    let refusal = Refusal { limit: Limit::Loss, finding: "too much".to_owned(), choices: Vec::new() };
    Outcome::Refused { refusals: vec![refusal.clone(), refusal], plan: Some(plan("192.0.2.0/24")) }
}

fn failed() -> Outcome {
    Outcome::Failed(Told { message: "no".to_owned(), hint: None, class: Class::Transient })
}

/// Counts passes of the default target, a minute apart: whether each was whole, and how it came out.
fn tallied(passes: Vec<(bool, Outcome)>) -> Tally {
    let (mut tally, config) = (Tally::default(), Config::defaults());
    for (number, (whole, outcome)) in (1..).zip(passes) {
        let mut report = Report::new(&Options::new(Purpose::Enforce, at(number)), None);
        report.targets.push(TargetReport::new(&config.targets[0], outcome));
        let reason = if whole { "tick" } else { "drift" };
        tally.take(&Ended { iteration: number.unsigned_abs(), reason, whole, seconds: 0.5, report: &report });
    }
    tally
}

fn status(passes: Vec<(bool, Outcome)>) -> Status {
    let (config, state, tally) = (Config::defaults(), State::default(), tallied(passes));
    let daemon =
        Daemon { started: at(0), doing: "idle", since: None, passes: 1, next_pass: None, reload_failure: None };
    let asked = Requests { provider: "azure", calls: 7, retries: 1, remaining_writes: Some(1198) };
    let (daemon, receivers, requests, now) = (Some(daemon), Vec::new(), vec![asked], at(100));
    Status::new(Facts { config: &config, state: &state, tally: &tally, daemon, receivers, requests, now })
}

#[test]
fn ready_is_when_every_target_was_last_seen_right() {
    let check = |passes, expect: &[&str]| assert_eq!(status(passes).not_ready, expect);
    check(vec![], &["the first pass has not ended", "target `default` was not looked at yet"]);
    check(vec![(true, in_sync())], &[]);
    check(vec![(true, Outcome::Applied(plan("192.0.2.0/24"), Applied::default()))], &[]);
    check(vec![(true, in_sync()), (true, failed())], &["target `default` failed in the last pass"]);
    check(vec![(true, refused())], &["target `default` refused in the last pass"]);
    check(vec![(true, failed()), (true, in_sync())], &[]);
}

#[test]
fn a_look_at_drift_that_finds_nothing_ends_no_refusal() {
    let check = |passes, outcome: &str, right: bool| {
        let status = status(passes);
        assert_eq!((status.targets[0].outcome, status.targets[0].in_sync), (Some(outcome), right));
    };
    check(vec![(true, refused()), (false, in_sync())], "refused", false);
    check(vec![(true, failed()), (false, in_sync())], "failed", false);
    // What a look at drift failed of is over when the next one finds nothing.
    check(vec![(true, in_sync()), (false, failed())], "failed", false);
    check(vec![(true, in_sync()), (false, failed()), (false, in_sync())], "in-sync", true);
    check(vec![(true, refused()), (false, failed()), (true, in_sync())], "in-sync", true);
}

#[test]
fn what_cannot_be_read_stays_as_last_seen_with_its_time() {
    let told = status(vec![(true, in_sync()), (true, failed())]);
    let target = &told.targets[0];
    let read = target.read.as_ref().unwrap();
    assert_eq!((read.at, target.last_attempt, target.last_success), (at(1), Some(at(2)), Some(at(1))));
    assert_eq!(read.enforced.ipv4.addresses.to_string(), "256");
    assert!(status(vec![(true, failed())]).targets[0].read.is_none());
}

#[test]
fn counts_are_of_all_passes() {
    let passes = vec![(true, refused()), (true, refused()), (false, failed()), (true, in_sync())];
    let metrics = render(&status(passes), Form::OpenMetrics);
    for line in [
        "tagwall_passes_total{reason=\"tick\",outcome=\"refused\"} 2.0",
        "tagwall_passes_total{reason=\"drift\",outcome=\"failed\"} 1.0",
        "tagwall_pass_seconds_total 2.0",
        "tagwall_target_refusals_total{target=\"default\",limit=\"loss\"} 4.0",
        "tagwall_target_failures_total{target=\"default\",class=\"transient\"} 1.0",
        "tagwall_target_packets_total{target=\"default\",verdict=\"dropped\",family=\"any\"} 0.0",
        "tagwall_api_calls_total{provider=\"azure\"} 7.0",
        "tagwall_api_retries_total{provider=\"azure\"} 1.0",
        "tagwall_api_remaining_writes{provider=\"azure\"} 1198.0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    // A metric that is listed twice under the same labels is refused by Prometheus as a whole.
    let metrics = render(&status(vec![(true, refused())]), Form::OpenMetrics);
    let mut series: Vec<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all, "{metrics}");
}

#[test]
fn the_older_form_names_counters_in_full_and_has_no_end() {
    let metrics = render(&status(vec![(true, in_sync())]), Form::Text);
    assert!(metrics.contains("# TYPE tagwall_passes_total counter\ntagwall_passes_total{"), "{metrics}");
    assert!(metrics.contains("# HELP tagwall_ready Whether every enforcing target was last seen right\n"), "{metrics}");
    assert!(!metrics.contains("# EOF") && !metrics.contains("# UNIT"), "{metrics}");
}
