//! The rig of the conformance suite: the stand-in, and hands and eyes that are not the provider's.

use async_trait::async_trait;
use serde_json::{Value, json};
use tagwall_arm::Clients;
use tagwall_azure::{Ports, Settings};
use tagwall_fake_arm::{Behaviour, Fault as Wrong, FaultKind, Rule};
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig, Target};
use tagwall_provider::{Family, IpNet, OwnerMark, PrefixSet, Provider};

use super::bench::{Bench, admitted, is_of, name};

/// What differs between the runs of the suite.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variant {
    /// With a rule that closes the ports to everybody else.
    pub(crate) deny: bool,
    /// With several rules to a family.
    pub(crate) largest_rule: Option<usize>,
}

pub(crate) struct NsgRig {
    bench: Bench,
    clients: Clients,
    variant: Variant,
    behaviour: Behaviour,
    most: Option<usize>,
    seen: usize,
    next: u16,
}

impl NsgRig {
    pub(crate) fn new(variant: Variant, behaviour: Behaviour) -> Self {
        let bench = Bench::new(behaviour.clone());
        let clients = Bench::clients();
        Self { bench, clients, variant, behaviour, most: None, seen: 0, next: 150 }
    }

    fn mark(target: Target) -> OwnerMark {
        OwnerMark::new("rig", target.name()).unwrap()
    }

    fn settings(&self, target: Target, configured: &[Target]) -> Settings {
        let (port, priority) = match target {
            Target::First => (8443, 1000),
            Target::Second => (9443, 3000),
        };
        let mut settings = Settings::new(Self::mark(target), vec![Ports::one(port)], priority);
        settings.configured = configured.iter().map(|target| Self::mark(*target)).collect();
        settings.deny = self.variant.deny;
        if let Some(largest) = self.variant.largest_rule {
            // The suite wants room for 150 of each family, and two are other people's.
            (settings.largest_rule, settings.most_prefixes) = (largest, 302);
        }
        if let Some(most) = self.most {
            settings.most_prefixes = 2 * most + 2;
            settings.largest_rule = self.variant.largest_rule.unwrap_or(most);
        }
        settings
    }

    fn rule_of(&self, target: Target, prefix: IpNet) -> Option<Rule> {
        let of_family = |rule: &Rule| {
            is_of(rule, &Self::mark(target))
                && rule.properties["access"] == "Allow"
                && sources(rule).iter().any(|text| text.contains(':') == matches!(prefix, IpNet::V6(_)))
        };
        self.bench.rules().iter().find(|rule| of_family(rule)).map(|rule| (**rule).clone())
    }

    fn put(&self, rule: Rule) {
        self.bench.arm.edit(|network| network.put_rule(&name(), rule));
    }
}

fn sources(rule: &Rule) -> Vec<String> {
    let list = rule.properties.get("sourceAddressPrefixes").and_then(Value::as_array);
    list.into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[async_trait]
impl Rig for NsgRig {
    /// A prefix more may take a rule more, and the plan says so.
    fn grows_with_entries(&self) -> bool {
        self.variant.largest_rule.is_some()
    }

    async fn reset(&mut self) {
        self.most = None;
        self.bench.arm.set(self.behaviour.clone());
        self.bench.reset();
        self.seen = self.bench.states().len();
        self.next = 150;
        self.bench.arm.clear_exchanges();
    }

    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider> {
        Box::new(self.bench.provider(&self.clients, self.settings(target, configured)))
    }

    async fn admitted(&mut self, target: Target) -> PrefixSet {
        self.bench.admitted(&Self::mark(target))
    }

    async fn foreign(&mut self) -> String {
        self.bench.foreign(&Target::ALL.map(Self::mark))
    }

    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable> {
        let foreign = |prefix: IpNet| format!("foreign-{}", prefix.to_string().replace(['/', ':'], "_"));
        match act {
            Act::AddForeign(prefix) | Act::AddOtherOwners(prefix) => {
                let mut rule = Rule::inbound(&foreign(prefix), "Allow", self.next, &[&prefix.to_string()], "8443");
                self.next += 1;
                if matches!(act, Act::AddOtherOwners(_)) {
                    let mark = OwnerMark::new("other", target.name()).unwrap();
                    rule.properties.insert("description".to_owned(), json!(mark.to_string()));
                }
                self.put(rule);
            }
            Act::RemoveForeign(prefix) => self.bench.arm.edit(|network| network.delete_rule(&name(), &foreign(prefix))),
            Act::AddOurs(prefix) => {
                let mut rule =
                    self.rule_of(target, prefix).ok_or(NotApplicable("there is no rule of ours to add to"))?;
                let mut texts = sources(&rule);
                texts.push(prefix.to_string());
                rule.properties["sourceAddressPrefixes"] = json!(texts);
                self.put(rule);
            }
            Act::RemoveOurs(prefix) => {
                let mut rule = self
                    .bench
                    .rules()
                    .iter()
                    .find(|rule| is_of(rule, &Self::mark(target)) && sources(rule).contains(&prefix.to_string()))
                    .map(|rule| (**rule).clone())
                    .ok_or(NotApplicable("no rule of ours holds it"))?;
                let texts: Vec<String> =
                    sources(&rule).into_iter().filter(|text| *text != prefix.to_string()).collect();
                if texts.is_empty() {
                    self.bench.arm.edit(|network| network.delete_rule(&name(), &rule.name));
                } else {
                    rule.properties["sourceAddressPrefixes"] = json!(texts);
                    self.put(rule);
                }
            }
            Act::BreakSkeleton => {
                let any = "192.0.2.0/24".parse().unwrap();
                let mut rule = self.rule_of(target, any).ok_or(NotApplicable("there is no rule of ours to break"))?;
                rule.properties["destinationPortRange"] = json!("22");
                self.put(rule);
            }
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable> {
        // Two prefixes are other people's.
        self.most = Some(usize::try_from(entries).unwrap());
        self.bench
            .arm
            .set(Behaviour { max_prefixes: self.settings(Target::First, &[]).most_prefixes, ..self.behaviour.clone() });
        Ok(())
    }

    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable> {
        let kind = if fault.after {
            FaultKind::CutAfter
        } else {
            let (code, message) = ("Whatever".to_owned(), "It is not to be.".to_owned());
            FaultKind::Status { status: 400, code, message, detail: None, retry_after: None }
        };
        // Only writing calls have a rule in their path.
        self.bench.arm.fault(Wrong::new("", "/securityRules/", kind).nth(fault.call + 1));
        Ok(())
    }

    async fn states(&mut self, target: Target) -> Option<Vec<PrefixSet>> {
        let states = self.bench.states();
        let fresh = states[self.seen..].iter().map(|state| admitted(&state.rules, &Self::mark(target))).collect();
        self.seen = states.len();
        Some(fresh)
    }

    fn takes_service_tags(&self) -> bool {
        true
    }
}

/// Both families have room for 150 prefixes, and other people's rules are there.
#[test]
fn the_rig_is_as_the_suite_wants_it() {
    let rig = NsgRig::new(Variant::default(), Behaviour::default());
    let used: usize = rig.bench.rules().iter().map(|rule| sources(rule).len()).sum();
    assert_eq!(used, 2);
    assert!(Family::ALL.len() * 150 + used < Behaviour::default().max_prefixes);
}
