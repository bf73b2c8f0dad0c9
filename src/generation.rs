//! Generations: what passes enforced, kept so that it can be enforced again.
//!
//! A generation holds the addresses themselves, so it needs no publication, no network and no parser of Microsoft's
//! files: it is what a boot without network restores, what drift is mended with, what a target is kept at while a
//! publication is refused, and what `rollback` goes back to. A pass that enforces other addresses than the one before
//! makes one; a pass that finds everything as it was makes none.
//!
//! What is the operator's own is taken from today's configuration, not from the file: `extra`, `exclude`, `families`,
//! ports. To go back to an older publication is not to undo an edit of one's own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tagwall_provider::PrefixSet;

use crate::config::{Config, Target};
use crate::desired::Resolved;
use crate::disk;
use crate::enforce::{Aim, JudgedList, JudgedLists};
use crate::grace::Dropped;
use crate::report::{Failure, Published};
use crate::source::Digest;

/// The version of a generation's file that this tagwall writes.
const VERSION: u32 = 1;

/// What a pass enforced, of every target.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Its number: 1 is the first.
    pub number: u64,
    /// Whose targets these are.
    pub owner: String,
    /// When it was first enforced.
    pub time: Timestamp,
    /// What made the pass: `sync`, `tick`, `start` …
    pub cause: String,
    /// Each target as it was last seen right.
    pub targets: BTreeMap<String, Enforced>,
}

/// What was enforced of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enforced {
    /// Its lists by name.
    pub lists: BTreeMap<String, Arc<EnforcedList>>,
    /// What it admitted beyond them, since the policy `add-only` removes nothing.
    pub left: PrefixSet,
    /// The publication that it went by.
    pub publication: Option<Named>,
}

/// What was enforced of one list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnforcedList {
    /// What its tags listed, exclusions taken out.
    pub listed: PrefixSet,
    /// What Microsoft had dropped and a grace period held.
    pub dropped: Vec<Dropped>,
    /// What the operator added.
    pub extra: PrefixSet,
}

impl EnforcedList {
    fn all(&self) -> PrefixSet {
        let own = self.listed.union(&self.extra);
        self.dropped.iter().fold(own, |sum, dropped| sum.union(&dropped.prefixes))
    }
}

/// A publication, by what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The date in its file name.
    pub date: Option<Date>,
    /// The hash of its bytes.
    #[serde(with = "crate::state::digest_text")]
    pub sha256: Digest,
}

impl From<&Published> for Named {
    fn from(published: &Published) -> Self {
        Self { change_number: published.change_number, date: published.date, sha256: published.sha256 }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "change number {}", self.change_number)?;
        self.date.map_or(Ok(()), |date| write!(f, " of {date}"))
    }
}

impl Enforced {
    /// Whether both come to the same addresses, list by list.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<EnforcedList>, &Arc<EnforcedList>)| {
            a.listed == b.listed && a.extra == b.extra && a.dropped == b.dropped
        };
        self.left == other.left
            && self.lists.keys().eq(other.lists.keys())
            && self.lists.values().zip(other.lists.values()).all(same)
    }

    /// All that it came to.
    pub fn all(&self) -> PrefixSet {
        self.lists.values().fold(self.left.clone(), |sum, list| sum.union(&list.all()))
    }

    /// What to keep the target at: its lists with what is the operator's own as it is today. Nothing stands against
    /// them: they were agreed to when they were enforced.
    ///
    /// Where the target has a list today that was not known then, a renamed one perhaps, nothing is taken away.
    pub fn today(&self, target: &Target, config: &Config, now: Timestamp) -> Aim {
        let of_list = |name: &String| {
            // Of a list that was not known then there is what the operator adds.
            let (list, stored) = (config.lists.get(name)?, self.lists.get(name).cloned().unwrap_or_default());
            let held = stored.dropped.iter().filter(|dropped| list.grace.holds(dropped, now));
            let resolved = Resolved {
                listed: list.wanted(&stored.listed),
                held: held.map(|dropped| list.holds(dropped)).collect(),
                extra: list.extra.difference(&list.exclude),
            };
            let judged = JudgedList { resolved, standing: Vec::new(), measured: true, dropped: Vec::new() };
            Some((name.clone(), Arc::new(judged)))
        };
        let lists: JudgedLists = target.lists.iter().filter_map(of_list).collect();
        let all_known = target.lists.iter().all(|name| self.lists.contains_key(name));
        let besides = if all_known { PrefixSet::new() } else { self.all() };
        // What every list of the target excludes is never admitted, wherever it comes from.
        let mut excluded = target.lists.iter().filter_map(|name| Some(&config.lists.get(name)?.exclude)).cloned();
        let excluded = excluded.next().map(|first| excluded.fold(first, |all, one| all.intersection(&one)));
        let excluded = excluded.unwrap_or_default();
        Aim { lists, left: self.left.difference(&excluded), besides: besides.difference(&excluded), ..Aim::default() }
    }

    /// Exactly what was enforced, whatever the configuration says today: what a change that was not confirmed is taken
    /// back to.
    pub fn exactly(&self) -> Aim {
        Aim { besides: self.all(), exact: true, ..Aim::default() }
    }
}

/// The generations of a state directory.
#[derive(Clone, Debug)]
pub struct Generations(PathBuf);

/// Why a generation is of no use.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or of another version.
    #[error("the generation `{}` cannot be understood", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Generations {
    /// Those of this state directory. Nothing is read or made.
    pub fn open(state_dir: &Path) -> Self {
        Self(state_dir.join("generations"))
    }

    /// The generation of that number, where there is one.
    ///
    /// # Errors
    /// [`GenerationError`].
    pub fn read(&self, number: u64) -> Result<Option<Generation>, GenerationError> {
        let path = self.path(number);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GenerationError::Read { path, source }),
        };
        let understood = serde_json::from_slice::<OnDisk>(&bytes).and_then(|on_disk| on_disk.generation(number));
        understood.map(Some).map_err(|source| GenerationError::Damaged { path, source })
    }

    /// The numbers that are there, ascending.
    ///
    /// # Errors
    /// Where the directory is there and cannot be read.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What a target was last enforced with, and in which generation: the recorded one, or else the newest that can be
    /// read and knows the target. What had to be passed over is said.
    pub fn enforced(
        &self,
        owner: &str,
        target: &str,
        recorded: Option<u64>,
        warnings: &mut Vec<String>,
    ) -> Option<(u64, Enforced)> {
        let mut numbers = self.numbers().unwrap_or_else(|error| {
            warnings.push(format!("cannot look for generations in `{}`: {error}", self.0.display()));
            Vec::new()
        });
        numbers.reverse();
        numbers.retain(|number| Some(*number) != recorded);
        for number in recorded.into_iter().chain(numbers) {
            let trouble = match self.of_target(owner, target, number) {
                Ok(Some(enforced)) => return Some((number, enforced)),
                Ok(None) if Some(number) == recorded => format!("generation {number} of target `{target}` is gone"),
                Ok(None) => continue,
                Err(error) => Failure::of(&error, None).message,
            };
            let warning = format!("{trouble}; another generation stands in, where there is one");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        None
    }

    /// What one generation enforced of a target of this owner, where it knows it.
    ///
    /// # Errors
    /// [`GenerationError`].
    pub fn of_target(&self, owner: &str, target: &str, number: u64) -> Result<Option<Enforced>, GenerationError> {
        let generation = self.read(number)?.filter(|generation| generation.owner == owner);
        Ok(generation.and_then(|mut generation| generation.targets.remove(target)))
    }

    /// Keeps a generation.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, generation: &Generation) -> io::Result<()> {
        disk::make_directory(&self.0)?;
        disk::replace(&self.path(generation.number), &serde_json::to_vec(&OnDisk::from(generation))?)
    }

    /// Removes all but the newest `keep` and those in `used`.
    ///
    /// # Errors
    /// Where the directory cannot be read or a file not be removed.
    pub fn retain(&self, keep: usize, used: &[u64]) -> io::Result<()> {
        let numbers = self.numbers()?;
        for number in &numbers[..numbers.len().saturating_sub(keep)] {
            if !used.contains(number) {
                fs::remove_file(self.path(*number))?;
            }
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.json"))
    }
}

/// A generation as it stands in its file: a list that several targets share stands there once.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    owner: String,
    time: Timestamp,
    cause: String,
    lists: Vec<ListOnDisk>,
    targets: BTreeMap<String, TargetOnDisk>,
}

#[derive(Serialize, Deserialize)]
struct ListOnDisk {
    name: String,
    #[serde(with = "prefix_texts")]
    listed: PrefixSet,
    #[serde(with = "prefix_texts")]
    extra: PrefixSet,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<Dropped>,
}

#[derive(Serialize, Deserialize)]
struct TargetOnDisk {
    /// Places in `lists`.
    lists: Vec<usize>,
    #[serde(with = "prefix_texts", default)]
    left: PrefixSet,
    publication: Option<Named>,
}

impl From<&Generation> for OnDisk {
    fn from(generation: &Generation) -> Self {
        let mut lists: Vec<(&String, &Arc<EnforcedList>)> = Vec::new();
        let mut place = |name, list| {
            let known = lists.iter().position(|known| *known == (name, list));
            known.unwrap_or_else(|| {
                lists.push((name, list));
                lists.len() - 1
            })
        };
        let targets = generation.targets.iter().map(|(name, enforced)| {
            let lists = enforced.lists.iter().map(|(name, list)| place(name, list)).collect();
            let target = TargetOnDisk { lists, left: enforced.left.clone(), publication: enforced.publication.clone() };
            (name.clone(), target)
        });
        let targets = targets.collect();
        let list = |(name, list): (&String, &Arc<EnforcedList>)| ListOnDisk {
            name: name.clone(),
            listed: list.listed.clone(),
            extra: list.extra.clone(),
            dropped: list.dropped.clone(),
        };
        Self {
            version: VERSION,
            owner: generation.owner.clone(),
            time: generation.time,
            cause: generation.cause.clone(),
            lists: lists.into_iter().map(list).collect(),
            targets,
        }
    }
}

impl OnDisk {
    fn generation(self, number: u64) -> serde_json::Result<Generation> {
        use serde::de::Error;
        if self.version != VERSION {
            return Err(Error::custom(format!("it is of version {}, known is {VERSION}", self.version)));
        }
        let list = |list: ListOnDisk| {
            let ListOnDisk { name, listed, extra, dropped } = list;
            (name, Arc::new(EnforcedList { listed, dropped, extra }))
        };
        let lists: Vec<_> = self.lists.into_iter().map(list).collect();
        let enforced = |target: TargetOnDisk| {
            let named = |place: usize| lists.get(place).cloned().ok_or_else(|| Error::custom("it lacks a list"));
            let lists = target.lists.into_iter().map(named).collect::<serde_json::Result<_>>()?;
            Ok(Enforced { lists, left: target.left, publication: target.publication })
        };
        let targets = self.targets.into_iter().map(|(name, target)| Ok((name, enforced(target)?)));
        Ok(Generation {
            number,
            owner: self.owner,
            time: self.time,
            cause: self.cause,
            targets: targets.collect::<serde_json::Result<_>>()?,
        })
    }
}

/// Sets of prefixes as lists of texts.
pub(crate) mod prefix_texts {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use tagwall_provider::{IpNet, PrefixSet};

    pub(crate) fn serialize<S: Serializer>(set: &PrefixSet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(set.prefixes().map(|prefix| prefix.to_string()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PrefixSet, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| text.parse::<IpNet>().map_err(|_| de::Error::custom(format!("`{text}` is no prefix"))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
