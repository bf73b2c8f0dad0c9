//! What becomes of a packet in chains as they stand.
//!
//! It is the first of a connection, and followed rule by rule. Where the model cannot know whether a rule matches,
//! both are taken for possible.

use std::cell::Cell;

use tagwall_provider::{Family, PerFamily};

use crate::netlink::wire;
use crate::rule::{Cmp, Expr, Rule, Verdict};
use crate::skeleton::Skeleton;
use crate::snapshot::Structure;
use crate::stored::Stored;

/// The state of a connection that begins: the bit of `ct state`.
const NEW: u32 = 8;
/// How many chains one after the other are followed: as many as the kernel does.
const DEEPEST: usize = 16;
/// How many chains are followed for one packet. Chains that lead to each other by many ways take no end otherwise.
const MOST_VISITS: usize = 2000;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stranger,
    Admitted,
    ThisHost,
}

/// The first packet of a connection to this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) family: Family,
    pub(crate) source: Source,
    pub(crate) port: u16,
}

/// How a packet's way may end, and by what.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) accepted: bool,
    /// Whether every rule on the way matches for certain: the first end of which this holds is the usual one.
    pub(crate) certain: bool,
    /// Whether a rule on the way asked for just this port.
    pub(crate) about_port: bool,
    pub(crate) why: String,
}

/// The chains of one table, with what is known of its sets.
pub(crate) struct Model<'a> {
    pub(crate) skeleton: &'a Skeleton,
    pub(crate) structure: &'a Structure,
    /// What stands in the target's own sets; nothing in somebody else's table, which has none of these.
    pub(crate) stored: Option<&'a PerFamily<Stored>>,
}

/// What is known on the way to a rule.
#[derive(Clone, Copy, Debug)]
struct Way {
    packet: Packet,
    depth: usize,
    certain: bool,
    about_port: bool,
}

/// What a rule says to a packet that it matches.
#[derive(Clone, Copy, Debug)]
enum Says<'a> {
    Nothing,
    Verdict(&'a Verdict),
    /// Something that may end the packet's way: a map of verdicts, a queue.
    Anything,
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

impl Model<'_> {
    /// Follows a packet from a chain on. Answers the ends that it may come to, and the chain that it may come out of
    /// at its end, which is another one where this one hands it over for good.
    pub(crate) fn follow(&self, chain: &str, packet: Packet) -> (Vec<End>, Option<String>) {
        let mut ends = Vec::new();
        let way = Way { packet, depth: DEEPEST, certain: true, about_port: false };
        let out = self.follow_on(chain, way, &Cell::new(MOST_VISITS), &mut ends);
        (ends, out)
    }

    fn follow_on(&self, chain: &str, way: Way, visits: &Cell<usize>, ends: &mut Vec<End>) -> Option<String> {
        let unknown = |way: Way, why: String| {
            let end = move |accepted| End { accepted, certain: false, about_port: way.about_port, why: why.clone() };
            [true, false].map(end)
        };
        if way.depth == 0 || visits.get() == 0 || !self.structure.has_read(chain) {
            ends.extend(unknown(way, format!("what chain {chain} does is not known")));
            return Some(chain.to_owned());
        }
        visits.set(visits.get() - 1);
        let mut comes_out = None;
        for rule in self.structure.rules(chain) {
            let (matched, says, about_port) = self.judge(rule, way.packet);
            let here = Way {
                certain: way.certain && matched == Match::Yes,
                about_port: way.about_port || about_port,
                depth: way.depth - 1,
                ..way
            };
            let goes_on = match says {
                _ if matched == Match::No => continue,
                Says::Nothing => true,
                Says::Anything => {
                    ends.extend(unknown(here, format!("what the rule `{rule}` of chain {chain} does is not known")));
                    true
                }
                Says::Verdict(verdict @ (Verdict::Accept | Verdict::Drop)) => {
                    let accepted = *verdict == Verdict::Accept;
                    let why = self.why(accepted, rule, chain, way.packet);
                    ends.push(End { accepted, certain: here.certain, about_port: here.about_port, why });
                    false
                }
                Says::Verdict(Verdict::Return) => {
                    comes_out = Some(chain.to_owned());
                    false
                }
                Says::Verdict(Verdict::Jump(next)) => self.follow_on(next, here, visits, ends).is_some(),
                Says::Verdict(Verdict::Goto(next)) => {
                    comes_out = self.follow_on(next, here, visits, ends).or(comes_out);
                    false
                }
            };
            if matched == Match::Yes && !goes_on {
                return comes_out;
            }
        }
        Some(chain.to_owned())
    }

    fn why(&self, accepted: bool, rule: &Rule, chain: &str, packet: Packet) -> String {
        let of_ours = self.skeleton.admit.iter().any(|ours| ours.exprs == rule.exprs);
        let set = self.skeleton.names.sets.get(packet.family);
        let looks_up = rule.exprs.iter().any(|expr| matches!(expr, Expr::Lookup(name) if name == set));
        if accepted && looks_up && self.admits_everybody(packet.family) {
            format!("set {set} has a catch-all element")
        } else if accepted {
            format!("the rule `{rule}` of chain {chain} accepts")
        } else if of_ours {
            format!("nothing in chain {chain} accepts before the rule `{rule}`")
        } else {
            format!("the rule `{rule}` of chain {chain} drops")
        }
    }

    /// Whether a rule matches a packet, what it then says, and whether it asked for just its port.
    fn judge<'r>(&self, rule: &'r Rule, packet: Packet) -> (Match, Says<'r>, bool) {
        let (mut register, mut matched, mut about_port) = (Register::Unknown, Match::Yes, false);
        let mut port_loaded = false;
        for expr in &rule.exprs {
            let holds = match expr {
                Expr::Counter => Match::Yes,
                Expr::States(bits) if bits & NEW != 0 => Match::Yes,
                Expr::States(_) => Match::No,
                Expr::Verdict(verdict) => return (matched, Says::Verdict(verdict), about_port),
                Expr::Other(name) => match name.as_str() {
                    "reject" => return (matched, Says::Verdict(&Verdict::Drop), about_port),
                    // Translated, and let go on.
                    "nat" | "masq" | "redir" => return (matched, Says::Verdict(&Verdict::Accept), about_port),
                    "map" | "immediate" | "target" | "queue" | "tproxy" | "synproxy" => {
                        return (Match::Maybe, Says::Anything, about_port || port_loaded);
                    }
                    "log" | "last" | "notrack" => Match::Yes,
                    other => {
                        register = Register::Unknown;
                        // A value for what comes next is put there whatever the packet.
                        if other == "value" { Match::Yes } else { Match::Maybe }
                    }
                },
                Expr::Cmp(cmp, value) => {
                    about_port |= port_loaded && *cmp == Cmp::Equal;
                    compare(&register, *cmp, value)
                }
                Expr::Lookup(set) => {
                    about_port |= port_loaded;
                    self.look_up(&register, set, packet)
                }
                Expr::Bitwise { mask, xor } => {
                    register = masked(&register, mask, xor);
                    Match::Yes
                }
                load => {
                    port_loaded = *load == Expr::DESTINATION_PORT;
                    register = self.load(load, packet);
                    Match::Yes
                }
            };
            match holds {
                Match::No => return (Match::No, Says::Nothing, false),
                Match::Maybe => matched = Match::Maybe,
                Match::Yes => {}
            }
        }
        (matched, Says::Nothing, about_port)
    }

    fn load(&self, load: &Expr, packet: Packet) -> Register {
        const LOCAL: u32 = 2;
        let known = |bytes: &[u8]| Register::Known(bytes.to_vec());
        let from_here = packet.source == Source::ThisHost;
        let (loopback, name) = (1u32.to_ne_bytes(), *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        match (load, packet.family) {
            (&Expr::IIF, _) if from_here => known(&loopback),
            (&Expr::IIF, _) => Register::Not(loopback.to_vec()),
            (&Expr::IIFNAME, _) if from_here => known(&name),
            (&Expr::IIFNAME, _) => Register::Not(name.to_vec()),
            (&Expr::NFPROTO, Family::V4) => known(&[wire::family::IP]),
            (&Expr::NFPROTO, Family::V6) => known(&[wire::family::IP6]),
            (&Expr::L4PROTO, _) => known(&[self.skeleton.protocol.number()]),
            (&Expr::CT_STATE, _) => known(&NEW.to_ne_bytes()),
            // Not confirmed, not translated.
            (&Expr::CT_STATUS, _) => known(&0u32.to_ne_bytes()),
            (&Expr::DESTINATION_TYPE, _) => known(&LOCAL.to_ne_bytes()),
            (&Expr::DESTINATION_PORT, _) => known(&packet.port.to_be_bytes()),
            (&Expr::SOURCE_V4, Family::V4) | (&Expr::SOURCE_V6, Family::V6) => Register::Source,
            _ => Register::Unknown,
        }
    }

    fn look_up(&self, register: &Register, set: &str, packet: Packet) -> Match {
        let inside = match (register, self.stored) {
            (Register::Known(key), _) => self.structure.holds(set, key),
            (Register::Source, Some(_)) if set == self.skeleton.names.sets.get(packet.family) => {
                Some(packet.source == Source::Admitted || self.admits_everybody(packet.family))
            }
            _ => None,
        };
        match inside {
            None => Match::Maybe,
            Some(true) => Match::Yes,
            Some(false) => Match::No,
        }
    }

    fn admits_everybody(&self, family: Family) -> bool {
        self.stored.is_some_and(|stored| stored.get(family).catch_all)
    }
}

fn compare(register: &Register, cmp: Cmp, value: &[u8]) -> Match {
    let equal = match register {
        Register::Known(bytes) => bytes.starts_with(value),
        // Of a name, less than all of it may be asked for.
        Register::Not(bytes) if without_zeros(bytes) == without_zeros(value) => false,
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

fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}
