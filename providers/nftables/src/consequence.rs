//! What drift means: who can connect that should not, and who cannot that should.
//!
//! A few packets are followed through the chains as they stand: the first of a connection from a stranger, from an
//! admitted address, from this host itself, and to a port that is none of the target's. Where the model cannot
//! know whether a rule matches, both are taken for possible, and the line says "may".

use tagwall_provider::Family;

use crate::netlink::parse::{ChainSeen, HookSeen};
use crate::netlink::wire;
use crate::rule::{Cmp, Expr, Rule, Verdict};
use crate::settings::{Protocol, TABLE};
use crate::skeleton::{Skeleton, hook_name};
use crate::snapshot::Snapshot;

/// How many chains one after the other are followed: ours are two, and few are ever read.
const DEEPEST: usize = 4;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stranger,
    Admitted,
    ThisHost,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    family: Family,
    source: Source,
    port: u16,
}

/// How a packet's way may end, and by what.
#[derive(Debug)]
struct End {
    accepted: bool,
    why: String,
}

/// What a rule's register holds.
#[derive(Debug)]
enum Register {
    Known(Vec<u8>),
    /// Anything but this.
    Not(Vec<u8>),
    Source,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    No,
    Maybe,
    Yes,
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
        for (chain, hook) in self.seen_by() {
            let mut ends = Vec::new();
            if let Some(last) = self.follow(&chain.name, packet, DEEPEST, &mut ends) {
                ends.push(self.by_policy(chain, hook, &last));
            }
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
        let chains = self.seen.structure.own_chains().filter(move |_| !dormant);
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
        match self.seen.structure.own_chains().find(|chain| chain.name == *name) {
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
        End { accepted: !hook.drops, why }
    }

    /// Follows a packet through a chain. Answers the chain that it may come out of at the end, which is another
    /// one where this one hands it over for good.
    fn follow(&self, chain: &str, packet: Packet, depth: usize, ends: &mut Vec<End>) -> Option<String> {
        if depth == 0 || !self.seen.structure.has_read(chain) {
            let why = format!("what chain {chain} does is not known");
            ends.extend([true, false].map(|accepted| End { accepted, why: why.clone() }));
            return Some(chain.to_owned());
        }
        let mut comes_out = None;
        for rule in self.seen.structure.rules(chain) {
            let (matched, verdict) = self.judge(rule, packet);
            let goes_on = match verdict {
                _ if matched == Match::No => continue,
                None => true,
                Some(Verdict::Accept) => {
                    ends.push(self.end(true, rule, chain, packet));
                    false
                }
                Some(Verdict::Drop) => {
                    ends.push(self.end(false, rule, chain, packet));
                    false
                }
                Some(Verdict::Return) => {
                    comes_out = Some(chain.to_owned());
                    false
                }
                Some(Verdict::Jump(next)) => self.follow(next, packet, depth - 1, ends).is_some(),
                Some(Verdict::Goto(next)) => {
                    comes_out = self.follow(next, packet, depth - 1, ends).or(comes_out);
                    false
                }
            };
            if matched == Match::Yes && !goes_on {
                return comes_out;
            }
        }
        Some(chain.to_owned())
    }

    fn end(&self, accepted: bool, rule: &Rule, chain: &str, packet: Packet) -> End {
        let of_ours = self.skeleton.admit.iter().any(|ours| ours.exprs == rule.exprs);
        let set = self.skeleton.names.sets.get(packet.family);
        let looks_up = rule.exprs.iter().any(|expr| matches!(expr, Expr::Lookup(name) if name == set));
        let why = if accepted && looks_up && self.admits_everybody(packet.family) {
            format!("set {set} has a catch-all element")
        } else if accepted {
            format!("the rule `{rule}` of chain {chain} accepts")
        } else if of_ours {
            format!("nothing in chain {chain} accepts before the rule `{rule}`")
        } else {
            format!("the rule `{rule}` of chain {chain} drops")
        };
        End { accepted, why }
    }

    /// Whether a rule matches a packet, and what it then says.
    fn judge<'r>(&self, rule: &'r Rule, packet: Packet) -> (Match, Option<&'r Verdict>) {
        let (mut register, mut matched) = (Register::Unknown, Match::Yes);
        for expr in &rule.exprs {
            let holds = match expr {
                Expr::Counter => Match::Yes,
                Expr::Verdict(verdict) => return (matched, Some(verdict)),
                Expr::Other(name) if name == "reject" => return (matched, Some(&Verdict::Drop)),
                Expr::Cmp(cmp, value) => compare(&register, *cmp, value),
                Expr::Lookup(set) => self.look_up(&register, set, packet),
                Expr::Bitwise { mask, xor } => {
                    register = masked(&register, mask, xor);
                    Match::Yes
                }
                Expr::Other(_) => {
                    register = Register::Unknown;
                    Match::Maybe
                }
                load => {
                    register = self.load(load, packet);
                    Match::Yes
                }
            };
            match holds {
                Match::No => return (Match::No, None),
                Match::Maybe => matched = Match::Maybe,
                Match::Yes => {}
            }
        }
        (matched, None)
    }

    fn load(&self, load: &Expr, packet: Packet) -> Register {
        const NEW: u32 = 8;
        const LOCAL: u32 = 2;
        let known = |bytes: &[u8]| Register::Known(bytes.to_vec());
        let loopback = 1u32.to_ne_bytes();
        match (load, packet.family) {
            (&Expr::IIF, _) if packet.source == Source::ThisHost => known(&loopback),
            (&Expr::IIF, _) => Register::Not(loopback.to_vec()),
            (&Expr::NFPROTO, Family::V4) => known(&[wire::family::IP]),
            (&Expr::NFPROTO, Family::V6) => known(&[wire::family::IP6]),
            (&Expr::L4PROTO, _) => known(&[self.skeleton.protocol.number()]),
            (&Expr::CT_STATE, _) => known(&NEW.to_ne_bytes()),
            (&Expr::DESTINATION_TYPE, _) => known(&LOCAL.to_ne_bytes()),
            (&Expr::DESTINATION_PORT, _) => known(&packet.port.to_be_bytes()),
            (&Expr::SOURCE_V4, Family::V4) | (&Expr::SOURCE_V6, Family::V6) => Register::Source,
            _ => Register::Unknown,
        }
    }

    fn look_up(&self, register: &Register, set: &str, packet: Packet) -> Match {
        let ours = self.skeleton.names.sets.get(packet.family);
        if set != ours || !matches!(register, Register::Source) {
            return Match::Maybe;
        }
        let inside = packet.source == Source::Admitted || self.admits_everybody(packet.family);
        if inside { Match::Yes } else { Match::No }
    }

    fn admits_everybody(&self, family: Family) -> bool {
        self.seen.stored.get(family).catch_all
    }

    /// A set that is gone admitted somebody once, for all that is known.
    fn admits_somebody(&self, family: Family) -> bool {
        let gone = self.seen.structure.set(self.skeleton.names.sets.get(family)).is_none();
        gone || !self.seen.stored.get(family).ranges.is_empty()
    }
}

fn compare(register: &Register, cmp: Cmp, value: &[u8]) -> Match {
    let equal = match register {
        Register::Known(bytes) => **bytes == *value,
        Register::Not(bytes) if **bytes == *value => false,
        Register::Not(_) | Register::Source | Register::Unknown => return Match::Maybe,
    };
    if equal == (cmp == Cmp::Equal) { Match::Yes } else { Match::No }
}

fn masked(register: &Register, mask: &[u8], xor: &[u8]) -> Register {
    match register {
        Register::Known(bytes) if bytes.len() == mask.len() && bytes.len() == xor.len() => {
            let bits = bytes.iter().zip(mask).zip(xor);
            Register::Known(bits.map(|((byte, mask), xor)| byte & mask ^ xor).collect())
        }
        _ => Register::Unknown,
    }
}
