//! Managed prefix lists: the other form, one list for each family, shared by as many groups as name it.
//!
//! What EC2 asks for: a list is of one family; a call takes 100 entries and makes a new version, which is seen at
//! once and whole; the version that a change builds on is its lock; entries and MaxEntries cannot change in one call,
//! nor can a prefix be added and removed in one. A list weighs its MaxEntries wherever it is named, so it grows only
//! when it must and no further than it must, and never shrinks by itself.

use tagwall_provider::{
    Admits, Desired, Entry, Family, Foreign, ForeignEffect, IpNet, Limit, Observed, OwnerMark, PerFamily, Refusal,
    Room, Skeleton, SkeletonEdit, Slot, Step, Steps, StoredId,
};

pub use crate::list_calls::{ListCall, MOST_ENTRIES_A_CALL, calls};
use crate::list_calls::{changes, peak};
use crate::placement::{Placed, fill, opens_a_window, unsupported};

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

pub(crate) const fn slot_of(family: Family) -> Slot {
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
