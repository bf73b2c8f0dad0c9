//! The conformance suite that every provider runs, on nftables.

use async_trait::async_trait;
use serde_json::Value;
use tagwall_nftables::testing::Faults;
use tagwall_nftables::{Nftables, Settings};
use tagwall_provider::testing::conformance;
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig, Target};
use tagwall_provider::{Family, IpNet, OwnerMark, PrefixSet, Provider};

use crate::support::{admitted, elements, in_namespace, nft, run, settings, wait};

/// Other people's things: some in tables of their own, some of another owner's tagwall in the table we share.
const OTHERS: &str = r#"
    flush ruleset
    table inet other {
        set friends { type ipv4_addr; flags interval; elements = { 192.0.2.0/25, 198.51.100.7 }; }
        chain input {
            type filter hook input priority 0; policy accept;
        }
        chain first-ports {
            tcp dport 8443 drop
        }
    }
    table inet tagwall {
        set else-v4 { type ipv4_addr; flags interval; comment "tagwall:else/else"; elements = { 203.0.113.9 }; }
        set else-v6 { type ipv6_addr; flags interval; comment "tagwall:else/else"; }
        chain else-ports {
            comment "tagwall:else/else"
            type filter hook input priority 0; policy accept;
            tcp dport 99 drop
        }
    }
"#;

#[derive(Default)]
struct Namespace {
    faults: Faults,
    /// What third parties admit in their table.
    theirs: Vec<IpNet>,
    /// Whether ours are the operator's sets `inet operator first`, and so on.
    set_mode: bool,
}

impl Namespace {
    fn write_theirs(&self) {
        let rule = |prefix: &IpNet| {
            let protocol = if prefix.addr().is_ipv4() { "ip" } else { "ip6" };
            format!("add rule inet other input tcp dport 8443 {protocol} saddr {prefix} accept\n")
        };
        let rules: String = self.theirs.iter().map(rule).collect();
        nft(&format!("flush chain inet other input\n{rules}"));
    }

    fn set(&self, target: Target, family: Family) -> String {
        let family = if family == Family::V4 { "v4" } else { "v6" };
        let table = if self.set_mode { "operator" } else { "tagwall" };
        format!("inet {table} {}-{family}", target.name())
    }

    /// Whether an object of a listing is of one of the two targets.
    fn is_ours(&self, kind: &str, object: &Value) -> bool {
        let table = if self.set_mode { "operator" } else { "tagwall" };
        let name = &object[if kind == "rule" { "chain" } else { "name" }];
        let named = |target: &Target| name.as_str().is_some_and(|name| name.starts_with(target.name()));
        kind != "table" && object["family"] == "inet" && object["table"] == table && Target::ALL.iter().any(named)
    }
}

#[async_trait]
impl Rig for Namespace {
    async fn reset(&mut self) {
        self.faults.clear();
        self.theirs.clear();
        nft(OTHERS);
        if self.set_mode {
            let set = |target: &str, version: u8| {
                format!("add set inet operator {target}-v{version} {{ type ipv{version}_addr; flags interval; }}\n")
            };
            let sets = [set("first", 4), set("first", 6), set("second", 4), set("second", 6)].concat();
            nft(&format!("add table inet operator\n{sets}"));
        }
    }

    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider> {
        let mut settings = Settings {
            mark: OwnerMark::new("test", target.name()).unwrap(),
            siblings: configured.iter().map(|target| target.name().to_owned()).collect(),
            ports: vec![if target == Target::First { 8443 } else { 9443 }],
            ..settings()
        };
        if self.set_mode {
            settings.mode = tagwall_nftables::Mode::Set {
                family: tagwall_nftables::TableFamily::Inet,
                table: "operator".to_owned(),
                v4: Some(format!("{}-v4", target.name())),
                v6: Some(format!("{}-v6", target.name())),
                claimed: true,
            };
        }
        Box::new(Nftables::with_faults(settings, self.faults.clone()).unwrap())
    }

    async fn admitted(&mut self, target: Target) -> PrefixSet {
        if self.set_mode {
            return Family::ALL.into_iter().flat_map(|family| elements(&self.set(target, family))).collect();
        }
        admitted(target.name())
    }

    async fn foreign(&mut self) -> String {
        let listing: Value = serde_json::from_str(&run("nft", &["-j", "-s", "list", "ruleset"])).unwrap();
        let mut lines = Vec::new();
        for object in listing["nftables"].as_array().unwrap() {
            let (kind, object) = object.as_object().unwrap().iter().next().unwrap();
            let mut object = object.clone();
            object.as_object_mut().unwrap().remove("handle");
            if kind != "metainfo" && !self.is_ours(kind, &object) {
                lines.push(format!("{kind} {object}"));
            }
        }
        lines.join("\n")
    }

    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable> {
        let set = |prefix: IpNet| self.set(target, if prefix.addr().is_ipv4() { Family::V4 } else { Family::V6 });
        match act {
            Act::AddForeign(prefix) => {
                self.theirs.push(prefix);
                self.write_theirs();
            }
            Act::RemoveForeign(prefix) => {
                self.theirs.retain(|theirs| *theirs != prefix);
                self.write_theirs();
            }
            Act::AddOtherOwners(prefix) => {
                let family = if prefix.addr().is_ipv4() { "v4" } else { "v6" };
                nft(&format!(
                    "flush set inet tagwall else-{family}\nadd element inet tagwall else-{family} {{ {prefix} }}"
                ));
            }
            Act::AddOurs(prefix) => nft(&format!("add element {} {{ {prefix} }}", set(prefix))),
            Act::RemoveOurs(prefix) => nft(&format!("delete element {} {{ {prefix} }}", set(prefix))),
            Act::BreakSkeleton if self.set_mode => {
                return Err(NotApplicable("the skeleton around an operator's sets is the operator's"));
            }
            Act::BreakSkeleton => nft(&format!("flush chain inet tagwall {}-ports", target.name())),
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, _entries: u64) -> Result<(), NotApplicable> {
        Err(NotApplicable("a set of nftables takes what memory holds"))
    }

    fn leaves_orphans(&self) -> Result<(), NotApplicable> {
        if self.set_mode { Err(NotApplicable("an operator's set carries no mark")) } else { Ok(()) }
    }

    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable> {
        self.faults.fail(fault.call, fault.after);
        Ok(())
    }
}

#[test]
fn enforcing_conforms() {
    in_namespace(|| {
        let report = wait(conformance::run(&mut Namespace::default()));
        eprintln!("{report}");
        report.assert_conforms(&["over_capacity"]);
    });
}

#[test]
fn filling_sets_conforms() {
    in_namespace(|| {
        let report = wait(conformance::run(&mut Namespace { set_mode: true, ..Namespace::default() }));
        eprintln!("{report}");
        report.assert_conforms(&[
            "over_capacity",
            "skeleton_drift",
            "withdrawn_while_broken",
            "orphans",
            "failure_in_removing_orphans",
            "conflict_skeleton_broken",
        ]);
    });
}
