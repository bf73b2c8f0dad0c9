//! Small publications and configurations for unit tests, of documentation prefixes.

use std::path::Path;

use tagwall_provider::{IpNet, PrefixSet};

use crate::config::Config;
use crate::source::{self, Publication};

/// A prefix set of these prefixes.
pub(crate) fn set(prefixes: &[&str]) -> PrefixSet {
    prefixes.iter().map(|prefix| prefix.parse::<IpNet>().unwrap()).collect()
}

/// A document with these tags.
pub(crate) fn document(change_number: u64, tags: &[(&str, &[&str])]) -> Vec<u8> {
    let value = |(name, prefixes): &(&str, &[&str])| {
        serde_json::json!({
            "name": name, "id": name,
            "properties": {
                "changeNumber": change_number, "region": "", "regionId": 0, "platform": "Azure",
                "systemService": "", "addressPrefixes": prefixes, "networkFeatures": null,
            },
        })
    };
    let values: Vec<_> = tags.iter().map(value).collect();
    let document = serde_json::json!({ "changeNumber": change_number, "cloud": "Public", "values": values });
    serde_json::to_vec(&document).unwrap()
}

/// A publication with these tags.
pub(crate) fn publication(change_number: u64, tags: &[(&str, &[&str])]) -> Publication {
    source::parse(&document(change_number, tags), "fixture.json", None).unwrap()
}

/// A configuration from its text, documentation prefixes allowed.
pub(crate) fn config(text: &str) -> Config {
    let text = format!("owner = \"test\"\n{text}\n[limits]\nspecial = [\"documentation\"]\n");
    Config::parse(&text, Path::new("tagwall.toml")).unwrap()
}
