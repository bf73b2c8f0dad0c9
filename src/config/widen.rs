//! How far a target may be opened beyond what is listed, to save prefixes.

use tagwall_provider::PerFamily;

use super::{Percent, raw};

/// The most addresses that may come in beside those listed, unless told.
const DEFAULT_EXTRA: Percent = Percent(5.0);

/// How far a target may be opened beyond what is listed, to save prefixes.
#[derive(Clone, Debug, PartialEq)]
pub struct Widen {
    /// How many prefixes at most; as many as are listed where it is `None`.
    pub prefixes: PerFamily<Option<usize>>,
    /// The most addresses beside those listed, of each family.
    pub most_extra: Percent,
}

impl Widen {
    pub(super) fn resolve(raw: &raw::Widen) -> Result<Self, (&'static str, &'static str)> {
        match (raw.v4, raw.v6) {
            (None, None) => Err(("v4", "is missing, and so is `v6`: say how many prefixes there may be")),
            (Some(0), _) => Err(("v4", "must be at least 1; `families` of a list leaves a family out")),
            (_, Some(0)) => Err(("v6", "must be at least 1; `families` of a list leaves a family out")),
            (v4, v6) => {
                Ok(Self { prefixes: PerFamily { v4, v6 }, most_extra: raw.most_extra.unwrap_or(DEFAULT_EXTRA) })
            }
        }
    }
}
