//! The trait that every backend implements.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use crate::{Answer, Applied, Desired, Observed, Orphan, ProviderError, Refusal, Revision, Steps};

/// One configured firewall object, kept open to a set of addresses and closed to everybody else.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Reads what the target admits now.
    ///
    /// # Errors
    /// [`ProviderError::Denied`] without the right to read, [`ProviderError::Transient`] where no believable read was had.
    async fn observe(&self) -> Result<Observed, ProviderError>;

    /// Decides where each prefix goes. Pure; moves nothing without need.
    ///
    /// No steps where the addresses are the same and the skeleton is intact, however the entries are split.
    ///
    /// # Errors
    /// A [`Refusal`] where it does not fit, what stands there is not ours, or the firewall knows no service tags.
    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal>;

    /// Makes the steps. Idempotent. At every instant admits at least what is both observed and desired; touches
    /// nothing it does not own.
    ///
    /// # Errors
    /// [`ProviderError::Conflict`] where the content of the target is no longer what `base` saw; nothing was changed
    /// then, or what was changed is a prefix of the steps and safe to plan again from.
    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError>;

    /// Removes all that is ours of this target, and nothing else. Absent already is success with nothing applied.
    ///
    /// # Errors
    /// As [`Provider::apply`].
    async fn withdraw(&self) -> Result<Applied, ProviderError>;

    /// Removes orphans that an observation of this provider listed; those that are gone already are passed over.
    ///
    /// # Errors
    /// As [`Provider::apply`].
    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError>;

    /// What can be found out without changing anything: what the target holds and has room for, and whether a change
    /// would be allowed. In words, a line each, for whoever sets it up.
    ///
    /// # Errors
    /// As [`Provider::observe`]; [`ProviderError::Denied`] names each right that is missing.
    async fn check(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    /// What the firewall itself answers when it is asked for one address: whether an entry of ours lets it in. For
    /// people who ask why, and to hold against what was read; no pass goes by it.
    ///
    /// # Errors
    /// As [`Provider::observe`].
    async fn look_up(&self, _address: IpAddr) -> Result<Answer, ProviderError> {
        Ok(Answer::NotAsked)
    }

    /// Something changed that may be ours: a wake-up, never data. `None` where the firewall cannot tell.
    fn watch(&self) -> Option<BoxStream<'static, ()>> {
        None
    }

    /// Who last changed what is ours while it was being watched, in words: "`firewalld` (pid 812)". For people who ask
    /// what keeps undoing us, and for nothing else: it is known a moment after the wake-up, or never.
    fn last_disturber(&self) -> Option<String> {
        None
    }
}
