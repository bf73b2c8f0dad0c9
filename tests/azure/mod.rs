//! The program against a stand-in for Azure Resource Manager, which runs on the test's own host.
//!
//! * `api`: Azure's own list of service tags as the source, and beside another.
//! * `kill`: passes that are killed at every request.
//! * `plans`: plans that are saved, reviewed and applied.
//! * `trouble`: what an operator is told when Azure says no.

mod api;
mod kill;
mod plans;
mod trouble;

use std::process::Command;

use serde_json::Value;
use tagwall_fake_arm::{FakeArm, Fault, FaultKind, Options, Rule};
use tagwall_provider::{IpNet, PrefixSet};

use crate::aws::{self, Aws};
use crate::support::{Addresses, EDGE, Run, World, many, strs, with_namespaces};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const SECRET: &str = "secret-of-the-client";
const FOREIGN: &str = "somebody-elses";

/// A group `net/hub` with one rule of somebody else's.
struct Azure<'a> {
    world: &'a World,
    arm: FakeArm,
}

impl<'a> Azure<'a> {
    fn start(world: &'a World) -> Self {
        let arm = world.host.inside(|| FakeArm::start(Options::default()));
        world.write("ca.pem", arm.ca_pem());
        let theirs = Rule::inbound(FOREIGN, "Allow", 300, &["203.0.113.240/28"], "22");
        arm.put_nsg(SUBSCRIPTION, "net", "hub", vec![theirs]);
        Self { world, arm }
    }

    /// A target `hub` with these further keys.
    fn target(&self, more: &str) -> String {
        format!(
            "[targets.hub]\nlists = [\"entra\"]\nazure-nsg = {{ subscription = \"{SUBSCRIPTION}\", resource-group = \"net\", \
             nsg = \"hub\", priority = 200, endpoint = \"{}\", authority = \"{}\", extra-ca = \"ca.pem\"{more} }}\n",
            self.arm.url(),
            self.arm.authority()
        )
    }

    fn rules(&self) -> Vec<Value> {
        let group = self.arm.nsg(SUBSCRIPTION, "net", "hub");
        group["properties"]["securityRules"].as_array().unwrap().clone()
    }

    /// Whom the rules of this owner mark let in.
    fn admitted(&self, mark: &str) -> PrefixSet {
        let rules = self.rules();
        let ours = rules.iter().map(|rule| &rule["properties"]).filter(|rule| {
            rule["description"].as_str().unwrap_or_default().contains(mark) && rule["access"] == "Allow"
        });
        let prefixes = ours.flat_map(|rule| rule["sourceAddressPrefixes"].as_array().into_iter().flatten());
        prefixes.map(|prefix| prefix.as_str().unwrap().parse::<IpNet>().unwrap()).collect()
    }

    fn theirs(&self) -> Value {
        self.rules().into_iter().find(|rule| rule["name"] == FOREIGN).unwrap()["properties"].clone()
    }

    fn written(&self) -> usize {
        self.arm.exchanges().iter().filter(|exchange| exchange.is_write()).count()
    }

    /// The program, with the secret of the stand-in's client.
    fn command(&self, arguments: &str) -> Command {
        let mut command = self.world.command(arguments);
        command
            .env("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
            .env("AZURE_CLIENT_ID", "22222222-2222-2222-2222-222222222222")
            .env("AZURE_CLIENT_SECRET", SECRET);
        command
    }

    #[track_caller]
    fn expect(&self, status: i32, arguments: &str, aws: Option<&Aws<'_>>) -> Run {
        let mut command = self.command(arguments);
        if let Some(aws) = aws {
            aws.credentials(&mut command);
        }
        let run = self.world.finish(&mut command);
        assert_eq!(run.status, status, "tagwall {arguments}: {}", self.world.telling(&run));
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(SECRET));
        run
    }
}

#[test]
fn rules_of_a_group_are_kept_beside_those_of_others() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::edge(&strs(&prefixes));
        let azure = Azure::start(&world);
        let theirs = azure.theirs();
        let list = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n";
        world.config(&format!("{list}{}", azure.target(", deny = true")));
        let run = azure.expect(2, "sync --dry-run", None);
        assert!(run.stdout.contains("Azure net/hub"), "{}", run.stdout);
        assert_eq!(azure.written(), 0, "a dry run wrote");
        azure.expect(0, "sync", None);
        assert_eq!(azure.admitted("tagwall:test/hub"), aws::set(&prefixes));
        let written = azure.written();
        azure.expect(0, "sync", None);
        azure.expect(0, "status", None);
        let run = azure.expect(0, "check", None);
        assert!(run.stdout.contains("hub: asked as "), "{}", run.stdout);
        assert_eq!(azure.written(), written, "a pass with nothing to do wrote");
        // One prefix more is one rule written.
        let more: Vec<String> = prefixes.iter().cloned().chain(["192.0.2.240/28".to_owned()]).collect();
        world.feed(11, &[("AzureActiveDirectory", &strs(&more))]);
        azure.expect(0, "sync", None);
        assert_eq!((azure.admitted("tagwall:test/hub"), azure.written()), (aws::set(&more), written + 1));
        assert_eq!(azure.theirs(), theirs);
        // Azure's own tag in place of the prefixes.
        world.config(&format!("{list}{}", azure.target(", mode = \"service-tag\"")));
        azure.expect(0, "sync", None);
        assert!(azure.rules().iter().any(|rule| rule["properties"]["sourceAddressPrefix"] == "AzureActiveDirectory"));
        assert!(azure.admitted("tagwall:test/hub").is_empty());
        azure.expect(0, "sync", None);
        // Microsoft keeps the tag: there is no older one to go back to.
        let run = azure.expect(3, "rollback", None);
        assert!(run.stderr.contains("Azure keeps its tag by itself"), "{}", run.stderr);
        let run = azure.expect(2, "withdraw -n", None);
        assert!(run.stdout.contains("as the group's other rules leave it"), "{}", run.stdout);
        azure.expect(0, "withdraw --yes", None);
        assert_eq!(azure.rules().len(), 1);
        assert_eq!(azure.theirs(), theirs);
    });
}

/// Nobody here knows whom a tag admits, so no limit measures what is lost for it, also where nothing is remembered; and a
/// rule of it that somebody widened is put right.
#[test]
fn a_tag_is_measured_by_nobody() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(32)));
        let azure = Azure::start(&world);
        let list = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n";
        world.config(&format!("{list}{}", azure.target("")));
        azure.expect(0, "sync", None);
        std::fs::remove_dir_all(world.path("state")).unwrap();
        world.config(&format!("{list}{}", azure.target(", mode = \"service-tag\"")));
        azure.expect(0, "sync", None);
        let source = || {
            let rules = azure.rules();
            let tag = rules.iter().find(|rule| rule["name"].as_str().unwrap().ends_with("-tag")).unwrap();
            tag["properties"]["sourceAddressPrefix"].clone()
        };
        assert_eq!(source(), "AzureActiveDirectory");
        for hand in ["Internet", "192.0.2.1/32"] {
            azure.arm.edit(|network| {
                let group = tagwall_fake_arm::NsgName::new(SUBSCRIPTION, "net", "hub");
                let mut rule =
                    network.rules(&group).iter().find(|rule| rule.name.ends_with("-tag")).unwrap().as_ref().clone();
                rule.properties.insert("sourceAddressPrefix".to_owned(), hand.into());
                network.put_rule(&group, rule);
            });
            std::fs::remove_dir_all(world.path("state")).unwrap();
            azure.expect(0, "sync", None);
            assert_eq!(source(), "AzureActiveDirectory");
        }
    });
}

#[test]
fn one_configuration_keeps_all_three_and_one_that_fails_stops_no_other() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::edge(&strs(&prefixes));
        let (azure, aws) = (Azure::start(&world), Aws::start(&world));
        let group = aws.group("one");
        world.config(&format!("{EDGE}{}{}", azure.target(""), aws::api(&[&group], "")));
        let run = azure.expect(2, "sync --dry-run", Some(&aws));
        for object in ["nftables inet tagwall", "Azure net/hub", "AWS eu-west-1 sg-"] {
            assert!(run.stdout.contains(object), "{}", run.stdout);
        }
        azure.expect(0, "sync", Some(&aws));
        let wanted = aws::set(&prefixes);
        assert_eq!((azure.admitted("tagwall:test/hub"), aws.admitted(&group)), (wanted.clone(), wanted));
        assert_eq!(world.admitted("edge"), Addresses::of(strs(&prefixes)));

        let more: Vec<String> = prefixes.iter().cloned().chain(["192.0.2.240/28".to_owned()]).collect();
        world.feed(11, &[("AzureActiveDirectory", &strs(&more))]);
        let kind = FaultKind::Status {
            status: 403,
            code: "AuthorizationFailed".to_owned(),
            message: "The client does not have authorization to perform action.".to_owned(),
            detail: None,
            retry_after: None,
        };
        azure.arm.fault(Fault::new("PUT", "/securityRules/", kind).always());
        let report = azure.expect(1, "sync --format json", Some(&aws)).json();
        let outcomes: Vec<String> = report["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| format!("{} {}", target["name"].as_str().unwrap(), target["outcome"].as_str().unwrap()))
            .collect();
        assert_eq!(outcomes, ["api applied", "edge applied", "hub failed"], "{report}");
        assert_eq!(report["targets"][2]["error"]["class"], "denied", "{report}");
        assert_eq!((azure.admitted("tagwall:test/hub"), aws.admitted(&group)), (aws::set(&prefixes), aws::set(&more)));
        assert_eq!(world.admitted("edge"), Addresses::of(strs(&more)));
        azure.arm.clear_faults();
        azure.expect(0, "sync", Some(&aws));
        assert_eq!(azure.admitted("tagwall:test/hub"), aws::set(&more));
    });
}
