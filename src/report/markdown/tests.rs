use jiff::Timestamp;
use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{Desired, Foreign, ForeignEffect, Limit, OwnerMark, Provider as _, Refusal};

use super::*;
use crate::config::Policy;
use crate::fixture::{config, set};
use crate::plan::plan;
use crate::reconcile::Options;
use crate::report::Failure;

fn targets(count: usize) -> Config {
    let target =
        |number: usize| format!("[targets.t{number}]\nlists = [\"a\"]\nports = [{}]\nnftables = {{}}\n", number + 1);
    config(&format!("[lists.a]\ntags = [\"A\"]\n{}", (0..count).map(target).collect::<String>()))
}

async fn planned(desired: &[&str]) -> Box<Plan> {
    let firewall = MemoryFirewall::new();
    let provider = MemoryProvider::new(&firewall, OwnerMark::new("test", "t0").unwrap(), &["one"]);
    let observed = provider.observe().await.unwrap();
    Box::new(plan(&provider, observed, &Desired::listed(set(desired)), Policy::Sync).unwrap())
}

fn report(config: &Config, outcome: &Outcome) -> Report {
    let mut report = Report::new(&Options::new(Purpose::DryRun, Timestamp::UNIX_EPOCH), None);
    report.targets = config.targets.iter().map(|target| TargetReport::new(target, outcome.clone())).collect();
    report
}

/// Whether every block of code is closed, and every fold.
fn is_whole(text: &str) -> bool {
    let count = |of: &str| text.matches(of).count();
    text.lines().filter(|line| line.starts_with("```")).count().is_multiple_of(2)
        && count("<details") == count("</details>")
}

#[tokio::test]
async fn a_comment_is_never_longer_than_a_comment_may_be() {
    let many: Vec<String> =
        (0..60_000u32).map(|number| format!("2001:db8:{:x}:{:x}::/64", number >> 8, (number & 255) * 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let huge = Outcome::Planned(planned(&many).await);
    let small = Outcome::Planned(planned(&many[..40]).await);
    let failure = Failure { message: "x".repeat(2_000), hint: None, class: crate::report::Class::Rejected };
    let check = |count: usize, outcome: &Outcome, has: &str| {
        let config = targets(count);
        let text = render(&report(&config, outcome), &config);
        assert!(text.len() < 65_536 && text.starts_with("<!-- tagwall:plan:test -->\n"), "{} bytes", text.len());
        assert!(is_whole(&text), "{text}");
        assert!(text.contains(has), "{count} targets lack {has}: {}", &text[..text.len().min(2_000)]);
    };
    check(1, &small, "+ 2001:db8:0:4e::/64");
    check(1, &huge, "+ … 59,992 more");
    check(100, &small, "more, -v shows all");
    check(500, &small, "`t499`");
    check(900, &small, "more than a comment can hold");
    check(20, &Outcome::Failed(failure.clone()), "xxxx");
    check(100, &Outcome::Failed(failure), "**failed**");
}

#[tokio::test]
async fn nothing_of_others_ends_a_block_or_leaves_it() {
    let nasty = "``` \u{202e}| [x](http://evil) @all\n```\n<img src=x>\n::error::x";
    let mut plan = planned(&["192.0.2.0/24"]).await;
    plan.observed.foreign = vec![Foreign { description: nasty.to_owned(), effect: ForeignEffect::Blocks }];
    let refusal = Refusal { limit: Limit::NotOurs, finding: nasty.to_owned(), choices: vec![nasty.to_owned()] };
    let config = targets(1);
    let mut report = report(&config, &Outcome::Refused { refusals: vec![refusal], plan: Some(plan) });
    report.warnings = vec![nasty.to_owned()];
    let error = Error {
        message: nasty.to_owned(),
        hint: Some(nasty.to_owned()),
        class: crate::report::json::ErrorClass::Rejected,
    };
    for text in [render(&report, &config), no_report(&error)] {
        assert!(is_whole(&text) && !text.contains('\u{202e}'), "{text}");
        let mut inside = false;
        let mut seen = 0;
        for line in text.lines() {
            let is_fence = line.starts_with("```");
            inside ^= is_fence;
            assert!(inside || !line.contains("@all") && !line.contains("<img"), "outside of code: {line}\n{text}");
            assert!(!line.trim_start().starts_with("::"), "a command: {line}");
            seen += usize::from(inside && line.contains("@all"));
        }
        assert!(seen > 0, "the control: it is there at all: {text}");
    }
    assert_eq!(code("a`|b"), "`a'\\|b`");
}
