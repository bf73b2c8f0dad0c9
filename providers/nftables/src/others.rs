//! What other base chains do to the target's ports: a packet has to come through all of them, so tagwall can only
//! narrow what they let through.

use tagwall_provider::{Family, Foreign, ForeignEffect, OwnerMark};

use crate::consequence::ports_named;
use crate::model::{End, Model, Packet, Source};
use crate::netlink::parse::{ChainSeen, HookSeen};
use crate::netlink::wire::{self, family};
use crate::observe::orphaned;
use crate::settings::{Settings, TABLE};
use crate::skeleton::{Skeleton, hook_name};
use crate::snapshot::{Snapshot, Structure};

/// What one chain does to some ports.
#[derive(Debug)]
struct Finding {
    effect: ForeignEffect,
    why: String,
    ports: Vec<u16>,
    families: Vec<Family>,
}

/// Whether a base chain has a say in what becomes of the target's packets, and is none of the target's.
pub(crate) fn bears_on(skeleton: &Skeleton, chain: &ChainSeen) -> bool {
    let Some(hook) = &chain.hook else { return false };
    let of_ip = [family::INET, family::IP, family::IP6].contains(&chain.family);
    let ours = is_in_our_table(chain)
        && (chain.name == skeleton.names.ports || chain.comment.as_ref() == Some(&skeleton.mark));
    // Another target that looks at packets before DNAT judges those that stay here as well.
    let by_mark = mark(chain).is_some() && [wire::HOOK_PREROUTING, wire::HOOK_INPUT].contains(&hook.number);
    of_ip && !ours && (hook.number == skeleton.base.hook || by_mark)
}

/// Tells of those that close the ports, or may, to addresses of a family of which some are admitted.
pub(crate) fn foreign(settings: &Settings, skeleton: &Skeleton, seen: &Snapshot, others: &[Structure]) -> Vec<Foreign> {
    let admits = |family: &Family| !seen.stored.get(*family).ranges.is_empty();
    // Before the first pass nobody is admitted yet.
    let families: Vec<Family> = match Family::ALL.into_iter().filter(admits).collect::<Vec<_>>() {
        none if none.is_empty() => Family::ALL.to_vec(),
        some => some,
    };
    let mut foreign = Vec::new();
    for structure in others {
        for chain in &structure.chains {
            let Some(hook) = &chain.hook else { continue };
            let findings = findings(skeleton, structure, (chain, hook), &families);
            foreign.extend(findings.into_iter().map(|finding| {
                let description = finding.told(settings, skeleton, structure, chain, hook);
                Foreign { description, effect: finding.effect }
            }));
        }
    }
    foreign
}

fn findings(
    skeleton: &Skeleton,
    structure: &Structure,
    (chain, hook): (&ChainSeen, &HookSeen),
    families: &[Family],
) -> Vec<Finding> {
    let model = Model { skeleton, structure, stored: None };
    let mark = mark(chain);
    let mut findings: Vec<Finding> = Vec::new();
    for &port in &skeleton.port_numbers {
        for family in families.iter().copied().filter(|family| sees(chain, *family)) {
            let (mut ends, out) = model.follow(&chain.name, Packet { family, source: Source::Admitted, port });
            let why = || format!("its policy is {}", if hook.drops { "drop" } else { "accept" });
            ends.extend(out.map(|_| End { accepted: !hook.drops, certain: true, about_port: false, why: why() }));
            let Some((effect, why)) = judged(&ends, mark.as_ref()) else { continue };
            match findings.iter_mut().find(|known| known.effect == effect && known.why == why) {
                Some(known) => {
                    known.ports.extend((!known.ports.contains(&port)).then_some(port));
                    known.families.extend((!known.families.contains(&family)).then_some(family));
                }
                None => findings.push(Finding { effect, why, ports: vec![port], families: vec![family] }),
            }
        }
    }
    findings
}

/// What the ends that a packet may come to mean for those that we admit.
///
/// Where all is as usual the packet comes to the first end that is certain. What other rules single out counts where
/// it is the port, or where it may be the way in; that some addresses or odd packets are dropped does not.
fn judged(ends: &[End], mark: Option<&OwnerMark>) -> Option<(ForeignEffect, String)> {
    let drops = ends.iter().find(|end| !end.accepted)?;
    if let Some(mark) = mark {
        return Some((ForeignEffect::Judges(mark.clone()), String::new()));
    }
    let usual = ends.iter().find(|end| end.certain).unwrap_or(drops);
    if usual.accepted {
        let about_port = ends.iter().find(|end| !end.accepted && end.about_port)?;
        return Some((ForeignEffect::MayBlock, about_port.why.clone()));
    }
    let blocks = ends.iter().all(|end| !end.accepted);
    Some((if blocks { ForeignEffect::Blocks } else { ForeignEffect::MayBlock }, usual.why.clone()))
}

impl Finding {
    fn told(
        &self,
        settings: &Settings,
        skeleton: &Skeleton,
        structure: &Structure,
        chain: &ChainSeen,
        hook: &HookSeen,
    ) -> String {
        let ChainSeen { name, table, .. } = chain;
        let of = family_name(chain);
        let ports = ports_named(skeleton.protocol, &self.ports);
        let hook = hook_name(hook.number);
        let whose = match self.families[..] {
            [family] if chain.family == family::INET => format!(" of {family} packets"),
            _ => String::new(),
        };
        let drops = match &self.effect {
            ForeignEffect::Judges(mark) => {
                let (whose, remedy) = judge(settings, chain, mark);
                return format!(
                    "chain {name} of table {of} {table} ({whose}) judges {ports} on {hook} as well: only what both admit gets through; {remedy}"
                );
            }
            ForeignEffect::MayBlock => "may drop",
            _ => "drops",
        };
        format!(
            "chain {name} of table {of} {table} {drops} {ports}{whose} on {hook}: {}; tagwall can only narrow what others let through, so let everybody through there: {}",
            self.why,
            remedy(skeleton, structure, chain, &self.ports)
        )
    }
}

/// Whose a chain with a mark is, and what to do about it.
fn judge(settings: &Settings, chain: &ChainSeen, mark: &OwnerMark) -> (String, String) {
    let (owner, target) = (mark.owner(), mark.target());
    if owner != settings.mark.owner() {
        let remedy = "leave the ports to one of the configurations, and run `tagwall withdraw` with the other";
        (format!("of target `{target}` of owner `{owner}`"), remedy.to_owned())
    } else if orphaned(settings, chain.comment.as_deref()).is_some() {
        let remedy = "`tagwall withdraw --orphans` removes it";
        (format!("of target `{target}`, which is configured no longer"), remedy.to_owned())
    } else {
        let remedy = "a target that names the lists of both admits what either does";
        (format!("of target `{target}`"), remedy.to_owned())
    }
}

/// How the ports are opened with the program that made a chain, as far as it can be told.
fn remedy(skeleton: &Skeleton, structure: &Structure, chain: &ChainSeen, ports: &[u16]) -> String {
    let protocol = skeleton.protocol;
    let each = |command: &dyn Fn(u16) -> String| ports.iter().map(|port| command(*port)).collect::<Vec<_>>().join(" ");
    let iptables = [family::IP, family::IP6].contains(&chain.family) && chain.name == "INPUT";
    let made_by_ufw = ["ufw-before-input", "ufw6-before-input"].iter().any(|chain| structure.has_read(chain));
    if chain.table == "firewalld" {
        let opened = each(&|port| format!("--add-port={port}/{protocol}"));
        format!("`firewall-cmd --permanent {opened}`, then `firewall-cmd --reload`")
    } else if iptables && made_by_ufw {
        each(&|port| format!("`ufw allow {port}/{protocol}`"))
    } else if iptables {
        let program = if chain.family == family::IP { "iptables" } else { "ip6tables" };
        each(&|port| format!("`{program} -I INPUT -p {protocol} --dport {port} -j ACCEPT`"))
    } else {
        let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
        let listed = if let [one] = &listed[..] { one.clone() } else { format!("{{ {} }}", listed.join(", ")) };
        let ChainSeen { table, name, .. } = chain;
        format!("`nft insert rule {} {table} {name} {protocol} dport {listed} accept`", family_name(chain))
    }
}

fn is_in_our_table(chain: &ChainSeen) -> bool {
    chain.family == family::INET && chain.table == TABLE
}

/// The mark of a chain of tagwall's, anybody's.
fn mark(chain: &ChainSeen) -> Option<OwnerMark> {
    if is_in_our_table(chain) { chain.comment.as_deref()?.parse().ok() } else { None }
}

fn sees(chain: &ChainSeen, family: Family) -> bool {
    chain.family == family::INET || chain.family == if family == Family::V4 { family::IP } else { family::IP6 }
}

fn family_name(chain: &ChainSeen) -> &'static str {
    match chain.family {
        family::IP => "ip",
        family::IP6 => "ip6",
        _ => "inet",
    }
}
