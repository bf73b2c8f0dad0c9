//! The provider of managed prefix lists: what is pure, with EC2 beneath it.

mod ask;
pub(crate) mod read;
mod write;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::types::ManagedPrefixList;
use tagwall_provider::{
    Applied, Desired, Family, Observed, Orphan, OwnerMark, PerFamily, Provider, ProviderError, Refusal, Revision,
    Steps, StoredId,
};

use self::write::{Writing, clear};
use crate::client::{Account, Clients, Connection};
use crate::groups::{moved, plus};
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
}

impl PrefixLists {
    /// The target in these lists. Nothing is asked and nobody is called yet.
    ///
    /// Without lists it keeps nothing, and still finds and removes lists that were made for targets that are gone.
    pub fn new(clients: &Clients, account: Account, lists: PerFamily<ListName>, target: ListTarget) -> Self {
        Self { clients: clients.clone(), account, lists, target }
    }

    async fn connection(&self) -> Result<Connection, ProviderError> {
        self.clients.connection(&self.account).await
    }

    async fn forms(
        &self,
        connection: &Connection,
        all: &[ManagedPrefixList],
    ) -> Result<PerFamily<Form>, ProviderError> {
        read::forms(connection, &self.lists, &self.target.mark, all).await
    }

    /// Whether a target of our owner that carries this mark is gone.
    fn is_gone(&self, mark: &OwnerMark) -> bool {
        mark.owner() == self.target.mark.owner() && !self.target.configured.contains(mark)
    }

    /// Lists that were made for a target that is gone or has others now, and entries of such in our lists.
    fn orphans(&self, forms: &PerFamily<Form>, all: &[ManagedPrefixList]) -> Vec<Orphan> {
        let mut entries: BTreeMap<(OwnerMark, &str), u64> = BTreeMap::new();
        let mut ours = Vec::new();
        for family in Family::ALL {
            let Form::There(list) = forms.get(family) else { continue };
            ours.push(list.id.as_str());
            let marks = list.entries.iter().filter_map(|(_, description)| description.as_ref()?.parse().ok());
            for mark in marks.filter(|mark| self.is_gone(mark)) {
                *entries.entry((mark, &list.id)).or_default() += 1;
            }
        }
        let entries = entries.into_iter().map(|((mark, list), count)| Orphan {
            mark,
            object: format!("{count} entries of {list}"),
            id: StoredId(list.into()),
        });
        let made = all.iter().filter_map(|list| {
            let (id, mark) = (list.prefix_list_id()?, read::mark_of(list)?);
            let left = self.is_gone(&mark) || mark == self.target.mark;
            (left && !ours.contains(&id)).then(|| Orphan {
                mark,
                object: format!("prefix list {id} ({})", list.prefix_list_name().unwrap_or_default()),
                id: StoredId(id.into()),
            })
        });
        let mut orphans: Vec<Orphan> = entries.chain(made).collect();
        orphans.sort_unstable();
        orphans
    }
}

#[async_trait]
impl Provider for PrefixLists {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        let connection = self.connection().await?;
        let all = read::all(&connection).await?;
        let forms = self.forms(&connection, &all).await?;
        let mut observed = prefix_list::observe(&self.target, &forms);
        observed.orphans = self.orphans(&forms, &all);
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
            if let Some(list) = read::found(self.lists.get(family), &self.target.mark, &all) {
                sum = add(sum, clear(&connection, &self.target.mark, list).await)?;
            }
        }
        Ok(sum)
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let connection = self.connection().await?;
        let mut sum = Applied::default();
        for Orphan { mark, id, .. } in orphans.iter().filter(|orphan| orphan.mark.owner() == self.target.mark.owner()) {
            if let Some(list) = read::one(&connection, &id.0).await? {
                sum = add(sum, clear(&connection, mark, &list).await)?;
            }
        }
        Ok(sum)
    }
}

/// Adds what came next; a rejection is told what had been done before it.
fn add(sum: Applied, next: Result<Applied, ProviderError>) -> Result<Applied, ProviderError> {
    match next {
        Ok(applied) => Ok(plus(sum, applied)),
        Err(ProviderError::Rejected { applied, cause }) => {
            Err(ProviderError::Rejected { applied: plus(sum, applied), cause })
        }
        Err(error) => Err(error),
    }
}
