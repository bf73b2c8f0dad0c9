//! Steps in prefix lists as calls of the sizes that EC2 takes.

use std::collections::BTreeSet;

use tagwall_provider::{Cause, Family, IpNet, Operation, PerFamily, ProviderError, Step, Steps};

use crate::batches::{none_of_ours, prefix_of};
use crate::prefix_list::{Form, PrefixList, slot_of};

/// How many entries one call adds and removes. AWS documents 100 for adding; both together are kept within it.
pub const MOST_ENTRIES_A_CALL: usize = 100;
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

/// The calls that make the steps: for each family a resize where the list has to grow, then versions of 100 changes,
/// in the order of the steps. Where all of them fit into one call nobody ever sees less than old or new whole.
///
/// # Errors
/// [`ProviderError::Rejected`] where a step is none of `place`'s; [`ProviderError::Conflict`] where what is to come
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
pub(crate) struct Change {
    add: Vec<IpNet>,
    remove: Vec<IpNet>,
}

pub(crate) fn changes(steps: &[&Step]) -> Result<Vec<Change>, ProviderError> {
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
pub(crate) fn peak(held: u64, changes: &[Change]) -> u64 {
    let mut now = held;
    let peaks = changes.iter().map(|change| {
        let most = now + change.add.len() as u64;
        now = most.saturating_sub(change.remove.len() as u64);
        most
    });
    peaks.fold(held, u64::max)
}
