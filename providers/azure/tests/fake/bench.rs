//! A stand-in with one group, and providers that ask it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tagwall_arm::{Account, Clients, CredentialKind, Environment, Pace};
use tagwall_azure::{NetworkSecurityGroup, Nsg, Ports, Settings};
use tagwall_fake_arm::{Behaviour, Exchange, FakeArm, NsgName, Options, Rule, Snapshot};
use tagwall_provider::{IpNet, OwnerMark, PrefixSet};

pub(crate) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const GROUP: &str = "net";
pub(crate) const HUB: &str = "hub";

pub(crate) struct Bench {
    pub(crate) arm: FakeArm,
    ca: PathBuf,
    _folder: tempfile::TempDir,
}

/// A thousandth of what is right for Azure.
pub(crate) fn pace() -> Pace {
    let milliseconds = Duration::from_millis;
    Pace {
        first: milliseconds(1),
        longest: milliseconds(4),
        patience: milliseconds(20_000),
        poll: milliseconds(1),
        operation: milliseconds(20_000),
    }
}

pub(crate) fn name() -> NsgName {
    NsgName::new(SUBSCRIPTION, GROUP, HUB)
}

pub(crate) fn set(texts: &[&str]) -> PrefixSet {
    texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect()
}

pub(crate) fn mark(text: &str) -> OwnerMark {
    text.parse().unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings::new(mark("tagwall:edge/web"), vec![Ports::one(8443)], 200)
}

/// Rules of other people: before ours and behind them, inbound and outbound, with fields that tagwall does not know.
pub(crate) fn foreign_rules() -> Vec<Rule> {
    let mut odd = Rule::inbound("odd", "Allow", 120, &["VirtualNetwork"], "22");
    odd.properties.insert("description".to_owned(), json!("written by hand"));
    odd.properties.insert("someday".to_owned(), json!({"kept": [1, 2]}));
    let mut out = Rule::inbound("out", "Deny", 200, &["*"], "25");
    out.properties.insert("direction".to_owned(), json!("Outbound"));
    vec![
        Rule::inbound("office", "Allow", 110, &["203.0.113.200", "203.0.113.208/28"], "443"),
        odd,
        Rule::inbound("copy", "Deny", 4096, &["*"], "445"),
        out,
    ]
}

impl Bench {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let arm = FakeArm::start(Options { behaviour, ..Options::default() });
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, arm.ca_pem()).unwrap();
        arm.put_service_tags(json!({"changeNumber": "1", "cloud": "Public", "values": [
            {"name": "ExampleService", "id": "ExampleService", "properties": {"changeNumber": "1", "region": "", "systemService": "", "addressPrefixes": ["192.0.2.0/24"]}},
        ]}));
        let bench = Self { arm, ca, _folder: folder };
        bench.reset();
        bench
    }

    pub(crate) fn reset(&self) {
        self.arm.clear_faults();
        self.arm.put_nsg(SUBSCRIPTION, GROUP, HUB, foreign_rules());
    }

    pub(crate) fn account(&self) -> Account {
        Account {
            credential: CredentialKind::Environment,
            endpoint: Some(self.arm.url()),
            authority: Some(self.arm.authority()),
            ca_file: Some(self.ca.clone()),
            ..Account::default()
        }
    }

    /// A process of its own, as far as Azure can tell.
    pub(crate) fn clients() -> Clients {
        let value = |name: &str| {
            let known = [
                ("AZURE_TENANT_ID", "tenant"),
                ("AZURE_CLIENT_ID", "client"),
                ("AZURE_CLIENT_SECRET", "secret-of-the-client"),
            ];
            known.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        Clients::new(pace(), Environment::of(value))
    }

    pub(crate) fn provider(&self, clients: &Clients, settings: Settings) -> NetworkSecurityGroup {
        let text = str::to_owned;
        let nsg = Nsg { subscription: text(SUBSCRIPTION), resource_group: text(GROUP), name: text(HUB) };
        NetworkSecurityGroup::new(clients, self.account(), nsg, settings)
    }

    pub(crate) fn rules(&self) -> Vec<Arc<Rule>> {
        self.arm.edit(|network| network.rules(&name()))
    }

    pub(crate) fn states(&self) -> Vec<Snapshot> {
        self.arm.states(SUBSCRIPTION, GROUP, HUB)
    }

    /// Everything that has none of these marks, whole and in order.
    pub(crate) fn foreign(&self, marks: &[OwnerMark]) -> String {
        let rules = self.rules();
        let foreign = rules.iter().filter(|rule| !marks.iter().any(|mark| is_of(rule, mark)));
        let lines: Vec<String> = foreign.map(|rule| serde_json::to_string(&**rule).unwrap()).collect();
        lines.join("\n")
    }

    pub(crate) fn admitted(&self, mark: &OwnerMark) -> PrefixSet {
        admitted(&self.rules(), mark)
    }

    pub(crate) fn writes(&self) -> Vec<Exchange> {
        self.arm
            .exchanges()
            .into_iter()
            .filter(|exchange| exchange.method == "PUT" || exchange.method == "DELETE")
            .collect()
    }
}

pub(crate) fn is_of(rule: &Rule, mark: &OwnerMark) -> bool {
    rule.properties.get("description").and_then(Value::as_str) == Some(&mark.to_string())
}

/// Whom the rules with this mark name: a reader that knows the API's description and nothing of the provider.
pub(crate) fn admitted(rules: &[Arc<Rule>], mark: &OwnerMark) -> PrefixSet {
    let mut texts = BTreeSet::new();
    for rule in rules.iter().filter(|rule| is_of(rule, mark) && rule.properties["access"] == "Allow") {
        texts.extend(rule.properties.get("sourceAddressPrefix").and_then(Value::as_str).map(str::to_owned));
        let list = rule.properties.get("sourceAddressPrefixes").and_then(Value::as_array).into_iter().flatten();
        texts.extend(list.map(|text| text.as_str().unwrap().to_owned()));
    }
    texts
        .iter()
        .filter(|text| !text.chars().all(|letter| letter.is_ascii_alphabetic()))
        .map(|text| text.parse::<IpNet>().unwrap())
        .collect()
}
