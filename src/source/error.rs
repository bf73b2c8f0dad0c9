//! How fetching fails. The variant is the class.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use url::Url;

use super::{Cloud, DocumentError, LastGoodError};

/// How fetching a publication fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Settings that cannot work.
    #[error("the source cannot work as it is configured: {what}")]
    Settings {
        /// What is wrong.
        what: String,
    },
    /// The file of further certificates is no such thing.
    #[error("cannot use the certificates in `{}`", path.display())]
    ExtraCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No answer, or half of one.
    #[error("no whole answer from {url}")]
    Network {
        /// What was asked for.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The server could not show that it is who it should be.
    #[error("no trusted connection to {url}")]
    Tls {
        /// What was asked for.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The time for the whole fetch is over.
    #[error("fetching took longer than {} s", after.as_secs_f32())]
    TimedOut {
        /// How long it was given.
        after: Duration,
    },
    /// An answer with a status that is no success.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// A redirect, or a configured address, that leads where nothing may be fetched from.
    #[error("{url} is not on a pinned host over https")]
    Forbidden {
        /// Where it leads.
        url: Url,
    },
    /// Redirects without end.
    #[error("{url} redirects in circles or too often")]
    Redirects {
        /// What was asked for.
        url: Url,
    },
    /// An answer without a reasonable end.
    #[error("{origin} is larger than {limit} bytes")]
    TooLarge {
        /// Where it came from.
        origin: String,
        /// How much was admitted.
        limit: u64,
    },
    /// The download page names no document that could be fetched.
    #[error("{page} has no link to a service-tag document of {cloud}{seen}")]
    NoLink {
        /// The page.
        page: Url,
        /// The cloud that was looked for.
        cloud: Cloud,
        /// What came near it, as the end of the sentence.
        seen: String,
    },
    /// What came is no publication.
    #[error("{origin} is not a service-tag document")]
    Document {
        /// Where it came from.
        origin: String,
        /// Why not.
        source: DocumentError,
    },
    /// A publication of another cloud: the pass refuses.
    #[error("{origin} is the publication of cloud `{found}`, not of `{}`", wanted.document_name())]
    WrongCloud {
        /// Where it came from.
        origin: String,
        /// The cloud of the configuration.
        wanted: Cloud,
        /// What the document says.
        found: String,
    },
    /// What is stored cannot be used.
    #[error("cannot use the last good publication")]
    Stored {
        /// Why.
        source: LastGoodError,
    },
    /// Nothing new could be had, and what is stored was seen too long ago.
    #[error("the last good publication was seen {} days ago, more than the {} allowed", days(*age), days(*limit))]
    LastGoodTooOld {
        /// How long ago it was seen at its source.
        age: Duration,
        /// How long ago that may be.
        limit: Duration,
        /// Why there is no new one.
        source: Box<SourceError>,
    },
}

fn days(time: Duration) -> u64 {
    time.as_secs() / (24 * 60 * 60)
}

impl SourceError {
    /// The name of its class, for reports and metrics.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Settings { .. } | Self::ExtraCa { .. } => "settings",
            Self::Read { .. } => "read",
            Self::Network { .. } | Self::TimedOut { .. } => "network",
            Self::Tls { .. } => "tls",
            Self::Status { .. } => "status",
            Self::Forbidden { .. } | Self::Redirects { .. } => "forbidden",
            Self::TooLarge { .. } => "too-large",
            Self::NoLink { .. } => "no-link",
            Self::Document { .. } => "document",
            Self::WrongCloud { .. } => "wrong-cloud",
            Self::Stored { .. } => "stored",
            Self::LastGoodTooOld { .. } => "last-good-too-old",
        }
    }

    /// Whether the publication is of another cloud, which the pass reports as a refusal.
    pub const fn is_wrong_cloud(&self) -> bool {
        matches!(self, Self::WrongCloud { .. })
    }

    /// Whether the same may work when tried again in a moment.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Document { source, .. } => source.may_pass(),
            _ => false,
        }
    }

    /// What to do about it, where something is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ExtraCa { .. } => {
                "the file holds certificates in PEM form, each between `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----`"
            }
            Self::Network { .. } | Self::TimedOut { .. } => {
                "see whether this host reaches it (`curl -v`); HTTPS_PROXY and NO_PROXY are respected"
            }
            Self::Tls { .. } => {
                "where a proxy opens TLS connections, name its certificate in `extra-ca`; see also that the clock is right and the system's certificates are installed"
            }
            Self::Status { status: 401 | 403, .. } => "the site refuses some user agents: try another `user-agent`",
            Self::Status { status: 404 | 410, .. } => "the address has moved: look for a newer tagwall, or set `page`",
            Self::Status { status: 429 | 503, .. } => {
                "the server asks for patience: nothing is lost, the next pass tries again"
            }
            Self::Forbidden { .. } => "if you trust that host, add it to `hosts` of the source",
            Self::NoLink { .. } => {
                "open the page in a browser; until tagwall understands it, fetch the document yourself and use `--feed FILE`"
            }
            Self::Document { source: DocumentError::Shape { .. }, .. } => {
                "answers of the Service Tag Discovery API have another shape: use the file that Microsoft's download page links to"
            }
            Self::WrongCloud { .. } => {
                "Microsoft has served another cloud's document by mistake before; if it is not that, correct `cloud`"
            }
            Self::LastGoodTooOld { source, .. } => return source.hint(),
            _ => return None,
        })
    }
}
