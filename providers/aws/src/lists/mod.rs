//! The provider of managed prefix lists: what is pure, with EC2 beneath it.

mod ask;
pub(crate) mod read;
mod write;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::types::ManagedPrefixList;
use tagwall_provider::{
    Applied, Cause, Desired, Family, Observed, Orphan, OwnerMark, PerFamily, Provider, ProviderError, Refusal,
    Revision, Steps, StoredId,
};

use self::read::Found;
use self::write::{Writing, clear};
use crate::client::{Account, Clients, Connection, Entries};
use crate::groups::moved;
use crate::prefix_list::{self, Form, ListTarget};

/// Which list a family's prefixes go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListName {
    /// None: prefixes of this family have no place.
    #[default]
    None,
    /// An existing list (`pl-…`). What others entered there stays.
    Id(String),
    /// A list of this name that carries the target's mark as its tag, made when it is first needed.
    Name(String),
}

/// A target kept in managed prefix lists of one account and region, one for each family.
#[derive(Clone, Debug)]
pub struct PrefixLists {
    clients: Clients,
    account: Account,
    lists: PerFamily<ListName>,
    target: ListTarget,
    everywhere: bool,
}

impl PrefixLists {
    /// The target in these lists. Nothing is asked and nobody is called yet.
    ///
    /// Without lists it keeps nothing, and still finds and removes lists that were made for targets that are gone.
    pub fn new(clients: &Clients, account: Account, lists: PerFamily<ListName>, target: ListTarget) -> Self {
        Self { clients: clients.clone(), account, lists, target, everywhere: false }
    }

    /// Looks for what older configurations left in every list of the region, and not only in such as are tagged
    /// `tagwall`: a call for each.
    #[must_use]
    pub const fn looking_everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    async fn connection(&self) -> Result<Connection, ProviderError> {
        self.clients.connection(&self.account).await
    }

    async fn forms(
        &self,
        connection: &Connection,
        all: &[ManagedPrefixList],
    ) -> Result<PerFamily<Form>, ProviderError> {
        read::forms(connection, &self.lists, &self.target, all).await
    }

    /// Lists that were made for a target that is gone or has others now, and entries of such in other lists; each with
    /// who names it.
    async fn orphans(
        &self,
        connection: &Connection,
        forms: &PerFamily<Form>,
        all: &[ManagedPrefixList],
    ) -> Result<Vec<Orphan>, ProviderError> {
        let mut orphans = Vec::new();
        for list in all {
            let Some(id) = list.prefix_list_id() else { continue };
            for (mark, object) in self.left_in(connection, forms, list, id).await? {
                let users = write::users(connection, id).await?;
                let by =
                    if users.is_empty() { String::new() } else { format!(", named by {}", write::listing(&users)) };
                orphans.push(Orphan { mark, object: format!("{object}{by}"), id: StoredId(id.into()) });
            }
        }
        orphans.sort_unstable();
        Ok(orphans)
    }

    /// What was left in one list: whose, and what it is.
    async fn left_in(
        &self,
        connection: &Connection,
        forms: &PerFamily<Form>,
        list: &ManagedPrefixList,
        id: &str,
    ) -> Result<Vec<(OwnerMark, String)>, ProviderError> {
        let left = |mark: &OwnerMark| self.target.is_gone(mark) || *mark == self.target.mark;
        let ours = Family::ALL.into_iter().find_map(|family| match forms.get(family) {
            Form::There(ours) if ours.id == id => Some(ours),
            _ => None,
        });
        let entries: Entries = match (ours, read::mark_of(list)) {
            (Some(ours), ..) if ours.made => return Ok(Vec::new()),
            (Some(ours), ..) => ours.entries.as_slice().into(),
            (None, Some(mark)) if left(&mark) => {
                let name = list.prefix_list_name().unwrap_or_default();
                return Ok(vec![(mark, format!("prefix list {id} ({name})"))]);
            }
            (None, Some(mark)) if self.target.configured.contains(&mark) => return Ok(Vec::new()),
            (None, ..) if self.everywhere || read::is_tagged(list) => match connection.entries(list).await {
                Ok(entries) => entries.unwrap_or_default(),
                // Another account's, perhaps, which we could not have written to.
                Err(ProviderError::Denied(cause)) => {
                    tracing::debug!(list = id, %cause, "not looked at for what was left");
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            },
            _ => return Ok(Vec::new()),
        };
        let mut counts: BTreeMap<OwnerMark, u64> = BTreeMap::new();
        let marks = entries.iter().filter_map(|(_, description)| description.as_ref()?.parse::<OwnerMark>().ok());
        for mark in marks.filter(|mark| if ours.is_some() { self.target.is_gone(mark) } else { left(mark) }) {
            *counts.entry(mark).or_default() += 1;
        }
        Ok(counts.into_iter().map(|(mark, count)| (mark, format!("{count} entries of {id}"))).collect())
    }
}

#[async_trait]
impl Provider for PrefixLists {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        let connection = self.connection().await?;
        let all = read::all(&connection).await?;
        let forms = self.forms(&connection, &all).await?;
        let mut observed = prefix_list::observe(&self.target, &forms);
        observed.orphans = self.orphans(&connection, &forms, &all).await?;
        Ok(observed)
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        prefix_list::place(&self.target, observed, desired)
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        if steps.is_empty() {
            return Ok(Applied::default());
        }
        let connection = self.connection().await?;
        let forms = self.forms(&connection, &read::all(&connection).await?).await?;
        if prefix_list::observe(&self.target, &forms).revision.content != base.content {
            return Err(moved());
        }
        let calls = prefix_list::calls(&forms, steps)?;
        Writing::new(&connection, &self.target.mark, &forms).carry_out(calls).await
    }

    async fn check(&self) -> Result<Vec<String>, ProviderError> {
        self.ask().await
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        let connection = self.connection().await?;
        let all = read::all(&connection).await?;
        let mut sum = Applied::default();
        for family in Family::ALL {
            if let Found::Ours(list) = read::found(self.lists.get(family), family, &self.target, &all) {
                sum += clear(&connection, &self.target.mark, list).await.map_err(|error| error.after(sum))?;
            }
        }
        Ok(sum)
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let connection = self.connection().await?;
        let (mut sum, mut kept) = (Applied::default(), Vec::new());
        for Orphan { mark, id, .. } in orphans.iter().filter(|orphan| orphan.mark.owner() == self.target.mark.owner()) {
            let Some(list) = read::one(&connection, &id.0).await? else { continue };
            let users = write::users(&connection, &id.0).await?;
            if users.is_empty() {
                sum += clear(&connection, mark, &list).await.map_err(|error| error.after(sum))?;
            } else {
                kept.push(format!("prefix list {} is left as it is: {} name it", id.0, write::listing(&users)));
            }
        }
        if kept.is_empty() {
            return Ok(sum);
        }
        let cause = Cause::new(kept.join("; ")).hint(
            "whom it lets in would be shut out: let rules and routes name another list first; where the target was \
             renamed, `tagwall sync` takes over its lists of the same name, and entries of a list that is named by id \
             are its target's again under its old name",
        );
        Err(ProviderError::Rejected { applied: sum, cause })
    }
}
