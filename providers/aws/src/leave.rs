//! Leave to write, asked for by calls that do nothing. They prove permission alone: neither quota nor version.

use std::collections::BTreeSet;

use tagwall_provider::{Cause, ProviderError};

use crate::failure::Failure;

/// What was found out about the leave to make some calls.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    granted: BTreeSet<&'static str>,
    denied: BTreeSet<String>,
    unknown: Vec<String>,
}

impl Leave {
    /// Takes down what a dry run of an action on an object came to.
    ///
    /// # Errors
    /// Where AWS was not reached, or did not know us at all.
    pub(crate) fn heard<T>(
        &mut self,
        action: &'static str,
        object: &str,
        answered: Result<T, Failure>,
    ) -> Result<(), ProviderError> {
        match answered.map_err(|failure| (failure.code().map(str::to_owned), failure.error)) {
            Err((Some(code), _)) if code == "DryRunOperation" => {
                self.granted.insert(action);
            }
            Err((Some(code), ProviderError::Denied(_))) if code == "UnauthorizedOperation" => {
                self.denied.insert(format!("{action} on {object}"));
            }
            Err((_, error @ (ProviderError::Denied(_) | ProviderError::Transient(_)))) => return Err(error),
            Err((code, _)) => {
                let code = code.unwrap_or_else(|| "no code".to_owned());
                self.unknown.push(format!("{action} on {object} could not be tried: AWS answered {code}"));
            }
            // An emulator that knows no dry runs, and did it.
            Ok(_) => self.unknown.push(format!("{action} on {object} was made, though it was to be tried alone")),
        }
        Ok(())
    }

    /// What there is to tell.
    ///
    /// # Errors
    /// [`ProviderError::Denied`] that names every action that is missing.
    pub(crate) fn told(self) -> Result<Vec<String>, ProviderError> {
        let listed = |actions: &mut dyn Iterator<Item = &str>| actions.collect::<Vec<_>>().join(", ");
        if !self.denied.is_empty() {
            let denied = listed(&mut self.denied.iter().map(String::as_str));
            let hint = "`packaging/aws` has whole policies; to plan alone the read-only one is enough";
            return Err(ProviderError::Denied(Cause::new(format!("not allowed: {denied}")).hint(hint)));
        }
        let mut lines = self.unknown;
        if !self.granted.is_empty() {
            lines.insert(0, format!("allowed: {}", listed(&mut self.granted.iter().copied())));
        }
        Ok(lines)
    }
}
