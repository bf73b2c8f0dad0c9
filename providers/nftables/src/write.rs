//! Writes what changes around the elements into a transaction.

use tagwall_provider::{Family, PerFamily};

use crate::ffi;
use crate::layout::Layout;
use crate::netlink::message::{Batch, SetName};
use crate::netlink::wire::{self, attr, msg};
use crate::settings::TABLE;
use crate::skeleton::{ChainMend, Mend, SetMend, Skeleton};
use crate::snapshot::Structure;

/// The comment of the table, for people who come across it.
const TABLE_COMMENT: &str = "made by tagwall, do not edit";

/// Mends what differs, and empties the sets that have to be.
///
/// Everything takes effect at one instant, when the transaction commits: chains that are rewritten, or removed
/// and made again, leave no moment in which the ports are open or an admitted address is not.
pub(crate) fn mends(batch: &mut Batch, layout: &Layout, mend: &Mend, rebuilt: PerFamily<bool>) {
    match layout {
        Layout::Enforce(skeleton) => mend_skeleton(batch, skeleton, mend),
        Layout::Set(_) => {}
    }
    for family in Family::ALL {
        if let Some(set) = layout.set(family)
            && *rebuilt.get(family)
            && *mend.sets.get(family) == SetMend::Keep
        {
            batch.flush(set);
        }
    }
}

/// Wakes the table. Last: the kernel takes no new base chain from a transaction that has woken its table.
pub(crate) fn wake(batch: &mut Batch, mend: &Mend) {
    if mend.wake {
        ffi::new_table(batch, TABLE, TABLE_COMMENT);
    }
}

fn mend_skeleton(batch: &mut Batch, skeleton: &Skeleton, mend: &Mend) {
    let names = &skeleton.names;
    if mend.new_table {
        ffi::new_table(batch, TABLE, TABLE_COMMENT);
    }

    // What is referred to cannot be removed: rules go before the chains and sets that they name.
    let sets_again = Family::ALL.into_iter().any(|family| *mend.sets.get(family) == SetMend::Recreate);
    let admit = match mend.admit {
        ChainMend::Keep if sets_again => ChainMend::Rules,
        admit => admit,
    };
    let ports = match mend.ports {
        ChainMend::Keep if matches!(admit, ChainMend::Recreate | ChainMend::Create) => ChainMend::Rules,
        ports => ports,
    };
    for (name, chain) in [(&names.ports, ports), (&names.admit, admit)] {
        if matches!(chain, ChainMend::Rules | ChainMend::Policy | ChainMend::Recreate) {
            delete_rules(batch, name);
        }
    }
    for name in &mend.stray_chains {
        delete_rules(batch, name);
    }
    for (name, chain) in [(&names.ports, ports), (&names.admit, admit)] {
        if chain == ChainMend::Recreate {
            delete_chain(batch, name);
        }
    }
    for name in &mend.stray_chains {
        delete_chain(batch, name);
    }
    for name in &mend.stray_sets {
        delete_set(batch, name);
    }

    for family in Family::ALL {
        let name = names.sets.get(family);
        if *mend.sets.get(family) == SetMend::Recreate {
            delete_set(batch, name);
        }
        if *mend.sets.get(family) != SetMend::Keep {
            let set = SetName { family: wire::family::INET, table: TABLE, set: name };
            batch.new_set(set, family, &skeleton.mark);
        }
    }
    let chains =
        [(&names.admit, admit, None, &skeleton.admit), (&names.ports, ports, Some(skeleton.base), &skeleton.ports)];
    for (name, chain, base, rules) in chains {
        if matches!(chain, ChainMend::Create | ChainMend::Recreate | ChainMend::Policy) {
            ffi::new_chain(batch, TABLE, name, base, &skeleton.mark);
        }
        if chain != ChainMend::Keep {
            for rule in rules {
                ffi::new_rule(batch, TABLE, name, rule);
            }
        }
    }
}

/// Removes every chain and set whose comment says so, and the table where nothing else is in it. Answers how many
/// objects go.
pub(crate) fn removal(batch: &mut Batch, seen: &Structure, goes: impl Fn(Option<&str>) -> bool) -> u64 {
    let chains: Vec<&str> =
        seen.chains.iter().filter(|chain| goes(chain.comment.as_deref())).map(|chain| chain.name.as_str()).collect();
    let sets: Vec<&str> =
        seen.sets.iter().filter(|set| goes(set.comment.as_deref())).map(|set| set.name.as_str()).collect();
    let count = (chains.len() + sets.len()) as u64;
    if count == 0 {
        return 0;
    }
    for name in &chains {
        delete_rules(batch, name);
    }
    for name in &chains {
        delete_chain(batch, name);
    }
    for name in &sets {
        delete_set(batch, name);
    }
    // The table counts its chains, its sets, and whatever else is in it. Nothing but ours, then nothing is left.
    if seen.table.as_ref().is_some_and(|table| u64::from(table.holds) == count) {
        batch.message(msg::DEL_TABLE, 0, wire::family::INET, |writer| writer.put_text(attr::TABLE_NAME, TABLE));
        return count + 1;
    }
    count
}

fn delete_rules(batch: &mut Batch, chain: &str) {
    batch.message(msg::DEL_RULE, 0, wire::family::INET, |writer| {
        writer.put_text(attr::RULE_TABLE, TABLE);
        writer.put_text(attr::RULE_CHAIN, chain);
    });
}

fn delete_chain(batch: &mut Batch, chain: &str) {
    batch.message(msg::DEL_CHAIN, 0, wire::family::INET, |writer| {
        writer.put_text(attr::CHAIN_TABLE, TABLE);
        writer.put_text(attr::CHAIN_NAME, chain);
    });
}

fn delete_set(batch: &mut Batch, set: &str) {
    batch.message(msg::DEL_SET, 0, wire::family::INET, |writer| {
        writer.put_text(attr::SET_TABLE, TABLE);
        writer.put_text(attr::SET_NAME, set);
    });
}
