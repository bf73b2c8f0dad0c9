//! Versions of prefix lists made one after another.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AddPrefixListEntry, ManagedPrefixList, RemovePrefixListEntry, ResourceType};
use tagwall_provider::{Applied, Cause, Family, IpNet, OwnerMark, PerFamily, ProviderError};

use super::read;
use crate::client::Connection;
use crate::groups::moved;
use crate::groups::write::{Patience, tag, tagged};
use crate::prefix_list::{Form, ListCall, ListTarget, MOST_ENTRIES_A_CALL, PrefixList};

type Entries = BTreeMap<IpNet, Option<String>>;

/// What a list is known to be.
#[derive(Clone, Debug, Default)]
struct Known {
    id: String,
    /// The version that the calls of this pass count from.
    base: i64,
    entries: Entries,
}

/// Calls under way.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    mark: &'a OwnerMark,
    lists: PerFamily<Known>,
    applied: Applied,
}

impl<'a> Writing<'a> {
    pub(super) fn new(connection: &'a Connection, mark: &'a OwnerMark, forms: &PerFamily<Form>) -> Self {
        let known = |family| match forms.get(family) {
            Form::There(list) => {
                Known { id: list.id.clone(), base: list.version, entries: list.entries.iter().cloned().collect() }
            }
            Form::None | Form::ToCreate(_) | Form::Occupied { .. } => Known::default(),
        };
        Self { connection, mark, lists: PerFamily::from_fn(known), applied: Applied::default() }
    }

    /// Makes the calls in order. Each is seen before the next is made, so that a list never goes back on itself.
    pub(super) async fn carry_out(mut self, calls: Vec<ListCall>) -> Result<Applied, ProviderError> {
        for call in calls {
            let done = match call {
                ListCall::TakeOver { family } => self.take_over(family).await,
                ListCall::Create { family, name, max_entries, add } => {
                    self.create(family, name, max_entries, add).await
                }
                ListCall::Resize { family, max_entries } => self.resize(family, max_entries).await,
                ListCall::Modify { family, after, add, remove } => self.modify(family, after, add, remove).await,
            };
            self.applied += done.map_err(|error| error.after(self.applied))?;
        }
        Ok(self.applied)
    }

    async fn take_over(&self, family: Family) -> Result<Applied, ProviderError> {
        let id = &self.lists.get(family).id;
        let asked = self.connection.ec2.create_tags().resources(id).tags(tag(self.mark));
        self.connection.call("ec2:CreateTags", asked.send()).await?;
        self.settled(id, |list| read::mark_of(list).as_ref() == Some(self.mark)).await?;
        Ok(Applied { skeleton: 1, calls: 1, ..Applied::default() })
    }

    async fn create(
        &mut self,
        family: Family,
        name: String,
        max_entries: u64,
        add: Vec<IpNet>,
    ) -> Result<Applied, ProviderError> {
        let entries: Entries = add.iter().map(|prefix| (*prefix, Some(self.mark.to_string()))).collect();
        // The SDK gives every such call a token, so that a try whose answer was lost makes no second list.
        let asked = self
            .connection
            .ec2
            .create_managed_prefix_list()
            .prefix_list_name(name)
            .address_family(family.to_string())
            .max_entries(small(max_entries)?)
            .set_entries(Some(self.entries(&add)))
            .tag_specifications(tagged(ResourceType::PrefixList, self.mark));
        let answer = self.connection.call("ec2:CreateManagedPrefixList", asked.send()).await?;
        let id = answer.prefix_list.and_then(|list| list.prefix_list_id);
        let id = id.ok_or_else(|| ProviderError::rejected(Cause::new("EC2 made a prefix list and did not name it")))?;
        let list = self.settled(&id, |_| true).await?;
        let base = list.and_then(|list| list.version).unwrap_or(1);
        *self.lists.get_mut(family) = Known { id, base, entries };
        Ok(Applied { added: add.len() as u64, calls: 1, ..Applied::default() })
    }

    async fn resize(&mut self, family: Family, max_entries: u64) -> Result<Applied, ProviderError> {
        let (id, most) = (self.lists.get(family).id.clone(), small(max_entries)?);
        let asked = self.connection.ec2.modify_managed_prefix_list().prefix_list_id(&id).max_entries(most);
        let asked = self.connection.call("ec2:ModifyManagedPrefixList", asked.send()).await;
        let grown = |list: &ManagedPrefixList| list.max_entries() >= Some(most);
        match asked.map_err(ProviderError::from) {
            Ok(_) => {}
            // Perhaps a try whose answer was lost is at work.
            Err(error @ ProviderError::Conflict(_)) => {
                if !self.settled(&id, grown).await?.is_some_and(|list| grown(&list)) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        let Some(list) = self.settled(&id, grown).await?.filter(grown) else { return Err(moved()) };
        // Whether a resize makes a version is not documented: what counts is that the entries are the same.
        let version = list.version.unwrap_or_default();
        let entries: Entries = read::entries(self.connection, &id, version).await?.into_iter().collect();
        let known = self.lists.get_mut(family);
        if entries != known.entries {
            return Err(moved());
        }
        known.base = version;
        Ok(Applied { calls: 1, ..Applied::default() })
    }

    async fn modify(
        &mut self,
        family: Family,
        after: i64,
        add: Vec<IpNet>,
        remove: Vec<IpNet>,
    ) -> Result<Applied, ProviderError> {
        let known = self.lists.get(family).clone();
        let version = known.base + after;
        let mut entries = known.entries;
        entries.retain(|prefix, _| !remove.contains(prefix));
        entries.extend(add.iter().map(|prefix| (*prefix, Some(self.mark.to_string()))));
        let goes = |prefix: &IpNet| RemovePrefixListEntry::builder().cidr(prefix.to_string()).build();
        let asked = self
            .connection
            .ec2
            .modify_managed_prefix_list()
            .prefix_list_id(&known.id)
            .current_version(version)
            .set_add_entries(Some(self.entries(&add)).filter(|entries| !entries.is_empty()))
            .set_remove_entries(Some(remove.iter().map(goes).collect()).filter(|entries: &Vec<_>| !entries.is_empty()));
        let newer = |list: &ManagedPrefixList| list.version() > Some(version);
        let asked = self.connection.call("ec2:ModifyManagedPrefixList", asked.send()).await;
        match asked.map_err(ProviderError::from) {
            Ok(_) => {
                self.settled(&known.id, newer).await?;
            }
            // Perhaps a try whose answer was lost made this very version.
            Err(error @ ProviderError::Conflict(_)) => {
                let there = self.settled(&known.id, newer).await?.is_some_and(|list| newer(&list));
                if !there || read::entries(self.connection, &known.id, version + 1).await? != listed(&entries) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        self.lists.get_mut(family).entries = entries;
        Ok(Applied { added: add.len() as u64, removed: remove.len() as u64, calls: 1, ..Applied::default() })
    }

    fn entries(&self, prefixes: &[IpNet]) -> Vec<AddPrefixListEntry> {
        let mark = self.mark.to_string();
        let entry = |prefix: &IpNet| AddPrefixListEntry::builder().cidr(prefix.to_string()).description(&mark).build();
        prefixes.iter().map(entry).collect()
    }

    /// Reads a list until it is complete and shows what was done. What is not seen in time is answered as it is.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] where it came to nothing, as where a group that names the list lacks the quota.
    async fn settled(
        &self,
        id: &str,
        shows: impl Fn(&ManagedPrefixList) -> bool,
    ) -> Result<Option<ManagedPrefixList>, ProviderError> {
        let what = format!("prefix list {id} to be complete");
        let mut patience = Patience::new(self.connection, &what);
        loop {
            let list = read::one(self.connection, id).await?;
            match &list {
                Some(list) if read::state(list).ends_with("-failed") => return Err(failed(list)),
                Some(list) if read::state(list).ends_with("-complete") && shows(list) => {}
                _ if patience.another().await => continue,
                _ => {}
            }
            return Ok(list);
        }
    }
}

/// Takes everything with this mark out of a list, and the list away where it was made for it and nothing else needs it.
/// From a list that was made for it all that carries the owner's mark goes: another target's, whose list it was before.
pub(super) async fn clear(
    connection: &Connection,
    mark: &OwnerMark,
    list: &ManagedPrefixList,
) -> Result<Applied, ProviderError> {
    let Some(family) = read::family_of(list) else { return Ok(Applied::default()) };
    let there = read::with_entries(connection, list, family).await?;
    let made = read::mark_of(list).as_ref() == Some(mark);
    let (target, there) = (ListTarget::new(mark.clone()), PrefixList { made, ..there });
    let ours = |(_, description): &&(IpNet, Option<String>)| target.owns(&there, description.as_ref());
    let remove: Vec<IpNet> = there.entries.iter().filter(ours).map(|(prefix, _)| *prefix).collect();
    let only_ours = remove.len() == there.entries.len();
    let call =
        |(after, remove): (i64, &[IpNet])| ListCall::Modify { family, after, add: Vec::new(), remove: remove.to_vec() };
    let calls = (0..).zip(remove.chunks(MOST_ENTRIES_A_CALL)).map(call).collect();
    let id = there.id.clone();
    let mut forms = PerFamily::default();
    *forms.get_mut(family) = Form::There(there);
    let mut applied = Writing::new(connection, mark, &forms).carry_out(calls).await?;
    // Whoever names it in a rule needs it, empty or not.
    if only_ours && made && users(connection, &id).await?.is_empty() {
        let asked = connection.ec2.delete_managed_prefix_list().prefix_list_id(&id);
        match connection.call("ec2:DeleteManagedPrefixList", asked.send()).await {
            Ok(_) => {
                applied += Applied { skeleton: 1, calls: 1, ..Applied::default() };
            }
            // A try whose answer was lost did it.
            Err(failure) if failure.code().is_some_and(|code| code.ends_with(".NotFound")) => {}
            Err(failure) => return Err(failure.error.after(applied)),
        }
        let what = format!("prefix list {id} to be gone");
        let mut patience = Patience::new(connection, &what);
        while read::one(connection, &id).await?.is_some_and(|list| !read::state(&list).starts_with("delete-"))
            && patience.another().await
        {}
    }
    Ok(applied)
}

/// Who names the list in a rule or a route: security groups, route tables and the like, by id.
pub(super) async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, ProviderError> {
    let asked = connection.ec2.get_managed_prefix_list_associations().prefix_list_id(id);
    let pages = asked.into_paginator().items().send();
    let action = "ec2:GetManagedPrefixListAssociations";
    let found = connection.call(action, pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut users: Vec<String> = found.into_iter().filter_map(|user| user.resource_id).collect();
    users.sort_unstable();
    users.dedup();
    Ok(users)
}

/// The first of them, and how many more.
pub(super) fn listing(users: &[String]) -> String {
    const NAMED: usize = 5;
    let named = users.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if users.len() > NAMED { format!("{named} and {} more", users.len() - NAMED) } else { named }
}

fn listed(entries: &Entries) -> Vec<(IpNet, Option<String>)> {
    let mut listed: Vec<_> = entries.iter().map(|(prefix, description)| (*prefix, description.clone())).collect();
    listed.sort();
    listed
}

fn failed(list: &ManagedPrefixList) -> ProviderError {
    let (id, state) = (list.prefix_list_id().unwrap_or_default(), read::state(list));
    let said = list.state_message().unwrap_or("EC2 does not say why");
    let cause = Cause::new(format!("{id} is in the state {state}: {said}"));
    ProviderError::rejected(cause.hint("every group that names the list needs the quota for its MaxEntries"))
}

fn small(entries: u64) -> Result<i32, ProviderError> {
    i32::try_from(entries).map_err(|_| ProviderError::rejected(Cause::new(format!("no list takes {entries} entries"))))
}
