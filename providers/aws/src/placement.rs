//! Where each prefix goes: what is there stays, what is new goes where there is room, in the groups' order.

use tagwall_provider::{
    Admits, Desired, Entry, Family, Foreign, IpNet, Limit, Observed, Operation, PerFamily, PrefixSet, Refusal, Room,
    SkeletonEdit, Slot, Step, Steps, StoredId, cover_change,
};

use crate::advice::Figures;
use crate::mend;
use crate::rule::Target;

/// Decides what goes into which group. Only room that is free now is used: what this pass removes makes room for the
/// next one, so that no group is ever over its quota and nothing goes before what stands in for it has come.
///
/// Where that room does not do, [`Target::make_room`] lets as many rules go first as room is needed for: only such
/// as let in nobody who is desired, so that nobody who stays is ever kept out. It is no default, since Microsoft may
/// list a service's new addresses in place of its old ones, and between the two calls neither are admitted.
///
/// A prefix that stands in every group already, by somebody else's equal rule, is left to that rule: EC2 holds equal
/// content once. It is looked for again in every pass, and what of ours lies inside it stays.
///
/// # Errors
/// [`Limit::Capacity`] with the choices, [`Limit::Unsupported`] for service tags, and [`Limit::NotOurs`] where
/// somebody else's rules keep a prefix out without admitting it to all of the target's ports.
pub fn place(target: &Target, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
    if let Desired::ServiceTag(name) = desired {
        return Err(unsupported(name));
    }
    let wanted = desired.prefixes();
    let placed = fill(observed, &wanted, target.make_room);
    if let Some(prefix) = placed.kept_out.first() {
        return Err(kept_out(*prefix));
    }
    if !placed.short.is_empty() {
        return Err(capacity(&Figures::of(target, observed, &wanted), &wanted));
    }
    let mut steps = Steps { skeleton: Vec::new(), entries: placed.steps };
    steps.skeleton = mend::edits(observed, &steps);
    steps.skeleton.extend(take_overs(observed, &steps));
    steps.skeleton.extend(opens_a_window(&placed.early));
    Ok(steps)
}

/// What has to change, with what a target that is gone left for the taking.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) keep: Vec<Entry>,
    /// Entries that are wanted, stand there and need only the mark.
    pub(crate) adopt: Vec<Entry>,
    pub(crate) remove: Vec<Entry>,
    pub(crate) add: Vec<IpNet>,
}

impl Change {
    pub(crate) fn of(observed: &Observed, wanted: &PrefixSet) -> Self {
        let ours = observed.admitted();
        let serves = |entry: &&Entry| entry.range().is_some_and(|range| wanted.covers(range) && !ours.covers(range));
        let adoptable: Vec<Entry> = observed.adoptable.iter().filter(serves).cloned().collect();
        let stored = [observed.entries.as_slice(), &adoptable].concat();
        let change = cover_change(&stored, wanted);
        let is_ours = |entry: &Entry| !adoptable.contains(entry);
        let (keep, adopt) = change.keep.into_iter().cloned().partition(is_ours);
        // What is not taken over stays an orphan.
        let remove = change.remove.into_iter().filter(|entry| is_ours(entry)).cloned().collect();
        Self { keep, adopt, remove, add: change.add }
    }
}

/// What came of placing.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    pub(crate) steps: Vec<Step>,
    /// New prefixes for which there is no room.
    pub(crate) short: Vec<IpNet>,
    /// New prefixes that nothing takes and nobody else admits.
    pub(crate) kept_out: Vec<IpNet>,
    /// What goes before anything comes, to make room.
    pub(crate) early: Vec<Entry>,
}

/// Places in what room there is.
pub(crate) fn fill(observed: &Observed, wanted: &PrefixSet, make_room: bool) -> Placed {
    let change = Change::of(observed, wanted);
    let theirs = Foreign::admitted(&observed.foreign);
    let (mut rooms, mut placed) = (observed.rooms.clone(), Placed::default());
    let (mut adds, mut left): (Vec<Step>, _) = (change.adopt.iter().map(take_over).collect(), Vec::new());
    // What may not stand everywhere chooses first.
    let anywhere = |prefix: &IpNet| rooms.iter().all(|room| !takes_not(room, *prefix));
    let (free, choosy): (Vec<IpNet>, Vec<IpNet>) = change.add.into_iter().partition(anywhere);
    for prefix in choosy.into_iter().chain(free) {
        let stands = observed.adoptable.iter().find(|entry| entry.range() == Some(prefix.into()));
        if let Some(entry) = stands {
            // Until now a broader one of ours did for it. EC2 holds equal content once.
            adds.push(take_over(entry));
        } else if rooms.iter().all(|room| takes_not(room, prefix)) {
            // What somebody else admits on all ports needs nothing of ours while it lasts.
            if theirs.covers(prefix) { left.push(prefix) } else { placed.kept_out.push(prefix) }
        } else if let Some(slot) = take_room(&mut rooms, prefix) {
            adds.push(add(prefix, slot));
        } else {
            placed.short.push(prefix);
        }
    }
    // What of ours lies inside it is not replaced, so it stays.
    let left: PrefixSet = left.into_iter().collect();
    let stays = |entry: &Entry| entry.range().is_some_and(|range| left.covers(range));
    let mut removes: Vec<&Entry> = change.remove.iter().filter(|entry| !stays(entry)).collect();
    let first =
        if make_room { make_way(&mut placed.short, &mut removes, &mut adds, observed, wanted) } else { Vec::new() };
    let removes = removes.into_iter().map(remove);
    placed.early = first.iter().map(|entry| (*entry).clone()).collect();
    placed.steps = first.into_iter().map(remove).chain(adds).chain(removes).collect();
    placed
}

/// Lets one entry that nobody wants go for each prefix that found no room, and puts the prefix in its place.
fn make_way<'a>(
    short: &mut Vec<IpNet>,
    removes: &mut Vec<&'a Entry>,
    adds: &mut Vec<Step>,
    observed: &Observed,
    wanted: &PrefixSet,
) -> Vec<&'a Entry> {
    let mut first = Vec::new();
    short.retain(|&prefix| {
        let gives_way = |entry: &&Entry| {
            let same_family = |range: tagwall_provider::AddressRange| range.family() == Family::of(prefix.addr());
            let unwanted = entry.range().is_some_and(|range| same_family(range) && !wanted.meets(range));
            let room = observed.rooms.iter().find(|room| room.slot == entry.slot);
            unwanted && room.is_some_and(|room| !takes_not(room, prefix))
        };
        let Some(index) = removes.iter().position(gives_way) else { return true };
        let entry = removes.remove(index);
        adds.push(add(prefix, entry.slot));
        first.push(entry);
        false
    });
    first
}

fn takes_not(room: &Room, prefix: IpNet) -> bool {
    room.taken.binary_search(&prefix).is_ok()
}

/// The first slot with room for one more entry of the family, which is taken.
fn take_room(rooms: &mut [Room], prefix: IpNet) -> Option<Slot> {
    for room in rooms.iter_mut().filter(|room| !takes_not(room, prefix)) {
        match room.free.get_mut(Family::of(prefix.addr())) {
            None => return Some(room.slot),
            Some(0) => {}
            Some(free) => {
                *free -= 1;
                return Some(room.slot);
            }
        }
    }
    None
}

fn add(prefix: IpNet, slot: Slot) -> Step {
    Step { operation: Operation::Add, admits: Admits::Range(prefix.into()), slot, id: None }
}

fn take_over(entry: &Entry) -> Step {
    Step { operation: Operation::Add, ..remove(entry) }
}

fn remove(entry: &Entry) -> Step {
    let Entry { admits, slot, id } = entry.clone();
    Step { operation: Operation::Remove, admits, slot, id }
}

/// A line for each entry that is taken over: whose it was is not to be seen from its addresses.
fn take_overs(observed: &Observed, steps: &Steps) -> Vec<SkeletonEdit> {
    let edit = |step: &Step| {
        let StoredId(left) = step.id.as_ref()?;
        let room = observed.rooms.iter().find(|room| room.slot == step.slot)?;
        let description = format!("takes over rule {left} in {}: {}", room.name, step.admits);
        Some(SkeletonEdit { description })
    };
    steps.of(Operation::Add).filter_map(edit).collect()
}

/// What `make-room` does that nothing else ever does, in figures.
pub(crate) fn opens_a_window(early: &[Entry]) -> Option<SkeletonEdit> {
    let admitted: PrefixSet = early.iter().filter_map(Entry::range).collect();
    let of = |family: Family| {
        let (prefixes, addresses) = (*count_entries(early).get(family), admitted.addresses(family));
        (prefixes > 0).then(|| format!("{prefixes} {family} prefixes ({addresses} addresses)"))
    };
    let told: Vec<String> = Family::ALL.into_iter().filter_map(of).collect();
    (!told.is_empty()).then(|| SkeletonEdit {
        description: format!(
            "`make-room` is set: {} that nobody wants any more go before what replaces them comes, and until the next \
             call neither are admitted",
            told.join(" and ")
        ),
    })
}

pub(crate) fn unsupported(name: &str) -> Refusal {
    Refusal {
        limit: Limit::Unsupported,
        finding: format!("AWS does not know the service tag {name}"),
        choices: vec!["list the tag's prefixes instead".to_owned()],
    }
}

fn kept_out(prefix: IpNet) -> Refusal {
    Refusal {
        limit: Limit::NotOurs,
        finding: format!(
            "in every group somebody else's rule of the same ports stands where {prefix} would, and not all ports admit it"
        ),
        choices: vec!["remove that rule".to_owned(), "name another group for the target".to_owned()],
    }
}

fn capacity(figures: &Figures, wanted: &PrefixSet) -> Refusal {
    Refusal {
        limit: Limit::Capacity,
        finding: figures.to_string(),
        choices: figures.choices(wanted).iter().map(ToString::to_string).collect(),
    }
}

/// How many entries of each family there are.
pub(crate) fn count_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> PerFamily<u64> {
    let mut counts = PerFamily::default();
    for range in entries.into_iter().filter_map(Entry::range) {
        *counts.get_mut(range.family()) += 1;
    }
    counts
}
