//! What an operator is told when Azure says no: what it was, of which object, and what to do.

use tagwall_fake_arm::{Behaviour, Fault, FaultKind};

use super::{Azure, SUBSCRIPTION};
use crate::aws::set;
use crate::support::{World, many, strs, with_namespaces};

const LIST: &str = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n";

/// A world with one target `hub`, and a first pass of it: how it ends, and all that is said.
fn check(status: i32, arrange: impl FnOnce(&Azure<'_>, &mut String), expected: &[&str]) {
    let world = World::edge(&strs(&many(32)));
    let azure = Azure::start(&world);
    let mut target = azure.target("");
    arrange(&azure, &mut target);
    world.config(&format!("{LIST}{target}"));
    let run = azure.expect(status, "sync", None);
    let said = format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{said}\n");
    for words in expected {
        assert!(said.contains(words), "without `{words}`: {said}");
    }
    if status == 0 {
        assert_eq!(azure.admitted("tagwall:test/hub"), set(&many(32)));
    }
}

fn no(status: u16, code: &str, message: &str) -> impl FnOnce(&Azure<'_>, &mut String) {
    let fault = Fault::new("PUT", "/securityRules/", FaultKind::status(status, code, message, None)).always();
    move |azure, _| azure.arm.fault(fault)
}

#[test]
fn what_azure_refuses_is_told_with_what_to_do() {
    with_namespaces(|| {
        let replaced = |from: &'static str, to: &'static str| {
            move |_: &Azure<'_>, target: &mut String| *target = target.replace(from, to)
        };
        check(
            1,
            replaced("nsg = \"hub\"", "nsg = \"hob\""),
            &["read network security group `hob`", "ResourceNotFound", "hint: see that `nsg`"],
        );
        check(
            1,
            replaced("\"net\"", "\"nett\""),
            &["ResourceGroupNotFound", "hint: see that `resource-group` is right"],
        );
        check(1, replaced(SUBSCRIPTION, "not-an-id"), &["subscription"]);
        let lock = "The scope '/subscriptions/x/resourceGroups/net' cannot perform write operation because following scope(s) are locked: '/subscriptions/x/resourceGroups/net'.";
        check(
            1,
            no(409, "ScopeLocked", lock),
            &["write rule `tagwall-test-hub-v4`", "ScopeLocked", "are locked", "hint: a lock stands on"],
        );
        let policy = "Resource 'tagwall-test-hub-v4' was disallowed by policy. Policy identifiers: 'no-open-ports'.";
        check(
            1,
            no(403, "RequestDisallowedByPolicy", policy),
            &["disallowed by policy", "no-open-ports", "hint: an Azure Policy forbids the rule"],
        );
        let may = |actions: &'static [&'static str]| {
            move |azure: &Azure<'_>, _: &mut String| {
                let allowed_actions = Some(actions.iter().map(|action| (*action).to_owned()).collect());
                azure.arm.set(Behaviour { allowed_actions, ..azure.arm.behaviour() });
            }
        };
        check(
            1,
            may(&[]),
            &[
                "cannot read",
                "AuthorizationFailed",
                "hint: give the identity a role with `Microsoft.Network/networkSecurityGroups/read`",
            ],
        );
        check(
            1,
            may(tagwall_azure::READING),
            &[
                "cannot write rule `tagwall-test-hub-v4`",
                "hint: give the identity a role with `Microsoft.Network/networkSecurityGroups/securityRules/write`",
            ],
        );
    });
}

#[test]
fn what_is_wrong_with_a_token_is_told_with_what_to_do() {
    with_namespaces(|| {
        let with = |change: fn(&mut Behaviour)| {
            move |azure: &Azure<'_>, _: &mut String| {
                let mut behaviour = azure.arm.behaviour();
                change(&mut behaviour);
                azure.arm.set(behaviour);
            }
        };
        check(
            1,
            with(|b| b.client_secret = Some("another".to_owned())),
            &[
                "no token for Azure: a client secret of the environment gave none",
                "AADSTS7000215",
                "hint: name one with `credential`",
            ],
        );
        // A token of another cloud.
        check(
            1,
            with(|b| b.audience = Some("https://management.chinacloudapi.cn".to_owned())),
            &["401", "hint: Azure does not take the token: see that `cloud`"],
        );
        // Expired in the middle of a pass: nobody has to hear of it.
        check(0, |azure, _| azure.arm.fault(Fault::new("PUT", "", FaultKind::ExpireTokens)), &[]);
        check(0, |azure, _| azure.arm.fault(Fault::new("PUT", "", FaultKind::another_operation()).times(2)), &[]);
    });
}

/// What a check finds out before the first night.
#[test]
fn a_check_says_whether_writing_would_be_allowed() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(32)));
        let azure = Azure::start(&world);
        world.config(&format!("{LIST}{}", azure.target(", deny = true")));
        let said = azure.expect(0, "check", None).stdout;
        for words in [
            "hub: asked as ",
            "hub: may read, write and delete rules, as its roles say",
            "hub: hub holds 1 of 1000 (room for 999) rules, 1 of 4000 (room for 3999) source prefixes",
            "uses the priorities 200 for `tagwall-test-hub-v4`, 201 for `tagwall-test-hub-v6`",
            "208 for `tagwall-test-hub-deny`",
        ] {
            assert!(said.contains(words), "without `{words}`: {said}");
        }
        let reading = tagwall_azure::READING.iter().chain(tagwall_azure::CHECKING).map(|action| (*action).to_owned());
        azure.arm.set(Behaviour { allowed_actions: Some(reading.collect()), ..azure.arm.behaviour() });
        let run = azure.expect(1, "check", None);
        assert!(
            run.stderr.contains("may not Microsoft.Network/networkSecurityGroups/securityRules/"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("hint: `packaging/azure` has whole roles"), "{}", run.stderr);
        assert_eq!(azure.written(), 0);
    });
}
