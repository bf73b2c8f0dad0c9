//! The last good publications on disk: documents named by their hash, and a record of the newest for each cloud and
//! kind of source.
//!
//! ```text
//! <directory>/publications/<sha256>.json          a document, byte for byte
//! <directory>/last-good-<cloud>-<kind>.json       which one is the newest, from where, seen when (a Record)
//! ```
//! Every file is written beside its place, flushed and moved there, so that a reader or a crash meets the old one or the
//! new one. What is read counts only where its bytes have the hash it is named by.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::http::Validators;
use super::settings::DISCOVERY;
use super::shown::{has_secrets, without_secrets};
use super::{Digest, DocumentError, Fetched, Freshness, Kind, Settings, Tag, document};
use crate::disk;

/// The version of the record's format.
const VERSION: u32 = 1;

/// The mode of files with public data; the umask may make it stricter.
const PUBLIC: u32 = 0o644;
/// The mode of a record whose address holds a password or a signature, which conditional requests need.
const SECRET: u32 = 0o600;

/// What files are called until they are whole.
const UNFINISHED: &str = ".unfinished-";

/// A directory with the last good publications.
#[derive(Clone, Debug)]
pub struct LastGood {
    directory: PathBuf,
}

/// What is known of the newest stored publication of a cloud and kind of source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Which document.
    pub sha256: Digest,
    /// Where it came from, to be shown.
    pub origin: String,
    /// Its address, for kinds that have one.
    pub url: Option<Url>,
    /// The date in its file name.
    pub date: Option<Date>,
    /// Its change number.
    pub change_number: u64,
    /// What the server calls this version.
    pub validators: Validators,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// When the source last said that it is the newest.
    pub confirmed_at: Timestamp,
}

/// Why something stored is of no use.
#[derive(Debug, Error)]
pub enum LastGoodError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were stored.
    #[error("the stored publication `{}` is damaged: its bytes do not have the hash in its name", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The record names a document that is not there.
    #[error("the stored publication `{}` is gone", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are those that were stored, and no document to this version of tagwall.
    #[error("the stored publication `{}` cannot be read", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DocumentError,
    },
    /// The record is none of ours, or of another version.
    #[error("the record of the last good publication `{}` cannot be understood", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl LastGood {
    /// Uses a directory. Nothing is read or made yet.
    pub fn open(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Keeps a publication and notes that it is the newest of its cloud and kind. Of a last good one nothing is new,
    /// so nothing is written.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn store(&self, fetched: &Fetched) -> io::Result<()> {
        if matches!(fetched.freshness, Freshness::LastGood { .. }) {
            return Ok(());
        }
        let publication = &fetched.publication;
        let path = self.document_path(publication.sha256);
        disk::make_directory(&self.documents())?;
        // Writing 4 MB in every pass would wear out flash for nothing; reading them also mends a damaged copy.
        if fs::read(&path).is_ok_and(|stored| stored == fetched.bytes) {
            tracing::trace!(path = %path.display(), "stored already");
        } else {
            write_whole(&path, &fetched.bytes, PUBLIC)?;
        }
        let on_disk = OnDisk {
            version: VERSION,
            location: location(&fetched.settings.kind),
            sha256: publication.sha256.to_string(),
            origin: publication.origin.clone(),
            url: fetched.url.clone().map(String::from),
            date: publication.date,
            change_number: publication.change_number,
            etag: fetched.validators.etag.clone(),
            last_modified: fetched.validators.last_modified.clone(),
            fetched_at: fetched.fetched_at,
            confirmed_at: fetched.confirmed_at,
        };
        let own = if let Kind::Url(url) = &fetched.settings.kind { Some(url) } else { None };
        let is_secret = fetched.url.iter().chain(own).any(has_secrets);
        let mode = if is_secret { SECRET } else { PUBLIC };
        write_whole(&self.record_path(&fetched.settings), &serde_json::to_vec_pretty(&on_disk)?, mode)
    }

    /// The newest publication for these settings: its record and its bytes, which have the right hash.
    ///
    /// # Errors
    /// Where something is stored and of no use.
    pub fn newest(&self, settings: &Settings) -> Result<Option<(Record, Vec<u8>)>, LastGoodError> {
        let record = self.record_of_any_kind(settings)?;
        record.map(|record| self.bytes(&record).map(|bytes| (record, bytes))).transpose()
    }

    /// The record of the newest publication for these settings. One of another file or mirror than the settings name
    /// is not theirs.
    ///
    /// # Errors
    /// Where there is a record and it cannot be understood.
    pub fn record(&self, settings: &Settings) -> Result<Option<Record>, LastGoodError> {
        let path = self.record_path(settings);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let understood = serde_json::from_slice(&bytes).and_then(OnDisk::record);
        let (place, record) = understood.map_err(|source| LastGoodError::Record { path, source })?;
        Ok((place == location(&settings.kind)).then_some(record))
    }

    /// The record for these settings or else, where there is none, the newest of the same cloud from whatever kind of
    /// source that is numbered alike: a list that was fetched by hand serves as well as one that came by itself.
    ///
    /// # Errors
    /// Where there is a record for these settings and it cannot be understood.
    pub fn record_of_any_kind(&self, settings: &Settings) -> Result<Option<Record>, LastGoodError> {
        if let Some(record) = self.record(settings)? {
            return Ok(Some(record));
        }
        let prefix = format!("last-good-{}-", settings.cloud);
        // Of the same kind there is only another file or mirror, which is not to stand in for this one.
        let own = self.record_path(settings);
        let all = files(&self.directory).unwrap_or_default().into_iter();
        // The file and the API count for themselves: what one of them calls 63 says nothing of the other's.
        let is_discovery = |path: &Path| name(path).ends_with(&format!("-{DISCOVERY}.json"));
        let alike = |path: &Path| path != own && is_discovery(path) == is_discovery(&own);
        let of_cloud = all.filter(|path| name(path).starts_with(&prefix) && alike(path));
        let records = of_cloud.filter_map(|path| {
            let on_disk: OnDisk = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
            Some(on_disk.record().ok()?.1)
        });
        Ok(records.max_by_key(|record| record.confirmed_at))
    }

    /// The stored document with that hash, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read or has another hash by now.
    pub fn document(&self, sha256: Digest) -> Result<Option<Vec<u8>>, LastGoodError> {
        let path = self.document_path(sha256);
        match read(&path)? {
            Some(bytes) if document::digest(&bytes) != sha256 => Err(LastGoodError::Damaged { path }),
            found => Ok(found),
        }
    }

    /// These tags of the stored document with that hash, by names that ignore case, if there is such a document. It was
    /// checked whole before it was stored: the prefixes of other tags are not read again.
    ///
    /// # Errors
    /// Where it cannot be read, has another hash by now, or is no document to this version of tagwall.
    pub fn tags(&self, sha256: Digest, wanted: &BTreeSet<&str>) -> Result<Option<Vec<Tag>>, LastGoodError> {
        let Some(bytes) = self.document(sha256)? else { return Ok(None) };
        let tags = document::parse_tags(&bytes, wanted);
        tags.map(Some).map_err(|source| LastGoodError::Document { path: self.document_path(sha256), source })
    }

    /// The document that a record names.
    pub(super) fn bytes(&self, record: &Record) -> Result<Vec<u8>, LastGoodError> {
        let found = self.document(record.sha256)?;
        found.ok_or_else(|| LastGoodError::Gone { path: self.document_path(record.sha256) })
    }

    /// Removes every document but these and the newest ones, and what crashes have left half written. Nobody else may
    /// be storing at the same time.
    ///
    /// # Errors
    /// Where the directory cannot be read or a file not be removed.
    pub fn retain(&self, keep: &[Digest]) -> io::Result<()> {
        let mut kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
        for path in files(&self.directory)? {
            if is_unfinished(&path) {
                fs::remove_file(&path)?;
            } else if name(&path).starts_with("last-good-") {
                // One that cannot be understood names nothing that could be used.
                let understood = serde_json::from_slice::<OnDisk>(&fs::read(&path)?);
                kept.extend(understood.map(|on_disk| on_disk.sha256));
            }
        }
        for path in files(&self.documents())? {
            let known = name(&path).strip_suffix(".json").is_some_and(|hash| kept.iter().any(|kept| kept == hash));
            if !known {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn documents(&self) -> PathBuf {
        self.directory.join("publications")
    }

    fn document_path(&self, sha256: Digest) -> PathBuf {
        self.documents().join(format!("{sha256}.json"))
    }

    fn record_path(&self, settings: &Settings) -> PathBuf {
        self.directory.join(format!("last-good-{}-{}.json", settings.cloud, settings.kind.name()))
    }
}

/// A [`Record`] as it stands in its file.
#[derive(Deserialize, Serialize)]
struct OnDisk {
    version: u32,
    /// Which file or mirror; absent for downloads, which have one origin.
    location: Option<String>,
    sha256: String,
    origin: String,
    url: Option<String>,
    date: Option<Date>,
    change_number: u64,
    etag: Option<String>,
    last_modified: Option<String>,
    fetched_at: Timestamp,
    confirmed_at: Timestamp,
}

impl OnDisk {
    fn record(self) -> serde_json::Result<(Option<String>, Record)> {
        use serde::de::Error;
        if self.version != VERSION {
            return Err(Error::custom(format!("it is of version {}, known is {VERSION}", self.version)));
        }
        let record = Record {
            sha256: self.sha256.parse().map_err(Error::custom)?,
            // Older versions wrote it as it was.
            origin: without_secrets(&self.origin),
            url: self.url.map(|url| Url::parse(&url)).transpose().map_err(Error::custom)?,
            date: self.date,
            change_number: self.change_number,
            validators: Validators { etag: self.etag, last_modified: self.last_modified },
            fetched_at: self.fetched_at,
            confirmed_at: self.confirmed_at,
        };
        Ok((self.location, record))
    }
}

fn location(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Download => None,
        Kind::File(path) => Some(path.display().to_string()),
        Kind::Url(url) => Some(url.to_string()),
        Kind::Discovery(from) => Some(format!("{} {}", from.subscription, from.location)),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LastGoodError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LastGoodError::Read { path: path.to_owned(), source }),
    }
}

/// Puts a file in its place whole or not at all, and on the disk before it returns.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    disk::give(file.as_file(), path);
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// The plain files of a directory, none where there is no directory.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_unfinished(path: &Path) -> bool {
    name(path).starts_with(UNFINISHED)
}
