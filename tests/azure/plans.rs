//! Plans that are saved, reviewed and applied: as reviewed, or not at all.

use serde_json::json;
use tagwall_fake_arm::{NsgName, Rule};
use tagwall_provider::PrefixSet;

use super::{Azure, SUBSCRIPTION};
use crate::aws::set;
use crate::support::{World, old_and_new, strs, with_namespaces};

const LIST: &str =
    "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\nlimits = { loss = \"100%\", growth = \"1000%\" }\n";

/// Saves a plan from the one publication to the other, changes something at Azure, and applies. Gives what was said.
fn check(
    change: impl FnOnce(&Azure<'_>, &NsgName),
    status: i32,
    expected: impl FnOnce([PrefixSet; 2]) -> PrefixSet,
) -> String {
    let [old, new] = old_and_new();
    let world = World::edge(&strs(&old));
    let azure = Azure::start(&world);
    world.config(&format!("{LIST}{}", azure.target("")));
    azure.expect(0, "sync", None);
    world.feed(11, &[("AzureActiveDirectory", &strs(&new))]);
    let hash = azure.expect(2, "plan -o plan.json --format json", None).json()["plan"].as_str().unwrap().to_owned();
    change(&azure, &NsgName::new(SUBSCRIPTION, "net", "hub"));
    let (before, written) = (azure.rules(), azure.written());
    let run = azure.expect(status, &format!("apply plan.json --expect-hash {hash}"), None);
    if status != 0 {
        assert_eq!((azure.written(), azure.rules()), (written, before), "refused, and something was written");
    }
    assert_eq!(azure.admitted("tagwall:test/hub"), expected([set(&old), set(&new)]));
    // The control: what is planned anew is applied.
    if status != 0 {
        azure.expect(2, "plan -o plan.json", None);
        azure.expect(0, "apply plan.json", None);
        assert_eq!(azure.admitted("tagwall:test/hub"), set(&new));
    }
    azure.expect(0, "sync -n", None);
    format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_planned_is_done() {
    with_namespaces(|| {
        check(|_, _| (), 0, |[_, new]| new);
        // Somebody else's rule that has nothing to do with it is no reason to ask again.
        let elsewhere = Rule::inbound("elsewhere", "Allow", 3000, &["203.0.113.241/32"], "25");
        check(|azure, hub| azure.arm.edit(|network| network.put_rule(hub, elsewhere)), 0, |[_, new]| new);
    });
}

#[test]
fn a_rule_that_moved_is_refused_by_name() {
    with_namespaces(|| {
        let one_prefix_less = |azure: &Azure<'_>, hub: &NsgName| {
            azure.arm.edit(|network| {
                let rules = network.rules(hub);
                let ours = rules.iter().find(|rule| rule.name == "tagwall-test-hub-v4").unwrap();
                let mut rule = Rule::clone(ours);
                rule.properties["sourceAddressPrefixes"].as_array_mut().unwrap().pop();
                network.put_rule(hub, rule);
            });
        };
        let said = check(one_prefix_less, 3, |[old, _]| {
            let last = old.prefixes().filter(|prefix| prefix.to_string().contains('.')).last();
            old.difference(&last.into_iter().collect())
        });
        assert!(said.contains("stale-plan") && said.contains("hub"), "{said}");
        let other_port = |azure: &Azure<'_>, hub: &NsgName| {
            azure.arm.edit(|network| {
                let rules = network.rules(hub);
                let mut rule = Rule::clone(rules.iter().find(|rule| rule.name == "tagwall-test-hub-v6").unwrap());
                rule.properties.insert("destinationPortRange".to_owned(), json!("22"));
                network.put_rule(hub, rule);
            });
        };
        let said = check(other_port, 3, |[old, _]| old);
        assert!(said.contains("stale-plan") && said.contains("hub"), "{said}");
    });
}
