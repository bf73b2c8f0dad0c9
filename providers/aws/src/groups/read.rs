//! Rules as EC2 lists them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, SecurityGroupRule};
use tagwall_provider::{Cause, IpNet, OwnerMark, ProviderError, StoredId};

use crate::client::Connection;
use crate::rule::{Group, Ports, Protocol, Rule, Source, TAG_KEY};

/// How many rules or groups a page holds; EC2 takes up to 1000.
const PAGE: i32 = 1000;
/// How many values a filter takes.
const VALUES_OF_A_FILTER: usize = 200;
/// How many prefix lists that somebody else's rules name are read for whom they let in: a call for each hundred entries
/// of a version that was not read before.
const MOST_LISTS_READ: usize = 20;

/// The groups with all their inbound rules, in the order of their names.
///
/// # Errors
/// [`ProviderError::Rejected`] where one does not exist: without rules it would look empty.
pub(super) async fn groups(connection: &Connection, names: &[String]) -> Result<Vec<Group>, ProviderError> {
    let rows = rows(connection, names).await?;
    // Nearly every group has a rule that lets everything out. Of one with no rule at all it is asked whether it is there.
    let bare = |name: &&String| !rows.iter().any(|row| row.group_id.as_ref() == Some(*name));
    let bare: Vec<String> = names.iter().filter(bare).cloned().collect();
    if !bare.is_empty() {
        let asked = connection.ec2.describe_security_groups().set_group_ids(Some(bare));
        connection.call("ec2:DescribeSecurityGroups", asked.send()).await?;
    }
    in_order(connection, names, rows).await
}

/// The groups with all their inbound rules; one that does not exist has none.
pub(super) async fn rules(connection: &Connection, names: &[String]) -> Result<Vec<Group>, ProviderError> {
    in_order(connection, names, rows(connection, names).await?).await
}

async fn rows(connection: &Connection, names: &[String]) -> Result<Vec<SecurityGroupRule>, ProviderError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let read = |names| list(connection, "group-id".to_owned(), names);
    let rows = connection.by_group.read(names, read).await?;
    let ours = |row: &&SecurityGroupRule| row.group_id.as_ref().is_some_and(|group| names.contains(group));
    Ok(rows.iter().filter(ours).cloned().collect())
}

async fn in_order(
    connection: &Connection,
    names: &[String],
    rows: Vec<SecurityGroupRule>,
) -> Result<Vec<Group>, ProviderError> {
    let mut sorted = sort(connection, rows).await?;
    Ok(names.iter().map(|id| Group { id: id.clone(), rules: sorted.remove(id).unwrap_or_default() }).collect())
}

/// The rules of other groups that carry the owner's mark in their tag.
pub(super) async fn elsewhere(
    connection: &Connection,
    owner: &str,
    ours: &[String],
) -> Result<Vec<Group>, ProviderError> {
    // An owner's name has no character that a filter would read as a wildcard.
    let marked = [format!("tagwall:{owner}/*")];
    let read = |values| list(connection, format!("tag:{TAG_KEY}"), values);
    let rows = connection.by_mark.read(&marked, read).await?;
    let is_of_owner = |row: &SecurityGroupRule| {
        let mark = tag_of(row).and_then(|text| text.parse::<OwnerMark>().ok());
        mark.is_some_and(|mark| mark.owner() == owner)
    };
    let is_ours = |row: &SecurityGroupRule| row.group_id.as_ref().is_some_and(|group| ours.contains(group));
    let rows = rows.iter().filter(|row| is_of_owner(row) && !is_ours(row)).cloned().collect();
    let sorted = sort(connection, rows).await?;
    Ok(sorted.into_iter().map(|(id, rules)| Group { id, rules }).collect())
}

async fn list(
    connection: &Connection,
    filter: String,
    values: Vec<String>,
) -> Result<Vec<SecurityGroupRule>, ProviderError> {
    let mut rows = Vec::new();
    for values in values.chunks(VALUES_OF_A_FILTER) {
        let filter = Filter::builder().name(&filter).set_values(Some(values.to_vec())).build();
        let asked = connection.ec2.describe_security_group_rules().filters(filter);
        let pages = asked.into_paginator().page_size(PAGE).items().send();
        let pages = pages.collect::<Result<Vec<_>, _>>();
        rows.extend(connection.call("ec2:DescribeSecurityGroupRules", pages).await?);
    }
    Ok(rows)
}

/// Inbound rules by group.
async fn sort(
    connection: &Connection,
    rows: Vec<SecurityGroupRule>,
) -> Result<BTreeMap<String, Vec<Rule>>, ProviderError> {
    let inbound = rows.into_iter().filter(|row| !row.is_egress.unwrap_or_default());
    let inbound: Vec<SecurityGroupRule> = inbound.collect();
    let named: BTreeSet<&str> = inbound.iter().filter_map(|row| row.prefix_list_id.as_deref()).collect();
    let lists = if named.is_empty() { BTreeMap::new() } else { lists(connection, &named).await? };
    let mut sorted: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    for row in inbound {
        let rule = rule(&row, &lists).ok_or_else(|| unreadable(&row))?;
        sorted.entry(row.group_id.unwrap_or_default()).or_default().push(rule);
    }
    // However EC2 orders them, one state is read as one.
    for rules in sorted.values_mut() {
        rules.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(sorted)
}

fn unreadable(row: &SecurityGroupRule) -> ProviderError {
    let id = row.security_group_rule_id.as_deref().unwrap_or("without an id");
    ProviderError::rejected(Cause::new(format!("EC2 listed a rule that cannot be read: {id}")))
}

/// What is known of prefix lists that rules name.
async fn lists(connection: &Connection, named: &BTreeSet<&str>) -> Result<BTreeMap<String, Source>, ProviderError> {
    let mut known = BTreeMap::new();
    for list in crate::lists::read::all(connection).await? {
        let Some(id) = list.prefix_list_id().filter(|id| named.contains(id)) else { continue };
        let entries = list.max_entries().and_then(|most| u64::try_from(most).ok());
        let weight = entries.unwrap_or_else(|| weight_of_amazons(list.prefix_list_name().unwrap_or_default()));
        // That it cannot be read is told with the rule that names it, and keeps nobody from writing.
        let read = if known.len() < MOST_LISTS_READ { connection.entries(&list).await.ok().flatten() } else { None };
        let admits = read.map(|entries| entries.iter().map(|(prefix, _)| *prefix).collect());
        let family = crate::lists::read::family_of(&list);
        known.insert(id.to_owned(), Source::PrefixList { id: id.to_owned(), family, weight, admits });
    }
    Ok(known)
}

/// What a list of Amazon's own weighs, which has no MaxEntries: as AWS documents it. A wrong guess ends in a refusal by
/// EC2 that changes nothing.
fn weight_of_amazons(name: &str) -> u64 {
    match name.rsplit('.').next() {
        Some("origin-facing") => 55,
        Some("vpc-lattice") => 10,
        Some("route53-healthchecks") => 25,
        _ => 1,
    }
}

fn tag_of(row: &SecurityGroupRule) -> Option<&str> {
    row.tags().iter().find(|tag| tag.key() == Some(TAG_KEY)).and_then(|tag| tag.value())
}

fn rule(row: &SecurityGroupRule, lists: &BTreeMap<String, Source>) -> Option<Rule> {
    let prefix = |text: &String| text.parse::<IpNet>().ok().map(|prefix| Source::Prefix(prefix.trunc()));
    let source = match (&row.cidr_ipv4, &row.cidr_ipv6, &row.prefix_list_id) {
        (Some(text), ..) | (None, Some(text), _) => prefix(text)?,
        (None, None, Some(id)) => {
            let unknown = || Source::PrefixList { id: id.clone(), family: None, weight: 1, admits: None };
            lists.get(id).cloned().unwrap_or_else(unknown)
        }
        (None, None, None) => {
            let group = row.referenced_group_info().and_then(|group| group.group_id());
            Source::Group { id: group.unwrap_or("a security group").to_owned() }
        }
    };
    Some(Rule {
        id: StoredId(row.security_group_rule_id.as_deref()?.into()),
        source,
        ports: ports(row.ip_protocol()?, row.from_port, row.to_port),
        description: row.description.clone().filter(|text| !text.is_empty()),
        tag: tag_of(row).map(str::to_owned),
    })
}

fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Ports {
    let protocol = match protocol {
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "-1" => return Ports::Everything,
        _ => return Ports::Other,
    };
    let port = |number: Option<i32>| number.and_then(|number| u16::try_from(number).ok());
    match (port(from), port(to)) {
        (Some(first), Some(last)) => Ports::Of { protocol, first, last },
        _ => Ports::Other,
    }
}
