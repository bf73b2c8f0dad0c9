//! The limits: how much a change may be before somebody has to look at it.
//!
//! Everything here is counted in addresses. Nearly all prefixes that leave Microsoft's list are replaced by a wider
//! one (435 of 445 over four publications), so lines that go say little and addresses that go say all.

mod measure;

use tagwall_provider::{AddressCount, Family, IpNet, Limit, PrefixSet, Refusal};

use crate::config::Percent;
use crate::config::raw::{self, SpecialSpace, TooBroad};
use crate::report::number::{addresses, counted, counted_addresses};

pub use measure::Measure;

/// The limits that judge one list.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The most that may be lost per family, in addresses and in prefixes.
    pub loss: Loss,
    /// The most that may be gained per family, in addresses.
    pub growth: Percent,
    /// The broadest prefix that may be listed.
    pub too_broad: TooBroad,
    /// Special space that may be listed all the same.
    pub special: Vec<SpecialSpace>,
}

/// The most that a list may lose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Nobody said: 10 %, and of a small list two prefixes.
    Default,
    /// The operator's word, for a list of any size.
    Set(Percent),
}

/// What may be lost where nobody said.
const DEFAULT_LOSS: Percent = Percent(10.0);
/// Unless somebody said, a list with fewer prefixes than this in a family is judged by [`SMALL_LOSS`]: ten percent of
/// five is none.
const SMALL_LIST: usize = 16;
/// How many prefixes a small list may lose.
const SMALL_LOSS: usize = 2;

impl Loss {
    const fn share(self) -> Percent {
        match self {
            Self::Default => DEFAULT_LOSS,
            Self::Set(share) => share,
        }
    }

    /// The stricter of two. Where only one was set, its word counts for small lists, too.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let (one, other) = (self.share(), other.share());
        Self::Set(if other.0 < one.0 { other } else { one })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { loss: Loss::Default, growth: Percent(100.0), too_broad: TooBroad::default(), special: Vec::new() }
    }
}

impl Limits {
    /// These limits, with what the configuration gives in place of them.
    pub(crate) fn with(&self, raw: &raw::Limits) -> Result<Self, (&'static str, String)> {
        let too_broad = raw.too_broad.unwrap_or(self.too_broad);
        if too_broad.v4 > 32 || too_broad.v6 > 128 {
            return Err(("too-broad", "is no prefix length: `v4` is 0 to 32, `v6` is 0 to 128".to_owned()));
        }
        Ok(Self {
            loss: raw.loss.map_or(self.loss, Loss::Set),
            growth: raw.growth.unwrap_or(self.growth),
            too_broad,
            special: raw.special.clone().unwrap_or_else(|| self.special.clone()),
        })
    }

    /// Judges the step from one set to the next: `loss` and `growth`.
    ///
    /// `what` names the list or target in the finding.
    pub fn judge_step(&self, what: &str, before: &PrefixSet, after: &PrefixSet) -> Vec<Refusal> {
        let judge = |family| {
            let (before, after) = (before.only(family), after.only(family));
            [self.judge_loss(what, family, &before, &after), self.judge_growth(what, family, &before, &after)]
        };
        Family::ALL.into_iter().flat_map(judge).flatten().collect()
    }

    /// How much a family of so many prefixes may lose, in words.
    fn loss_told(&self, prefixes: usize) -> String {
        if self.loss == Loss::Default && prefixes < SMALL_LIST {
            return format!("{SMALL_LOSS} prefixes");
        }
        self.loss.share().to_string()
    }

    fn judge_loss(&self, what: &str, family: Family, before: &PrefixSet, after: &PrefixSet) -> Option<Refusal> {
        let lost = before.difference(after);
        if lost.is_empty() {
            return None;
        }
        let (all, gone) = (before.addresses(family), lost.addresses(family));
        let prefixes = before.prefixes().count();
        let lost_prefixes = before.prefixes().filter(|prefix| lost.meets(*prefix)).count();
        let by_addresses = gone.percent_of(all);
        let by_prefixes = lost_prefixes as f64 / prefixes as f64 * 100.0;
        let limit = self.loss.share();
        // What would be enough, for the hint: no more than is lost, in whole percent.
        let enough = by_addresses.max(by_prefixes).ceil();
        let (finding, how) = if after.is_empty() {
            let (prefixes, gone) = (counted(prefixes, "prefix", "prefixes"), counted_addresses(gone));
            let how = "no `loss` lets a whole family go: `families` can take one out of the list".to_owned();
            (format!("{what}: all {family} would go ({prefixes}, {gone})"), how)
        } else if self.loss == Loss::Default && prefixes < SMALL_LIST {
            if lost_prefixes <= SMALL_LOSS {
                return None;
            }
            (
                format!(
                    "{what}: {lost_prefixes} of {prefixes} {family} prefixes would go, the limit for a list of fewer than {SMALL_LIST} is {SMALL_LOSS}"
                ),
                format!(
                    "`loss = \"{enough}%\"` in the list's own `limits` would let it through: once set, the share counts for small lists, too"
                ),
            )
        } else if by_addresses > limit.0 || by_prefixes > limit.0 {
            (
                format!(
                    "{what}: {by_addresses:.1} % of the {family} addresses ({}) and {by_prefixes:.1} % of the prefixes ({lost_prefixes} of {prefixes}) would go, the limit is {limit}",
                    addresses(gone)
                ),
                format!(
                    "`loss = \"{enough}%\"` in `[limits]` or in the list's own `limits` would let it through (now \"{}%\")",
                    limit.0
                ),
            )
        } else {
            return None;
        };
        let choices = vec![
            "until then its new prefixes are not admitted either".to_owned(),
            "compare with Microsoft's page: is the drop announced, does a second source agree?".to_owned(),
            how,
        ];
        Some(Refusal { limit: Limit::Loss, finding, choices })
    }

    fn judge_growth(&self, what: &str, family: Family, before: &PrefixSet, after: &PrefixSet) -> Option<Refusal> {
        let (all, new) = (before.addresses(family), after.difference(before).addresses(family));
        // A family or a list that comes into being is not growth: AzureActiveDirectory's IPv6 began with 12 prefixes.
        if all == AddressCount::ZERO || new.percent_of(all) <= self.growth.0 {
            return None;
        }
        Some(Refusal {
            limit: Limit::Growth,
            finding: format!(
                "{what}: the {family} addresses would grow by {:.1} % ({} more than {}), the limit is {}",
                new.percent_of(all),
                addresses(new),
                addresses(all),
                self.growth
            ),
            choices: vec![
                "compare with Microsoft's page: is the growth announced, does a second source agree?".to_owned(),
                format!(
                    "`growth` in `[limits]` or in the list's own `limits` (now \"{}%\") sets how much is allowed",
                    self.growth.0
                ),
            ],
        })
    }

    /// Judges one listed prefix: `too-broad` and `special-space`. `origin` names where it is listed.
    pub fn judge_prefix(&self, origin: &str, prefix: IpNet) -> Option<Refusal> {
        self.judge_breadth(origin, prefix).or_else(|| self.judge_space(origin, prefix))
    }

    /// Judges one listed prefix by `too-broad` alone.
    pub fn judge_breadth(&self, origin: &str, prefix: IpNet) -> Option<Refusal> {
        let broadest = match prefix {
            IpNet::V4(_) => self.too_broad.v4,
            IpNet::V6(_) => self.too_broad.v6,
        };
        (prefix.prefix_len() < broadest).then(|| Refusal {
            limit: Limit::TooBroad,
            finding: format!("{origin} has {prefix}, the limit is /{broadest}"),
            choices: vec![
                "take it out of the list with `exclude`".to_owned(),
                "`too-broad` in `[limits]` or in the list's own `limits` sets how broad a prefix may be".to_owned(),
            ],
        })
    }

    fn judge_space(&self, origin: &str, prefix: IpNet) -> Option<Refusal> {
        let (space, kind) = special_space_of(prefix).find(|(_, kind)| !self.special.contains(kind))?;
        Some(Refusal {
            limit: Limit::SpecialSpace,
            finding: format!("{origin} has {prefix}, which lies in {} space ({space})", kind.name()),
            choices: vec![
                "take it out of the list with `exclude`".to_owned(),
                format!("admit such space with `special = [\"{}\"]` in `[limits]`", kind.name()),
            ],
        })
    }
}

impl SpecialSpace {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        }
    }
}

/// Address space that no public service is reached from, by IANA's special-purpose address registries.
const SPECIAL_SPACE: [(&str, SpecialSpace); 26] = [
    ("0.0.0.0/8", SpecialSpace::Reserved),
    ("10.0.0.0/8", SpecialSpace::Private),
    ("100.64.0.0/10", SpecialSpace::Private),
    ("127.0.0.0/8", SpecialSpace::Loopback),
    ("169.254.0.0/16", SpecialSpace::LinkLocal),
    ("172.16.0.0/12", SpecialSpace::Private),
    ("192.0.0.0/24", SpecialSpace::Reserved),
    ("192.0.2.0/24", SpecialSpace::Documentation),
    ("192.168.0.0/16", SpecialSpace::Private),
    ("198.18.0.0/15", SpecialSpace::Reserved),
    ("198.51.100.0/24", SpecialSpace::Documentation),
    ("203.0.113.0/24", SpecialSpace::Documentation),
    ("224.0.0.0/4", SpecialSpace::Multicast),
    ("240.0.0.0/4", SpecialSpace::Reserved),
    ("::/128", SpecialSpace::Reserved),
    ("::1/128", SpecialSpace::Loopback),
    ("::ffff:0:0/96", SpecialSpace::Reserved),
    ("64:ff9b::/96", SpecialSpace::Reserved),
    ("64:ff9b:1::/48", SpecialSpace::Reserved),
    ("100::/64", SpecialSpace::Reserved),
    ("2001:db8::/32", SpecialSpace::Documentation),
    ("3fff::/20", SpecialSpace::Documentation),
    ("fc00::/7", SpecialSpace::Private),
    ("fe80::/10", SpecialSpace::LinkLocal),
    ("fec0::/10", SpecialSpace::Private),
    ("ff00::/8", SpecialSpace::Multicast),
];

fn special_space() -> &'static [(IpNet, SpecialSpace)] {
    static TABLE: std::sync::LazyLock<Vec<(IpNet, SpecialSpace)>> = std::sync::LazyLock::new(|| {
        SPECIAL_SPACE.iter().map(|(text, kind)| (text.parse().expect("a constant, a test reads it"), *kind)).collect()
    });
    &TABLE
}

/// Every special space that a prefix lies in, holds or overlaps.
fn special_space_of(prefix: IpNet) -> impl Iterator<Item = (IpNet, SpecialSpace)> {
    // Two prefixes overlap exactly when one holds the other.
    special_space().iter().copied().filter(move |(space, _)| space.contains(&prefix) || prefix.contains(space))
}

/// All special space but that of the kinds that are admitted.
pub(crate) fn special_space_but(admitted: impl Fn(&SpecialSpace) -> bool) -> PrefixSet {
    special_space().iter().filter(|(_, kind)| !admitted(kind)).map(|(space, _)| *space).collect()
}

#[cfg(test)]
mod tests;
