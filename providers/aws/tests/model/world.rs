//! Security groups as EC2 documents them, in memory: what each call does, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_aws::{Call, Group, MOST_RULES_A_CALL, Ports, Rule, Source, Target};
use tagwall_provider::{Desired, Family, IpNet, Observed, PrefixSet, Refusal, Steps, StoredId};

pub(crate) const OURS: &str = "tagwall:edge/web";
/// A target of our owner that is configured no more, as after a renaming.
pub(crate) const GONE: &str = "tagwall:edge/gone";
pub(crate) const PORT: Ports = Ports::tcp(8443, 8443);

pub(crate) fn target(ports: &[Ports]) -> Target {
    let configured = ["tagwall:edge/mail", OURS].map(|mark| mark.parse().unwrap()).to_vec();
    Target { quota: 8, configured, ..Target::new(OURS.parse().unwrap(), ports.to_vec()) }
}

pub(crate) fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn set(texts: &[&str]) -> PrefixSet {
    texts.iter().map(|text| prefix(text)).collect()
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) groups: Vec<Group>,
    pub(crate) quota: u64,
    pub(crate) calls: u64,
    next: u32,
}

impl World {
    pub(crate) fn new(groups: usize, quota: u64) -> Self {
        let group = |number| Group { id: format!("sg-{number}"), rules: Vec::new() };
        Self { groups: (0..groups).map(group).collect(), quota, calls: 0, next: 0 }
    }

    /// Puts a rule there by hand, unless its equal stands there or the group is full. Whether it did.
    pub(crate) fn put(
        &mut self,
        group: usize,
        source: Source,
        ports: Ports,
        tag: Option<&str>,
        text: Option<&str>,
    ) -> bool {
        self.next += 1;
        let rule = Rule {
            id: StoredId(format!("sgr-{}", self.next).into()),
            source,
            ports,
            tag: tag.map(str::to_owned),
            description: text.map(str::to_owned),
        };
        let stored = &mut self.groups[group].rules;
        if stored.iter().any(|other| other.source == rule.source && other.ports == rule.ports) {
            return false;
        }
        stored.push(rule);
        if self.full().is_some() {
            self.groups[group].rules.pop();
            return false;
        }
        true
    }

    pub(crate) fn put_prefix(&mut self, group: usize, prefix: IpNet, ports: Ports, mark: Option<&str>) -> bool {
        self.put(group, Source::Prefix(prefix), ports, mark, mark)
    }

    /// A group over its quota, counted anew.
    fn full(&self) -> Option<&Group> {
        self.groups.iter().find(|group| {
            let count = |family: Family| -> u64 {
                let counted = |rule: &Rule| match &rule.source {
                    Source::Prefix(IpNet::V4(_)) => u64::from(family == Family::V4),
                    Source::Prefix(IpNet::V6(_)) => u64::from(family == Family::V6),
                    Source::Group { .. } => 1,
                    Source::PrefixList { weight, .. } => *weight,
                };
                group.rules.iter().map(counted).sum()
            };
            Family::ALL.into_iter().any(|family| count(family) > self.quota)
        })
    }

    /// Makes one call, or says what EC2 would answer; then nothing is changed.
    pub(crate) fn make(&mut self, call: &Call) -> Result<(), &'static str> {
        let mut after = self.clone();
        after.calls += 1;
        match call {
            Call::Tag { rules } => {
                for rule in after.groups.iter_mut().flat_map(|group| &mut group.rules) {
                    if rules.contains(&rule.id) {
                        rule.tag = Some(OURS.to_owned());
                    }
                }
            }
            Call::Authorise { group, rules } => {
                let index = after.groups.iter().position(|other| other.id == *group).ok_or("InvalidGroup.NotFound")?;
                if rules.is_empty() || rules.len() > MOST_RULES_A_CALL {
                    return Err("InvalidParameterValue");
                }
                for rule in rules {
                    let stored = &mut after.groups[index].rules;
                    let source = Source::Prefix(rule.prefix);
                    if stored.iter().any(|other| other.source == source && other.ports == rule.ports) {
                        return Err("InvalidPermission.Duplicate");
                    }
                    after.next += 1;
                    stored.push(Rule {
                        id: StoredId(format!("sgr-{}", after.next).into()),
                        source,
                        ports: rule.ports,
                        tag: Some(OURS.to_owned()),
                        description: Some(OURS.to_owned()),
                    });
                }
            }
            Call::Revoke { group, rules } => {
                let stored = after.groups.iter_mut().find(|other| other.id == *group).ok_or("InvalidGroup.NotFound")?;
                let before = stored.rules.len();
                stored.rules.retain(|rule| !rules.contains(&rule.id));
                if rules.is_empty() || before - stored.rules.len() != rules.len() {
                    return Err("InvalidPermission.NotFound");
                }
            }
        }
        if after.full().is_some() {
            return Err("RulesPerSecurityGroupLimitExceeded");
        }
        *self = after;
        Ok(())
    }

    /// What rules of ours admit to every one of these ports.
    pub(crate) fn admitted(&self, ports: &[Ports]) -> PrefixSet {
        let mut sum = PrefixSet::new();
        for group in &self.groups {
            let ours = |rule: &&Rule| rule.tag.as_deref().or(rule.description.as_deref()) == Some(OURS);
            let mut by_prefix: BTreeMap<IpNet, BTreeSet<Ports>> = BTreeMap::new();
            for rule in group.rules.iter().filter(ours) {
                if let Source::Prefix(prefix) = rule.source {
                    by_prefix.entry(prefix).or_default().insert(rule.ports);
                }
            }
            let whole = by_prefix.into_iter().filter(|(_, there)| ports.iter().all(|wanted| there.contains(wanted)));
            sum = sum.union(&whole.map(|(prefix, _)| prefix).collect());
        }
        sum
    }

    /// What is not ours, and was not left to us.
    pub(crate) fn foreign(&self) -> Vec<Vec<Rule>> {
        let ours = |rule: &Rule| matches!(rule.tag.as_deref().or(rule.description.as_deref()), Some(OURS | GONE));
        let foreign = |group: &Group| group.rules.iter().filter(|rule| !ours(rule)).cloned().collect();
        self.groups.iter().map(foreign).collect()
    }

    /// What was left to us and is neither untouched nor taken over for somebody who is wanted.
    fn mistaken(&self, before: &Self, wanted: &PrefixSet) -> Option<Rule> {
        let of = |world: &Self| -> Vec<Rule> { world.groups.iter().flat_map(|group| group.rules.clone()).collect() };
        let (then, now) = (of(before), of(self));
        then.into_iter().filter(|rule| rule.tag.as_deref() == Some(GONE)).find(|rule| {
            let taken = Rule { tag: Some(OURS.to_owned()), ..rule.clone() };
            let is_wanted = matches!(rule.source, Source::Prefix(prefix) if wanted.covers(prefix));
            !(now.contains(rule) || is_wanted && now.contains(&taken))
        })
    }

    pub(crate) fn observe(&self, target: &Target) -> Observed {
        tagwall_aws::observe(target, &self.groups, &[])
    }
}

/// The members of a security group.
pub(crate) fn members() -> Source {
    Source::Group { id: "sg-0".to_owned() }
}

/// A prefix list that a rule names, whose entries were not read.
pub(crate) fn named_list(family: Option<Family>, weight: u64) -> Source {
    Source::PrefixList { id: "pl-0".to_owned(), family, weight, admits: None }
}

/// What a pass came to.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) steps: Steps,
    pub(crate) calls: Vec<Call>,
}

pub(crate) fn plan(world: &World, target: &Target, wanted: &PrefixSet) -> Result<Pass, Refusal> {
    let steps = tagwall_aws::place(target, &world.observe(target), &Desired::listed(wanted.clone()))?;
    let calls = tagwall_aws::calls(target, &world.groups, &steps).unwrap();
    Ok(Pass { steps, calls })
}

/// A whole pass, with every state looked at: nobody who is observed and desired is ever missing, nobody comes whom
/// nobody wants, nothing foreign moves, no call is refused (over quota, a duplicate, a rule that is not there).
pub(crate) fn pass(world: &mut World, target: &Target, wanted: &PrefixSet) -> Result<Pass, Refusal> {
    let before = world.admitted(&target.ports);
    let (foreign, then) = (world.foreign(), world.clone());
    let planned = plan(world, target, wanted)?;
    for call in &planned.calls {
        world.make(call).unwrap_or_else(|error| panic!("{error}: {call:?}"));
        let now = world.admitted(&target.ports);
        let gap = before.intersection(wanted).difference(&now).difference(&left_to_others(world, target, wanted));
        assert!(gap.is_empty(), "{gap} is missing after {call:?}");
        let strange = now.difference(&before.union(wanted));
        assert!(strange.is_empty(), "{strange} came with {call:?}");
        assert_eq!(world.foreign(), foreign, "{call:?}");
        assert_eq!(world.mistaken(&then, wanted), None, "{call:?}");
    }
    check_reached(world, target, wanted);
    Ok(planned)
}

/// What cannot be ours, since it stands in every group by somebody else's hand, and is admitted by that.
pub(crate) fn left_to_others(world: &World, target: &Target, wanted: &PrefixSet) -> PrefixSet {
    let theirs = |group: &Group, prefix: IpNet, ports: &Ports| {
        let mut foreign =
            group.rules.iter().filter(|rule| rule.tag.as_deref().or(rule.description.as_deref()) != Some(OURS));
        foreign.any(|rule| rule.source == Source::Prefix(prefix) && rule.ports == *ports)
    };
    let everywhere = |prefix: &IpNet| {
        world.groups.iter().all(|group| target.ports.iter().any(|ports| theirs(group, *prefix, ports)))
    };
    wanted.prefixes().filter(everywhere).collect()
}

/// The target admits what is wanted, but for what others admit in its place, and a second pass does nothing.
pub(crate) fn check_reached(world: &World, target: &Target, wanted: &PrefixSet) {
    let admitted = world.admitted(&target.ports);
    assert!(wanted.is_superset(&admitted), "{} is admitted and should not be", admitted.difference(wanted));
    let missing = wanted.difference(&admitted).difference(&left_to_others(world, target, wanted));
    assert!(missing.is_empty(), "{missing} is not admitted");
    let again = plan(world, target, wanted).unwrap();
    assert!(again.steps.is_empty() && again.calls.is_empty(), "a second pass does {again:?}");
    assert_eq!(world.observe(target).admitted(), admitted);
}
