//! What drift means: who can connect that should not, and who cannot that should.
//!
//! A few packets are followed through the chains as they stand: from a stranger, from an admitted address, from this
//! host itself, and to a port that is none of the target's. Where the model cannot know, the line says "may".

use tagwall_provider::Family;

use crate::model::{End, Model, Packet, Source};
use crate::netlink::parse::{ChainSeen, HookSeen};
use crate::netlink::wire;
use crate::settings::{Protocol, TABLE};
use crate::skeleton::{Skeleton, hook_name};
use crate::snapshot::Snapshot;

/// What it means for the ports. In the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Open,
    EverythingElseClosed,
    Closed,
    ClosedToThisHost,
    MayBeOpen,
    MayBeClosed,
}

/// An effect and why, with whom it is for.
#[derive(Debug)]
struct Consequence {
    effect: Effect,
    why: String,
    ports: Vec<u16>,
    families: Vec<Family>,
}

/// What differs means this, a line each, the worst first. Nothing where the target does what it should.
pub(crate) fn consequences(skeleton: &Skeleton, seen: &Snapshot) -> Vec<String> {
    let world = World { skeleton, seen };
    let mut found: Vec<Consequence> = Vec::new();
    let mut note = |effect, why: &str, port, family| {
        let same = |known: &Consequence| known.effect == effect && known.why == why;
        let index = found.iter().position(same).unwrap_or_else(|| {
            found.push(Consequence { effect, why: why.to_owned(), ports: Vec::new(), families: Vec::new() });
            found.len() - 1
        });
        let known = &mut found[index];
        if !known.ports.contains(&port) {
            known.ports.push(port);
        }
        if !known.families.contains(&family) {
            known.families.push(family);
        }
    };
    for &port in &skeleton.port_numbers {
        for family in Family::ALL {
            let (accepts, drops) = world.ends(Packet { family, source: Source::Stranger, port });
            if let Some(why) = accepts {
                note(if drops.is_none() { Effect::Open } else { Effect::MayBeOpen }, &why, port, family);
            }
            if world.admits_somebody(family) {
                let (accepts, drops) = world.ends(Packet { family, source: Source::Admitted, port });
                if let Some(why) = drops {
                    note(if accepts.is_none() { Effect::Closed } else { Effect::MayBeClosed }, &why, port, family);
                }
            }
            if let (None, Some(why)) = world.ends(Packet { family, source: Source::ThisHost, port }) {
                note(Effect::ClosedToThisHost, &why, port, family);
            }
        }
    }
    if let Some(port) = (1..=u16::MAX).rev().find(|port| !skeleton.port_numbers.contains(port)) {
        for family in Family::ALL {
            if let (None, Some(why)) = world.ends(Packet { family, source: Source::Stranger, port }) {
                note(Effect::EverythingElseClosed, &why, port, family);
            }
        }
    }
    found.sort_by_key(|consequence| consequence.effect);
    found.iter().map(|consequence| consequence.line(skeleton)).collect()
}

impl Consequence {
    fn line(&self, skeleton: &Skeleton) -> String {
        let why = &self.why;
        let ports = |ports: &[u16]| ports_named(skeleton.protocol, ports);
        let (these, all) = (ports(&self.ports), ports(&skeleton.port_numbers));
        let are = if self.ports.len() == 1 { "is" } else { "are" };
        let (whole, family) = match self.families[..] {
            [family] => (false, format!("{family} ")),
            _ => (true, String::new()),
        };
        match self.effect {
            Effect::Open if whole => format!("{these} {are} open to everybody: {why}"),
            Effect::Open => format!("{these} {are} open to every {family}address: {why}"),
            Effect::EverythingElseClosed => format!("every {family}port but {all} is closed: {why}"),
            Effect::Closed => format!("{these} {are} closed to the admitted {family}addresses: {why}"),
            Effect::ClosedToThisHost => format!("{these} {are} closed to this host itself: {why}"),
            Effect::MayBeOpen => format!("{these} may be open to {family}addresses that are not admitted: {why}"),
            Effect::MayBeClosed => format!("{these} may be closed to admitted {family}addresses: {why}"),
        }
    }
}

/// Ports in a few words, however many there are.
pub(crate) fn ports_named(protocol: Protocol, ports: &[u16]) -> String {
    const SHOWN: usize = 4;
    let listed: Vec<String> = ports.iter().take(SHOWN).map(u16::to_string).collect();
    let listed = listed.join(", ");
    match ports.len() {
        1 => format!("{protocol} port {listed}"),
        2..=SHOWN => format!("{protocol} ports {listed}"),
        count => format!("{count} {protocol} ports ({listed}, …)"),
    }
}

struct World<'a> {
    skeleton: &'a Skeleton,
    seen: &'a Snapshot,
}

impl World<'_> {
    /// By what a packet may be accepted, and by what it may be dropped: the first of each.
    fn ends(&self, packet: Packet) -> (Option<String>, Option<String>) {
        let (mut accepts, mut drops) = (None, None);
        let mut passed = false;
        let model = Model { skeleton: self.skeleton, structure: &self.seen.structure, stored: Some(&self.seen.stored) };
        for (chain, hook) in self.seen_by() {
            let (mut ends, out) = model.follow(&chain.name, packet);
            ends.extend(out.map(|last| self.by_policy(chain, hook, &last)));
            let first = |accepted| ends.iter().find(|end| end.accepted == accepted).map(|end| end.why.clone());
            drops = drops.or(first(false));
            // Every chain has to accept.
            let accepted = first(true);
            accepts = if passed && (accepts.is_none() || accepted.is_none()) { None } else { accepts.or(accepted) };
            passed = true;
        }
        if passed { (accepts, drops) } else { (Some(self.why_unseen()), None) }
    }

    /// The chains that packets to the ports come by, also those of ours that have another name now.
    fn seen_by(&self) -> impl Iterator<Item = (&ChainSeen, &HookSeen)> {
        let dormant = self.seen.structure.table.as_ref().is_some_and(|table| table.flags & wire::TABLE_DORMANT != 0);
        let chains = self.seen.structure.chains.iter().filter(move |_| !dormant);
        let ours = chains.filter(|chain| {
            chain.name == self.skeleton.names.ports || chain.comment.as_ref() == Some(&self.skeleton.mark)
        });
        let hooked = ours.filter_map(|chain| chain.hook.as_ref().map(|hook| (chain, hook)));
        // What comes to this host comes by prerouting as well; what DNAT forwards never comes by input.
        hooked.filter(|(_, hook)| [self.skeleton.base.hook, wire::HOOK_PREROUTING].contains(&hook.number))
    }

    /// Why no packet comes by our rules at all.
    fn why_unseen(&self) -> String {
        let name = &self.skeleton.names.ports;
        match self.seen.structure.chain(name) {
            None => format!("chain {name} is missing"),
            Some(ChainSeen { hook: None, .. }) => format!("chain {name} does not hook in"),
            Some(ChainSeen { hook: Some(hook), .. }) if hook.number != self.skeleton.base.hook => {
                format!("chain {name} hooks in on {}, not on {}", hook_name(hook.number), self.skeleton.hook)
            }
            Some(_) => format!("table inet {TABLE} is dormant"),
        }
    }

    fn by_policy(&self, chain: &ChainSeen, hook: &HookSeen, last: &str) -> End {
        let why = if hook.drops {
            format!("chain {} has the policy drop", chain.name)
        } else if last == chain.name {
            format!("chain {last} does not send it to chain {}", self.skeleton.names.admit)
        } else {
            format!("nothing drops at the end of chain {last}")
        };
        End { accepted: !hook.drops, certain: true, about_port: false, why }
    }

    /// A set that is gone admitted somebody once, for all that is known.
    fn admits_somebody(&self, family: Family) -> bool {
        let gone = self.seen.structure.set(self.skeleton.names.sets.get(family)).is_none();
        gone || !self.seen.stored.get(family).ranges.is_empty()
    }
}
