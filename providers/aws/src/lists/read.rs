//! Prefix lists as EC2 shows them.

use aws_sdk_ec2::types::ManagedPrefixList;
use tagwall_provider::{Cause, Family, IpNet, OwnerMark, PerFamily, ProviderError};

use super::ListName;
use crate::client::Connection;
use crate::prefix_list::{Form, ListTarget, PrefixList};
use crate::rule::TAG_KEY;

/// How many lists or entries a page holds; EC2 takes up to 100.
const PAGE: i32 = 100;

/// Every prefix list that the account sees in the region, its own, shared ones and Amazon's.
///
/// All of them, since nobody documents a filter by tag; an account has a hundred of its own unless AWS was asked for
/// more.
pub(crate) async fn all(connection: &Connection) -> Result<Vec<ManagedPrefixList>, ProviderError> {
    let asked = connection.ec2.describe_managed_prefix_lists();
    let pages = asked.into_paginator().page_size(PAGE).items().send();
    let lists = connection.call("ec2:DescribeManagedPrefixLists", pages.collect::<Result<Vec<_>, _>>()).await?;
    // What is being deleted is not there any more.
    let goes = |list: &ManagedPrefixList| state(list).starts_with("delete-") && !state(list).ends_with("-failed");
    Ok(lists.into_iter().filter(|list| !goes(list)).collect())
}

/// One list as it is now; `None` where reads do not show it, or not any more.
pub(super) async fn one(connection: &Connection, id: &str) -> Result<Option<ManagedPrefixList>, ProviderError> {
    let asked = connection.ec2.describe_managed_prefix_lists().prefix_list_ids(id);
    match connection.call("ec2:DescribeManagedPrefixLists", asked.send()).await {
        Ok(answer) => Ok(answer.prefix_lists.unwrap_or_default().into_iter().next()),
        Err(failure) if failure.code().is_some_and(|code| code.ends_with(".NotFound")) => Ok(None),
        Err(failure) => Err(failure.error),
    }
}

/// The entries of one version with their descriptions.
pub(crate) async fn entries(
    connection: &Connection,
    id: &str,
    version: i64,
) -> Result<Vec<(IpNet, Option<String>)>, ProviderError> {
    let asked = connection.ec2.get_managed_prefix_list_entries().prefix_list_id(id).target_version(version);
    let pages = asked.into_paginator().page_size(PAGE).items().send();
    let found = connection.call("ec2:GetManagedPrefixListEntries", pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut entries = Vec::with_capacity(found.len());
    for entry in found {
        let prefix = entry.cidr().and_then(|text| text.parse::<IpNet>().ok());
        let prefix = prefix.ok_or_else(|| unreadable(id, "an entry"))?;
        entries.push((prefix.trunc(), entry.description.filter(|text| !text.is_empty())));
    }
    // However EC2 orders them, one state is read as one.
    entries.sort();
    Ok(entries)
}

/// The target's lists among all, with their entries.
pub(super) async fn forms(
    connection: &Connection,
    names: &PerFamily<ListName>,
    target: &ListTarget,
    all: &[ManagedPrefixList],
) -> Result<PerFamily<Form>, ProviderError> {
    let mut forms = PerFamily::default();
    for family in Family::ALL {
        *forms.get_mut(family) = match (names.get(family), found(names.get(family), family, target, all)) {
            (ListName::None, _) => Form::None,
            (name, Found::Ours(list)) => {
                let there = with_entries(connection, list, family).await?;
                Form::There(PrefixList { made: matches!(name, ListName::Name(_)), ..there })
            }
            (_, Found::LeftTo(list, former)) => {
                let there = with_entries(connection, list, family).await?;
                Form::There(PrefixList { made: true, former: Some(former), ..there })
            }
            (ListName::Name(name), Found::Others(lists)) => {
                Form::Occupied { name: name.clone(), by: lists.into_iter().map(told).collect() }
            }
            (ListName::Name(name), Found::Nothing) => Form::ToCreate(name.clone()),
            (ListName::Id(id), _) => return Err(missing(id, connection)),
        };
    }
    Ok(forms)
}

/// What a name stands for.
pub(super) enum Found<'a> {
    /// No list at all.
    Nothing,
    /// The target's list. Of several that are ours by name and tag it is always the same one.
    Ours(&'a ManagedPrefixList),
    /// The one list of this name, by its tag of a target of our owner that is gone.
    LeftTo(&'a ManagedPrefixList, OwnerMark),
    /// Lists of this name that are not the target's to take.
    Others(Vec<&'a ManagedPrefixList>),
}

pub(super) fn found<'a>(
    name: &ListName,
    family: Family,
    target: &ListTarget,
    all: &'a [ManagedPrefixList],
) -> Found<'a> {
    let name = match name {
        ListName::None => return Found::Nothing,
        ListName::Id(id) => {
            let list = all.iter().find(|list| list.prefix_list_id() == Some(id));
            return list.map_or(Found::Nothing, Found::Ours);
        }
        ListName::Name(name) => name,
    };
    let named: Vec<&ManagedPrefixList> = all.iter().filter(|list| list.prefix_list_name() == Some(name)).collect();
    let ours = named.iter().filter(|list| mark_of(list).as_ref() == Some(&target.mark));
    if let Some(ours) = ours.min_by_key(|list| list.prefix_list_id()) {
        return Found::Ours(ours);
    }
    match &named[..] {
        [] => Found::Nothing,
        [list] => match mark_of(list).filter(|mark| target.is_gone(mark) && family_of(list) == Some(family)) {
            Some(former) => Found::LeftTo(list, former),
            None => Found::Others(named),
        },
        _ => Found::Others(named),
    }
}

fn told(list: &ManagedPrefixList) -> String {
    let id = list.prefix_list_id().unwrap_or_default();
    mark_of(list)
        .map_or_else(|| format!("prefix list {id} (without a mark)"), |mark| format!("prefix list {id} ({mark})"))
}

pub(super) async fn with_entries(
    connection: &Connection,
    list: &ManagedPrefixList,
    family: Family,
) -> Result<PrefixList, ProviderError> {
    let id = list.prefix_list_id().unwrap_or_default().to_owned();
    if family_of(list) != Some(family) {
        let of = list.address_family().unwrap_or("unknown");
        let cause = Cause::new(format!("{id} is a list of {of}, and is named for {family}"));
        return Err(ProviderError::rejected(cause.hint("a prefix list is of one family: name one for each")));
    }
    let max_entries = list.max_entries().and_then(|most| u64::try_from(most).ok());
    let (Some(version), Some(max_entries)) = (list.version(), max_entries) else {
        return Err(unreadable(&id, "its version or its size"));
    };
    let entries = entries(connection, &id, version).await?;
    Ok(PrefixList { id, max_entries, version, entries, made: false, former: None })
}

/// The state's name, as `modify-complete`.
pub(super) fn state(list: &ManagedPrefixList) -> &str {
    list.state().map_or("", |state| state.as_str())
}

pub(crate) fn family_of(list: &ManagedPrefixList) -> Option<Family> {
    Family::ALL.into_iter().find(|family| list.address_family() == Some(&family.to_string()))
}

/// Whether a policy as the one that is shipped lets us write to it.
pub(super) fn is_tagged(list: &ManagedPrefixList) -> bool {
    list.tags().iter().any(|tag| tag.key() == Some(TAG_KEY))
}

/// Whether it is one of Amazon's own, which nobody else writes to.
pub(crate) fn is_amazons(list: &ManagedPrefixList) -> bool {
    list.owner_id() == Some("AWS")
}

/// Whose list it is, by its tag.
pub(super) fn mark_of(list: &ManagedPrefixList) -> Option<OwnerMark> {
    let tag = list.tags().iter().find(|tag| tag.key() == Some(TAG_KEY))?;
    tag.value()?.parse().ok()
}

fn missing(id: &str, connection: &Connection) -> ProviderError {
    let cause = Cause::new(format!("there is no prefix list {id} in {}", connection.place));
    ProviderError::rejected(cause.hint("is the list of this region and account, and its id whole?"))
}

fn unreadable(id: &str, what: &str) -> ProviderError {
    ProviderError::rejected(Cause::new(format!("EC2 shows {id}, and {what} cannot be read")))
}
