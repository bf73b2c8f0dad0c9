//! What a third party does.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::network::{Network, NsgName};
use crate::rule::Rule;

/// A third party's edit. In JSON: `{"put-rule": {"nsg": {…}, "rule": {…}}}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Adds or replaces a rule.
    PutRule {
        /// Of which NSG.
        nsg: NsgName,
        /// The rule.
        rule: Rule,
    },
    /// Removes a rule.
    DeleteRule {
        /// Of which NSG.
        nsg: NsgName,
        /// By name.
        rule: String,
    },
    /// Removes an NSG.
    DeleteNsg {
        /// Which.
        nsg: NsgName,
    },
    /// Begins an operation that changes nothing.
    Busy {
        /// Of which NSG.
        nsg: NsgName,
        /// How often it is in progress.
        polls: u32,
    },
    /// Publishes other service tags.
    ServiceTags {
        /// A document of the Discovery API.
        document: Value,
    },
    /// Anything.
    #[serde(skip)]
    Call(Arc<dyn Fn(&mut Network) + Send + Sync>),
}

impl Edit {
    /// Anything.
    pub fn call(edit: impl Fn(&mut Network) + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(edit))
    }

    pub(crate) fn apply(&self, network: &mut Network) {
        match self {
            Self::PutRule { nsg, rule } => network.put_rule(nsg, rule.clone()),
            Self::DeleteRule { nsg, rule } => network.delete_rule(nsg, rule),
            Self::DeleteNsg { nsg } => network.delete_nsg(nsg),
            Self::Busy { nsg, polls } => network.busy(nsg, *polls),
            Self::ServiceTags { document } => network.put_service_tags(document.clone()),
            Self::Call(edit) => edit(network),
        }
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PutRule { .. } => "put-rule",
            Self::DeleteRule { .. } => "delete-rule",
            Self::DeleteNsg { .. } => "delete-nsg",
            Self::Busy { .. } => "busy",
            Self::ServiceTags { .. } => "service-tags",
            Self::Call(_) => "call",
        })
    }
}
