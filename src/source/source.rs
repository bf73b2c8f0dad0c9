//! One fetch, from whichever kind of source, with the last good publication behind it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

#[cfg(feature = "azure")]
use super::discovery;
use super::fetch::{Arrival, Fetch, Stored, check};
use super::http::{Http, Validators};
use super::last_good::{LastGood, LastGoodError};
use super::pins::Pins;
use super::{Kind, Publication, Settings, SourceError, page};
use crate::chain::chain;

/// A place that publications come from.
#[derive(Debug)]
pub struct Source {
    settings: Settings,
    /// Absent for files: making it reads every certificate of the system.
    http: Option<Http>,
    #[cfg(feature = "azure")]
    clients: tagwall_arm::Clients,
    /// What it is held against.
    compare: Option<Box<Self>>,
}

/// What the source is held against.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its kind, as the configuration has it.
    pub kind: &'static str,
    /// What it has, or why it has nothing: that is no trouble of the source's.
    pub publication: Result<Publication, String>,
}

/// What a fetch brings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The publication, checked.
    pub publication: Publication,
    /// The document it was read from.
    pub bytes: Vec<u8>,
    /// How new it is.
    pub freshness: Freshness,
    /// What the operator should know although it went well, a line each.
    pub warnings: Vec<String>,
    /// When the bytes were fetched from the source.
    pub fetched_at: Timestamp,
    /// When the source last said that these are its newest bytes.
    pub confirmed_at: Timestamp,
    /// The address of the document, for kinds that have one.
    pub url: Option<Url>,
    /// What the server calls this version of the document.
    pub validators: Validators,
    /// With which settings it was fetched.
    pub settings: Settings,
    /// What another source has, where the settings name one and it was asked for.
    pub compared: Option<Compared>,
}

/// How new a fetched publication is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Downloaded or read now.
    Fresh,
    /// The server said that nothing has changed: the bytes are the stored ones.
    NotModified,
    /// The source failed: these are the stored bytes.
    LastGood {
        /// When they were fetched.
        fetched_at: Timestamp,
        /// Why there is nothing newer, the whole chain of errors.
        because: String,
    },
}

impl Compared {
    /// Why nothing could be compared, in words for the operator.
    pub fn trouble(&self) -> Option<String> {
        let why = self.publication.as_ref().err()?;
        Some(format!("nothing could be compared with `{}` ({why}); the source alone is gone by, as always", self.kind))
    }
}

impl Source {
    /// A source with these settings.
    ///
    /// # Errors
    /// Where the settings cannot work: an address or host that may not be asked, a bad file of certificates.
    pub fn new(settings: Settings) -> Result<Self, SourceError> {
        let pins = Pins::new(&settings.hosts);
        let http = match &settings.kind {
            Kind::File(_) | Kind::Discovery(_) => None,
            Kind::Url(url) => Some(Http::new(&settings, pins.with_mirror(url), url)?),
            Kind::Download => Some(Http::new(&settings, pins, &settings.page()?)?),
        };
        let compare = settings.compare.clone().map(|settings| Self::new(*settings)).transpose()?.map(Box::new);
        #[cfg(feature = "azure")]
        let clients = tagwall_arm::Clients::default();
        Ok(Self {
            settings,
            http,
            #[cfg(feature = "azure")]
            clients,
            compare,
        })
    }

    /// The same, asking Azure by these clients: tokens are kept there, and requests counted.
    #[cfg(feature = "azure")]
    #[must_use]
    pub fn asking_by(mut self, clients: &tagwall_arm::Clients) -> Self {
        self.compare = self.compare.map(|compare| Box::new(compare.asking_by(clients)));
        self.clients = clients.clone();
        self
    }

    /// Fetches as [`Source::fetch`] does, and beside it what the source is held against, where the settings name
    /// something. That one may fail, and nothing stored stands in for it.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    pub async fn fetch_and_compare(&self, last_good: Option<&LastGood>) -> Result<Fetched, SourceError> {
        let Some(other) = &self.compare else { return self.fetch(last_good).await };
        let mut warnings = Vec::new();
        // On the heap: two futures of that size in one would be a large one.
        let fetch = Box::pin(self.fetch(last_good));
        let (fetched, arrival) = tokio::join!(fetch, Box::pin(other.obtain(None, &mut warnings)));
        let kind = other.settings.kind.name();
        let publication = arrival.map(|arrival| arrival.publication).map_err(|error| chain(&error));
        Ok(Fetched { compared: Some(Compared { kind, publication }), ..fetched? })
    }

    /// Asks what it was told of Azure by the credential in the settings: who that is, and whether they may read the
    /// list. Nothing for other kinds.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<Vec<String>, SourceError> {
        #[cfg(feature = "azure")]
        if let Kind::Discovery(from) = &self.settings.kind {
            let who = discovery::who(&self.clients, from).await?;
            let list = self.obtain(None, &mut Vec::new()).await?.publication;
            return Ok(discovery::allowed(&who, list.tags.len(), list.change_number).into());
        }
        Ok(Vec::new())
    }

    /// What it is held against, if there is something.
    pub fn compared_with(&self) -> Option<&Self> {
        self.compare.as_deref()
    }

    /// Fetches the newest publication. Writes nothing: to keep what came, the caller gives it to [`LastGood::store`].
    ///
    /// Where the network or the server is in trouble, the last good publication is taken, if there is one that is not
    /// too old ([`SourceError::may_be_bridged`] says where). Without `last_good` a failure is an error, and nothing is
    /// asked conditionally. A file is not the network: one that is missing or broken is bad input, and taking
    /// something older in its place would hide that.
    ///
    /// # Errors
    /// Why there is no publication.
    pub async fn fetch(&self, last_good: Option<&LastGood>) -> Result<Fetched, SourceError> {
        let mut warnings = Vec::new();
        let record = last_good.map_or(Ok(None), |last_good| last_good.record_of_any_kind(&self.settings));
        let record = record.unwrap_or_else(|error| {
            warnings.push(chain(&error));
            None
        });
        let stored = last_good.zip(record).map(|(last_good, record)| Stored { last_good, record });
        match self.obtain(stored.as_ref(), &mut warnings).await {
            Ok(arrival) => {
                let now = Timestamp::now();
                let since = arrival.unmodified_since;
                let freshness = if since.is_some() { Freshness::NotModified } else { Freshness::Fresh };
                Ok(self.fetched(arrival, freshness, (since.unwrap_or(now), now), warnings))
            }
            Err(error) => match stored {
                Some(stored) if !matches!(self.settings.kind, Kind::File(_)) && error.may_be_bridged() => {
                    self.fall_back(&stored, error, warnings)
                }
                _ => Err(error),
            },
        }
    }

    /// The last good publication for these settings, whatever its age, without asking its source.
    ///
    /// # Errors
    /// Where what is stored is damaged, or is no publication to this version of tagwall.
    pub fn remembered(settings: &Settings, last_good: &LastGood) -> Result<Option<Fetched>, SourceError> {
        let unusable = |source: LastGoodError| SourceError::Stored { source };
        let Some((record, bytes)) = last_good.newest(settings).map_err(unusable)? else { return Ok(None) };
        let publication = check(&bytes, &record.origin, record.date, settings)?;
        let freshness =
            Freshness::LastGood { fetched_at: record.fetched_at, because: "its source was not asked".to_owned() };
        Ok(Some(Fetched {
            publication,
            bytes,
            freshness,
            warnings: Vec::new(),
            fetched_at: record.fetched_at,
            confirmed_at: record.confirmed_at,
            url: record.url,
            validators: record.validators,
            settings: settings.clone(),
            compared: None,
        }))
    }

    async fn obtain(&self, stored: Option<&Stored<'_>>, warnings: &mut Vec<String>) -> Result<Arrival, SourceError> {
        let settings = &self.settings;
        let limit = settings.total_timeout;
        let arrival = async {
            let http = match (&self.http, &settings.kind) {
                (Some(http), _) => http,
                (None, Kind::File(path)) => return read(path.clone(), settings.clone()).await,
                #[cfg(feature = "azure")]
                (None, Kind::Discovery(from)) => return discovery::fetch(&self.clients, from, settings).await,
                (None, _) => return Err(SourceError::Settings { what: "it has no client".to_owned() }),
            };
            let mut fetch = Fetch { http, settings, stored, warnings };
            match &settings.kind {
                Kind::Url(url) => fetch.document(url, settings.attempts).await,
                Kind::Download | Kind::File(_) | Kind::Discovery(_) => fetch.newest().await,
            }
        };
        tokio::time::timeout(limit, arrival).await.unwrap_or(Err(SourceError::TimedOut { after: limit }))
    }

    /// Takes the stored publication in place of a new one.
    fn fall_back(
        &self,
        stored: &Stored<'_>,
        error: SourceError,
        mut warnings: Vec<String>,
    ) -> Result<Fetched, SourceError> {
        let record = &stored.record;
        let age = Timestamp::now().duration_since(record.confirmed_at);
        // A clock that was set back makes it negative: that is not old.
        let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
        let limit = self.settings.last_good_max_age;
        if age > limit {
            return Err(SourceError::LastGoodTooOld { age, limit, source: Box::new(error) });
        }
        let bytes = match stored.bytes() {
            Ok(bytes) => bytes,
            Err(damage) => {
                tracing::warn!(error = %chain(&damage), "no use in the last good publication");
                return Err(error);
            }
        };
        let publication = match check(&bytes, &record.origin, record.date, &self.settings) {
            Ok(publication) => publication,
            Err(damage) => {
                tracing::warn!(error = %chain(&damage), "no use in the last good publication");
                return Err(error);
            }
        };
        let because = chain(&error);
        if !warnings.contains(&because) {
            warnings.push(because.clone());
        }
        let arrival = Arrival {
            publication,
            bytes,
            url: record.url.clone(),
            validators: record.validators.clone(),
            unmodified_since: None,
        };
        let freshness = Freshness::LastGood { fetched_at: record.fetched_at, because };
        Ok(self.fetched(arrival, freshness, (record.fetched_at, record.confirmed_at), warnings))
    }

    fn fetched(
        &self,
        arrival: Arrival,
        freshness: Freshness,
        (fetched_at, confirmed_at): (Timestamp, Timestamp),
        warnings: Vec<String>,
    ) -> Fetched {
        Fetched {
            publication: arrival.publication,
            bytes: arrival.bytes,
            freshness,
            warnings,
            fetched_at,
            confirmed_at,
            url: arrival.url,
            validators: arrival.validators,
            settings: self.settings.clone(),
            compared: None,
        }
    }
}

/// Reads a document from a file, which may lie on a network file system or be a pipe.
async fn read(path: PathBuf, settings: Settings) -> Result<Arrival, SourceError> {
    let reading = tokio::task::spawn_blocking(move || read_now(&path, &settings));
    reading.await.unwrap_or_else(|error| Err(SourceError::Settings { what: error.to_string() }))
}

fn read_now(path: &Path, settings: &Settings) -> Result<Arrival, SourceError> {
    let limit = settings.max_bytes;
    let origin = path.display().to_string();
    let unreadable = |source: io::Error| SourceError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::TooLarge { origin, limit });
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let publication = check(&bytes, &origin, page::date_in(name), settings)?;
    Ok(Arrival { publication, bytes, url: None, validators: Validators::default(), unmodified_since: None })
}
