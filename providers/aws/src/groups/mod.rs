//! The provider of security groups: what is pure, with EC2 beneath it.

mod ask;
mod read;
pub(crate) mod write;

use async_trait::async_trait;
use tagwall_provider::{Applied, Cause, Desired, Observed, Orphan, Provider, ProviderError, Refusal, Revision, Steps};

use self::write::{Writing, removal};
use crate::client::{Account, Clients, Connection};
use crate::rule::{Group, Target};

/// A target kept in the rules of one or more security groups of one account and region.
#[derive(Clone, Debug)]
pub struct SecurityGroups {
    clients: Clients,
    account: Account,
    groups: Vec<String>,
    target: Target,
}

impl SecurityGroups {
    /// The target in these groups, by id and in this order. Nothing is asked and nobody is called yet.
    ///
    /// Without groups it keeps nothing, and still finds and removes what older configurations left in this account and
    /// region.
    pub fn new(clients: &Clients, account: Account, groups: Vec<String>, target: Target) -> Self {
        Self { clients: clients.clone(), account, groups, target }
    }

    async fn connection(&self) -> Result<Connection, ProviderError> {
        self.clients.connection(&self.account).await
    }

    fn observed(&self, groups: &[Group], elsewhere: &[Group]) -> Observed {
        crate::observe(&self.target, groups, elsewhere)
    }
}

#[async_trait]
impl Provider for SecurityGroups {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        let connection = self.connection().await?;
        let groups = read::groups(&connection, &self.groups).await?;
        let elsewhere = read::elsewhere(&connection, self.target.mark.owner(), &self.groups).await?;
        Ok(self.observed(&groups, &elsewhere))
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        crate::place(&self.target, observed, desired)
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        if steps.is_empty() {
            return Ok(Applied::default());
        }
        let connection = self.connection().await?;
        // It was seen that they are there; one that has gone since has no rules, and is not what was seen.
        let groups = read::rules(&connection, &self.groups).await?;
        if self.observed(&groups, &[]).revision.content != base.content {
            return Err(moved());
        }
        let calls = crate::calls(&self.target, &groups, steps)?;
        Writing::new(&connection, &self.target.mark, &self.groups, steps).carry_out(calls).await
    }

    async fn check(&self) -> Result<Vec<String>, ProviderError> {
        self.ask().await
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        let connection = self.connection().await?;
        let groups = read::groups(&connection, &self.groups).await?;
        let (calls, steps) = removal(&self.target.mark, &groups);
        Writing::new(&connection, &self.target.mark, &self.groups, &steps).carry_out(calls).await
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let connection = self.connection().await?;
        let mut sum = Applied::default();
        for Orphan { mark, id, .. } in orphans.iter().filter(|orphan| orphan.mark.owner() == self.target.mark.owner()) {
            let named = [id.0.to_string()];
            // A group that is gone has no rules, and nothing is left to remove.
            let rules = read::rules(&connection, &named).await?;
            let (calls, steps) = removal(mark, &rules);
            let done = Writing::new(&connection, mark, &named, &steps).carry_out(calls).await;
            sum += done.map_err(|error| error.after(sum))?;
        }
        Ok(sum)
    }
}

pub(crate) fn moved() -> ProviderError {
    ProviderError::Conflict(Cause::new("what is ours in the firewall was changed since it was looked at"))
}
