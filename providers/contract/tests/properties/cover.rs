//! `cover_change`: what stays, what goes and what comes.

use proptest::prelude::*;
use tagwall_provider::{Admits, Entry, IpNet, PrefixSet, Slot, StoredId, cover_change};

use crate::world::{Corner, corners, ranges};

fn entry(number: usize, admits: Admits) -> Entry {
    Entry { admits, slot: Slot(number as u32 % 3), id: Some(StoredId(number.to_string().into())) }
}

fn stored(corner: Corner, ranges: &[(u8, u8)]) -> Vec<Entry> {
    let entries = ranges.iter().enumerate();
    entries.map(|(number, &range)| entry(number, Admits::Range(corner.range(range)))).collect()
}

fn admitted(entries: &[&Entry]) -> PrefixSet {
    entries.iter().filter_map(|entry| entry.range()).collect()
}

/// All that the change promises.
fn check(stored: &[Entry], desired: &PrefixSet) -> Result<(), TestCaseError> {
    let change = cover_change(stored, desired);
    let (kept, added) = (admitted(&change.keep), change.add.iter().copied().collect::<PrefixSet>());
    prop_assert_eq!(&kept.union(&added), desired);
    prop_assert!(kept.intersection(&added).is_empty(), "{} overlaps {}", kept, added);

    // Each entry is on one side, once, in its order.
    let on = |side: &[&Entry]| stored.iter().filter(|entry| side.contains(entry)).cloned().collect::<Vec<_>>();
    let owned = |side: &[&Entry]| side.iter().map(|&entry| entry.clone()).collect::<Vec<_>>();
    prop_assert_eq!(on(&change.keep), owned(&change.keep));
    prop_assert_eq!(on(&change.remove), owned(&change.remove));
    prop_assert_eq!(change.keep.len() + change.remove.len(), stored.len());

    let cover: Vec<IpNet> = desired.prefixes().collect();
    prop_assert!(change.add.iter().all(|prefix| cover.contains(prefix)), "{:?} is not of the cover", change.add);
    prop_assert!(change.add.is_sorted());

    // Nothing goes without need: it lets in whom nobody wants, or would overlap what comes.
    for gone in change.remove.iter().filter_map(|entry| entry.range()) {
        prop_assert!(!desired.covers(gone) || added.meets(gone), "{} went for nothing", gone);
        prop_assert!(gone.prefix().is_none_or(|prefix| !cover.contains(&prefix)), "{} is of the cover, and went", gone);
    }
    // Nothing comes without need: it lets somebody in who was not, or only by an entry that has to go.
    for &new in &change.add {
        let others: PrefixSet = stored.iter().filter_map(Entry::range).filter(|range| desired.covers(*range)).collect();
        let no_prefix = |range: &tagwall_provider::AddressRange| range.prefix().is_none();
        let straddlers: PrefixSet = stored.iter().filter_map(Entry::range).filter(no_prefix).collect();
        prop_assert!(!others.covers(new) || straddlers.meets(new), "{} came for nothing", new);
    }
    if stored.iter().filter_map(Entry::range).collect::<PrefixSet>() == *desired {
        prop_assert!(change.add.is_empty() && change.remove.is_empty(), "{:?}", change);
    }

    // What it leads to is at rest.
    let next: Vec<Entry> = owned(&change.keep)
        .into_iter()
        .chain(change.add.iter().map(|&prefix| entry(0, Admits::Range(prefix.into()))))
        .collect();
    let again = cover_change(&next, desired);
    prop_assert!(again.add.is_empty() && again.remove.is_empty(), "not at rest: {:?}", again);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn keeps_its_promises(corner in corners(), a in ranges(), b in ranges()) {
        check(&stored(corner, &a), &corner.set(&b))?;
    }

    /// Stored and desired mostly the same, as in life.
    #[test]
    fn keeps_its_promises_for_a_small_change(corner in corners(), a in ranges(), gone in ranges(), come in ranges()) {
        let few = |set: &[(u8, u8)]| corner.set(&set[..set.len().min(2)]);
        let desired = corner.set(&a).difference(&few(&gone)).union(&few(&come));
        check(&stored(corner, &a), &desired)?;
        let canonical: Vec<Entry> =
            corner.set(&a).prefixes().enumerate().map(|(number, prefix)| entry(number, Admits::Range(prefix.into()))).collect();
        check(&canonical, &desired)?;
        check(&canonical, &corner.everything().difference(&few(&gone)))?;
    }

    /// However it is split, an equal set is at rest.
    #[test]
    fn equal_sets_need_nothing(corner in corners(), a in ranges()) {
        let stored = stored(corner, &a);
        let change = cover_change(&stored, &corner.set(&a));
        prop_assert!(change.add.is_empty() && change.remove.is_empty());
        prop_assert_eq!(change.keep.len(), stored.len());
    }
}

#[test]
fn a_service_tag_goes_for_prefixes() {
    let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
    let stored = [entry(0, Admits::ServiceTag("ExampleService".into())), entry(1, Admits::Range(prefix.into()))];
    let change = cover_change(&stored, &[prefix].into_iter().collect());
    assert_eq!((change.keep, change.remove, change.add), (vec![&stored[1]], vec![&stored[0]], vec![]));
}
