//! Calls made one after another, and what EC2 shows of them.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, Tag, TagSpecification};
use tagwall_provider::{Applied, Cause, IpNet, Operation, OwnerMark, ProviderError, Step, Steps, StoredId};
use tokio::time::Instant;

use super::read;
use crate::batches::{Call, MOST_RULES_A_CALL, Permission, prefix_of};
use crate::client::Connection;
use crate::reading::names;
use crate::rule::{Group, Ports, Protocol, Source, TAG_KEY};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long is waited in silence.
const SILENCE: Duration = Duration::from_secs(5);

/// Waits between looks, longer each time, and says when it is enough.
pub(crate) struct Patience<'a> {
    connection: &'a Connection,
    /// What is waited for, to be told.
    what: &'a str,
    since: Instant,
    pause: Duration,
    told: bool,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(connection: &'a Connection, what: &'a str) -> Self {
        Self { connection, what, since: Instant::now(), pause: FIRST_PAUSE, told: false }
    }

    /// Whether to look again, after a pause. That it takes long is told once.
    pub(crate) async fn another(&mut self) -> bool {
        let (waited, patience) = (self.since.elapsed(), self.connection.patience);
        if waited + self.pause > patience {
            return false;
        }
        if waited + self.pause > SILENCE && !self.told {
            self.told = true;
            tracing::info!(
                target: "tagwall_aws",
                "still waiting for {} in {}: AWS took the change and does not show it yet; for up to {} s in all",
                self.what,
                self.connection.place,
                patience.as_secs()
            );
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

/// The calls that take everything with this mark out of the groups, and the same as steps, to be counted by.
pub(super) fn removal(mark: &OwnerMark, groups: &[Group]) -> (Vec<Call>, Steps) {
    let (mut calls, mut steps) = (Vec::new(), Steps::default());
    for group in groups {
        let ours: Vec<&crate::Rule> = group.rules.iter().filter(|rule| rule.mark().as_ref() == Some(mark)).collect();
        let revoke = |rules: &[&crate::Rule]| Call::Revoke {
            group: group.id.clone(),
            rules: rules.iter().map(|rule| rule.id.clone()).collect(),
        };
        calls.extend(ours.chunks(MOST_RULES_A_CALL).map(revoke));
        steps.entries.extend(ours.iter().filter_map(|rule| match rule.source {
            Source::Prefix(prefix) => Some(Step {
                operation: Operation::Remove,
                admits: tagwall_provider::Admits::Range(prefix.into()),
                slot: tagwall_provider::Slot::default(),
                id: Some(rule.id.clone()),
            }),
            _ => None,
        }));
    }
    (calls, steps)
}

/// Calls under way.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    mark: &'a OwnerMark,
    groups: &'a [String],
    steps: &'a Steps,
    made: Vec<Call>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(connection: &'a Connection, mark: &'a OwnerMark, groups: &'a [String], steps: &'a Steps) -> Self {
        Self { connection, mark, groups, steps, made: Vec::new() }
    }

    /// Makes the calls in order, and stays until a read shows them all: who reads next is to see what was written.
    pub(super) async fn carry_out(mut self, calls: Vec<Call>) -> Result<Applied, ProviderError> {
        for call in calls {
            match self.make(&call).await {
                Ok(()) => {}
                // Perhaps made by a try whose answer was lost; perhaps by another pass that wants the same.
                Err(ProviderError::Conflict(_)) if self.turns_out_made(&call).await => {}
                Err(error) => return Err(error.after(self.applied(false))),
            }
            self.made.push(call);
        }
        if !self.made.is_empty() {
            // What is not seen in time the verification tells.
            self.wait(|groups| self.made.iter().all(|call| is_made(call, groups, self.mark))).await;
        }
        Ok(self.applied(true))
    }

    async fn make(&self, call: &Call) -> Result<(), ProviderError> {
        let ec2 = &self.connection.ec2;
        let plain = |rules: &[StoredId]| Some(rules.iter().map(|StoredId(id)| id.to_string()).collect::<Vec<_>>());
        let told = |action, group: &str, rules: usize| {
            tracing::debug!(action, place = %self.connection.place, group, rules, mark = %self.mark, "writing");
        };
        match call {
            Call::Tag { rules } => {
                told("tag", "", rules.len());
                let asked = ec2.create_tags().set_resources(plain(rules)).tags(tag(self.mark));
                self.connection.call("ec2:CreateTags", asked.send()).await?;
            }
            Call::Revoke { group, rules } => {
                told("revoke", group, rules.len());
                let asked = ec2.revoke_security_group_ingress().group_id(group);
                let asked = asked.set_security_group_rule_ids(plain(rules));
                self.connection.call("ec2:RevokeSecurityGroupIngress", asked.send()).await?;
            }
            Call::Authorise { group, rules } => {
                told("authorise", group, rules.len());
                let asked = ec2
                    .authorize_security_group_ingress()
                    .group_id(group)
                    .set_ip_permissions(Some(permissions(rules, self.mark)?))
                    .tag_specifications(tagged(ResourceType::SecurityGroupRule, self.mark));
                let answer = self.connection.call("ec2:AuthorizeSecurityGroupIngress", asked.send()).await?;
                if answer.r#return() == Some(false) {
                    // They let in whom they are to let in; the verification sees that their tags are missing.
                    tracing::warn!(
                        group,
                        "EC2 added rules and says that something went wrong: their tags may be missing"
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether a call that was refused as a duplicate, or as of what is not there, is made all the same. Asks until
    /// a read shows why it was refused.
    async fn turns_out_made(&self, call: &Call) -> bool {
        let seen = self.wait(|groups| is_refused(call, groups)).await;
        seen.is_some_and(|groups| is_made(call, &groups, self.mark))
    }

    /// Reads until something shows. None where it does not in time, or nothing can be read.
    async fn wait(&self, shows: impl Fn(&[Group]) -> bool) -> Option<Vec<Group>> {
        let what = format!("the rules of {}", self.groups.join(", "));
        let mut patience = Patience::new(self.connection, &what);
        loop {
            let groups = read::rules(self.connection, self.groups).await.ok()?;
            if shows(&groups) {
                return Some(groups);
            }
            if !patience.another().await {
                return None;
            }
        }
    }

    /// What the calls made so far come to.
    fn applied(&self, whole: bool) -> Applied {
        // No rule is both tagged and revoked by one plan.
        let (mut authorised, mut named): (BTreeSet<(&str, IpNet)>, BTreeSet<&StoredId>) = Default::default();
        for call in &self.made {
            match call {
                Call::Authorise { group, rules } => authorised.extend(rules.iter().map(|rule| (&**group, rule.prefix))),
                Call::Tag { rules } | Call::Revoke { rules, .. } => named.extend(rules),
            }
        }
        let is_done = |step: &&Step| {
            if let Some(id) = &step.id {
                return names(id).all(|id| named.contains(&id));
            }
            let group = self.groups.get(step.slot.0 as usize);
            group.zip(prefix_of(step)).is_some_and(|(group, prefix)| authorised.contains(&(group.as_str(), prefix)))
        };
        let added = self.steps.of(Operation::Add).filter(is_done);
        let removed = self.steps.of(Operation::Remove).filter(is_done);
        Applied {
            added: added.count() as u64,
            removed: removed.count() as u64,
            skeleton: if whole { self.steps.skeleton.len() as u64 } else { 0 },
            calls: self.made.len() as u64,
        }
    }
}

fn rules_of<'a>(groups: &'a [Group], id: &str) -> &'a [crate::Rule] {
    groups.iter().find(|group| group.id == id).map_or(&[], |group| &group.rules)
}

fn has(rules: &[crate::Rule], asked: &Permission, mark: Option<&OwnerMark>) -> bool {
    rules.iter().any(|rule| {
        let equal =
            matches!(rule.source, Source::Prefix(prefix) if prefix == asked.prefix) && rule.ports == asked.ports;
        equal && mark.is_none_or(|mark| rule.mark().as_ref() == Some(mark))
    })
}

/// Whether a read shows all that a call does.
fn is_made(call: &Call, groups: &[Group], mark: &OwnerMark) -> bool {
    match call {
        Call::Authorise { group, rules } => {
            let there = rules_of(groups, group);
            rules.iter().all(|rule| has(there, rule, Some(mark)))
        }
        Call::Revoke { group, rules } => !rules_of(groups, group).iter().any(|rule| rules.contains(&rule.id)),
        Call::Tag { rules } => {
            let mark = mark.to_string();
            let tagged = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.tag.as_ref() == Some(&mark));
            let tagged: BTreeSet<&StoredId> = tagged.map(|rule| &rule.id).collect();
            rules.iter().all(|rule| tagged.contains(rule))
        }
    }
}

/// Whether a read shows why a call was refused as a duplicate, or as of what is not there.
fn is_refused(call: &Call, groups: &[Group]) -> bool {
    match call {
        Call::Authorise { group, rules } => {
            let there = rules_of(groups, group);
            rules.iter().any(|rule| has(there, rule, None))
        }
        Call::Revoke { rules, .. } | Call::Tag { rules } => {
            let there: BTreeSet<&StoredId> =
                groups.iter().flat_map(|group| &group.rules).map(|rule| &rule.id).collect();
            rules.iter().any(|rule| !there.contains(rule))
        }
    }
}

pub(crate) fn tag(mark: &OwnerMark) -> Tag {
    Tag::builder().key(TAG_KEY).value(mark.to_string()).build()
}

pub(crate) fn tagged(kind: ResourceType, mark: &OwnerMark) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).tags(tag(mark)).build()
}

/// Rules as EC2 takes them: one permission for each run of ports, and the mark in every description.
pub(super) fn permissions(rules: &[Permission], mark: &OwnerMark) -> Result<Vec<IpPermission>, ProviderError> {
    let all: BTreeSet<Ports> = rules.iter().map(|rule| rule.ports).collect();
    let permission = |ports: Ports| {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for rule in rules.iter().filter(|rule| rule.ports == ports) {
            let (text, mark) = (rule.prefix.to_string(), mark.to_string());
            match rule.prefix {
                IpNet::V4(_) => v4.push(IpRange::builder().cidr_ip(text).description(mark).build()),
                IpNet::V6(_) => v6.push(Ipv6Range::builder().cidr_ipv6(text).description(mark).build()),
            }
        }
        let some = IpPermission::builder()
            .set_ip_ranges(Some(v4).filter(|ranges| !ranges.is_empty()))
            .set_ipv6_ranges(Some(v6).filter(|ranges| !ranges.is_empty()));
        Ok(match ports {
            Ports::Everything => some.ip_protocol("-1"),
            Ports::Of { protocol, first, last } => some
                .ip_protocol(match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                })
                .from_port(first.into())
                .to_port(last.into()),
            Ports::Other => {
                return Err(ProviderError::rejected(Cause::new("a target needs ports of TCP or UDP")));
            }
        }
        .build())
    };
    all.into_iter().map(permission).collect()
}
