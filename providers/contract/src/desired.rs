//! What a target should admit.

use crate::PrefixSet;

/// What a target should admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// The union of these addresses, and nobody else.
    Prefixes {
        /// What the publication lists for the target's lists, exclusions taken out.
        listed: PrefixSet,
        /// What Microsoft dropped and a grace period still holds.
        held: Vec<Held>,
        /// What the operator's configuration adds.
        extra: PrefixSet,
        /// What comes in only because fewer and broader prefixes were asked for.
        widened: PrefixSet,
    },
    /// The firewall's own notion of a service tag, kept by its vendor (Azure NSGs).
    ServiceTag(String),
}

/// Addresses that stay admitted for a while after they left the publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The addresses.
    pub prefixes: PrefixSet,
    /// When they go, as a text to be shown (`2026-12-06`, `after 2 publications`).
    pub until: String,
}

impl Desired {
    /// Desired addresses with nothing held and nothing extra.
    pub fn listed(listed: PrefixSet) -> Self {
        Self::Prefixes { listed, held: Vec::new(), extra: PrefixSet::new(), widened: PrefixSet::new() }
    }

    /// All addresses to admit. A service tag names none, only its vendor knows them: a provider that knows no
    /// service tags has to refuse it before it asks, or it would close the port to everybody.
    pub fn prefixes(&self) -> PrefixSet {
        match self {
            Self::Prefixes { listed, held, extra, widened } => {
                held.iter().fold(listed.union(extra).union(widened), |sum, held| sum.union(&held.prefixes))
            }
            Self::ServiceTag(_) => PrefixSet::new(),
        }
    }
}
