//! What one fetch carries along, and how it gets a document.

use jiff::Timestamp;
use url::Url;

use super::http::{Answer, Http, Validators};
use super::last_good::{LastGood, LastGoodError, Record};
use super::{Publication, Settings, ShownUrl, SourceError, document, page};
use crate::chain::chain;

/// A document that came, on its way to being [`Fetched`](super::Fetched).
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) publication: Publication,
    pub(super) bytes: Vec<u8>,
    pub(super) url: Option<Url>,
    pub(super) validators: Validators,
    /// When its bytes were fetched, where the server says that they are still the newest.
    pub(super) unmodified_since: Option<Timestamp>,
}

/// The last good publication, known by its record and read only when it is needed.
pub(super) struct Stored<'a> {
    pub(super) last_good: &'a LastGood,
    pub(super) record: Record,
}

impl Stored<'_> {
    /// Its bytes, which have the right hash.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, LastGoodError> {
        self.last_good.bytes(&self.record)
    }
}

/// One fetch over HTTP.
pub(super) struct Fetch<'a> {
    pub(super) http: &'a Http,
    pub(super) settings: &'a Settings,
    pub(super) stored: Option<&'a Stored<'a>>,
    pub(super) warnings: &'a mut Vec<String>,
}

impl Fetch<'_> {
    /// The document at an address: new, or the stored one where the server says that it is still the same.
    pub(super) async fn document(&mut self, url: &Url, attempts: u32) -> Result<Arrival, SourceError> {
        if let Some(stored) = self.stored.filter(|stored| stored.record.url.as_ref() == Some(url)) {
            match self.ask(url, attempts, Some(&stored.record.validators)).await? {
                Some(arrival) => return Ok(arrival),
                None => match stored.bytes() {
                    Ok(bytes) => return self.unmodified(stored, url, bytes),
                    Err(error) => self.warnings.push(chain(&error)),
                },
            }
        }
        let arrival = self.ask(url, attempts, None).await?;
        arrival.ok_or_else(|| SourceError::Status { url: url.into(), status: 304, retry_after: None })
    }

    /// A new document, or `None` where the server says that there is none. A body that is no document counts as a
    /// failed try: gateways in trouble send such with status 200.
    async fn ask(&self, url: &Url, attempts: u32, known: Option<&Validators>) -> Result<Option<Arrival>, SourceError> {
        let once = || async {
            let Answer::Body { bytes, validators } = self.http.get(url, self.settings.max_bytes, known).await? else {
                return Ok(None);
            };
            let publication =
                check(&bytes, &ShownUrl::from(url).to_string(), page::date_in(page::name(url)), self.settings)?;
            Ok(Some(Arrival { publication, bytes, url: Some(url.clone()), validators, unmodified_since: None }))
        };
        self.http.retrying(attempts, once).await
    }

    fn unmodified(&self, stored: &Stored<'_>, url: &Url, bytes: Vec<u8>) -> Result<Arrival, SourceError> {
        Ok(Arrival {
            publication: check(&bytes, &stored.record.origin, stored.record.date, self.settings)?,
            bytes,
            url: Some(url.clone()),
            validators: stored.record.validators.clone(),
            unmodified_since: Some(stored.record.fetched_at),
        })
    }
}

/// Parses a document and looks whose it is.
pub(super) fn check(
    bytes: &[u8],
    origin: &str,
    date: Option<jiff::civil::Date>,
    settings: &Settings,
) -> Result<Publication, SourceError> {
    let wrong_cloud = |found: &str| SourceError::WrongCloud {
        origin: origin.to_owned(),
        wanted: settings.cloud,
        found: found.to_owned(),
    };
    match document::parse(bytes, origin, date) {
        Ok(publication) if publication.cloud == settings.cloud => Ok(publication),
        Ok(publication) => Err(wrong_cloud(publication.cloud.document_name())),
        Err(error) => Err(match error.unknown_cloud() {
            Some(found) => wrong_cloud(found),
            None => SourceError::Document { origin: origin.to_owned(), source: error },
        }),
    }
}
