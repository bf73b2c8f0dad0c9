//! Managed prefix lists: the other form, one list for each family, shared by as many groups as name it.
//!
//! What EC2 asks for: a list is of one family; a call takes 100 entries and makes a new version, which is seen at
//! once and whole; the version that a change builds on is its lock; entries and MaxEntries cannot change in one call,
//! nor can a prefix be added and removed in one. A list weighs its MaxEntries wherever it is named, so it grows only
//! when it must and no further than it must, and never shrinks by itself.

use std::collections::BTreeSet;

use tagwall_provider::{
    Admits, Cause, Desired, Entry, Family, Foreign, ForeignEffect, IpNet, Limit, Observed, Operation, OwnerMark,
    PerFamily, ProviderError, Refusal, Room, Skeleton, SkeletonEdit, Slot, Step, Steps, StoredId,
};

use crate::batches::{none_of_ours, prefix_of};
use crate::placement::{Placed, fill, opens_a_window, unsupported};

/// How many entries one call adds and removes. AWS documents 100 for adding; both together are kept within it.
pub const MOST_ENTRIES_A_CALL: usize = 100;
/// How many entries a list takes.
pub const MOST_ENTRIES: u64 = 1000;

/// One list, as GetManagedPrefixListEntries and DescribeManagedPrefixLists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixList {
    /// `pl-…`.
    pub id: String,
    /// Its `MaxEntries`: what it takes, and what it weighs in a group.
    pub max_entries: u64,
    /// Its version, the lock.
    pub version: i64,
    /// Its entries with their descriptions.
    pub entries: Vec<(IpNet, Option<String>)>,
    /// Whether it was made for the target, or for `former`: then whatever in it carries our owner's mark is the
    /// target's, since a description cannot be changed and keep its entry.
    pub made: bool,
    /// The target that is gone and whose tag it carries still. It is taken over.
    pub former: Option<OwnerMark>,
}

/// What is there for one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The configuration names no list.
    #[default]
    None,
    /// The list is there.
    There(PrefixList),
    /// A list of this name is to be made when it is needed.
    ToCreate(String),
    /// The list of this name would be a namesake: others have it.
    Occupied {
        /// The name.
        name: String,
        /// Who has it, in words: `pl-0a1 (tagwall:edge/mail)`.
        by: Vec<String>,
    },
}

/// What the configuration says of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTarget {
    /// The mark of what is ours: the description of every entry. It is constant, since a description changes only by
    /// removing the entry.
    pub mark: OwnerMark,
    /// The marks of all configured targets: what carries our owner's mark and is of none of these is an orphan.
    pub configured: Vec<OwnerMark>,
    /// How many entries a list may grow to, at most [`MOST_ENTRIES`].
    pub most_entries: u64,
    /// Whether entries that nobody wants may go before those that come, where both do not fit at once.
    pub make_room: bool,
}

impl ListTarget {
    /// A target whose lists may grow as far as EC2 lets them, and that makes no room.
    pub fn new(mark: OwnerMark) -> Self {
        Self { configured: vec![mark.clone()], mark, most_entries: MOST_ENTRIES, make_room: false }
    }

    /// Whether a mark is of a target of our owner that is not configured any more.
    pub(crate) fn is_gone(&self, mark: &OwnerMark) -> bool {
        mark.owner() == self.mark.owner() && !self.configured.contains(mark)
    }

    /// Whether an entry of a list is the target's, by its description.
    pub(crate) fn owns(&self, list: &PrefixList, description: Option<&String>) -> bool {
        let mark = description.and_then(|text| text.parse::<OwnerMark>().ok());
        mark.is_some_and(|mark| mark == self.mark || list.made && mark.owner() == self.mark.owner())
    }
}

/// One writing call. After each the list is read until its state says complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListCall {
    /// CreateTags on a list that a target which is gone left: from then on it is the target's.
    TakeOver {
        /// Of which family.
        family: Family,
    },
    /// CreateManagedPrefixList.
    Create {
        /// Of which family.
        family: Family,
        /// Its name.
        name: String,
        /// What it takes.
        max_entries: u64,
        /// Its first entries.
        add: Vec<IpNet>,
    },
    /// ModifyManagedPrefixList of MaxEntries alone.
    Resize {
        /// Of which family.
        family: Family,
        /// What it takes from now on.
        max_entries: u64,
    },
    /// ModifyManagedPrefixList of entries.
    Modify {
        /// Of which family.
        family: Family,
        /// How many versions the calls before it made: it builds on the version that was observed (or the one that a
        /// resize left, with the same entries) and so many more. Any other is somebody else's: a conflict.
        after: i64,
        /// What comes.
        add: Vec<IpNet>,
        /// What goes, in the same version.
        remove: Vec<IpNet>,
    },
}

const fn slot_of(family: Family) -> Slot {
    match family {
        Family::V4 => Slot(0),
        Family::V6 => Slot(1),
    }
}

/// What the lists hold now.
pub fn observe(target: &ListTarget, lists: &PerFamily<Form>) -> Observed {
    let (mut entries, mut foreign, mut rooms, mut locks) = (Vec::new(), Vec::new(), Vec::<Room>::new(), Vec::new());
    let (mut taken, mut drift) = (Vec::new(), Vec::new());
    for family in Family::ALL {
        let slot = slot_of(family);
        let room = |name: &str, held: u64| Room {
            slot,
            name: name.to_owned(),
            // Nothing of the other family fits, ever.
            free: PerFamily::from_fn(|of| {
                Some(if of == family { target.most_entries.saturating_sub(held) } else { 0 })
            }),
            taken: Vec::new(),
        };
        match lists.get(family) {
            Form::None => {}
            Form::ToCreate(name) => rooms.push(room(name, 0)),
            Form::Occupied { name, by } => foreign.push(Foreign {
                description: format!(
                    "{} has the name `{name}`, which the target's list of {family} would have",
                    by.join(" and ")
                ),
                effect: ForeignEffect::Occupies,
            }),
            Form::There(list) => {
                let room = room(&shown(list), list.entries.len() as u64);
                for (prefix, description) in &list.entries {
                    if target.owns(list, description.as_ref()) {
                        let id = Some(StoredId(prefix.to_string().into()));
                        entries.push(Entry { admits: Admits::Range((*prefix).into()), slot, id });
                    } else {
                        taken.push(*prefix);
                        let effect = ForeignEffect::Admits([*prefix].into_iter().collect());
                        foreign.push(Foreign { description: format!("entry {prefix} of {}", list.id), effect });
                    }
                }
                rooms.push(room);
                locks.push(format!("{}:{}", list.id, list.version));
                if let Some(former) = &list.former {
                    drift.push(format!("prefix list {} is of {former}, which is no target any more", list.id));
                }
            }
        }
    }
    taken.sort_unstable();
    // Of both lists, since the one of the other family takes it neither.
    for room in &mut rooms {
        room.taken.clone_from(&taken);
    }
    let skeleton = match (locks.is_empty(), drift.is_empty()) {
        (true, _) => Skeleton::Absent,
        (_, true) => Skeleton::Intact,
        _ => Skeleton::Drifted(drift),
    };
    let mut observed = Observed::new(entries, skeleton, locks.join(" "));
    (observed.rooms, observed.foreign) = (rooms, foreign);
    observed
}

/// Decides what changes in which list. What somebody else's entry holds already is left to it.
///
/// # Errors
/// [`Limit::Capacity`] with the choices, [`Limit::NotOurs`] where a list would be made beside another of its name, and
/// [`Limit::Unsupported`] for service tags.
pub fn place(target: &ListTarget, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
    if let Desired::ServiceTag(name) = desired {
        return Err(unsupported(name));
    }
    let wanted = desired.prefixes();
    let Placed { steps, short, kept_out, early } = fill(observed, &wanted, target.make_room);
    if let Some(prefix) = short.first().or(kept_out.first()) {
        if let Some(refusal) = namesake(observed, Family::of(prefix.addr())) {
            return Err(refusal);
        }
        let families = PerFamily::from_fn(|family| wanted.prefix_count(family) as u64);
        let can_make_room = !target.make_room && fill(observed, &wanted, true).short.is_empty();
        return Err(capacity(target, observed, Family::of(prefix.addr()), short.len(), families, can_make_room));
    }
    let mut skeleton = take_overs(&observed.skeleton);
    skeleton.extend(sizes(observed, &steps));
    skeleton.extend(opens_a_window(&early));
    Ok(Steps { skeleton, entries: steps })
}

fn take_overs(skeleton: &Skeleton) -> Vec<SkeletonEdit> {
    let Skeleton::Drifted(lines) = skeleton else { return Vec::new() };
    lines.iter().map(|line| SkeletonEdit { description: format!("takes over: {line}") }).collect()
}

/// What is made and what grows: each security group that names a list has to have the quota for all of it.
fn sizes(observed: &Observed, steps: &[Step]) -> Vec<SkeletonEdit> {
    let edit = |room: &Room| {
        let of_list: Vec<&Step> = steps.iter().filter(|step| step.slot == room.slot).collect();
        let family = Family::ALL.into_iter().find(|family| slot_of(*family) == room.slot)?;
        let ours = observed.entries.iter().filter(|entry| entry.slot == room.slot).count();
        let theirs = room.taken.iter().filter(|prefix| Family::of(prefix.addr()) == family).count();
        let peak = peak((ours + theirs) as u64, &changes(&of_list).ok()?);
        let weight = format!("it counts as {peak} rules in every security group that names it");
        let description = match id_and_size(room) {
            Some((id, most)) if peak > most => {
                format!("lets prefix list {id} grow from {most} to {peak} entries (MaxEntries): {weight}")
            }
            None if !of_list.is_empty() => format!(
                "makes prefix list `{}` for {peak} {family} entries (MaxEntries): it opens nothing until a rule names it, \
                 and {weight}",
                room.name
            ),
            _ => return None,
        };
        Some(SkeletonEdit { description })
    };
    observed.rooms.iter().filter_map(edit).collect()
}

/// How a list that is there is shown.
fn shown(list: &PrefixList) -> String {
    format!("{} (MaxEntries {})", list.id, list.max_entries)
}

/// What [`shown`] put together. A list that is to be made has a name, and no name is like an id.
fn id_and_size(room: &Room) -> Option<(&str, u64)> {
    let (id, size) = room.name.strip_suffix(')')?.split_once(" (MaxEntries ")?;
    Some((id, size.parse().ok()?)).filter(|(id, _)| id.starts_with("pl-"))
}

/// Why no list of a family is made: its name is another's.
fn namesake(observed: &Observed, family: Family) -> Option<Refusal> {
    if observed.rooms.iter().any(|room| room.slot == slot_of(family)) {
        return None;
    }
    let of_family = format!("list of {family} ");
    let occupied = observed.foreign.iter().filter(|foreign| foreign.effect == ForeignEffect::Occupies);
    let found = occupied.map(|foreign| &foreign.description).find(|text| text.contains(&of_family))?;
    Some(Refusal {
        limit: Limit::NotOurs,
        finding: format!("{found}: a second list of that name would be one that no rule names"),
        choices: vec![
            "name that list by its id, `pl-…`, if the target is to fill it: what others entered there stays".to_owned(),
            "give the target's list another name".to_owned(),
            "if it is of a target that is configured elsewhere with the same `owner`, leave it to that".to_owned(),
        ],
    })
}

fn capacity(
    target: &ListTarget,
    observed: &Observed,
    family: Family,
    short: usize,
    needed: PerFamily<u64>,
    can_make_room: bool,
) -> Refusal {
    let Some(room) = observed.rooms.iter().find(|room| room.slot == slot_of(family)) else {
        return Refusal {
            limit: Limit::Capacity,
            finding: format!(
                "{family}: {} prefixes are needed, and no list of that family is named",
                needed.get(family)
            ),
            choices: vec![
                format!("name or create an {family} list for the target"),
                "take one family alone: `families` of the list".to_owned(),
            ],
        };
    };
    let mut choices = Vec::new();
    if can_make_room {
        choices.push(
            "`make-room = true` lets what nobody wants any more go first; until the next call what replaces it is not admitted"
                .to_owned(),
        );
    }
    if target.most_entries < MOST_ENTRIES {
        choices.push(format!(
            "raise `most-entries` above {}: every group that names the list has to have the quota for it",
            target.most_entries
        ));
    }
    choices.push(format!("name narrower or regional tags: {} {family} prefixes fit", target.most_entries));
    Refusal {
        limit: Limit::Capacity,
        finding: format!(
            "{family}: {} prefixes are needed, and {} has no room for {short} of them beside what is there; it may grow to {}",
            needed.get(family),
            room.name,
            target.most_entries
        ),
        choices,
    }
}

/// The calls that make the steps: for each family a resize where the list has to grow, then versions of 100 changes,
/// in the order of the steps. Where all of them fit into one call nobody ever sees less than old or new whole.
///
/// # Errors
/// [`ProviderError::Rejected`] where a step is none of [`place`]'s; [`ProviderError::Conflict`] where what is to come
/// has come meanwhile: entering it again would put our description on somebody else's entry.
pub fn calls(lists: &PerFamily<Form>, steps: &Steps) -> Result<Vec<ListCall>, ProviderError> {
    let mut calls = Vec::new();
    for family in Family::ALL {
        if matches!(lists.get(family), Form::There(PrefixList { former: Some(_), .. })) && !steps.is_empty() {
            calls.push(ListCall::TakeOver { family });
        }
        let of_family: Vec<&Step> = steps.entries.iter().filter(|step| step.slot == slot_of(family)).collect();
        if of_family.is_empty() {
            continue;
        }
        let mut changes = changes(&of_family)?;
        let held = match lists.get(family) {
            Form::There(list) => {
                let comes: BTreeSet<IpNet> = changes.iter().flat_map(|change| &change.add).copied().collect();
                if let Some((prefix, _)) = list.entries.iter().find(|(prefix, _)| comes.contains(prefix)) {
                    return Err(ProviderError::Conflict(Cause::new(format!(
                        "{prefix} came into {} meanwhile",
                        list.id
                    ))));
                }
                list.entries.len() as u64
            }
            Form::ToCreate(_) => 0,
            Form::None | Form::Occupied { .. } => return Err(none_of_ours()),
        };
        let peak = peak(held, &changes);
        match lists.get(family) {
            Form::There(list) if peak > list.max_entries => calls.push(ListCall::Resize { family, max_entries: peak }),
            Form::ToCreate(name) => {
                let Change { add, remove } = changes.remove(0);
                if !remove.is_empty() {
                    return Err(none_of_ours());
                }
                calls.push(ListCall::Create { family, name: name.clone(), max_entries: peak, add });
            }
            _ => {}
        }
        let modify = |(after, Change { add, remove })| ListCall::Modify { family, after, add, remove };
        calls.extend((0..).zip(changes).map(modify));
    }
    if steps.entries.iter().any(|step| Family::ALL.into_iter().all(|family| step.slot != slot_of(family))) {
        return Err(none_of_ours());
    }
    Ok(calls)
}

#[derive(Default)]
struct Change {
    add: Vec<IpNet>,
    remove: Vec<IpNet>,
}

fn changes(steps: &[&Step]) -> Result<Vec<Change>, ProviderError> {
    let mut changes = vec![Change::default()];
    for step in steps {
        let prefix = prefix_of(step).ok_or_else(none_of_ours)?;
        let Some(last) = changes.last_mut() else { continue };
        let full = last.add.len() + last.remove.len() == MOST_ENTRIES_A_CALL;
        // Whether EC2 counts what a call removes before what it adds is not documented: what makes room goes alone.
        let after_a_remove = step.operation == Operation::Add && !last.remove.is_empty();
        if full || after_a_remove {
            changes.push(Change::default());
        }
        let Some(last) = changes.last_mut() else { continue };
        match step.operation {
            Operation::Add => last.add.push(prefix),
            Operation::Remove => last.remove.push(prefix),
        }
    }
    Ok(changes)
}

/// The most entries that the list ever has, what a call adds counted before what it removes.
fn peak(held: u64, changes: &[Change]) -> u64 {
    let mut now = held;
    let peaks = changes.iter().map(|change| {
        let most = now + change.add.len() as u64;
        now = most.saturating_sub(change.remove.len() as u64);
        most
    });
    peaks.fold(held, u64::max)
}
