//! What to do where a list does not fit: what it needs against what the groups hold, and the choices with figures.

use std::fmt;

use tagwall_provider::widen::{Bounds, widen};
use tagwall_provider::{AddressCount, Family, Foreign, IpNet, Observed, PerFamily, PrefixSet, Slot};

use crate::placement::{Change, count_entries, fill};
use crate::rule::Target;

/// EC2's bound on the quota of rules in a group times the groups of a network interface.
const MOST_RULES_OF_AN_INTERFACE: u64 = 1000;
/// How many groups a network interface takes unless AWS was asked for more (up to 16).
const GROUPS_OF_AN_INTERFACE: u64 = 5;
/// How many entries a managed prefix list takes.
const MOST_ENTRIES_OF_A_LIST: u64 = 1000;

/// What one group holds, in prefixes of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// `sg-…`.
    pub name: String,
    /// Ours that stand there.
    pub ours: PerFamily<u64>,
    /// Ours that would still fit.
    pub free: PerFamily<u64>,
}

/// What a list needs against what the groups hold, in prefixes of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// What stands and comes in the end.
    pub needed: PerFamily<u64>,
    /// What comes.
    pub adding: PerFamily<u64>,
    /// What goes once that has come.
    pub removing: PerFamily<u64>,
    /// Each group, in the configuration's order.
    pub groups: Vec<Holding>,
    /// Whether letting go first would do.
    pub room_can_be_made: bool,
    rules_of_a_prefix: u64,
    quota: u64,
}

impl Figures {
    /// The figures of one target. Pure, so that a check can show them before anything is written.
    pub fn of(target: &Target, observed: &Observed, wanted: &PrefixSet) -> Self {
        let change = Change::of(observed, wanted);
        let ours = || observed.entries.iter().chain(&change.adopt);
        let of_slot = |slot: Slot| count_entries(ours().filter(|entry| entry.slot == slot));
        let groups = observed.rooms.iter().map(|room| Holding {
            name: room.name.clone(),
            ours: of_slot(room.slot),
            free: PerFamily::from_fn(|family| room.free.get(family).unwrap_or(u64::MAX)),
        });
        let theirs = Foreign::admitted(&observed.foreign);
        let left_to_them = |prefix: &IpNet| {
            theirs.covers(*prefix) && observed.rooms.iter().all(|room| room.taken.binary_search(prefix).is_ok())
        };
        let mut adding = PerFamily::default();
        for prefix in change.add.iter().filter(|prefix| !left_to_them(prefix)) {
            *adding.get_mut(Family::of(prefix.addr())) += 1;
        }
        let kept = count_entries(change.keep.iter().chain(&change.adopt));
        Self {
            needed: PerFamily::from_fn(|family| kept.get(family) + adding.get(family)),
            adding,
            removing: count_entries(&change.remove),
            groups: groups.collect(),
            room_can_be_made: !target.make_room && fill(observed, wanted, true).short.is_empty(),
            rules_of_a_prefix: target.rules_of_a_prefix(),
            quota: target.quota,
        }
    }

    /// How many prefixes of ours the groups hold together.
    pub fn held(&self, family: Family) -> u64 {
        let held = self.groups.iter().map(|group| group.ours.get(family).saturating_add(*group.free.get(family)));
        held.fold(0, u64::saturating_add)
    }

    fn free(&self, family: Family) -> u64 {
        self.groups.iter().fold(0, |sum, group| group.free.get(family).saturating_add(sum))
    }

    /// Whether everything fits, old and new at once.
    pub fn fits(&self) -> bool {
        Family::ALL.into_iter().all(|family| *self.adding.get(family) <= self.free(family))
    }

    fn missing(&self, family: Family) -> u64 {
        self.adding.get(family).saturating_sub(self.free(family))
    }

    /// The choices, best first.
    pub fn choices(&self, wanted: &PrefixSet) -> Vec<Choice> {
        let mut choices = Vec::new();
        if self.room_can_be_made {
            let rules = self.missing(Family::V4).saturating_add(self.missing(Family::V6));
            choices.push(Choice::MakeRoom { rules });
        }
        choices.extend(self.more_groups());
        choices.extend(self.raise_quota());
        let over = |family: &Family| *self.needed.get(*family) > self.held(*family);
        for family in Family::ALL.into_iter().filter(over) {
            choices.push(Choice::Narrow { family, prefixes: self.held(family) });
            choices.extend(self.widen(wanted, family));
        }
        choices.push(Choice::PrefixLists { weight: self.needed });
        choices
    }

    fn more_groups(&self) -> Option<Choice> {
        let each = self.quota / self.rules_of_a_prefix;
        let missing = Family::ALL.into_iter().map(|family| self.missing(family)).max().unwrap_or(0);
        let groups = missing.div_ceil(each.max(1));
        (each > 0 && groups > 0).then_some(Choice::MoreGroups {
            groups,
            quota: self.quota,
            named: self.groups.len() as u64,
        })
    }

    /// The lowest quota with which old and new fit at once.
    fn raise_quota(&self) -> Option<Choice> {
        let groups = self.groups.len() as u64;
        let enough = |quota: u64| {
            Family::ALL.into_iter().all(|family| {
                let more = (quota - self.quota) / self.rules_of_a_prefix;
                self.missing(family) <= more.saturating_mul(groups)
            })
        };
        let most = MOST_RULES_OF_AN_INTERFACE / groups.max(1);
        let quota = (self.quota..=most).find(|quota| enough(*quota))?;
        Some(Choice::RaiseQuota { quota, groups })
    }

    fn widen(&self, wanted: &PrefixSet, family: Family) -> Option<Choice> {
        let prefixes = usize::try_from(self.held(family)).ok().filter(|held| *held > 0)?;
        let listed = wanted.addresses(family);
        // Nobody who wants a list wants more strangers than members; and the default bounds of `too-broad`.
        let broadest = if family == Family::V4 { 12 } else { 32 };
        let bounds = Bounds { most_extra: Some(listed), broadest, ..Bounds::default() };
        let widened = widen(wanted, family, prefixes, &bounds).ok()?;
        Some(Choice::Widen { family, prefixes: widened.prefixes.len() as u64, extra: widened.extra, listed })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = Family::ALL.into_iter().filter(|family| self.missing(*family) > 0);
        for (index, family) in short.enumerate() {
            let (needed, held) = (*self.needed.get(family), self.held(family));
            f.write_str(if index == 0 { "" } else { "; " })?;
            if needed > held {
                write!(f, "{family}: {needed} prefixes are needed, and the groups hold {held}")?;
            } else {
                let (adding, removing) = (self.adding.get(family), self.removing.get(family));
                write!(
                    f,
                    "{family}: {adding} prefixes come before {removing} go, and there is room for {}",
                    self.free(family)
                )?;
            }
        }
        f.write_str(" (")?;
        for (index, group) in self.groups.iter().enumerate() {
            let Holding { name, ours, free } = group;
            f.write_str(if index == 0 { "" } else { ", " })?;
            write!(f, "{name}: {}+{} ours, {}+{} free", ours.v4, ours.v6, free.v4, free.v6)?;
        }
        f.write_str("; IPv4+IPv6)")
    }
}

/// Something that an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Let what nobody wants go first.
    MakeRoom {
        /// So many rules' worth of prefixes.
        rules: u64,
    },
    /// Name more groups.
    MoreGroups {
        /// How many more.
        groups: u64,
        /// Of which quota, with nothing in them.
        quota: u64,
        /// How many are named now.
        named: u64,
    },
    /// Ask AWS for a higher quota.
    RaiseQuota {
        /// To how many rules of one family in a group.
        quota: u64,
        /// With as many groups as now.
        groups: u64,
    },
    /// Admit fewer prefixes.
    Narrow {
        /// Of which family.
        family: Family,
        /// How many fit.
        prefixes: u64,
    },
    /// Admit broader ones.
    Widen {
        /// Of which family.
        family: Family,
        /// How many.
        prefixes: u64,
        /// Addresses that Microsoft does not list.
        extra: AddressCount,
        /// Addresses that it does.
        listed: AddressCount,
    },
    /// Managed prefix lists, one for each family.
    PrefixLists {
        /// What each weighs in every group that names it.
        weight: PerFamily<u64>,
    },
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeRoom { rules } => write!(
                f,
                "`make-room = true` lets {rules} that nobody wants any more go first; until the next call what replaces them is not admitted"
            ),
            Self::MoreGroups { groups, quota, named } => {
                write!(
                    f,
                    "name {groups} more security group{} (empty, quota {quota})",
                    if *groups == 1 { "" } else { "s" }
                )?;
                if named + groups > GROUPS_OF_AN_INTERFACE {
                    write!(f, "; a network interface takes {GROUPS_OF_AN_INTERFACE} unless AWS raises that, up to 16")?;
                }
                Ok(())
            }
            Self::RaiseQuota { quota, groups } => {
                write!(f, "let AWS raise the quota of inbound rules in a group to {quota}, and set `quota`")?;
                // The product counts what an interface may have, not what it has.
                if quota * (*groups).max(GROUPS_OF_AN_INTERFACE) > MOST_RULES_OF_AN_INTERFACE {
                    let most = MOST_RULES_OF_AN_INTERFACE / quota;
                    write!(
                        f,
                        "; that leaves a network interface {most} groups, since quota times groups is at most {MOST_RULES_OF_AN_INTERFACE}"
                    )?;
                }
                Ok(())
            }
            Self::Narrow { family, prefixes } => {
                write!(f, "name narrower or regional tags: {prefixes} {family} prefixes fit")
            }
            Self::Widen { family, prefixes, extra, listed } => write!(
                f,
                "`widen` to {prefixes} {family} prefixes, which admits {extra} addresses that Microsoft does not list ({:.2} % more)",
                extra.percent_of(*listed)
            ),
            Self::PrefixLists { weight } => {
                write!(
                    f,
                    "`aws-prefix-lists`: a list counts as its MaxEntries in each group that names it, here {} IPv4 and {} IPv6, so the quota has to hold them",
                    weight.v4, weight.v6
                )?;
                if weight.v4.max(weight.v6) > MOST_ENTRIES_OF_A_LIST {
                    write!(f, "; a list takes {MOST_ENTRIES_OF_A_LIST}")?;
                }
                Ok(())
            }
        }
    }
}
