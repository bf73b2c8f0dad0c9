use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{Applied, Desired, Foreign, ForeignEffect, Limit, Orphan, OwnerMark, Provider as _, StoredId};

use super::*;
use crate::fixture::{config, set};
use crate::plan::plan;
use crate::reconcile::Options;
use crate::source::{Cloud, Digest};

const CONFIG: &str =
    "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n[targets.edge]\nlists = [\"entra\"]\nnftables = {}";

fn report(purpose: Purpose, outcome: Outcome) -> Report {
    let options = Options::new(purpose, Timestamp::UNIX_EPOCH);
    let published = Published {
        cloud: Cloud::Public,
        change_number: 376,
        date: Some(date(2025, 11, 10)),
        since: "2025-11-24T00:00:00Z".parse().unwrap(),
        age_days: 1,
        sha256: Digest([0; 32]),
        origin: "https://download.microsoft.com/…/ServiceTags_Public_20251110.json".to_owned(),
        freshness: Freshness::Fresh,
        unknown_fields: 0,
    };
    let mut report = Report::new(&options, Some(published));
    report.targets = vec![TargetReport::new(&config(CONFIG).targets[0], outcome)];
    report
}

async fn planned(stored: &[&str], desired: &[&str]) -> Box<Plan> {
    let firewall = MemoryFirewall::new();
    let provider = MemoryProvider::new(&firewall, OwnerMark::new("test", "edge").unwrap(), &["one"]);
    if !stored.is_empty() {
        let observed = provider.observe().await.unwrap();
        let steps = provider.place(&observed, &Desired::listed(set(stored))).unwrap();
        provider.apply(&observed.revision, &steps).await.unwrap();
    }
    let observed = provider.observe().await.unwrap();
    Box::new(plan(&provider, observed, &Desired::listed(set(desired)), Policy::Sync).unwrap())
}

fn plain(report: &Report, detail: Detail) -> String {
    let text = anstream::adapter::strip_str(&render(report, detail)).to_string();
    let wide = text.lines().filter(|line| line.chars().count() > 80).collect::<Vec<_>>();
    assert_eq!(wide, [""; 0], "wider than 80 columns");
    text
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_what_it_means() {
    let plan = planned(
        &["192.0.2.0/25", "198.51.100.0/24", "203.0.113.7/32"],
        &["192.0.2.0/24", "198.51.100.0/25", "198.51.100.128/25", "2001:db8::/48"],
    )
    .await;
    let report = report(Purpose::DryRun, Outcome::Planned(plan));
    insta::assert_snapshot!(plain(&report, Detail::Folded), @r"
    Publication Public, change number 376 of 2025-11-10, 1 day old
      https://download.microsoft.com/…/ServiceTags_Public_20251110.json

    edge  nftables inet tagwall, tcp 8443, entra
      + 192.0.2.0/24
      + 2001:db8::/48
      - 203.0.113.7/32
      ~ re-expressed: 1 prefix, 0 addresses lost
      IPv4: +1 -1 prefixes, 128 addresses gained, 1 lost
      IPv6: +1 -0 prefixes, 2^80 addresses gained, 0 lost
      planned: 2 IPv4 and 1 IPv6 prefixes

    Dry run: 1 to change; nothing was changed, `tagwall sync` applies it
    ");
}

#[tokio::test]
async fn long_lists_are_folded_and_shown_whole_on_demand() {
    let many: Vec<String> = (0..40).map(|index| format!("198.51.100.{}/32", index * 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let report = report(Purpose::DryRun, Outcome::Planned(planned(&[], &many).await));
    let lines = |detail| plain(&report, detail).lines().filter(|line| line.starts_with("  +")).count();
    assert_eq!((lines(Detail::Folded), lines(Detail::Full)), (SHOWN + 1, 40));
    assert!(plain(&report, Detail::Folded).contains("… 32 more, -v shows all"));
}

#[tokio::test]
async fn a_refusal_says_what_how_much_and_how_to_go_on() {
    let refusal = Refusal {
        limit: Limit::Loss,
        finding: "list `entra`: all IPv6 would go (15 prefixes)".to_owned(),
        choices: vec!["compare with Microsoft's page".to_owned()],
    };
    let plan = planned(&["192.0.2.0/24"], &["192.0.2.0/25"]).await;
    let report = report(Purpose::Enforce, Outcome::Refused { refusals: vec![refusal], plan: Some(plan) });
    insta::assert_snapshot!(plain(&report, Detail::Folded), @r"
    Publication Public, change number 376 of 2025-11-10, 1 day old
      https://download.microsoft.com/…/ServiceTags_Public_20251110.json

    edge  nftables inet tagwall, tcp 8443, entra
      held back:
      - 192.0.2.0/24
      ~ written anew: 1 prefix, 0 addresses gained
      IPv4: +0 -1 prefixes, 0 addresses gained, 128 lost
      refused loss: list `entra`: all IPv6 would go (15 prefixes)
      hint: compare with Microsoft's page
      hint: to let this one through: --override loss --reason TEXT
      nothing was changed

    1 refused
    ");
    insta::assert_snapshot!(plain(&report, Detail::Quiet), @r"
    edge
      refused loss: list `entra`: all IPv6 would go (15 prefixes)
      hint: compare with Microsoft's page
      hint: to let this one through: --override loss --reason TEXT
      nothing was changed
    1 refused
    ");
}

#[tokio::test]
async fn what_is_not_ours_and_what_is_left_over_is_told() {
    let mut plan = planned(&["192.0.2.0/24"], &["192.0.2.0/24"]).await;
    let theirs = ForeignEffect::Admits(set(&["192.0.2.0/26"]));
    plan.observed.foreign = vec![Foreign { description: "rule sgr-1 admits 192.0.2.0/26".to_owned(), effect: theirs }];
    let mark = OwnerMark::new("test", "old").unwrap();
    plan.observed.orphans = vec![Orphan { mark, object: "chain old".to_owned(), id: StoredId("old".into()) }];
    let report = report(Purpose::Status, Outcome::InSync(plan));
    insta::assert_snapshot!(plain(&report, Detail::Folded), @r"
    Publication Public, change number 376 of 2025-11-10, 1 day old
      https://download.microsoft.com/…/ServiceTags_Public_20251110.json

    edge  nftables inet tagwall, tcp 8443, entra
      ! not ours: rule sgr-1 admits 192.0.2.0/26
      ! 1 prefix admitted by somebody else's rule already
      in sync: 1 IPv4 and 0 IPv6 prefixes

    Orphans  our mark, no target of this configuration; they still judge ports
      `tagwall withdraw --orphans` removes them: not if another file wants them
      ? chain old tagwall:test/old

    1 in sync
    ");
}

#[tokio::test]
async fn what_was_done_and_what_failed() {
    let plan = planned(&["192.0.2.0/24"], &["192.0.2.0/24", "203.0.113.0/24"]).await;
    let done = report(Purpose::Enforce, Outcome::Applied(plan, Applied::default()));
    insta::assert_snapshot!(plain(&done, Detail::Folded), @r"
    Publication Public, change number 376 of 2025-11-10, 1 day old
      https://download.microsoft.com/…/ServiceTags_Public_20251110.json

    edge  nftables inet tagwall, tcp 8443, entra
      + 203.0.113.0/24
      IPv4: +1 -0 prefixes, 256 addresses gained, 0 lost
      applied and read back: 2 IPv4 and 0 IPv6 prefixes

    1 changed
    ");
    let failure = Failure {
        message: "permission denied".to_owned(),
        hint: Some("run as root".to_owned()),
        class: crate::report::Class::Denied,
    };
    let failed = report(Purpose::Enforce, Outcome::Failed(failure));
    insta::assert_snapshot!(plain(&failed, Detail::Quiet), @r"
    edge
      failed: permission denied
      hint: run as root
    1 failed
    ");
}

#[test]
fn spans_are_told_in_their_greatest_unit() {
    let check = |seconds, expect| assert_eq!(ago(SignedDuration::from_secs(seconds)), expect);
    check(-5, "less than a minute");
    check(59, "less than a minute");
    check(60, "1 minute");
    check(7_300, "2 hours");
    check(86_400, "1 day");
    check(86_400 * 30, "30 days");
}
