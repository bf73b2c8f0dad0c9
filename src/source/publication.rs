//! One version of Microsoft's list, as the rest of tagwall sees it.

use std::fmt;
use std::str::FromStr;

use tagwall_provider::{Ipv4Net, Ipv6Net};

/// Which of Microsoft's clouds a publication describes. Each has a list of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cloud {
    /// The public cloud (`Public` in the document).
    #[default]
    Public,
    /// US Government (`AzureGovernment`).
    UsGovernment,
    /// China, operated by 21Vianet (`China`).
    China,
}

impl Cloud {
    /// Every cloud with a publication. Azure Germany closed in 2021.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Its name in the configuration and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::UsGovernment => "us-government",
            Self::China => "china",
        }
    }

    /// What the `cloud` field of its document says.
    pub const fn document_name(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::UsGovernment => "AzureGovernment",
            Self::China => "China",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Cloud {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|cloud| cloud.name() == name);
        found.ok_or_else(|| format!("`{name}` is no cloud, use `public`, `us-government` or `china`"))
    }
}

/// The SHA-256 of a document's bytes, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(format!("`{text}` is no SHA-256 of 64 hexadecimal digits"));
        }
        for (byte, index) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[index..index + 2], 16).map_err(|error| error.to_string())?;
        }
        Ok(Self(digest))
    }
}

/// One version of Microsoft's service-tag file, every prefix of it checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The cloud it describes.
    pub cloud: Cloud,
    /// Microsoft's number for it. A hint only: it has fallen, and stood for several contents.
    pub change_number: u64,
    /// The date in its file name; the document itself carries none.
    pub date: Option<jiff::civil::Date>,
    /// The hash of its bytes: what really identifies it.
    pub sha256: Digest,
    /// Where it came from, to be shown: a URL, or a path.
    pub origin: String,
    /// How many fields the document has that tagwall does not know; they are passed over.
    pub unknown_fields: u64,
    /// The tags, in the document's order.
    pub tags: Vec<Tag>,
}

/// One service tag of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name as written (`AzureActiveDirectory`, `Storage.WestEurope`, `AzureCloud.westeurope`).
    pub name: Box<str>,
    /// Its own change number: a hint only, 571 times prefixes changed without it.
    pub change_number: u64,
    /// Its region as written, empty for a global tag.
    pub region: Box<str>,
    /// The service it belongs to, often empty.
    pub system_service: Box<str>,
    /// Its IPv4 prefixes, in the document's order.
    pub v4: Vec<Ipv4Net>,
    /// Its IPv6 prefixes, in the document's order.
    pub v6: Vec<Ipv6Net>,
}

impl Publication {
    /// The tag of that name, looked up ignoring case as Microsoft's own naming is not consistent.
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name.eq_ignore_ascii_case(name))
    }

    /// Names of tags close to one that is not there, best first, at most three.
    pub fn near_misses(&self, name: &str) -> Vec<&str> {
        let wanted = name.to_ascii_lowercase();
        let mut near: Vec<(usize, &str)> = self
            .tags
            .iter()
            .map(|tag| (strsim::damerau_levenshtein(&wanted, &tag.name.to_ascii_lowercase()), &*tag.name))
            .filter(|(distance, _)| *distance <= 2 + name.len() / 8)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}
