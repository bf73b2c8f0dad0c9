//! What firewalls hold, as it is saved where they can be reached and planned from where they cannot.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tagwall_provider::{Applied, Cause, Desired, Observed, Orphan, Provider, ProviderError, Refusal, Revision, Steps};

use super::forms::ObservedForm;
use super::{Saved, SavedError, VERSION};
use crate::config::Config;
use crate::reconcile::Kept;
use crate::report::{Class, Failure};
use crate::state::State;

/// What firewalls held, and what was remembered beside them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tagwall observation")]
pub struct Observation {
    /// What the file is: `tagwall-observation`.
    #[schemars(regex(pattern = "^tagwall-observation$"))]
    kind: String,
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// The version of tagwall that made it.
    tagwall: String,
    /// When it was made (RFC 3339).
    #[schemars(with = "String")]
    pub observed: Timestamp,
    /// Whose rules these are.
    pub owner: String,
    /// What is remembered of lists and targets, as `state.json` has it: what was accepted, what a grace period holds,
    /// what is paused, which sets are ours. A plan depends on it.
    #[schemars(with = "serde_json::Value")]
    pub state: State,
    /// Every target by name.
    targets: BTreeMap<String, Seen>,
}

/// What was seen of a target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Its provider.
    provider: String,
    /// The firewall object, in words.
    object: String,
    /// What it held; null where it could not be read.
    held: Option<ObservedForm>,
    /// Why it could not be read.
    error: Option<String>,
}

impl Saved for Observation {
    const KIND: &str = "tagwall-observation";
    const WORDS: &str = "an observation of tagwall";
}

impl Observation {
    /// Observes these targets. One that cannot be read costs no other.
    pub async fn of(kept: &[Kept<'_>], config: &Config, state: &State, now: Timestamp) -> Self {
        let mut targets = BTreeMap::new();
        for Kept { target, provider } in kept {
            let read = match provider {
                Ok(provider) => provider.observe().await.map_err(|error| Failure::of_provider(&error, None)),
                Err(failure) => Err(failure.clone()),
            };
            let (held, error) = match read {
                Ok(observed) => (Some(ObservedForm::from(&observed)), None),
                Err(failure) => (None, Some(failure.message)),
            };
            let (provider, object) = (target.backend.provider().to_owned(), target.backend.object());
            targets.insert(target.name.clone(), Seen { provider, object, held, error });
        }
        Self {
            kind: Self::KIND.to_owned(),
            version: VERSION,
            tagwall: env!("CARGO_PKG_VERSION").to_owned(),
            observed: now,
            owner: config.owner.clone(),
            state: state.clone(),
            targets,
        }
    }

    /// Reads an observation.
    ///
    /// # Errors
    /// [`SavedError`]
    pub fn read(path: &Path) -> Result<Self, SavedError> {
        let mut read: Self = super::read(path)?;
        for record in read.state.targets.values_mut() {
            // Generations are files of the host that was observed.
            record.generation = None;
        }
        Ok(read)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`SavedError::Io`]
    pub fn write(&self, path: &Path) -> Result<(), SavedError> {
        super::write(self, path)
    }

    /// It as a text.
    ///
    /// # Errors
    /// Never: it is made of texts, numbers and lists of them.
    pub fn text(&self) -> serde_json::Result<String> {
        super::text(self)
    }

    /// What was seen of each target, in a line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.targets.iter().map(|(name, seen)| match (&seen.held, &seen.error) {
            (Some(held), _) => format!("{name}: {} entries in {}", held.entries.len(), seen.object),
            (None, why) => format!("{name}: not read: {}", why.as_deref().unwrap_or_default()),
        })
    }

    /// Whether every target could be read.
    pub fn is_whole(&self) -> bool {
        self.targets.values().all(|seen| seen.held.is_some())
    }

    /// Puts what was seen of each target in the place of its firewall: nothing is asked, nothing can be written.
    pub fn in_place_of<'a>(&self, kept: Vec<Kept<'a>>, path: &Path) -> Vec<Kept<'a>> {
        let recorded = |Kept { target, provider }| {
            let provider = provider.and_then(|provider| self.recorded(provider, target.name.as_str(), path));
            Kept { target, provider }
        };
        kept.into_iter().map(recorded).collect()
    }

    fn recorded(&self, provider: Box<dyn Provider>, name: &str, path: &Path) -> Result<Box<dyn Provider>, Failure> {
        let path = path.display();
        let failure = |message| Failure {
            message,
            hint: Some("`tagwall observe` where the firewall can be reached writes it anew".to_owned()),
            class: Class::Rejected,
        };
        let seen = self.targets.get(name).ok_or_else(|| failure(format!("`{path}`: `targets` has no `{name}`")))?;
        let Some(held) = seen.held.clone() else {
            let why = seen.error.as_deref().unwrap_or("nothing is said of why");
            return Err(failure(format!("`{path}`: `targets.{name}` was not read: {why}")));
        };
        let odd = |problem| failure(format!("`{path}`: `targets.{name}.held`: {problem}"));
        let observed = held.observed().map_err(odd)?;
        Ok(Box::new(Recorded { provider, observed }))
    }
}

/// A target as it was observed, and the provider that would keep it, which is asked for nothing but where prefixes go.
#[derive(Debug)]
struct Recorded {
    provider: Box<dyn Provider>,
    observed: Observed,
}

fn only_recorded() -> ProviderError {
    ProviderError::rejected(Cause::new("nothing can be written to an observation"))
}

#[async_trait]
impl Provider for Recorded {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        Ok(self.observed.clone())
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        self.provider.place(observed, desired)
    }

    async fn apply(&self, _: &Revision, _: &Steps) -> Result<Applied, ProviderError> {
        Err(only_recorded())
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        Err(only_recorded())
    }

    async fn remove_orphans(&self, _: &[Orphan]) -> Result<Applied, ProviderError> {
        Err(only_recorded())
    }
}
