//! Why an address is admitted, or is not. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;
use tagwall_provider::{Admits, Answer, Family, Foreign, ForeignEffect, IpNet, Observed, PrefixSet, Refusal, Skeleton};

use crate::config::{Config, List, Target};
use crate::desired::{Resolved, desired, resolve};
use crate::report::Failure;
use crate::source::{Publication, Tag};
use crate::state::State;
use crate::widening::widened;

/// What is known of one address.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The address.
    pub address: IpAddr,
    /// Each target's word on it.
    pub targets: Vec<OfTarget>,
    /// Every tag of the publication that holds it, the narrowest prefix first.
    pub tags: Vec<Holds>,
}

/// What a target makes of an address.
#[derive(Clone, Debug, Serialize)]
pub struct OfTarget {
    /// The target.
    pub name: String,
    /// The firewall object, in words.
    pub object: String,
    /// What becomes of it there.
    pub verdict: Verdict,
    /// The entries that let it in, and the object each stands in.
    pub entries: Vec<Stored>,
    /// Why its lists want it in; nothing where they do not.
    pub wanted: Vec<Wanted>,
    /// What the firewall said when it was asked for this one address: whether an entry of ours holds it. Null where it
    /// cannot be asked.
    pub asked: Option<bool>,
    /// Whether a rule that is not ours may keep it out.
    pub doubtful: bool,
    /// Other people's rules that admit it already, or that judge the same ports.
    pub foreign: Vec<String>,
    /// What is not as it should be around the entries.
    pub drift: Vec<String>,
    /// Why the firewall could not be read.
    pub error: Option<String>,
}

/// What becomes of an address at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// An entry of ours lets it in.
    Admitted,
    /// One does, and a rule that is not ours drops it.
    Blocked,
    /// None does, and a rule that is not ours does.
    AdmittedByOthers,
    /// None does.
    NotAdmitted,
    /// Our rules are not as they should be: what they do with it cannot be told by the entries.
    Unsure,
    /// Nothing of ours stands there: others' rules decide alone.
    NotEnforced,
    /// The firewall could not be read.
    Unknown,
}

/// An entry that lets an address in.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// The entry.
    pub entry: String,
    /// The object that it stands in: a set, a security group.
    pub within: String,
}

/// Why a list wants an address in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Wanted {
    /// A tag of the list holds it.
    Tag {
        /// The list.
        list: String,
        /// The tag.
        #[serde(flatten)]
        holds: Holds,
    },
    /// The configuration adds it.
    Extra {
        /// The list.
        list: String,
    },
    /// Microsoft dropped it, and a grace period holds it.
    Held {
        /// The list.
        list: String,
        /// When it goes.
        until: String,
    },
    /// No list wants it: the target takes it in to save prefixes.
    Widened,
}

/// A tag that holds an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holds {
    /// The tag.
    pub tag: String,
    /// The prefix of it that holds the address.
    #[serde(serialize_with = "as_text")]
    pub prefix: IpNet,
    /// Its region, empty for a global tag.
    pub region: String,
    /// The service that it belongs to, often empty.
    pub system_service: String,
}

fn as_text<S: serde::Serializer>(prefix: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(prefix)
}

/// Every tag that holds an address, the narrowest prefix first.
pub fn tags(address: IpAddr, publication: &Publication) -> Vec<Holds> {
    let mut tags: Vec<Holds> = publication.tags.iter().filter_map(|tag| holds(tag, address)).collect();
    tags.sort_unstable_by(|one, other| {
        other.prefix.prefix_len().cmp(&one.prefix.prefix_len()).then_with(|| one.tag.cmp(&other.tag))
    });
    tags
}

/// The narrowest prefix of a tag that holds an address.
fn holds(tag: &Tag, address: IpAddr) -> Option<Holds> {
    let prefix = match address {
        IpAddr::V4(address) => {
            let holding = tag.v4.iter().filter(|prefix| prefix.contains(&address));
            IpNet::V4(*holding.max_by_key(|prefix| prefix.prefix_len())?)
        }
        IpAddr::V6(address) => {
            let holding = tag.v6.iter().filter(|prefix| prefix.contains(&address));
            IpNet::V6(*holding.max_by_key(|prefix| prefix.prefix_len())?)
        }
    };
    let (region, system_service) = (tag.region.to_string(), tag.system_service.to_string());
    Some(Holds { tag: tag.name.to_string(), prefix, region, system_service })
}

/// Why the lists of a target want an address in.
pub fn wanted(
    address: IpAddr,
    target: &Target,
    config: &Config,
    state: &State,
    publication: Option<&Publication>,
) -> Vec<Wanted> {
    let lists: Vec<&List> = target.lists.iter().filter_map(|name| config.lists.get(name)).collect();
    let wanting = lists.iter().filter(|list| !list.exclude.contains(address));
    let wanted: Vec<Wanted> = wanting.flat_map(|list| by_list(address, list, state, publication)).collect();
    let is_widened =
        |publication| target.widen.is_some() && desired_of(target, config, state, publication).0.contains(address);
    match publication {
        Some(publication) if wanted.is_empty() && is_widened(publication) => vec![Wanted::Widened],
        _ => wanted,
    }
}

/// What a target should admit by a publication, with what stands against that. What its own limits would say of the
/// change is no part of it.
pub fn desired_of(
    target: &Target,
    config: &Config,
    state: &State,
    publication: &Publication,
) -> (PrefixSet, Vec<Refusal>) {
    let lists: Vec<&List> = target.lists.iter().filter_map(|name| config.lists.get(name)).collect();
    let mut refusals = Vec::new();
    let mut resolved = Vec::new();
    for list in &lists {
        let dropped = state.lists.get(&list.name).into_iter().flat_map(|record| &record.dropped);
        let held = dropped.map(|dropped| list.holds(dropped)).collect();
        let (of_list, refused) = resolve(list, publication);
        refusals.extend(refused);
        resolved.push(Resolved { held, ..of_list });
    }
    let desired = desired(&resolved.iter().collect::<Vec<_>>());
    let desired = match &target.widen {
        None => desired,
        Some(by) => widened(desired.clone(), by, &lists).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            desired
        }),
    };
    (desired.prefixes(), refusals)
}

fn by_list(address: IpAddr, list: &List, state: &State, publication: Option<&Publication>) -> Vec<Wanted> {
    let name = || list.name.clone();
    let extra = list.extra.contains(address).then(|| Wanted::Extra { list: name() });
    if !list.families.contains(&Family::of(address)) {
        return extra.into_iter().collect();
    }
    let tags = list.tags.iter().filter_map(|tag| holds(publication?.tag(tag)?, address));
    let tags: Vec<Wanted> = tags.map(|holds| Wanted::Tag { list: name(), holds }).collect();
    let dropped = state.lists.get(&list.name).into_iter().flat_map(|record| &record.dropped);
    let held = dropped.map(|dropped| list.holds(dropped)).filter(|held| held.prefixes.contains(address));
    let held: Vec<Wanted> = held.map(|held| Wanted::Held { list: name(), until: held.until }).collect();
    let held = held.into_iter().filter(|_| tags.is_empty() && extra.is_none());
    tags.iter().cloned().chain(extra.clone()).chain(held).collect()
}

impl OfTarget {
    /// What a target makes of an address, by what was read of it and what the firewall said when it was asked.
    pub fn new(
        address: IpAddr,
        target: &Target,
        wanted: Vec<Wanted>,
        publication: Option<&Publication>,
        read: Result<(&Observed, Answer), &Failure>,
    ) -> Self {
        let mut told = Self {
            name: target.name.clone(),
            object: target.backend.object(),
            verdict: Verdict::Unknown,
            entries: Vec::new(),
            wanted,
            asked: None,
            doubtful: false,
            foreign: Vec::new(),
            drift: Vec::new(),
            error: None,
        };
        let (observed, answer) = match read {
            Ok(read) => read,
            Err(failure) => {
                told.error = Some(failure.message.clone());
                return told;
            }
        };
        told.entries = stored(address, observed, publication);
        told.asked = match answer {
            Answer::NotAsked => None,
            Answer::Outside => Some(false),
            Answer::Inside => Some(true),
        };
        // Of one that admits nobody by address, such as a network by name, nobody here knows whom it admits.
        let bears = |foreign: &&Foreign| match &foreign.effect {
            ForeignEffect::Admits(set) => set.is_empty() || set.contains(address),
            _ => true,
        };
        told.foreign = observed.foreign.iter().filter(bears).map(|foreign| foreign.description.clone()).collect();
        let strange: Vec<String> = observed
            .entries
            .iter()
            .filter_map(|entry| match &entry.admits {
                Admits::ServiceTag(name) if publication.is_none_or(|publication| publication.tag(name).is_none()) => {
                    Some(format!("whom `{name}` means nobody here knows: the publication has no such tag"))
                }
                _ => None,
            })
            .collect();
        let others = || observed.foreign.iter().map(|foreign| &foreign.effect);
        let walled = others().any(|effect| *effect == ForeignEffect::Blocks);
        let admitted_by_others =
            others().any(|effect| matches!(effect, ForeignEffect::Admits(set) if set.contains(address)));
        told.doubtful = others().any(|effect| effect.closes() || *effect == ForeignEffect::MayBlock);
        told.verdict = match &observed.skeleton {
            Skeleton::Absent => Verdict::NotEnforced,
            // Our own rules let this host reach itself.
            Skeleton::Intact if address.is_loopback() && is_host(target) => Verdict::Admitted,
            Skeleton::Intact if told.entries.is_empty() && !strange.is_empty() => {
                told.drift.extend(strange);
                Verdict::Unsure
            }
            Skeleton::Intact if told.entries.is_empty() && admitted_by_others && !walled => Verdict::AdmittedByOthers,
            Skeleton::Intact if told.entries.is_empty() => Verdict::NotAdmitted,
            Skeleton::Intact if walled => Verdict::Blocked,
            Skeleton::Intact => Verdict::Admitted,
            Skeleton::Drifted(lines) => {
                told.drift.clone_from(lines);
                Verdict::Unsure
            }
        };
        told
    }
}

/// Whether the target's own rules guard this host.
fn is_host(target: &Target) -> bool {
    target.backend.is_local() && target.backend.unmarked_object().is_none()
}

/// The entries that hold an address. What a service tag holds only its vendor knows: as the publication has it.
fn stored(address: IpAddr, observed: &Observed, publication: Option<&Publication>) -> Vec<Stored> {
    let holding = observed.entries.iter().filter(|entry| match &entry.admits {
        Admits::Range(range) => {
            range.family() == Family::of(address) && range.first() <= address && address <= range.last()
        }
        Admits::ServiceTag(name) => {
            publication.and_then(|publication| holds(publication.tag(name)?, address)).is_some()
        }
    });
    let told = holding.map(|entry| {
        let room = observed.rooms.iter().find(|room| room.slot == entry.slot);
        Stored { entry: entry.admits.to_string(), within: room.map(|room| room.name.clone()).unwrap_or_default() }
    });
    told.collect()
}

/// What is known of an address, for people.
pub fn text(explained: &Explained, publication: Option<&Publication>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = written(&mut out, explained, publication);
    out
}

fn written(out: &mut String, explained: &Explained, publication: Option<&Publication>) -> std::fmt::Result {
    writeln!(out, "{}", explained.address)?;
    for target in &explained.targets {
        writeln!(out, "\n{}  {}", target.name, target.object)?;
        let by: Vec<String> =
            target.entries.iter().map(|stored| format!("{} in {}", stored.entry, stored.within)).collect();
        let by = by.join(", ");
        match target.verdict {
            Verdict::Admitted if by.is_empty() => writeln!(out, "  admitted: loopback always is")?,
            Verdict::Admitted if target.doubtful => {
                writeln!(out, "  admitted by {by}, unless a rule that is not ours keeps it out")?;
            }
            Verdict::Admitted => writeln!(out, "  admitted by {by}")?,
            Verdict::Blocked => writeln!(out, "  dropped by a rule that is not ours, though {by} admits it")?,
            Verdict::AdmittedByOthers => writeln!(out, "  not admitted by ours, but by a rule that is not ours")?,
            Verdict::NotAdmitted => writeln!(out, "  not admitted")?,
            Verdict::NotEnforced => writeln!(out, "  nothing of ours stands there: what else there is decides alone")?,
            Verdict::Unknown => writeln!(out, "  unknown: {}", target.error.as_deref().unwrap_or_default())?,
            Verdict::Unsure => {
                let entry = if by.is_empty() { "no entry holds it".to_owned() } else { format!("{by} holds it") };
                writeln!(out, "  unsure: {entry}, and the rules are not as they should be")?;
            }
        }
        for line in &target.drift {
            writeln!(out, "  ! {line}")?;
        }
        for wanted in &target.wanted {
            writeln!(out, "  {wanted}")?;
        }
        match publication {
            Some(_) if target.wanted.is_empty() => writeln!(out, "  wanted by none of its lists")?,
            None => writeln!(out, "  no publication is known: what its lists want cannot be told")?,
            Some(_) => {}
        }
        if let Some(asked) = target.asked {
            let said = if asked { "it is in" } else { "it is not in" };
            writeln!(out, "  the firewall itself, asked for this address: {said}")?;
        }
        for foreign in &target.foreign {
            writeln!(out, "  ! not ours: {foreign}")?;
        }
    }
    let Some(publication) = publication else { return Ok(()) };
    let date = publication.date.map(|date| format!(" of {date}")).unwrap_or_default();
    let (cloud, number) = (publication.cloud.document_name(), publication.change_number);
    if explained.tags.is_empty() {
        return writeln!(out, "\nNo tag of {cloud}, change number {number}{date}, holds it");
    }
    writeln!(out, "\nTags of {cloud}, change number {number}{date}, that hold it")?;
    let width = explained.tags.iter().map(|holds| holds.tag.len()).max().unwrap_or_default();
    for Holds { tag, prefix, region, system_service } in &explained.tags {
        let more: Vec<&str> =
            [region, system_service].into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let more = if more.is_empty() { String::new() } else { format!("  {}", more.join(", ")) };
        writeln!(out, "  {tag:width$}  {prefix}{more}")?;
    }
    Ok(())
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag { list, holds } => write!(f, "wanted by list {list}: tag {} has {}", holds.tag, holds.prefix),
            Self::Extra { list } => write!(f, "wanted by list {list}: its `extra` has it"),
            Self::Held { list, until } => write!(f, "wanted by list {list}: Microsoft dropped it, held until {until}"),
            Self::Widened => f.write_str("wanted by none of its lists: `widen` takes it in to save prefixes"),
        }
    }
}

#[cfg(test)]
mod tests;
