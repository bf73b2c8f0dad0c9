//! How fetching fails. The variant is the class.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::{Cloud, DocumentError, LastGoodError, ShownUrl};

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
        url: ShownUrl,
        /// Why.
        source: reqwest::Error,
    },
    /// The server could not show that it is who it should be.
    #[error("no trusted connection to {url}")]
    Tls {
        /// What was asked for.
        url: ShownUrl,
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
        url: ShownUrl,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// A redirect, or a configured address, that leads where nothing may be fetched from.
    #[error("{url} is not on a pinned host over https")]
    Forbidden {
        /// Where it leads.
        url: ShownUrl,
    },
    /// Redirects without end.
    #[error("{url} redirects in circles or too often")]
    Redirects {
        /// What was asked for.
        url: ShownUrl,
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
        page: ShownUrl,
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
    /// Azure Resource Manager gave no list.
    #[error("the Service Tag Discovery API gave no list")]
    Discovery {
        /// What kind of trouble it was.
        trouble: Trouble,
        /// Whether the same may work when tried again in a moment.
        is_transient: bool,
        /// What to do about it.
        hint: Option<&'static str>,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored cannot be used.
    #[error("cannot use the last good publication")]
    Stored {
        /// Why.
        source: LastGoodError,
    },
    /// Nothing new could be had, and what is stored was seen too long ago.
    #[error("the last good publication was seen {} d ago, more than the {} d allowed", days(*age), days(*limit))]
    LastGoodTooOld {
        /// How long ago it was seen at its source.
        age: Duration,
        /// How long ago that may be.
        limit: Duration,
        /// Why there is no new one.
        source: Box<SourceError>,
    },
}

/// What kind of trouble there was with Azure Resource Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Settings that cannot work.
    Settings,
    /// No credential, or nobody gives a token for it.
    Credential,
    /// No answer.
    Network,
    /// An answer that says no.
    Status,
    /// The other side could not show that it is who it should be.
    Tls,
    /// It names an address of somebody else.
    Forbidden,
    /// An answer that cannot be read.
    Document,
}

impl Trouble {
    const fn class(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Credential => "credential",
            Self::Network => "network",
            Self::Status => "status",
            Self::Tls => "tls",
            Self::Forbidden => "forbidden",
            Self::Document => "document",
        }
    }
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
            Self::Discovery { trouble, .. } => trouble.class(),
            Self::Stored { .. } => "stored",
            Self::LastGoodTooOld { .. } => "last-good-too-old",
        }
    }

    /// Whether the publication is of another cloud, which the pass reports as a refusal.
    pub const fn is_wrong_cloud(&self) -> bool {
        matches!(self, Self::WrongCloud { .. })
    }

    /// Whether the last good publication may stand in for it, with no more than a warning.
    ///
    /// It may for what a network or a server in trouble does. It may not where somebody may be in the way, where the
    /// source or its settings are wrong, or where Microsoft's list has changed its form: a pass that says it went well
    /// would hide that until the list is weeks old. Nothing is lost by failing: targets are kept as they were enforced.
    pub const fn may_be_bridged(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::TimedOut { .. }
            | Self::Status { .. }
            | Self::Redirects { .. }
            | Self::NoLink { .. } => true,
            Self::Document { source, .. } => source.may_pass(),
            Self::Discovery { trouble, .. } => matches!(trouble, Trouble::Network | Trouble::Status),
            // A captive portal and an attack look alike.
            Self::Tls { .. }
            | Self::Forbidden { .. }
            | Self::TooLarge { .. }
            | Self::WrongCloud { .. }
            | Self::Settings { .. }
            | Self::ExtraCa { .. }
            | Self::Read { .. }
            | Self::Stored { .. }
            | Self::LastGoodTooOld { .. } => false,
        }
    }

    /// Whether the same may work when tried again in a moment.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Document { source, .. } => source.may_pass(),
            Self::Discovery { is_transient, .. } => *is_transient,
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
            Self::Forbidden { url } if url.to_string().starts_with("http:") => {
                "use https: plain HTTP is asked of this host alone, by `localhost`, since anybody between could change the list"
            }
            Self::Forbidden { .. } => "if you trust that host, add it to `hosts` of the source",
            Self::NoLink { .. } => {
                "open the page in a browser; until tagwall understands it, fetch the document yourself and use `--feed FILE`"
            }
            Self::Document { source: DocumentError::Shape { .. }, .. } => {
                "what Microsoft's download page links to looks otherwise; answers of the Service Tag Discovery API are read by `kind = \"discovery-api\"` alone"
            }
            Self::WrongCloud { .. } => {
                "Microsoft has served another cloud's document by mistake before; if it is not that, correct `cloud`"
            }
            Self::Discovery { hint, .. } => return *hint,
            Self::LastGoodTooOld { source, .. } => return source.hint(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{PrefixError, Problem, document};

    fn url() -> ShownUrl {
        (&url::Url::parse("https://download.microsoft.com/x.json").unwrap()).into()
    }

    fn request() -> reqwest::Error {
        reqwest::Client::new().get("no address").build().unwrap_err()
    }

    fn of_document(bytes: &[u8]) -> SourceError {
        SourceError::Document { origin: "x".to_owned(), source: document::parse(bytes, "x", None).unwrap_err() }
    }

    /// Every variant, in the order of the enum, and of documents every variant of theirs.
    #[test]
    fn what_the_last_good_publication_may_stand_in_for() {
        let check = |error: SourceError, bridged: bool| assert_eq!(error.may_be_bridged(), bridged, "{error:?}");
        let failed = || io::Error::other("x");
        check(SourceError::Settings { what: "x".to_owned() }, false);
        check(SourceError::ExtraCa { path: "x".into(), source: failed() }, false);
        check(SourceError::Read { path: "x".into(), source: failed() }, false);
        check(SourceError::Network { url: url(), source: request() }, true);
        check(SourceError::Tls { url: url(), source: request() }, false);
        check(SourceError::TimedOut { after: Duration::ZERO }, true);
        for status in [204, 304, 401, 403, 404, 407, 429, 500, 503] {
            check(SourceError::Status { url: url(), status, retry_after: None }, true);
        }
        check(SourceError::Forbidden { url: url() }, false);
        check(SourceError::Redirects { url: url() }, true);
        check(SourceError::TooLarge { origin: "x".to_owned(), limit: 1 }, false);
        check(SourceError::NoLink { page: url(), cloud: Cloud::Public, seen: String::new() }, true);
        for trouble in ["", " \n", "<html>", "<?xml version='1.0'?><Error>", "{\"changeNumber\": 1, "] {
            check(of_document(trouble.as_bytes()), true);
        }
        for strange in ["\u{feff}{}", "404 not found", "{\"a\" 1}", "{}", "{\"changeNumber\": 99999999}", "\x1f\x00"] {
            check(of_document(strange.as_bytes()), false);
        }
        check(of_document(b"{\"\xff\": 1}"), false);
        let problem = Problem::Prefix { text: "x".to_owned(), why: PrefixError::HostBits };
        let place = crate::source::Place { line: 1, byte: 0 };
        let source = DocumentError::Refused { place, tag: None, problem };
        check(SourceError::Document { origin: "x".to_owned(), source }, false);
        let found = "China".to_owned();
        check(SourceError::WrongCloud { origin: "x".to_owned(), wanted: Cloud::Public, found }, false);
        for (trouble, bridged) in [
            (Trouble::Settings, false),
            (Trouble::Credential, false),
            (Trouble::Network, true),
            (Trouble::Status, true),
            (Trouble::Tls, false),
            (Trouble::Forbidden, false),
            (Trouble::Document, false),
        ] {
            check(SourceError::Discovery { trouble, is_transient: false, hint: None, source: "x".into() }, bridged);
        }
        check(SourceError::Stored { source: LastGoodError::Gone { path: "x".into() } }, false);
        let source = Box::new(SourceError::TimedOut { after: Duration::ZERO });
        check(SourceError::LastGoodTooOld { age: Duration::ZERO, limit: Duration::ZERO, source }, false);
    }
}
