//! Where a target's objects are: its own table, or sets in the operator's.

use tagwall_provider::{Family, PerFamily};

use crate::netlink::message::{SetName, key_length, key_type};
use crate::netlink::parse::SetSeen;
use crate::netlink::wire;
use crate::settings::{Mode, Settings, TABLE, TableFamily};
use crate::skeleton::Skeleton;
use crate::snapshot::Structure;

/// Where a target's objects are.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    Enforce(Skeleton),
    Set(OperatorSets),
}

/// Sets in the operator's own table.
#[derive(Clone, Debug)]
pub(crate) struct OperatorSets {
    pub(crate) family: TableFamily,
    pub(crate) table: String,
    pub(crate) names: PerFamily<Option<String>>,
    pub(crate) claimed: bool,
}

/// Why an operator's set cannot be kept: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Layout {
    pub(crate) fn new(settings: &Settings) -> Self {
        match &settings.mode {
            Mode::Enforce { hook, established, priority } => {
                Self::Enforce(Skeleton::new(settings, *hook, *established, *priority))
            }
            Mode::Set { family, table, v4, v6, claimed } => Self::Set(OperatorSets {
                family: *family,
                table: table.clone(),
                names: PerFamily { v4: v4.clone(), v6: v6.clone() },
                claimed: *claimed,
            }),
        }
    }

    /// The set that holds a family's addresses, where the target has one.
    pub(crate) fn set(&self, family: Family) -> Option<SetName<'_>> {
        match self {
            Self::Enforce(skeleton) => {
                Some(SetName { family: wire::family::INET, table: TABLE, set: skeleton.names.sets.get(family) })
            }
            Self::Set(sets) => {
                let set = sets.names.get(family).as_deref()?;
                Some(SetName { family: sets.family.number(), table: &sets.table, set })
            }
        }
    }
}

impl OperatorSets {
    /// Finds what keeps these sets from being kept.
    pub(crate) fn unusable(&self, seen: &Structure) -> Option<Unusable> {
        let table = format!("{} {}", self.family, self.table);
        if seen.table.is_none() {
            return Some(Unusable {
                what: format!("there is no table {table}"),
                hint: format!(
                    "create it with its sets, for example `nft add table {table}`, or use mode = \"enforce\""
                ),
            });
        }
        Family::ALL.into_iter().find_map(|family| {
            let name = self.names.get(family).as_ref()?;
            let kind = match family {
                Family::V4 => "ipv4_addr",
                Family::V6 => "ipv6_addr",
            };
            let create = format!("`nft add set {table} {name} '{{ type {kind}; flags interval; }}'`");
            let Some(set) = seen.set(name) else {
                let what = format!("there is no set {name} in table {table}");
                return Some(Unusable { what, hint: format!("create it: {create}") });
            };
            let what = format!("set {name} of table {table} {}", unusable(set, family)?);
            Some(Unusable { what, hint: format!("tagwall fills sets made by {create}") })
        })
    }
}

fn unusable(set: &SetSeen, family: Family) -> Option<String> {
    const USABLE: u32 = wire::set::INTERVAL | wire::set::TIMEOUT;
    let named = [
        (wire::set::MAP | wire::set::OBJECT, "is a map"),
        (wire::set::CONCAT, "has keys of several fields"),
        (wire::set::CONSTANT, "is constant: its elements cannot be changed"),
        (wire::set::DYNAMIC, "is dynamic: rules put elements into it"),
    ];
    let flag = named.iter().find(|(flag, _)| set.flags & flag != 0).map(|(_, what)| (*what).to_owned());
    let wrong = |wrong: bool, what: &str| wrong.then(|| what.to_owned());
    flag.or_else(|| {
        let other = set.key_type != key_type(family) || set.key_length != key_length(family);
        other.then(|| format!("does not hold {family} addresses"))
    })
    .or_else(|| wrong(set.flags & wire::set::INTERVAL == 0, "lacks the flag `interval`: it takes no prefixes"))
    .or_else(|| wrong(set.flags & !USABLE != 0, "has flags that tagwall does not know"))
    .or_else(|| wrong(set.times_out, "has a default timeout: what tagwall adds would go by itself"))
}
