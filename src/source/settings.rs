//! What a source is told. The configuration fills these in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Cloud, SourceError};

/// As whom, and by which cloud, Azure Resource Manager is asked.
#[cfg(feature = "azure")]
pub use tagwall_arm::Account;

/// As whom Azure Resource Manager is asked: nobody, as it is not built in.
#[cfg(not(feature = "azure"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {}

/// Where a publication comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Microsoft's download page, and the newest document it links to.
    Download,
    /// A local file.
    File(PathBuf),
    /// A mirror's copy: https, or http on a loopback address.
    Url(Url),
    /// Azure's Service Tag Discovery API.
    Discovery(Box<Discovery>),
}

/// Where the Service Tag Discovery API is asked, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// A subscription of the cloud, by id.
    pub subscription: String,
    /// The region whose version of the list is asked for; every answer has all regions.
    pub location: String,
    /// As whom.
    pub account: Account,
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Service Tag Discovery API in {}", self.location)
    }
}

impl Kind {
    /// Its name in the configuration and in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::File(_) => "file",
            Self::Url(_) => "url",
            Self::Discovery(_) => DISCOVERY,
        }
    }
}

/// The kind that is a series of its own, as its records are named as well.
pub(super) const DISCOVERY: &str = "discovery-api";

/// Everything a source is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose publication is wanted; one of another cloud is an error.
    pub cloud: Cloud,
    /// Where it comes from.
    pub kind: Kind,
    /// What it is held against where a pass asks for that.
    pub compare: Option<Box<Self>>,
    /// What requests call themselves. Microsoft's site refuses some (Wget) and none at all.
    pub user_agent: String,
    /// A file of PEM certificates trusted beside the system's own.
    pub extra_ca: Option<PathBuf>,
    /// The only hosts that are asked or followed, each `host` or `host:port` (443 where none is given). A mirror's
    /// own host need not be among them.
    pub hosts: Vec<String>,
    /// The download page, in place of the cloud's own.
    pub page: Option<Url>,
    /// The most time a connection may take to stand.
    pub connect_timeout: Duration,
    /// The most time between two pieces of an answer.
    pub read_timeout: Duration,
    /// The most time the whole fetch may take, with every retry and way round.
    pub total_timeout: Duration,
    /// How often a request is tried.
    pub attempts: u32,
    /// How long to wait before the second try; it doubles with each one, with some chance in it.
    pub retry_delay: Duration,
    /// How long ago the last good publication may have been seen at its source to be used in place of a new one.
    pub last_good_max_age: Duration,
    /// The most bytes a document may have, decompressed.
    pub max_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cloud: Cloud::default(),
            kind: Kind::Download,
            compare: None,
            user_agent: format!("tagwall/{} (+{})", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY")),
            extra_ca: None,
            hosts: vec!["www.microsoft.com".to_owned(), "download.microsoft.com".to_owned()],
            page: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(5),
            attempts: 4,
            retry_delay: Duration::from_secs(1),
            // Publications are weekly and weeks are skipped; staleness is warned about at 21 days.
            last_good_max_age: Duration::from_hours(30 * 24),
            // The largest so far had 4.3 MB, six times as many as six years before.
            max_bytes: 32 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// The page that links to the document.
    pub(super) fn page(&self) -> Result<Url, SourceError> {
        let id = match self.cloud {
            Cloud::Public => 56519,
            Cloud::UsGovernment => 57063,
            Cloud::China => 57062,
        };
        match &self.page {
            Some(page) => Ok(page.clone()),
            None => Url::parse(&format!("https://www.microsoft.com/en-us/download/details.aspx?id={id}"))
                .map_err(|error| SourceError::Settings { what: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_its_page() {
        let check = |cloud, id: u32| {
            let page = Settings { cloud, ..Settings::default() }.page().unwrap();
            assert_eq!(page.as_str(), format!("https://www.microsoft.com/en-us/download/details.aspx?id={id}"));
        };
        check(Cloud::Public, 56519);
        check(Cloud::UsGovernment, 57063);
        check(Cloud::China, 57062);
    }

    #[test]
    fn the_defaults_can_be_used() {
        for cloud in Cloud::ALL {
            crate::source::Source::new(Settings { cloud, ..Settings::default() }).unwrap();
        }
    }
}
