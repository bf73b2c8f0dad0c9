//! Passes that are killed at every request: before it takes effect, and after.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tagwall_fake_arm::{Behaviour, Fault, FaultKind, Rule};
use tagwall_provider::{IpNet, PrefixSet};

use super::{Azure, FOREIGN, SUBSCRIPTION};
use crate::aws::set;
use crate::support::{World, old_and_new, strs, with_namespaces};

const MARK: &str = "tagwall:test/hub";
/// More requests than a pass makes.
const MOST: usize = 60;

/// Waits until the n-th request hangs, and kills whoever waits for its answer. Where the program ends before that, it
/// made fewer requests.
fn killed(azure: &Azure<'_>, mut pass: Child) -> bool {
    let until = Instant::now() + Duration::from_mins(1);
    let hangs =
        || azure.arm.exchanges().iter().any(|exchange| exchange.faults.iter().any(|fault| fault.starts_with("hang")));
    let killed = loop {
        if hangs() {
            pass.kill().unwrap();
            break true;
        }
        if let Some(status) = pass.try_wait().unwrap() {
            assert!(status.success(), "the pass that was not killed failed");
            break false;
        }
        assert!(Instant::now() < until, "neither killed nor done");
        std::thread::sleep(Duration::from_millis(2));
    };
    pass.wait().unwrap();
    killed
}

fn admitted(rules: &[std::sync::Arc<Rule>]) -> PrefixSet {
    let ours = rules.iter().map(|rule| json!(rule.properties));
    let ours = ours.filter(|rule| rule["description"] == MARK && rule["access"] == "Allow");
    let texts = ours.flat_map(|rule| {
        let many = rule["sourceAddressPrefixes"].as_array().cloned().unwrap_or_default();
        [rule["sourceAddressPrefix"].clone()].into_iter().chain(many).collect::<Vec<_>>()
    });
    texts.filter_map(|text| text.as_str()?.parse::<IpNet>().ok()).collect()
}

/// Whether the port is closed to everybody else, by a rule of ours.
fn closes(rules: &[std::sync::Arc<Rule>]) -> bool {
    rules
        .iter()
        .any(|rule| rule.properties["access"] == "Deny" && rule.properties.get("description") == Some(&json!(MARK)))
}

/// Somebody else's rules, as they were written.
fn properties(rules: &[std::sync::Arc<Rule>]) -> Vec<Value> {
    rules.iter().filter(|rule| rule.name == FOREIGN).map(|rule| json!(rule.properties)).collect()
}

#[test]
fn passes_killed_at_every_request() {
    with_namespaces(|| {
        let documents = old_and_new();
        let [old, new] = documents.each_ref().map(|prefixes| set(prefixes));
        let stays = old.intersection(&new);
        // A third of the requests for each kind; with `TAGWALL_SOAK` all of them.
        let stride = if std::env::var_os("TAGWALL_SOAK").is_some() { 1 } else { 3 };
        for (first, kind) in [(1, FaultKind::HangBefore), (2, FaultKind::HangAfter)] {
            let world = World::empty();
            let azure = Azure::start(&world);
            azure.arm.set(Behaviour { retry_after: Some(0), poll_retry_after: Some(0), ..azure.arm.behaviour() });
            let limits = "limits = { loss = \"100%\", growth = \"1000%\" }";
            let list = format!("[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n{limits}\n");
            world.config(&format!("{list}{}", azure.target(", deny = true")));
            let theirs = properties(&azure.arm.states(SUBSCRIPTION, "net", "hub").pop().unwrap().rules);
            let mut number = 0;
            let mut publish = |prefixes: &[String]| {
                number += 1;
                world.feed(number, &[("AzureActiveDirectory", &strs(prefixes))]);
            };
            let mut kills = 0;
            for nth in (first..MOST).step_by(stride) {
                publish(&documents[0]);
                azure.expect(0, "sync -q", None);
                publish(&documents[1]);
                let before = azure.arm.states(SUBSCRIPTION, "net", "hub").len() - 1;
                azure.arm.clear_exchanges();
                azure.arm.fault(Fault::new("", "", kind.clone()).nth(nth));
                let mut command = azure.command("sync -q");
                let was_killed = killed(&azure, world.spawn(command.stdout(Stdio::null()).stderr(Stdio::null())));
                azure.arm.clear_faults();
                azure.expect(0, "sync -q", None);
                let states = azure.arm.states(SUBSCRIPTION, "net", "hub");
                assert_eq!(admitted(&states[before].rules), old, "it began elsewhere");
                for state in &states[before..] {
                    let now = admitted(&state.rules);
                    assert!(
                        stays.difference(&now).is_empty(),
                        "{kind:?} {nth}: who stays was shut out: {:?}",
                        state.rules
                    );
                    assert!(now.difference(&old.union(&new)).is_empty(), "{kind:?} {nth}: a stranger was let in");
                    assert!(closes(&state.rules), "{kind:?} {nth}: it stood open");
                    assert_eq!(properties(&state.rules), theirs, "{kind:?} {nth}: somebody else's rule was touched");
                }
                assert_eq!(azure.admitted(MARK), new, "{kind:?} {nth}: it did not converge");
                let written = azure.written();
                azure.expect(0, "sync -n", None);
                assert_eq!(azure.written(), written);
                if !was_killed {
                    break;
                }
                kills += 1;
            }
            eprintln!("{kind:?}: killed at each of {kills} requests");
            assert!((6..MOST - stride).contains(&(kills * stride)), "a pass makes about {} requests", kills * stride);
        }
    });
}
