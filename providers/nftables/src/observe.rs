//! Makes an observation of a snapshot.

use std::collections::BTreeMap;

use tagwall_provider::{
    Admits, Cause, Counters, Entry, Family, Foreign, ForeignEffect, Observed, Orphan, OwnerMark, PerFamily,
    ProviderError, Room, Skeleton as Around, Slot, StoredId,
};

use crate::consequence::consequences;
use crate::layout::Layout;
use crate::rule::{Expr, RuleSeen};
use crate::settings::{Mode, Settings, TABLE};
use crate::skeleton::{Mend, SetMend, Skeleton};
use crate::snapshot::{Snapshot, Structure};

/// The slot of a family's entries.
///
/// The entries of a set that has to be emptied or made again have a slot of their own: none of them can stay,
/// and everything desired is added anew.
pub(crate) const fn slot(family: Family, rebuilt: bool) -> Slot {
    match (family, rebuilt) {
        (Family::V4, false) => Slot(0),
        (Family::V6, false) => Slot(1),
        (Family::V4, true) => Slot(2),
        (Family::V6, true) => Slot(3),
    }
}

/// Whether an entry of this slot goes with its set, not by itself.
pub(crate) const fn is_rebuilt(slot: Slot) -> bool {
    slot.0 >= 2
}

/// How what was read differs from what should stand there.
pub(crate) fn mend(layout: &Layout, structure: &Structure) -> Mend {
    match layout {
        Layout::Enforce(skeleton) => skeleton.compare(structure),
        Layout::Set(_) => Mend::default(),
    }
}

/// Whether a target's own part is the same in two reads, so that what was worked out from one is good for the other.
/// Neighbours in its table come and go, and the table itself may have been made by one of them.
pub(crate) fn is_same(layout: &Layout, one: &Structure, other: &Structure) -> bool {
    match layout {
        Layout::Enforce(skeleton) => {
            let mend = |seen: &Structure| Mend { new_table: false, ..skeleton.compare(seen) };
            mend(one) == mend(other)
        }
        Layout::Set(_) => {
            let sets = |seen: &Structure| {
                PerFamily::from_fn(|family| layout.set(family).and_then(|name| seen.set(name.set).cloned()))
            };
            sets(one) == sets(other)
        }
    }
}

/// Which sets have to be emptied or made again.
pub(crate) fn rebuilt(mend: &Mend, seen: &Snapshot) -> PerFamily<bool> {
    PerFamily::from_fn(|family| *mend.sets.get(family) == SetMend::Recreate || !seen.stored.get(family).odd.is_empty())
}

/// Makes an observation.
///
/// # Errors
/// `Rejected` where the operator's sets are none that can be kept.
pub(crate) fn observed(
    settings: &Settings,
    layout: &Layout,
    generation: u32,
    seen: &Snapshot,
) -> Result<Observed, ProviderError> {
    if let Layout::Set(sets) = layout
        && let Some(unusable) = sets.unusable(&seen.structure)
    {
        return Err(ProviderError::rejected(Cause::new(unusable.what).hint(unusable.hint)));
    }
    let mut mend = mend(layout, &seen.structure);
    let rebuilt = rebuilt(&mend, seen);
    let mut entries = Vec::new();
    let mut lines = mend.lines.clone();
    for family in Family::ALL {
        if is_ours(layout, &seen.structure, family) {
            let stored = seen.stored.get(family);
            let slot = slot(family, *rebuilt.get(family));
            entries.extend(stored.ranges.iter().map(|range| Entry { admits: Admits::Range(*range), slot, id: None }));
            lines.extend(stored.odd.iter().cloned());
        }
    }
    if let Layout::Enforce(skeleton) = layout
        && !(mend.absent || lines.is_empty() && mend.occupied.is_empty())
    {
        let means = consequences(skeleton, seen);
        if !mend.occupied.is_empty() {
            // What occupies is refused, and nobody sees the other lines then.
            mend.occupied.splice(..0, means.iter().cloned());
        }
        lines.splice(..0, means);
    }
    let around = match (mend.absent, lines.is_empty()) {
        (true, _) => Around::Absent,
        (false, true) => Around::Intact,
        (false, false) => Around::Drifted(lines),
    };
    let mut observed = Observed::new(entries, around, generation.to_string());
    observed.rooms = rooms(layout);
    let occupies = |description| Foreign { description, effect: ForeignEffect::Occupies };
    observed.foreign = mend.occupied.into_iter().map(occupies).collect();
    let shared = if matches!(layout, Layout::Enforce(_)) { &seen.structure } else { &seen.left };
    observed.orphans = orphans(settings, shared);
    if let Layout::Enforce(skeleton) = layout {
        observed.counters = counters(skeleton, &seen.structure);
    }
    Ok(observed)
}

/// What our rules counted, as long as they are ours: nothing where the chain is missing or somebody else's.
fn counters(skeleton: &Skeleton, structure: &Structure) -> Option<Counters> {
    let admit = &skeleton.names.admit;
    structure.chain(admit).filter(|chain| chain.comment.as_ref() == Some(&skeleton.mark))?;
    let mut counters = Counters::default();
    for RuleSeen { rule, traffic } in structure.rules_seen(admit).filter(|seen| skeleton.admit.contains(&seen.rule)) {
        let looks_in = |family| rule.exprs.contains(&Expr::Lookup(skeleton.names.sets.get(family).clone()));
        let counted = match Family::ALL.into_iter().find(|family| looks_in(*family)) {
            Some(family) => counters.admitted.get_mut(family),
            None if rule.exprs.contains(&Expr::CT_STATE) => &mut counters.established,
            None => &mut counters.dropped,
        };
        *counted += traffic.unwrap_or_default();
    }
    Some(counters)
}

/// Whether a family's set is there and ours: elements of somebody else's set of that name are not our entries.
fn is_ours(layout: &Layout, structure: &Structure, family: Family) -> bool {
    let Some(set) = layout.set(family).and_then(|name| structure.set(name.set)) else { return false };
    match layout {
        Layout::Enforce(skeleton) => set.comment.as_ref() == Some(&skeleton.mark),
        Layout::Set(_) => true,
    }
}

fn rooms(layout: &Layout) -> Vec<Room> {
    let room = |family| {
        let name = layout.set(family)?;
        Some(Room {
            slot: slot(family, false),
            name: name.set.to_owned(),
            free: PerFamily::default(),
            taken: Vec::new(),
        })
    };
    Family::ALL.into_iter().filter_map(room).collect()
}

/// Whether a comment is the mark of a target of ours that has no business in the table `inet tagwall` any more:
/// it is configured no longer, or it is this one and now keeps an operator's sets.
pub(crate) fn orphaned(settings: &Settings, comment: Option<&str>) -> Option<OwnerMark> {
    let mark: OwnerMark = comment?.parse().ok()?;
    let configured = if mark == settings.mark {
        matches!(settings.mode, Mode::Enforce { .. })
    } else {
        settings.siblings.iter().any(|sibling| sibling == mark.target())
    };
    (mark.owner() == settings.mark.owner() && !configured).then_some(mark)
}

fn orphans(settings: &Settings, structure: &Structure) -> Vec<Orphan> {
    let mut objects: BTreeMap<OwnerMark, Vec<String>> = BTreeMap::new();
    let chains = structure.chains.iter().map(|chain| ("chain", &chain.name, &chain.comment));
    let sets = structure.sets.iter().map(|set| ("set", &set.name, &set.comment));
    for (kind, name, comment) in chains.chain(sets) {
        if let Some(mark) = orphaned(settings, comment.as_deref()) {
            objects.entry(mark).or_default().push(format!("{kind} {name}"));
        }
    }
    let orphan = |(mark, mut names): (OwnerMark, Vec<String>)| {
        names.sort_unstable();
        let id = StoredId(mark.to_string().into());
        Orphan { object: format!("{} of table inet {TABLE}", names.join(", ")), mark, id }
    };
    objects.into_iter().map(orphan).collect()
}
