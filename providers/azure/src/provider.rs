//! The provider: what is worked out elsewhere, asked of Resource Manager.
//!
//! Between a request and the next the group is read again: that gives the version to build on, which moves with every
//! change of the group and once more when an operation ends, and shows whether the request did what it was to. The
//! version guards more than is proven (no recording shows If-Match on a single rule), so nothing depends on it: what is
//! read is compared, and a request says all of one rule of ours and nothing of anybody else's.

use async_trait::async_trait;
use tagwall_arm::{Account, ArmError, Client, Clients, Condition};
use tagwall_provider::{
    Applied, Cause, Desired, ForeignEffect, Observed, Orphan, OwnerMark, Provider, ProviderError, Refusal, Revision,
    Steps,
};

use crate::error::{CHECKING, READING, WRITING, classified};
use crate::layout::owned;
use crate::observe::{is_orphan, state};
use crate::permissions;
use crate::rule::{Group, Rule};
use crate::settings::Settings;
use crate::write::{Goal, Write, all_of};

/// The version of the API: the one whose description the tests hold every call against.
const API_VERSION: &str = "2024-03-01";
/// How often somebody else may be faster before the pass starts over.
const MOST_OVERTAKEN: usize = 5;
/// How often a read that shows none of what was just done is taken for late.
const MOST_LATE: usize = 5;

/// Which network security group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsg {
    /// The subscription's identifier.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
}

/// A name that no resource of Azure has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} `{name}` is no such name on Azure")]
pub struct NameError {
    what: &'static str,
    name: String,
}

impl Nsg {
    /// Whether there can be such a group.
    ///
    /// # Errors
    /// [`NameError`], the first that is found.
    pub fn check(&self) -> Result<(), NameError> {
        let id = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
        let group = |letter: char| letter.is_alphanumeric() || "-_.()".contains(letter);
        let name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        check_name("subscription", &self.subscription, 36, id)?;
        check_name("resource group", &self.resource_group, 90, group)?;
        check_name("network security group", &self.name, 80, name)
    }

    /// Its address below Resource Manager.
    fn path(&self) -> String {
        let Self { subscription, resource_group, name } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Network/networkSecurityGroups/{name}"
        )
    }
}

fn check_name(what: &'static str, name: &str, longest: usize, takes: impl Fn(char) -> bool) -> Result<(), NameError> {
    let fits = !name.is_empty() && name.chars().count() <= longest && name.chars().all(takes) && !name.ends_with('.');
    if fits { Ok(()) } else { Err(NameError { what, name: name.to_owned() }) }
}

/// Rules of one network security group, kept open to a set of addresses.
#[derive(Clone, Debug)]
pub struct NetworkSecurityGroup {
    clients: Clients,
    account: Account,
    nsg: Nsg,
    settings: Settings,
}

impl NetworkSecurityGroup {
    /// The provider of one target. Asks nobody yet.
    pub fn new(clients: &Clients, account: Account, nsg: Nsg, settings: Settings) -> Self {
        Self { clients: clients.clone(), account, nsg, settings }
    }

    /// What the group holds, what stands in the target's way, and as whom it is asked, a line each. Changes nothing.
    ///
    /// # Errors
    /// As [`Provider::observe`], and where the settings make no target.
    async fn ask(&self) -> Result<Vec<String>, ProviderError> {
        let unfit = |error: crate::SettingsError| ProviderError::rejected(Cause::new(error.to_string()));
        self.settings.check().map_err(unfit)?;
        let client = self.client().await?;
        let who = self.clients.check(&self.account).await.map_err(|error| self.failed("ask", error))?;
        let group = self.read(&client).await?;
        let observed = crate::observe(&self.settings, &group);
        let mut lines = vec![format!("asked as {who}"), self.may_write(&client, &who).await?];
        let (used, most) = (group.used(), self.settings.most_prefixes);
        let room = |used: usize, most: usize| format!("{used} of {most} (room for {})", most.saturating_sub(used));
        lines.push(format!(
            "{} holds {} rules, {} source prefixes and {} destinations",
            self.nsg.name,
            room(group.rules.len(), self.settings.most_rules),
            room(used.0, most),
            room(used.1, most)
        ));
        lines.push(self.settings.told_priorities());
        let stands = |effect: &ForeignEffect| {
            effect.closes() || matches!(effect, ForeignEffect::MayBlock | ForeignEffect::Occupies)
        };
        lines.extend(
            observed.foreign.into_iter().filter(|foreign| stands(&foreign.effect)).map(|foreign| foreign.description),
        );
        Ok(lines)
    }

    /// Whether a change would be allowed, as far as roles say. That nobody tells is no failure.
    async fn may_write(&self, client: &Client, who: &str) -> Result<String, ProviderError> {
        let path = format!("{}/providers/Microsoft.Authorization/permissions", self.nsg.path());
        let answer = match client.get(&path, permissions::API_VERSION).await {
            Ok(answer) => answer,
            Err(error) => {
                let (right, why) =
                    (CHECKING.join(", "), error.fault().map_or_else(|| error.to_string(), |fault| fault.code.clone()));
                return Ok(format!("whether it may write was not told ({why}): `{right}` lets it be asked"));
            }
        };
        // Polling an operation is a convenience, see [`WRITING`].
        let needed = READING.iter().chain(WRITING).copied().filter(|action| !action.contains("/operations/"));
        match permissions::missing(&answer, needed) {
            Some(missing) if missing.is_empty() => Ok("may read, write and delete rules, as its roles say".to_owned()),
            Some(missing) => {
                let what = format!("{} may not {}", who, missing.join(", "));
                let hint = "`packaging/azure` has whole roles; to plan alone the read-only one is enough";
                Err(ProviderError::Denied(self.cause("write").because(Missing(what)).hint(hint)))
            }
            None => Ok("whether it may write was not told: the answer is no list of permissions".to_owned()),
        }
    }

    async fn client(&self) -> Result<std::sync::Arc<Client>, ProviderError> {
        let wrong = |error: NameError| ProviderError::rejected(Cause::new(error.to_string()));
        self.nsg.check().map_err(wrong)?;
        self.clients.client(&self.account).await.map_err(|error| self.failed("ask", error))
    }

    async fn read(&self, client: &Client) -> Result<Group, ProviderError> {
        let answer = client.get(&self.nsg.path(), API_VERSION).await.map_err(|error| self.failed("read", error))?;
        let unreadable = |error| ProviderError::Transient(self.cause("read").because(error));
        Group::read(&answer).map_err(unreadable)
    }

    fn cause(&self, doing: &str) -> Cause {
        Cause::new(self.doing(doing))
    }

    fn doing(&self, doing: &str) -> String {
        format!("cannot {doing} network security group `{}`", self.nsg.name)
    }

    fn failed(&self, doing: &str, error: ArmError) -> ProviderError {
        classified(self.doing(doing), error)
    }

    fn moved(&self) -> ProviderError {
        ProviderError::Conflict(Cause::new(format!(
            "the target's rules in network security group `{}` were changed by somebody else",
            self.nsg.name
        )))
    }

    fn rule_path(&self, name: &str) -> String {
        format!("{}/securityRules/{name}", self.nsg.path())
    }

    /// Brings the group where the steps lead.
    async fn bring(&self, base: &Revision, steps: &Steps, applied: &mut Applied) -> Result<(), ProviderError> {
        let client = self.client().await?;
        let _turn = client.lock(&self.nsg.path()).await;
        let mut group = self.read(&client).await?;
        if crate::observe(&self.settings, &group).revision.content != base.content {
            return Err(self.moved());
        }
        let goal = Goal::new(&self.settings, &group, steps)?;
        let (mut overtaken, most) = (0, goal.most_writes(&self.settings, &group));
        while let Some(write) = goal.next(&self.settings, &group)? {
            let calls = applied.calls;
            if usize::try_from(calls).is_ok_and(|calls| calls > most) {
                return Err(self.moved());
            }
            group = self.make(&client, &group, &write, applied).await?;
            overtaken += usize::from(applied.calls == calls);
            if overtaken > MOST_OVERTAKEN {
                return Err(self.moved());
            }
        }
        Ok(())
    }

    /// Makes one request, and gives the group as it is then. Where somebody else was faster and left ours alone, nothing
    /// was made, and the same request is due again.
    async fn make(
        &self,
        client: &Client,
        before: &Group,
        write: &Write,
        applied: &mut Applied,
    ) -> Result<Group, ProviderError> {
        let path = self.rule_path(&write.name);
        let condition = if write.is_new { Condition::Absent } else { Condition::Is(&write.etag) };
        let made = match &write.body {
            Some(body) => client.put(&path, API_VERSION, body, condition).await,
            None => client.delete(&path, API_VERSION, condition).await,
        };
        let overtaken = match made {
            Ok(()) => false,
            Err(error) if error.status() == Some(412) => true,
            Err(error) => {
                let doing = self.doing(&format!("write rule `{}` of", write.name));
                return Err(classified(doing, error));
            }
        };
        let mut late = 0;
        loop {
            let after = self.read(client).await?;
            let holds = Goal::holds(&self.settings, before, write, &after);
            if holds || !overtaken && Goal::has_landed(&self.settings, write, &after) {
                applied.calls += 1;
                applied.added += write.added;
                applied.removed += write.removed;
                applied.skeleton += u64::from(write.skeleton);
                // What else moved is no reason to forget what was done.
                return if holds { Ok(after) } else { Err(self.moved()) };
            }
            // A changed version may be an answer that was lost: then the rule is as it was to be, and was counted above.
            if state(&self.settings, &after) != state(&self.settings, before) {
                return Err(self.moved());
            }
            if overtaken {
                return Ok(after);
            }
            late += 1;
            if late > MOST_LATE {
                return Err(self.moved());
            }
            client.pause().await;
        }
    }

    /// Deletes every rule of a mark, what closes first.
    async fn clear(&self, client: &Client, mark: &OwnerMark, applied: &mut Applied) -> Result<(), ProviderError> {
        let (mut group, mut overtaken) = (self.read(client).await?, 0);
        while let Some(rule) = all_of(mark, &group).first().copied() {
            let deleted = client.delete(&self.rule_path(&rule.name), API_VERSION, Condition::Is(&rule.etag)).await;
            match deleted {
                Ok(()) => {}
                Err(error) if error.status() == Some(412) && overtaken < MOST_OVERTAKEN => overtaken += 1,
                Err(error) => {
                    let doing = self.doing(&format!("delete rule `{}` of", rule.name));
                    return Err(classified(doing, error));
                }
            }
            let (name, entries) = (rule.name.clone(), counted(mark, rule));
            group = self.without(client, mark, &name).await?;
            if !all_of(mark, &group).iter().any(|rule| rule.name == name) {
                applied.calls += 1;
                match entries {
                    Some(entries) => applied.removed += entries,
                    None => applied.skeleton += 1,
                }
            }
        }
        Ok(())
    }

    /// The group without a rule, or as it is where that stays.
    async fn without(&self, client: &Client, mark: &OwnerMark, name: &str) -> Result<Group, ProviderError> {
        for _ in 0..MOST_LATE {
            let group = self.read(client).await?;
            if !all_of(mark, &group).iter().any(|rule| rule.name == name) {
                return Ok(group);
            }
            client.pause().await;
        }
        self.read(client).await
    }
}

/// Rights that are missing, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Missing(String);

/// How many entries a rule holds, if it is one of those that do.
fn counted(mark: &OwnerMark, rule: &Rule) -> Option<u64> {
    owned(mark, rule).filter(|part| part.holds_entries()).map(|_| rule.admits().len() as u64)
}

#[async_trait]
impl Provider for NetworkSecurityGroup {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        let client = self.client().await?;
        Ok(crate::observe(&self.settings, &self.read(&client).await?))
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        crate::place(&self.settings, observed, desired)
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        let mut applied = Applied::default();
        if !steps.is_empty() {
            self.bring(base, steps, &mut applied).await.map_err(|error| error.after(applied))?;
        }
        Ok(applied)
    }

    async fn check(&self) -> Result<Vec<String>, ProviderError> {
        self.ask().await
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        let client = self.client().await?;
        let _turn = client.lock(&self.nsg.path()).await;
        let mut applied = Applied::default();
        let cleared = self.clear(&client, &self.settings.mark, &mut applied).await;
        cleared.map_err(|error| error.after(applied))?;
        Ok(applied)
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let client = self.client().await?;
        let _turn = client.lock(&self.nsg.path()).await;
        let mut applied = Applied::default();
        let marks = orphans.iter().filter_map(|orphan| orphan.id.0.parse::<OwnerMark>().ok());
        for mark in marks.filter(|mark| is_orphan(&self.settings, mark)) {
            let cleared = self.clear(&client, &mark, &mut applied).await;
            cleared.map_err(|error| error.after(applied))?;
        }
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_they_become_addresses() {
        let check = |subscription: &str, resource_group: &str, name: &str, good: bool| {
            let text = |text: &str| text.to_owned();
            let nsg = Nsg { subscription: text(subscription), resource_group: text(resource_group), name: text(name) };
            assert_eq!(nsg.check().is_ok(), good, "{nsg:?}");
        };
        check("00000000-0000-0000-0000-000000000000", "net (eu)", "hub", false);
        check("00000000-0000-0000-0000-000000000000", "net-(eu)", "hub", true);
        check("00000000-0000-0000-0000-000000000000", "net", "hub/securityRules/x", false);
        check("00000000-0000-0000-0000-000000000000", "..", "hub", false);
        check("my subscription", "net", "hub", false);
        check("", "net", "hub", false);
    }
}
