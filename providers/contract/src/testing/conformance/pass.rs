//! The smallest whole pass: observe, place, apply, observe.

use crate::{Applied, Desired, Observed, Provider, ProviderError, Refusal, Steps};

/// What a pass did.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What stood there before the steps.
    pub before: Observed,
    /// What was done.
    pub steps: Steps,
    /// What the provider says of it; nothing where there were no steps.
    pub applied: Applied,
    /// What stood there afterwards.
    pub after: Observed,
    /// How often it had to start over.
    pub conflicts: usize,
}

/// Why a pass came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The provider would not place it.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The provider failed.
    #[error("the provider failed ({})", .0.class())]
    Provider(#[source] ProviderError),
}

/// How often a pass starts over after a conflict.
const MOST_CONFLICTS: usize = 5;

/// One pass of one target. It starts over after a conflict, a bounded number of times; every other error ends it.
///
/// # Errors
/// As [`PassError`] says.
pub async fn pass(provider: &dyn Provider, desired: &Desired) -> Result<Pass, PassError> {
    let mut conflicts = 0;
    loop {
        let before = provider.observe().await.map_err(PassError::Provider)?;
        let steps = provider.place(&before, desired).map_err(PassError::Refused)?;
        if steps.is_empty() {
            let after = before.clone();
            return Ok(Pass { before, steps, applied: Applied::default(), after, conflicts });
        }
        match provider.apply(&before.revision, &steps).await {
            Ok(applied) => {
                let after = provider.observe().await.map_err(PassError::Provider)?;
                return Ok(Pass { before, steps, applied, after, conflicts });
            }
            Err(ProviderError::Conflict(_)) if conflicts < MOST_CONFLICTS => conflicts += 1,
            Err(error) => return Err(PassError::Provider(error)),
        }
    }
}
