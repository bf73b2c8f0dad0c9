//! What each receiver was told: on disk, so that a restart tells nothing again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::telling::raw::Subject;
use crate::disk;

/// The version of the file that this tagwall writes.
const VERSION: u32 = 1;
const NAME: &str = "notified.json";

/// What one receiver was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Trouble, whose end it has not been told.
    #[serde(default)]
    pub troubles: BTreeMap<String, ToldTrouble>,
    /// When it was last told that somebody else changes a target.
    #[serde(default)]
    pub drift: BTreeMap<String, Timestamp>,
}

/// A trouble that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldTrouble {
    /// Of which kind, by its name in the configuration.
    pub subject: String,
    /// What about.
    pub about: String,
    /// Which of its kind.
    pub fingerprint: String,
    /// How it was put.
    pub title: String,
    /// Since when it stands.
    pub since: Timestamp,
    /// When it was last told.
    pub told: Timestamp,
}

impl ToldTrouble {
    /// Whether a receiver with these subjects would be told of it today.
    pub fn is_of(&self, subjects: &[Subject]) -> bool {
        subjects.iter().any(|subject| subject.name() == self.subject)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    receivers: BTreeMap<String, Told>,
}

/// What all receivers were told.
#[derive(Debug)]
pub struct Memory {
    receivers: BTreeMap<String, Told>,
    /// Where it is kept; `None` where a newer tagwall wrote it.
    file: Option<PathBuf>,
    /// Whether it was said that it cannot be written.
    complained: bool,
}

impl Memory {
    /// What is remembered in this state directory. What cannot be read is said and forgotten: something may be told
    /// twice, which is better than never.
    pub fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(NAME);
        let (receivers, file) = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (BTreeMap::new(), Some(path)),
            Err(error) => {
                tracing::warn!("cannot read `{}` ({error}): what was told is told again", path.display());
                (BTreeMap::new(), Some(path))
            }
            Ok(bytes) => match version(&bytes) {
                Some(version) if version > VERSION => {
                    let path = path.display();
                    tracing::warn!("`{path}` is of version {version}, this tagwall writes {VERSION}: it is left alone");
                    (BTreeMap::new(), None)
                }
                _ => match serde_json::from_slice::<Stored>(&bytes) {
                    Ok(stored) => (stored.receivers, Some(path)),
                    Err(error) => {
                        tracing::warn!("`{}` is damaged ({error}): what was told is told again", path.display());
                        (BTreeMap::new(), Some(path))
                    }
                },
            },
        };
        Self { receivers, file, complained: false }
    }

    /// What a receiver was told.
    pub fn of(&self, receiver: &str) -> Told {
        self.receivers.get(receiver).cloned().unwrap_or_default()
    }

    /// Remembers what a receiver was told. A disk that cannot be written is said once.
    pub fn set(&mut self, receiver: &str, told: Told) {
        self.receivers.insert(receiver.to_owned(), told);
        let Some(path) = &self.file else { return };
        match write(path, &self.receivers) {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!("cannot write `{}` ({error}): a restart will tell again what was told", path.display());
            }
            Err(_) => {}
        }
    }

    /// Forgets receivers that are not configured any more.
    pub fn retain(&mut self, is_configured: impl Fn(&str) -> bool) {
        self.receivers.retain(|name, _| is_configured(name));
    }
}

fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice(bytes).ok().map(|Version { version }| version)
}

/// Replaces the file, so that a reader or a crash sees the old one or the new one. One process writes it: the daemon.
fn write(path: &Path, receivers: &BTreeMap<String, Told>) -> io::Result<()> {
    #[derive(Serialize)]
    struct Stored<'a> {
        version: u32,
        receivers: &'a BTreeMap<String, Told>,
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut text = serde_json::to_vec_pretty(&Stored { version: VERSION, receivers })?;
    text.push(b'\n');
    disk::replace(path, &text)
}
