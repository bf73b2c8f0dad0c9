//! What tagwall remembers between passes.
//!
//! Nothing here enforces anything: a lost or damaged state directory costs the comparison with the last accepted
//! publication, what there is to go back to, and the memory of decisions (withdrawn, paused, pinned), never a rule that
//! stands. The layout:
//!
//! ```text
//! state.json                  this module, version-marked, replaced atomically
//! audit.jsonl                 who overrode or withdrew what and why, a JSON object a line, only ever appended to
//! lock                        held for one pass
//! publications/…              documents by their hash, see `source::LastGood`
//! generations/N.json          what passes enforced, see `generation`
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::config::Config;
use crate::disk;
use crate::generation::Generations;
use crate::grace::Dropped;
use crate::source::{Digest, LastGood};

/// The version of `state.json` that this tagwall writes.
const VERSION: u32 = 1;

/// The state directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Whose it is: that of the configuration of the first pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The newest generation.
    #[serde(default)]
    pub generation: u64,
    /// Since when nothing may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Decision>,
    /// The last accepted publication of each cloud and kind of source (`public/download`).
    #[serde(default)]
    pub accepted: BTreeMap<String, Accepted>,
    /// The publication that each list was last accepted with.
    #[serde(default)]
    pub lists: BTreeMap<String, ListRecord>,
    /// What is known of each target.
    #[serde(default)]
    pub targets: BTreeMap<String, TargetRecord>,
    /// What targets filled before they were given another object: the target's name and the object.
    #[serde(default)]
    pub abandoned: Vec<(String, String)>,
}

/// A publication that a pass went by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The hash of its bytes.
    #[serde(with = "digest_text")]
    pub sha256: Digest,
    /// When a pass first saw it: its age where no file name tells its date.
    pub first_seen: Timestamp,
}

/// The publication that a list was last accepted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRecord {
    /// The hash of its bytes.
    #[serde(with = "digest_text")]
    pub sha256: Digest,
    /// The tags that it had.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What Microsoft dropped of them and a grace period still holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

/// What an operator decided, to stand until they decide otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub since: Timestamp,
    /// Who, where it is known.
    pub by: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// What is known of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// When a pass last looked at it.
    pub last_attempt: Option<Timestamp>,
    /// Why the last pass did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When a read last showed that it admits exactly what it should.
    pub last_verified: Option<Timestamp>,
    /// The lists that it was last seen right with.
    #[serde(default)]
    pub lists: Vec<String>,
    /// When its rules were withdrawn on purpose; nothing heals it until a sync says so.
    pub withdrawn: Option<Timestamp>,
    /// Whether tagwall has written it: what a set that cannot carry a mark holds is ours then.
    #[serde(default)]
    pub claimed: bool,
    /// The object whose entries cannot carry a mark, where it is such a one: nothing but this tells of it when the
    /// target leaves the configuration.
    #[serde(default)]
    pub unmarked: Option<String>,
    /// The generation that it was last seen right with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// That it is to be at one generation, and stay there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    /// That it is not to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Decision>,
    /// Why a change was taken back after it was made: nothing is tried again until somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
}

impl TargetRecord {
    /// Whether an operator, or a change that was not confirmed, keeps passes from bringing it to the newest publication.
    pub fn is_stopped(&self) -> bool {
        self.paused.is_some() || self.pinned.is_some() || self.withdrawn.is_some() || self.unconfirmed.is_some()
    }

    /// Ends all of that.
    pub fn resume(&mut self) {
        (self.paused, self.pinned, self.withdrawn, self.unconfirmed) = (None, None, None, None);
    }
}

/// Where an operator wants a target to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// At this generation.
    pub generation: u64,
    /// By this decision.
    #[serde(flatten)]
    pub decision: Decision,
}

/// A change that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// When.
    pub since: Timestamp,
    /// What the confirmation came to.
    pub why: String,
}

impl Decision {
    /// The decision of whoever runs this process.
    pub fn now(since: Timestamp, reason: Option<&str>) -> Self {
        Self { since, by: audit::user(), reason: reason.map(str::to_owned) }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "since {:.0}", self.since)?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            owner: None,
            generation: 0,
            paused: None,
            accepted: BTreeMap::new(),
            lists: BTreeMap::new(),
            targets: BTreeMap::new(),
            abandoned: Vec::new(),
        }
    }
}

impl State {
    /// Whether a target's rules were withdrawn on purpose.
    pub fn is_withdrawn(&self, target: &str) -> bool {
        self.targets.get(target).is_some_and(|record| record.withdrawn.is_some())
    }

    /// The generation that a target is to stay at.
    pub fn pinned(&self, target: &str) -> Option<u64> {
        self.targets.get(target)?.pinned.as_ref().map(|pin| pin.generation)
    }

    /// Why a target is not to be written, where somebody said so.
    pub fn paused(&self, target: &str) -> Option<&Decision> {
        self.targets.get(target).and_then(|record| record.paused.as_ref()).or(self.paused.as_ref())
    }

    /// What targets once filled that cannot carry a mark, and that the configuration does not name any more: the
    /// target's name and the object.
    pub fn unmarked_leftovers(&self, config: &Config) -> Vec<(String, String)> {
        let left = |name: &String, object: &String| {
            let target = config.targets.iter().find(|target| target.name == *name);
            target.and_then(|target| target.backend.unmarked_object()).as_ref() != Some(object)
        };
        let filled = self.targets.iter().filter(|(_, record)| record.claimed);
        let objects = filled.filter_map(|(name, record)| Some((name.clone(), record.unmarked.clone()?)));
        objects.chain(self.abandoned.clone()).filter(|(name, object)| left(name, object)).collect()
    }
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it cannot be used.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A newer tagwall wrote it.
    #[error("`{}` is of version {found}, this tagwall reads up to {VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is another owner's.
    #[error("the state in `{}` is of owner `{found}`, and the configuration's owner is `{wanted}`", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// Another pass is running.
    #[error("another pass holds the lock `{}`{}", path.display(), holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, by its own word.
        holder: Option<String>,
    },
}

/// A state as read, with what was wrong about it.
#[derive(Debug)]
pub struct Loaded {
    /// The state; empty where there was none, or none that could be read.
    pub state: State,
    /// What was wrong, to be said.
    pub warning: Option<String>,
}

/// The lock of one pass; given up when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file gives the lock up")] File);

impl StateDir {
    /// The directory at this path. Nothing is read or made.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where state is kept when nobody says: what systemd gives, the host's place, which is root's, or the user's.
    pub fn default_path(of_host: bool) -> PathBuf {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(given) = variable("STATE_DIRECTORY") {
            return given;
        }
        let user = || variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
        Self::place(of_host || is_root(), user())
    }

    fn place(of_host: bool, user: Option<PathBuf>) -> PathBuf {
        match user {
            Some(user) if !of_host => user.join("tagwall"),
            _ => PathBuf::from("/var/lib/tagwall"),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The publications that are kept there.
    pub fn last_good(&self) -> LastGood {
        LastGood::open(&self.0)
    }

    /// The generations that are kept there.
    pub fn generations(&self) -> Generations {
        Generations::open(&self.0)
    }

    /// Reads the state. A damaged file is said and passed over: enforcement does not hang on it.
    ///
    /// # Errors
    /// [`StateError::Newer`]: what a newer version meant is not guessed at. [`StateError::Io`] where a file is
    /// there and cannot be read.
    pub fn load(&self) -> Result<Loaded, StateError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let path = self.0.join("state.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded { state: State::default(), warning: None });
            }
            Err(source) => return Err(StateError::Io { action: "read", path, source }),
        };
        if let Ok(Version { version: found }) = serde_json::from_slice(&text)
            && found > VERSION
        {
            return Err(StateError::Newer { path, found });
        }
        Ok(match serde_json::from_slice(&text) {
            Ok(state) => Loaded { state, warning: self.writable_by_others() },
            Err(error) => Loaded {
                state: State::default(),
                warning: Some(format!(
                    "`{}` is damaged and passed over ({error}); a pass writes it anew",
                    path.display()
                )),
            },
        })
    }

    /// Says where others than its owner may write here: what is kept here is enforced.
    fn writable_by_others(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let places = [self.0.clone(), self.0.join("generations"), self.0.join("state.json")];
        let open = |path: &&PathBuf| std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o022 != 0);
        let open = places.iter().find(open)?;
        Some(format!(
            "`{}` can be written by others than its owner, and what is kept there is enforced: `chmod go-w` it",
            open.display()
        ))
    }

    /// Replaces the state, so that a reader or a crash sees the old one or the new one.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        self.make()?;
        let path = self.0.join("state.json");
        let failed = |source| StateError::Io { action: "write", path: path.clone(), source };
        let mut text = serde_json::to_vec_pretty(state).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        disk::replace(&path, &text).map_err(failed)
    }

    /// The configuration with the owner that this state is of.
    ///
    /// Where nobody named an owner it is the host's name of the first pass: a host that is renamed keeps its rules.
    ///
    /// # Errors
    /// [`StateError::Owner`] where the configuration names another: what that one's targets are called says nothing
    /// of this one's.
    pub fn owned(&self, config: Config, state: &State) -> Result<Config, StateError> {
        match &state.owner {
            Some(owner) if *owner == config.owner => Ok(config),
            Some(owner) if config.owner_is_host => Ok(config.owned_by(owner)),
            Some(owner) => Err(StateError::Owner { path: self.0.clone(), found: owner.clone(), wanted: config.owner }),
            None => Ok(config),
        }
    }

    /// Takes the lock of a pass.
    ///
    /// # Errors
    /// [`StateError::Locked`] where another pass holds it, with what that pass says of itself.
    pub fn lock(&self) -> Result<Lock, StateError> {
        self.make()?;
        let path = self.0.join("lock");
        let failed = |source| StateError::Io { action: "lock", path: path.clone(), source };
        let mut file = disk::open(&path, OpenOptions::new().read(true).write(true)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned());
                return Err(StateError::Locked { path, holder: holder.filter(|text| !text.is_empty()) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let holder = format!("process {} since {:.0}\n", std::process::id(), Timestamp::now());
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(failed)?;
        Ok(Lock(file))
    }

    /// Appends one record to the audit file and waits until it is on disk.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn audit(&self, record: &impl Serialize) -> Result<(), StateError> {
        self.make()?;
        let path = self.0.join("audit.jsonl");
        let failed = |source| StateError::Io { action: "append to", path: path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut file = disk::open(&path, OpenOptions::new().append(true)).map_err(failed)?;
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed)
    }

    fn make(&self) -> Result<(), StateError> {
        std::fs::create_dir_all(&self.0).map_err(|source| StateError::Io {
            action: "make the state directory",
            path: self.0.clone(),
            source,
        })
    }
}

fn is_root() -> bool {
    // The owner of one's own entry in /proc is the effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

pub(crate) mod digest_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::source::Digest;

    pub(crate) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
