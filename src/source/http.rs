//! Requests that cannot be led astray: pinned hosts, bounded answers, bounded patience.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::{Certificate, Client, StatusCode, redirect};
use url::Url;

use super::pins::Pins;
use super::{Settings, ShownUrl, SourceError};
use crate::chain::{causes, chain};

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// The longest that a server may make a pass wait. One that asks for more is left alone until the next pass.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The longest wait between two tries that nobody asked for.
const LONGEST_DELAY: Duration = Duration::from_secs(20);

/// What a server calls a version of a document, given back to it to be told whether there is a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The `ETag` header, as it came.
    pub etag: Option<String>,
    /// The `Last-Modified` header, as it came.
    pub last_modified: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// A body, decompressed.
    Body { bytes: Vec<u8>, validators: Validators },
    /// What the validators name is still the newest.
    NotModified,
}

/// A client for pinned hosts.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    pub(super) pins: Pins,
    retry_delay: Duration,
}

impl Http {
    /// A client for the settings' hosts, `first` among them.
    pub(super) fn new(settings: &Settings, pins: Pins, first: &Url) -> Result<Self, SourceError> {
        if !pins.admit(first) {
            return Err(SourceError::Forbidden { url: first.into() });
        }
        let agent = HeaderValue::try_from(&settings.user_agent);
        let agent = agent.map_err(|error| SourceError::Settings { what: format!("`user-agent`: {error}") })?;
        let mut builder = Client::builder()
            .user_agent(agent)
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            // A mirror's address is nobody else's business.
            .referer(false)
            // Hours lie between two fetches: a connection kept would only wake us up to close it.
            .pool_max_idle_per_host(0)
            .redirect(redirects(pins.clone()));
        if let Some(path) = &settings.extra_ca {
            let found = certificates(path).map_err(|source| SourceError::ExtraCa { path: path.clone(), source })?;
            builder = builder.tls_certs_merge(found);
        }
        let client = builder.build().map_err(|error| match &settings.extra_ca {
            Some(path) => SourceError::ExtraCa { path: path.clone(), source: io::Error::other(error) },
            None => SourceError::Settings { what: chain(&error) },
        })?;
        Ok(Self { client, pins, retry_delay: settings.retry_delay })
    }

    /// Asks once, for at most `limit` bytes.
    pub(super) async fn get(&self, url: &Url, limit: u64, known: Option<&Validators>) -> Result<Answer, SourceError> {
        if !self.pins.admit(url) {
            return Err(SourceError::Forbidden { url: url.into() });
        }
        let failed = |error| of_request(url, error);
        let mut request = self.client.get(url.clone());
        let mut conditional = false;
        for (name, value) in known.into_iter().flat_map(Validators::conditions) {
            request = request.header(name, value);
            conditional = true;
        }
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if conditional => return Ok(Answer::NotModified),
            status => {
                let retry_after = retry_after(response.headers(), Timestamp::now());
                return Err(SourceError::Status { url: url.into(), status: status.as_u16(), retry_after });
            }
        }
        let too_large = || SourceError::TooLarge { origin: ShownUrl::from(url).to_string(), limit };
        // Absent where the body is compressed; what counts is the sum below.
        let announced = response.content_length().unwrap_or(0);
        if announced > limit {
            return Err(too_large());
        }
        let validators = Validators::of(response.headers());
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Answer::Body { bytes, validators })
    }

    /// Tries what `once` does until it succeeds, fails for good, or has failed `attempts` times.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, SourceError>>>(
        &self,
        attempts: u32,
        once: impl FnMut() -> F,
    ) -> Result<T, SourceError> {
        let retries = attempts.saturating_sub(1) as usize;
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.retry_delay)
            .with_max_delay(LONGEST_DELAY.max(self.retry_delay))
            .with_max_times(retries);
        let notify = |error: &SourceError, wait| tracing::debug!(error = %chain(error), ?wait, "trying again");
        once.retry(delays).when(SourceError::is_transient).adjust(patience).notify(notify).await
    }
}

/// How long to wait after an error, given how long we would have: never less than the server asks for, and no
/// further try where it asks for too much.
fn patience(error: &SourceError, delay: Option<Duration>) -> Option<Duration> {
    match error {
        SourceError::Status { retry_after: Some(asked), .. } if *asked > LONGEST_WAIT => None,
        SourceError::Status { retry_after: Some(asked), .. } => delay.map(|delay| delay.max(*asked)),
        _ => delay,
    }
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    fn conditions(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let etag = self.etag.as_deref().map(|etag| (IF_NONE_MATCH, etag));
        etag.into_iter().chain(self.last_modified.as_deref().map(|date| (IF_MODIFIED_SINCE, date)))
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The certificates in a PEM file.
fn certificates(path: &Path) -> io::Result<Vec<Certificate>> {
    let invalid = |error: Box<dyn Error + Send + Sync>| io::Error::new(io::ErrorKind::InvalidData, error);
    let found = Certificate::from_pem_bundle(&std::fs::read(path)?).map_err(|error| invalid(error.into()))?;
    if found.is_empty() { Err(invalid("there is no certificate in it".into())) } else { Ok(found) }
}

fn redirects(pins: Pins) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        if !pins.admit(attempt.url()) {
            let url = attempt.url().into();
            attempt.error(Astray::Forbidden(url))
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error(Astray::Endless)
        } else {
            attempt.follow()
        }
    })
}

/// Why a redirect is not followed; found again in the chain of the request's error.
#[derive(Debug)]
enum Astray {
    Forbidden(ShownUrl),
    Endless,
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(url) => write!(f, "a redirect leads to {url}"),
            Self::Endless => f.write_str("too many redirects"),
        }
    }
}

impl Error for Astray {}

/// Gives the error of a request its class.
fn of_request(url: &Url, error: reqwest::Error) -> SourceError {
    let url = ShownUrl::from(url);
    let astray = causes(&error).find_map(|cause| match cause.downcast_ref()? {
        Astray::Forbidden(to) => Some(SourceError::Forbidden { url: to.clone() }),
        Astray::Endless => Some(SourceError::Redirects { url: url.clone() }),
    });
    // The TLS library's verdict on the other side travels inside an I/O error of that kind.
    let distrusted = error.is_connect() && causes(&error).any(is_invalid_data);
    let source = error.without_url();
    astray.unwrap_or(if distrusted { SourceError::Tls { url, source } } else { SourceError::Network { url, source } })
}

fn is_invalid_data(error: &(dyn Error + 'static)) -> bool {
    // One I/O error in another hides from `source`, which gives what lies beneath both.
    let within = |error: &io::Error| error.get_ref().is_some_and(|inner| is_invalid_data(inner));
    let told = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData || within(error);
    error.downcast_ref().is_some_and(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &'static str, expect: Option<u64>) {
        let now = "2025-06-09T08:00:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(header))]);
        assert_eq!(retry_after(&headers, now), expect.map(Duration::from_secs), "{header}");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("Mon, 09 Jun 2025 08:02:00 GMT", Some(120));
        check("Mon, 09 Jun 2025 07:00:00 GMT", Some(0));
        check("-5", None);
        check("soon", None);
        check("99999999999999999999999", None);
    }

    #[test]
    fn a_server_is_never_asked_again_before_it_allows() {
        let seconds = Duration::from_secs;
        let wait = |asked: Option<u64>, delay| {
            let url = Url::parse("https://download.microsoft.com/").unwrap();
            patience(&SourceError::Status { url: (&url).into(), status: 503, retry_after: asked.map(seconds) }, delay)
        };
        assert_eq!(wait(None, Some(seconds(2))), Some(seconds(2)));
        assert_eq!(wait(Some(1), Some(seconds(2))), Some(seconds(2)));
        assert_eq!(wait(Some(60), Some(seconds(2))), Some(seconds(60)));
        assert_eq!(wait(Some(61), Some(seconds(2))), None);
        assert_eq!(wait(Some(1), None), None);
    }
}
