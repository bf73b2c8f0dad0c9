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
        // `from_str_radix` would take a sign.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
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

impl Tag {
    /// The one of that name, looked up as [`Publication::tag`] does.
    pub fn find<'a>(tags: &'a [Self], name: &str) -> Option<&'a Self> {
        tags.iter().find(|tag| tag.name.eq_ignore_ascii_case(name))
    }
}

impl Publication {
    /// The tag of that name, looked up ignoring case as Microsoft's own naming is not consistent.
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        Tag::find(&self.tags, name)
    }

    /// Names of tags close to one that is not there, best first, at most three: slips of the pen, then names that
    /// hold what was written.
    pub fn near_misses(&self, name: &str) -> Vec<&str> {
        let wanted = name.to_ascii_lowercase();
        let rank = |other: &str| {
            let other = other.to_ascii_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let holds = wanted.len() >= 3 && other.contains(&wanted);
            (distance <= 2 + name.len() / 8).then_some((false, distance)).or(holds.then_some((true, distance)))
        };
        let names = self.tags.iter().map(|tag| &*tag.name);
        let mut near: Vec<_> = names.filter_map(|other| Some((rank(other)?, other))).collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_shown() {
        let shown = "99e2ebf8d9df357dc98489ad1627875be0ed6cc01bdba9e1f88301559848c6a2";
        assert_eq!(shown.parse::<Digest>().unwrap().to_string(), shown);
        for text in
            ["", &shown[1..], &shown.replace('9', "g"), &shown.replacen("99", "+9", 1), &shown.replacen("99", "é", 1)]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn near_misses_are_slips_and_parts() {
        let tag = |name: &str| Tag {
            name: name.into(),
            change_number: 1,
            region: Box::default(),
            system_service: Box::default(),
            v4: Vec::new(),
            v6: Vec::new(),
        };
        let names =
            ["AzureActiveDirectory", "AzureActiveDirectoryDomainServices", "Storage", "Storage.WestEurope", "Sql"];
        let publication = Publication {
            cloud: Cloud::Public,
            change_number: 1,
            date: None,
            sha256: Digest([0; 32]),
            origin: String::new(),
            unknown_fields: 0,
            tags: names.map(tag).to_vec(),
        };
        let check = |name: &str, expect: &[&str]| assert_eq!(publication.near_misses(name), expect, "{name}");
        check("AzureActivDirectroy", &["AzureActiveDirectory"]);
        check("activedirectory", &["AzureActiveDirectory", "AzureActiveDirectoryDomainServices"]);
        check("storage.westeu", &["Storage.WestEurope"]);
        check("Sqll", &["Sql"]);
        check("Kubernetes", &[]);
        check("", &[]);
    }
}
