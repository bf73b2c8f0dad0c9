//! What may stand where a rule names addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// Names of service tags that are known without a Discovery document. Azure knows a few hundred; those of a document
/// that was put are known besides.
const TAGS: [&str; 20] = [
    "ActionGroup",
    "ApiManagement",
    "AppService",
    "AzureActiveDirectory",
    "AzureCloud",
    "AzureContainerRegistry",
    "AzureDevOps",
    "AzureFrontDoor.Backend",
    "AzureFrontDoor.Frontend",
    "AzureKeyVault",
    "AzureLoadBalancer",
    "AzureMonitor",
    "AzureTrafficManager",
    "EventHub",
    "GatewayManager",
    "Internet",
    "ServiceBus",
    "Sql",
    "Storage",
    "VirtualNetwork",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `*`
    Any,
    /// A service tag, by name.
    Tag,
    /// A prefix, or a single address.
    Prefix(IpNet),
    /// `from-to`, both included.
    Range(IpAddr, IpAddr),
}

impl Address {
    /// None for what Azure calls an invalid address prefix. A prefix with host bits is one.
    pub(crate) fn parse(text: &str, more_tags: &[String]) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Ok(prefix) = text.parse::<IpNet>() {
            return (prefix.trunc() == prefix).then_some(Self::Prefix(prefix));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Prefix(address.into()));
        }
        if let Some((from, to)) = text.split_once('-')
            && let (Ok(from), Ok(to)) = (from.parse::<IpAddr>(), to.parse::<IpAddr>())
        {
            return (from.is_ipv4() == to.is_ipv4() && from <= to).then_some(Self::Range(from, to));
        }
        let named = |tag: &str| tag.eq_ignore_ascii_case(text);
        let is_tag = |name: &str| TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name));
        // A tag may be narrowed to a region: Storage.WestEurope.
        let of_region = text.rsplit_once('.').is_some_and(|(tag, region)| {
            is_tag(tag) && !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        (is_tag(text) || of_region || more_tags.iter().any(|tag| named(tag))).then_some(Self::Tag)
    }

    /// First and last address, where it has any of its own.
    pub(crate) fn bounds(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Any | Self::Tag => None,
            Self::Prefix(prefix) => Some((prefix.network(), prefix.broadcast())),
            Self::Range(from, to) => Some((*from, *to)),
        }
    }

    /// Whether this counts as of IPv4, where it has a family.
    pub(crate) fn is_ipv4(&self) -> Option<bool> {
        self.bounds().map(|(from, _)| from.is_ipv4())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let read = Address::parse(text, &["MyOwnTag".to_owned()]).map(|address| match address {
            Address::Any => "any".to_owned(),
            Address::Tag => "tag".to_owned(),
            Address::Prefix(prefix) => prefix.to_string(),
            Address::Range(from, to) => format!("{from} to {to}"),
        });
        assert_eq!(read.as_deref(), expect, "{text}");
    }

    #[test]
    fn addresses_are_read() {
        check("*", Some("any"));
        check("192.0.2.0/24", Some("192.0.2.0/24"));
        check("192.0.2.7", Some("192.0.2.7/32"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("192.0.2.1-192.0.2.9", Some("192.0.2.1 to 192.0.2.9"));
        check("Internet", Some("tag"));
        check("INTERNET", Some("tag"));
        check("Storage.WestEurope", Some("tag"));
        check("AzureFrontDoor.Backend", Some("tag"));
        check("MyOwnTag", Some("tag"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "any", "192.0.2.7/24", "192.0.2.0/33", "192.0.2", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1"]
        {
            check(text, None);
        }
        for text in ["NoSuchTag", "Storage.", "Storage.West-Europe", "NoSuchTag.WestEurope"] {
            check(text, None);
        }
    }
}
