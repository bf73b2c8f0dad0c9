//! Files that tagwall writes for others to keep and reads back: plans, and what firewalls hold.
//!
//! Each says of itself what it is and in which version. What is read may have been written by anybody: it is checked
//! whole, and nothing in it makes tagwall do what it would not do by itself.

mod forms;
pub mod observation;
pub mod plan;

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::disk;

/// The version of both kinds of files that this tagwall writes.
const VERSION: u32 = 1;

/// Why a saved file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It is not JSON, or lacks what it must have.
    #[error("`{}` cannot be read as {wanted}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should be, in words.
        wanted: &'static str,
        /// Where and why; names the key.
        source: serde_json::Error,
    },
    /// It is something else.
    #[error("`{}` is not {wanted}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it should be, in words.
        wanted: &'static str,
    },
    /// A newer tagwall wrote it.
    #[error("`{}` is of version {found}, this tagwall reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A value means nothing here.
    #[error("`{}`: `{key}` {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, as a path.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A kind of file.
trait Saved: DeserializeOwned + serde::Serialize {
    /// What the file says that it is.
    const KIND: &str;
    /// The same in words.
    const WORDS: &str;
}

/// What every file begins with.
#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
    version: Option<u32>,
}

fn read<T: Saved>(path: &Path) -> Result<T, SavedError> {
    let failed = |source| SavedError::Io { action: "read", path: path.to_owned(), source };
    let form = |source| SavedError::Form { path: path.to_owned(), wanted: T::WORDS, source };
    let bytes = std::fs::read(path).map_err(failed)?;
    // First whether it is JSON at all.
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(form)?;
    let head = serde_json::from_slice::<Head>(&bytes).ok().filter(|head| head.kind.as_deref() == Some(T::KIND));
    let head = head.ok_or_else(|| SavedError::Kind { path: path.to_owned(), wanted: T::WORDS })?;
    match head.version {
        Some(found) if found != VERSION => Err(SavedError::Version { path: path.to_owned(), found }),
        _ => serde_json::from_slice(&bytes).map_err(form),
    }
}

fn write<T: Saved>(saved: &T, path: &Path) -> Result<(), SavedError> {
    let failed = |source| SavedError::Io { action: "write", path: path.to_owned(), source };
    let text = text(saved).map_err(|error| failed(error.into()))?;
    match std::fs::metadata(path) {
        // A pipe or a device is written to, not put another file in the place of.
        Ok(found) if !found.is_file() => std::fs::write(path, text),
        _ => disk::replace(path, text.as_bytes()),
    }
    .map_err(failed)
}

fn text<T: Saved>(saved: &T) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(saved)? + "\n")
}
