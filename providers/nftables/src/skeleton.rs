//! The skeleton of an enforcing target: what should stand around its entries, and what has to be mended.

use tagwall_provider::{Family, PerFamily};

use crate::consequence::ports_named;
use crate::netlink::message::{key_length, key_type};
use crate::netlink::parse::{ChainSeen, SetSeen};
use crate::netlink::wire;
use crate::rule::{Cmp, Expr, Rule, Verdict};
use crate::settings::{Established, Hook, Names, Protocol, Settings, TABLE};
use crate::snapshot::Structure;

/// Where a base chain hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BaseChain {
    /// `NF_INET_*`
    pub(crate) hook: u32,
    pub(crate) priority: i32,
}

/// What should stand around the entries of an enforcing target.
#[derive(Clone, Debug)]
pub(crate) struct Skeleton {
    pub(crate) mark: String,
    pub(crate) names: Names,
    pub(crate) base: BaseChain,
    pub(crate) ports: Vec<Rule>,
    pub(crate) admit: Vec<Rule>,
    pub(crate) hook: Hook,
    pub(crate) protocol: Protocol,
    pub(crate) port_numbers: Vec<u16>,
}

/// What has to happen to a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChainMend {
    #[default]
    Keep,
    Create,
    /// Its rules are not ours, or not all, or not in order.
    Rules,
    /// Its policy was changed, which has to be set back; its rules may be wrong as well and are written again.
    Policy,
    /// It hooks in somewhere else, or not at all: that cannot be changed in place.
    Recreate,
}

/// What has to happen to a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SetMend {
    #[default]
    Keep,
    Create,
    /// It has other keys or flags, which cannot be changed in place.
    Recreate,
}

/// How what stands there differs from what should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mend {
    /// Nothing of ours is there.
    pub(crate) absent: bool,
    /// What differs, a line each.
    pub(crate) lines: Vec<String>,
    /// What somebody else has put where ours would stand, a line each.
    pub(crate) occupied: Vec<String>,
    pub(crate) new_table: bool,
    /// The table sleeps: none of its chains is hooked in.
    pub(crate) wake: bool,
    pub(crate) ports: ChainMend,
    pub(crate) admit: ChainMend,
    pub(crate) sets: PerFamily<SetMend>,
    /// Chains and sets with our mark under names that are not ours any more.
    pub(crate) stray_chains: Vec<String>,
    pub(crate) stray_sets: Vec<String>,
}

impl Skeleton {
    pub(crate) fn new(settings: &Settings, hook: Hook, established: Established, priority: Option<i32>) -> Self {
        let names = Names::of(settings.mark.target());
        let mark = settings.mark.to_string();
        let rule = |exprs: Vec<Expr>| Rule { exprs, comment: Some(mark.clone()) };
        let verdict = Expr::Verdict;

        // The loopback interface is number 1 in every network namespace.
        let mut ports = vec![rule(vec![Expr::IIF, Expr::equals(&1u32.to_ne_bytes()), verdict(Verdict::Accept)])];
        for port in &settings.ports {
            let mut exprs = Vec::new();
            if hook == Hook::Prerouting {
                const RTN_LOCAL: u32 = 2;
                exprs.extend([Expr::DESTINATION_TYPE, Expr::equals(&RTN_LOCAL.to_ne_bytes())]);
            }
            exprs.extend([Expr::L4PROTO, Expr::equals(&[settings.protocol.number()])]);
            exprs.extend([Expr::DESTINATION_PORT, Expr::equals(&port.to_be_bytes())]);
            exprs.push(verdict(Verdict::Goto(names.admit.clone())));
            ports.push(rule(exprs));
        }

        let mut admit = Vec::new();
        if established == Established::Keep {
            const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
            let either = Expr::Bitwise { mask: ESTABLISHED_OR_RELATED.to_ne_bytes().into(), xor: [0; 4].into() };
            let any = Expr::Cmp(Cmp::NotEqual, [0; 4].into());
            admit.push(rule(vec![Expr::CT_STATE, either, any, Expr::Counter, verdict(Verdict::Accept)]));
        }
        for family in Family::ALL {
            let (protocol, source) = match family {
                Family::V4 => (wire::family::IP, Expr::SOURCE_V4),
                Family::V6 => (wire::family::IP6, Expr::SOURCE_V6),
            };
            let lookup = Expr::Lookup(names.sets.get(family).clone());
            let from = [Expr::NFPROTO, Expr::equals(&[protocol]), source, lookup];
            admit.push(rule(from.into_iter().chain([Expr::Counter, verdict(Verdict::Accept)]).collect()));
        }
        admit.push(rule(vec![Expr::Counter, verdict(Verdict::Drop)]));

        let base = BaseChain { hook: hook.number(), priority: priority.unwrap_or(hook.priority()) };
        let (protocol, port_numbers) = (settings.protocol, settings.ports.clone());
        Self { mark, names, base, ports, admit, hook, protocol, port_numbers }
    }

    /// What making it from nothing is called.
    pub(crate) fn summary(&self) -> String {
        let ports = ports_named(self.protocol, &self.port_numbers);
        format!("create chains on {}, priority {}: closes {ports} to everybody else", self.hook, self.base.priority)
    }

    /// Compares with what stands there.
    pub(crate) fn compare(&self, seen: &Structure) -> Mend {
        let mut mend = Mend { absent: true, ..Mend::default() };
        match &seen.table {
            None => mend.new_table = true,
            Some(table) => {
                if table.flags & wire::TABLE_OWNED != 0 {
                    mend.occupied.push(format!("table inet {TABLE} is owned by a running process (flag `owner`)"));
                }
                if table.flags & wire::TABLE_DORMANT != 0 {
                    mend.wake = true;
                    mend.lines.push(format!("table inet {TABLE} is dormant: none of its chains sees a packet"));
                }
            }
        }
        mend.ports = self.compare_chain(seen, &self.names.ports, Some(self.base), &self.ports, &mut mend);
        mend.admit = self.compare_chain(seen, &self.names.admit, None, &self.admit, &mut mend);
        for family in Family::ALL {
            *mend.sets.get_mut(family) = self.compare_set(seen, family, &mut mend);
        }
        let named = [&self.names.ports, &self.names.admit];
        for chain in
            seen.chains.iter().filter(|chain| !named.contains(&&chain.name) && self.marked(chain.comment.as_ref()))
        {
            mend.lines.push(format!("chain {} carries the mark of this target and is no part of it", chain.name));
            mend.stray_chains.push(chain.name.clone());
        }
        let named = [&self.names.sets.v4, &self.names.sets.v6];
        for set in seen.sets.iter().filter(|set| !named.contains(&&set.name) && self.marked(set.comment.as_ref())) {
            mend.lines.push(format!("set {} carries the mark of this target and is no part of it", set.name));
            mend.stray_sets.push(set.name.clone());
        }
        mend.absent &= !mend.wake && mend.stray_chains.is_empty() && mend.stray_sets.is_empty();
        if mend.absent {
            // They all say that something is missing.
            mend.lines.clear();
        }
        mend
    }

    fn marked(&self, comment: Option<&String>) -> bool {
        comment == Some(&self.mark)
    }

    /// Says who else's an object is.
    fn occupant(&self, what: &str, name: &str, comment: Option<&String>) -> String {
        match comment {
            Some(comment) => format!("{what} {name} of table inet {TABLE} is not ours: its comment is `{comment}`"),
            None => format!("{what} {name} of table inet {TABLE} is not ours: it lacks the comment `{}`", self.mark),
        }
    }

    fn compare_chain(
        &self,
        seen: &Structure,
        name: &str,
        base: Option<BaseChain>,
        expected: &[Rule],
        mend: &mut Mend,
    ) -> ChainMend {
        let Some(chain) = seen.chain(name) else {
            mend.lines.push(format!("chain {name} is missing"));
            return ChainMend::Create;
        };
        if !self.marked(chain.comment.as_ref()) {
            mend.occupied.push(self.occupant("chain", name, chain.comment.as_ref()));
            return ChainMend::Keep;
        }
        mend.absent = false;
        if let Some(line) = self.misplaced(chain, base) {
            mend.lines.push(line);
            return ChainMend::Recreate;
        }
        let lines = mend.lines.len();
        let found: Vec<&Rule> = seen.rules(name).collect();
        compare_rules(name, &found, expected, &mut mend.lines);
        if chain.hook.as_ref().is_some_and(|hook| hook.drops) {
            mend.lines.push(format!("chain {name} has the policy drop, not accept"));
            return ChainMend::Policy;
        }
        if mend.lines.len() > lines { ChainMend::Rules } else { ChainMend::Keep }
    }

    /// Whether a chain hooks in elsewhere than it should.
    fn misplaced(&self, chain: &ChainSeen, base: Option<BaseChain>) -> Option<String> {
        let name = &chain.name;
        match (&chain.hook, base) {
            (None, None) => None,
            (Some(_), None) => Some(format!("chain {name} hooks in by itself, and should not")),
            (None, Some(_)) => Some(format!("chain {name} does not hook in")),
            (Some(hook), Some(base)) => {
                let same = hook.number == base.hook && hook.priority == base.priority && hook.kind == "filter";
                (!same).then(|| {
                    format!(
                        "chain {name} is of type {} on {} with priority {}, not filter on {} with priority {}",
                        hook.kind,
                        hook_name(hook.number),
                        hook.priority,
                        self.hook,
                        base.priority,
                    )
                })
            }
        }
    }

    fn compare_set(&self, seen: &Structure, family: Family, mend: &mut Mend) -> SetMend {
        let name = self.names.sets.get(family);
        let Some(set) = seen.set(name) else {
            mend.lines.push(format!("set {name} is missing"));
            return SetMend::Create;
        };
        if !self.marked(set.comment.as_ref()) {
            mend.occupied.push(self.occupant("set", name, set.comment.as_ref()));
            return SetMend::Keep;
        }
        mend.absent = false;
        if is_plain(set, family) {
            return SetMend::Keep;
        }
        mend.lines.push(format!("set {name} is no plain interval set of {family} addresses"));
        SetMend::Recreate
    }
}

/// Whether a set is as we make them.
fn is_plain(set: &SetSeen, family: Family) -> bool {
    set.key_type == key_type(family)
        && set.key_length == key_length(family)
        && set.flags == wire::set::INTERVAL
        && set.size == 0
        && !set.times_out
        && !set.has_statements
}

/// The name of a hook of inet tables.
pub(crate) fn hook_name(number: u32) -> &'static str {
    match number {
        wire::HOOK_PREROUTING => "prerouting",
        wire::HOOK_INPUT => "input",
        2 => "forward",
        3 => "output",
        4 => "postrouting",
        5 => "ingress",
        _ => "an unknown hook",
    }
}

fn compare_rules(chain: &str, found: &[&Rule], expected: &[Rule], lines: &mut Vec<String>) {
    if found.iter().copied().eq(expected) {
        return;
    }
    let before = lines.len();
    let mut unexpected = found.to_vec();
    let mut missing = Vec::new();
    for rule in expected {
        match unexpected.iter().position(|found| *found == rule) {
            Some(index) => drop(unexpected.remove(index)),
            None => missing.push(rule),
        }
    }
    for rule in missing {
        // The same rule with another comment is one line, not two.
        if let Some(index) = unexpected.iter().position(|found| found.exprs == rule.exprs) {
            unexpected.remove(index);
            lines.push(format!("chain {chain}: the rule `{rule}` has lost its comment"));
        } else {
            lines.push(format!("chain {chain}: the rule `{rule}` is missing or was changed"));
        }
    }
    lines.extend(unexpected.iter().map(|rule| format!("chain {chain}: the rule `{rule}` is none of ours")));
    if lines.len() == before {
        lines.push(format!("chain {chain}: its rules are not in order"));
    }
}
