//! The provider contract's types as they stand in files. The contract itself knows nothing of formats.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tagwall_provider::{
    AddressRange, Admits, Desired, Entry, Foreign, ForeignEffect, Held, IpNet, Observed, Operation, Orphan, PerFamily,
    PrefixSet, Room, Skeleton, SkeletonEdit, Slot, Step, Steps, StoredId,
};

use crate::generation::prefix_texts;

/// An entry that a firewall stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryForm {
    /// Whom it lets in: a prefix, a range `first-last`, or the name of a service tag.
    #[serde(with = "admits_text")]
    #[schemars(with = "String")]
    pub(super) admits: Admits,
    /// In which of the target's objects it stands, by the provider's numbers.
    pub(super) slot: u32,
    /// The name it is stored by, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

/// What stands around the entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SkeletonForm {
    /// Nothing of ours.
    Absent,
    /// What should be there.
    Intact,
    /// Something else: what differs, in words.
    Drifted(Vec<String>),
}

/// What a target should admit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DesiredForm {
    /// The union of these addresses.
    Prefixes(WantedForm),
    /// A service tag by name, kept by its vendor.
    ServiceTag(String),
}

/// Addresses that a target should admit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedForm {
    /// What the publication lists.
    #[serde(with = "prefix_texts")]
    #[schemars(with = "Vec<String>")]
    pub(super) listed: PrefixSet,
    /// What Microsoft dropped and a grace period holds.
    pub(super) held: Vec<HeldForm>,
    /// What the configuration adds, and what the policy leaves.
    #[serde(with = "prefix_texts")]
    #[schemars(with = "Vec<String>")]
    pub(super) extra: PrefixSet,
    /// What comes in only to save prefixes; left out where nothing does.
    #[serde(default, skip_serializing_if = "PrefixSet::is_empty", with = "prefix_texts")]
    #[schemars(with = "Vec<String>")]
    pub(super) widened: PrefixSet,
}

/// What a grace period holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldForm {
    /// When it goes. No part of the hash: it may be counted from when the plan was made.
    pub(super) until: String,
    /// The addresses.
    #[serde(with = "prefix_texts")]
    #[schemars(with = "Vec<String>")]
    pub(super) prefixes: PrefixSet,
}

/// What is done, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepsForm {
    /// What is made or mended around the entries, in words.
    pub(super) skeleton: Vec<String>,
    /// What changes among the entries.
    pub(super) entries: Vec<StepForm>,
}

/// One change of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepForm {
    /// What is done.
    pub(super) operation: OperationForm,
    /// Whom the entry lets in: a prefix, a range `first-last`, or the name of a service tag.
    #[serde(with = "admits_text")]
    #[schemars(with = "String")]
    pub(super) admits: Admits,
    /// Where, by the provider's numbers.
    pub(super) slot: u32,
    /// The stored name of what is removed, where removal goes by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OperationForm {
    /// Stores an entry.
    Add,
    /// Removes one.
    Remove,
}

/// What a firewall holds for one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ObservedForm {
    /// Our entries.
    pub(super) entries: Vec<EntryForm>,
    /// What stands around them.
    pub(super) skeleton: SkeletonForm,
    /// Where entries may go.
    pub(super) rooms: Vec<RoomForm>,
    /// Other people's rules that bear on the target.
    pub(super) foreign: Vec<ForeignForm>,
    /// Objects of ours that no configured target wants.
    pub(super) orphans: Vec<OrphanForm>,
    /// Entries among those that this target could take over; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) adoptable: Vec<EntryForm>,
}

/// A place for entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomForm {
    /// Its number.
    slot: u32,
    /// Its name.
    name: String,
    /// IPv4 entries that still fit; null without a limit.
    free_ipv4: Option<u64>,
    /// IPv6 entries that still fit; null without a limit.
    free_ipv6: Option<u64>,
    /// Prefixes that it does not take, since somebody else's equal entry stands there.
    taken: Vec<String>,
}

/// Something of somebody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForeignForm {
    /// What and where, in words.
    description: String,
    /// What it does to the target.
    effect: EffectForm,
}

/// What somebody else's rule does to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum EffectForm {
    /// It admits these addresses already.
    Admits(
        #[serde(with = "prefix_texts")]
        #[schemars(with = "Vec<String>")]
        PrefixSet,
    ),
    /// It drops what we admit.
    Blocks,
    /// It may drop what we admit.
    MayBlock,
    /// It is of the target with this mark, and judges the same ports.
    Judges(String),
    /// It stands where ours would have to.
    Occupies,
}

/// An object of ours that no target wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrphanForm {
    /// The mark it carries.
    mark: String,
    /// What and where.
    object: String,
    /// Where the provider finds it.
    id: String,
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        Self { admits: entry.admits.clone(), slot: entry.slot.0, id: text_of(entry.id.as_ref()) }
    }
}

impl From<EntryForm> for Entry {
    fn from(form: EntryForm) -> Self {
        Self { admits: form.admits, slot: Slot(form.slot), id: form.id.map(|id| StoredId(id.into())) }
    }
}

impl From<&Step> for StepForm {
    fn from(step: &Step) -> Self {
        let operation = match step.operation {
            Operation::Add => OperationForm::Add,
            Operation::Remove => OperationForm::Remove,
        };
        Self { operation, admits: step.admits.clone(), slot: step.slot.0, id: text_of(step.id.as_ref()) }
    }
}

fn text_of(id: Option<&StoredId>) -> Option<String> {
    id.map(|id| id.0.to_string())
}

impl From<&Steps> for StepsForm {
    fn from(steps: &Steps) -> Self {
        let words = |edit: &SkeletonEdit| edit.description.clone();
        Self {
            skeleton: steps.skeleton.iter().map(words).collect(),
            entries: steps.entries.iter().map(StepForm::from).collect(),
        }
    }
}

impl From<&Skeleton> for SkeletonForm {
    fn from(skeleton: &Skeleton) -> Self {
        match skeleton {
            Skeleton::Absent => Self::Absent,
            Skeleton::Intact => Self::Intact,
            Skeleton::Drifted(lines) => Self::Drifted(lines.clone()),
        }
    }
}

impl From<SkeletonForm> for Skeleton {
    fn from(form: SkeletonForm) -> Self {
        match form {
            SkeletonForm::Absent => Self::Absent,
            SkeletonForm::Intact => Self::Intact,
            SkeletonForm::Drifted(lines) => Self::Drifted(lines),
        }
    }
}

impl From<&Desired> for DesiredForm {
    fn from(desired: &Desired) -> Self {
        match desired {
            Desired::Prefixes { listed, held, extra, widened } => {
                let form = |held: &Held| HeldForm { until: held.until.clone(), prefixes: held.prefixes.clone() };
                let held = held.iter().map(form).collect();
                let (listed, extra, widened) = (listed.clone(), extra.clone(), widened.clone());
                Self::Prefixes(WantedForm { listed, held, extra, widened })
            }
            Desired::ServiceTag(name) => Self::ServiceTag(name.clone()),
        }
    }
}

impl DesiredForm {
    /// Leaves out when what is held goes: that may be counted from the time of the pass.
    pub(super) fn forget_when(&mut self) {
        if let Self::Prefixes(wanted) = self {
            wanted.held.iter_mut().for_each(|held| held.until.clear());
        }
    }
}

impl From<&Observed> for ObservedForm {
    fn from(observed: &Observed) -> Self {
        let room = |room: &Room| RoomForm {
            slot: room.slot.0,
            name: room.name.clone(),
            free_ipv4: room.free.v4,
            free_ipv6: room.free.v6,
            taken: room.taken.iter().map(ToString::to_string).collect(),
        };
        let foreign = |foreign: &Foreign| ForeignForm {
            description: foreign.description.clone(),
            effect: match &foreign.effect {
                ForeignEffect::Admits(prefixes) => EffectForm::Admits(prefixes.clone()),
                ForeignEffect::Blocks => EffectForm::Blocks,
                ForeignEffect::MayBlock => EffectForm::MayBlock,
                ForeignEffect::Judges(mark) => EffectForm::Judges(mark.to_string()),
                ForeignEffect::Occupies => EffectForm::Occupies,
            },
        };
        let orphan = |orphan: &Orphan| OrphanForm {
            mark: orphan.mark.to_string(),
            object: orphan.object.clone(),
            id: orphan.id.0.to_string(),
        };
        Self {
            entries: observed.entries.iter().map(EntryForm::from).collect(),
            skeleton: SkeletonForm::from(&observed.skeleton),
            rooms: observed.rooms.iter().map(room).collect(),
            foreign: observed.foreign.iter().map(foreign).collect(),
            orphans: observed.orphans.iter().map(orphan).collect(),
            adoptable: observed.adoptable.iter().map(EntryForm::from).collect(),
        }
    }
}

impl ObservedForm {
    /// What was observed. What it was locked by is no part of it: nothing is written to a file.
    ///
    /// # Errors
    /// Where a text in it is not what it should be: what it is not.
    pub(super) fn observed(self) -> Result<Observed, String> {
        let mark = |text: String| text.parse().map_err(|_| format!("`{text}` is no owner mark"));
        let prefix = |text: String| text.parse().map_err(|_| format!("`{text}` is no prefix"));
        let room = |form: RoomForm| -> Result<_, String> {
            let free = PerFamily { v4: form.free_ipv4, v6: form.free_ipv6 };
            let taken = form.taken.into_iter().map(prefix).collect::<Result<_, _>>()?;
            Ok(Room { slot: Slot(form.slot), name: form.name, free, taken })
        };
        let foreign = |form: ForeignForm| -> Result<_, String> {
            let effect = match form.effect {
                EffectForm::Admits(prefixes) => ForeignEffect::Admits(prefixes),
                EffectForm::Blocks => ForeignEffect::Blocks,
                EffectForm::MayBlock => ForeignEffect::MayBlock,
                EffectForm::Judges(text) => ForeignEffect::Judges(mark(text)?),
                EffectForm::Occupies => ForeignEffect::Occupies,
            };
            Ok(Foreign { description: form.description, effect })
        };
        let orphan = |form: OrphanForm| -> Result<_, String> {
            Ok(Orphan { mark: mark(form.mark)?, object: form.object, id: StoredId(form.id.into()) })
        };
        let entries = self.entries.into_iter().map(Entry::from).collect();
        Ok(Observed {
            rooms: self.rooms.into_iter().map(room).collect::<Result<_, _>>()?,
            foreign: self.foreign.into_iter().map(foreign).collect::<Result<_, _>>()?,
            orphans: self.orphans.into_iter().map(orphan).collect::<Result<_, _>>()?,
            adoptable: self.adoptable.into_iter().map(Entry::from).collect(),
            ..Observed::new(entries, self.skeleton.into(), "")
        })
    }
}

/// What an entry admits as a text.
mod admits_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{AddressRange, Admits, IpAddr, IpNet};

    pub(super) fn serialize<S: Serializer>(admits: &Admits, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(admits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Admits, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no prefix, range or service tag")))
    }

    pub(super) fn read(text: &str) -> Option<Admits> {
        if let Ok(prefix) = text.parse::<IpNet>() {
            return Some(Admits::Range(prefix.into()));
        }
        let ends = text.split_once('-').map(|(first, last)| (first.parse::<IpAddr>(), last.parse::<IpAddr>()));
        if let Some((Ok(first), Ok(last))) = ends {
            return AddressRange::new(first, last).map(Admits::Range);
        }
        let is_tag = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        is_tag.then(|| Admits::ServiceTag(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_admits_is_read_as_it_is_shown() {
        let check = |text: &str, is_range: Option<bool>| {
            let read = admits_text::read(text);
            assert_eq!(read.as_ref().map(|admits| matches!(admits, Admits::Range(_))), is_range, "{text}");
            if let Some(admits) = read {
                assert_eq!(admits.to_string(), text);
            }
        };
        check("192.0.2.0/24", Some(true));
        check("2001:db8::/48", Some(true));
        check("192.0.2.3-192.0.2.9", Some(true));
        check("fe80::1-fe80::7", Some(true));
        check("AzureActiveDirectory", Some(false));
        check("AzureCloud.westeurope", Some(false));
        check("192.0.2.9-192.0.2.3", None);
        check("192.0.2.0-2001:db8::", None);
        check("192.0.2.0/33", None);
        check("192.0.2.1", None);
        check("Tag, other", None);
        check("", None);
    }
}
