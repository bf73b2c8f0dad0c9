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
use tagwall_provider::{Held, PrefixSet};

use crate::config::{Config, Target};
use crate::desired::Resolved;
use crate::disk;
use crate::enforce::{JudgedList, JudgedLists};
use crate::report::Published;
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
    pub lists: BTreeMap<String, Arc<Resolved>>,
    /// What it admitted beyond them, since the policy `add-only` removes nothing.
    pub left: PrefixSet,
    /// The publication that it went by.
    pub publication: Option<Named>,
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
        let same =
            |(a, b): (&Arc<Resolved>, &Arc<Resolved>)| a.listed == b.listed && a.extra == b.extra && a.held == b.held;
        self.left == other.left
            && self.lists.keys().eq(other.lists.keys())
            && self.lists.values().zip(other.lists.values()).all(same)
    }

    /// All that it comes to.
    pub fn all(&self) -> PrefixSet {
        self.lists.values().fold(self.left.clone(), |sum, list| sum.union(&list.all()))
    }

    /// Its lists as today's configuration has them of this target; `None` where none of them is known. Nothing stands
    /// against them: they were agreed to when they were enforced.
    pub fn lists_today(&self, target: &Target, config: &Config) -> Option<JudgedLists> {
        let today = |name: &String| {
            let (list, stored) = (config.lists.get(name)?, self.lists.get(name)?);
            let wanted = |set: &PrefixSet| {
                let of_families =
                    list.families.iter().fold(PrefixSet::new(), |sum, family| sum.union(&set.only(*family)));
                of_families.difference(&list.exclude)
            };
            let held =
                stored.held.iter().map(|held| Held { prefixes: wanted(&held.prefixes), until: held.until.clone() });
            let resolved = Resolved {
                listed: wanted(&stored.listed),
                held: held.collect(),
                extra: list.extra.difference(&list.exclude),
            };
            let judged = JudgedList { resolved, standing: Vec::new(), measured: true, dropped: Vec::new() };
            Some((name.clone(), Arc::new(judged)))
        };
        let lists: JudgedLists = target.lists.iter().filter_map(today).collect();
        (!lists.is_empty()).then_some(lists)
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
            match self.read(number) {
                Ok(Some(mut generation)) if generation.owner == owner => {
                    if let Some(enforced) = generation.targets.remove(target) {
                        return Some((number, enforced));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    let warning =
                        format!("{}; an older generation stands in", crate::report::Failure::of(error, None).message);
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
            }
        }
        None
    }

    /// Keeps a generation.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, generation: &Generation) -> io::Result<()> {
        disk::make_directory(&self.0)?;
        disk::replace(&self.path(generation.number), &serde_json::to_vec(&OnDisk::from(generation))?)
    }

    /// Removes all but the newest `keep`, those in `used`, and none that is the newest to know a target of its own.
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
    held: Vec<HeldOnDisk>,
}

#[derive(Serialize, Deserialize)]
struct HeldOnDisk {
    until: String,
    #[serde(with = "prefix_texts")]
    prefixes: PrefixSet,
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
        let mut lists: Vec<(&String, &Arc<Resolved>)> = Vec::new();
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
        let held = |held: &Held| HeldOnDisk { until: held.until.clone(), prefixes: held.prefixes.clone() };
        let list = |(name, list): (&String, &Arc<Resolved>)| ListOnDisk {
            name: name.clone(),
            listed: list.listed.clone(),
            extra: list.extra.clone(),
            held: list.held.iter().map(held).collect(),
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
        let held = |held: HeldOnDisk| Held { prefixes: held.prefixes, until: held.until };
        let list = |list: ListOnDisk| {
            let held = list.held.into_iter().map(held).collect();
            (list.name, Arc::new(Resolved { listed: list.listed, held, extra: list.extra }))
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
