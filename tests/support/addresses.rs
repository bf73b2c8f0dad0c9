//! Sets of addresses worked out in the plainest way, to hold the product's own against: merged runs of numbers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::Namespace;

/// Addresses of both families, as merged runs `first..=last`, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Addresses {
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Addresses {
    /// The addresses of these prefixes, written as `192.0.2.0/24`.
    pub(crate) fn of<'a>(prefixes: impl IntoIterator<Item = &'a str>) -> Self {
        let run = |text: &str| {
            let (address, length) = text.split_once('/').unwrap_or_else(|| panic!("{text} is no prefix"));
            run(address.parse().unwrap(), length.parse().unwrap())
        };
        Self::merged(prefixes.into_iter().map(run))
    }

    /// What the tags of a document list, read with nothing but a JSON parser.
    pub(crate) fn listed(document: &Value, tags: &[&str]) -> Self {
        let of_tag = |name: &&str| {
            let named = |value: &&Value| value["name"].as_str().unwrap().eq_ignore_ascii_case(name);
            let tag = document["values"].as_array().unwrap().iter().find(named);
            let tag = tag.unwrap_or_else(|| panic!("the document has no tag {name}"));
            tag["properties"]["addressPrefixes"].as_array().unwrap().iter().map(|prefix| prefix.as_str().unwrap())
        };
        Self::of(tags.iter().flat_map(of_tag))
    }

    /// What a set of the kernel holds, as `nft -j` lists it; `None` where there is no such set.
    pub(crate) fn of_set(namespace: &Namespace, set: &str) -> Option<Self> {
        let mut command = std::process::Command::new("nft");
        command.args(["-j", "list", "set"]).args(set.split(' '));
        let listing: Value = serde_json::from_slice(&namespace.output(&mut command).stdout).ok()?;
        let set = listing["nftables"].as_array()?.iter().find_map(|object| object.get("set"))?;
        let elements = set.get("elem").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self::merged(elements.iter().map(element)))
    }

    /// What an enforcing target admits, by the kernel's sets; nothing where there are none.
    pub(crate) fn admitted(namespace: &Namespace, target: &str) -> Self {
        let [v4, v6] = ["v4", "v6"]
            .map(|family| Self::of_set(namespace, &format!("inet tagwall {target}-{family}")).unwrap_or_default());
        Self::both(v4, v6)
    }

    /// What a set of each family holds together.
    pub(crate) fn both(v4: Self, v6: Self) -> Self {
        assert!(v4.v6.is_empty() && v6.v4.is_empty(), "a set holds the other family");
        Self { v4: v4.v4, v6: v6.v6 }
    }

    fn merged(runs: impl Iterator<Item = (bool, u128, u128)>) -> Self {
        let mut new = Self::default();
        for (is_v4, first, last) in runs {
            if is_v4 { &mut new.v4 } else { &mut new.v6 }.push((first, last));
        }
        for runs in [&mut new.v4, &mut new.v6] {
            runs.sort_unstable();
            runs.dedup_by(|next, held| {
                let touches = next.0 <= held.1.saturating_add(1);
                if touches {
                    held.1 = held.1.max(next.1);
                }
                touches
            });
        }
        new
    }
}

/// A prefix as family, first and last address.
fn run(address: IpAddr, length: u32) -> (bool, u128, u128) {
    let (is_v4, first, bits) = match address {
        IpAddr::V4(v4) => (true, u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (false, u128::from(v6), 128),
    };
    let hosts = bits - length;
    let mask = if hosts == 128 { u128::MAX } else { (1 << hosts) - 1 };
    assert_eq!(first & mask, 0, "{address}/{length} has host bits");
    (is_v4, first, first | mask)
}

/// One element in any of the forms of `nft -j`.
fn element(value: &Value) -> (bool, u128, u128) {
    let address = |value: &Value| value.as_str().unwrap().parse::<IpAddr>().unwrap();
    if let Some(prefix) = value.get("prefix") {
        return run(address(&prefix["addr"]), u32::try_from(prefix["len"].as_u64().unwrap()).unwrap());
    }
    if let Some(range) = value.get("range") {
        let (is_v4, first, _) = single(address(&range[0]));
        return (is_v4, first, single(address(&range[1])).2);
    }
    if let Some(element) = value.get("elem") {
        return self::element(&element["val"]);
    }
    single(address(value))
}

fn single(address: IpAddr) -> (bool, u128, u128) {
    run(address, if address.is_ipv4() { 32 } else { 128 })
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (first, last) in &self.v4 {
            let address = |number: u128| Ipv4Addr::from(u32::try_from(number).unwrap());
            writeln!(f, "{}-{}", address(*first), address(*last))?;
        }
        for (first, last) in &self.v6 {
            writeln!(f, "{}-{}", Ipv6Addr::from(*first), Ipv6Addr::from(*last))?;
        }
        Ok(())
    }
}

/// Both sides are shown in full words where they differ, and only where they differ.
#[track_caller]
pub(crate) fn assert_same(found: &Addresses, expected: &Addresses, what: &str) {
    if found == expected {
        return;
    }
    let lines = |set: &Addresses| set.to_string().lines().map(str::to_owned).collect::<Vec<_>>();
    let (found, expected) = (lines(found), lines(expected));
    let only = |here: &[String], there: &[String]| {
        here.iter().filter(|line| !there.contains(line)).take(8).cloned().collect::<Vec<_>>()
    };
    panic!("{what}: only found {:?}, only expected {:?}", only(&found, &expected), only(&expected, &found));
}

#[test]
fn the_plain_model_merges_what_touches_and_tells_what_differs() {
    let check = |prefixes: &[&str], expect: &str| {
        assert_eq!(Addresses::of(prefixes.iter().copied()).to_string(), expect);
    };
    check(&["192.0.2.0/25", "192.0.2.128/25"], "192.0.2.0-192.0.2.255\n");
    check(&["192.0.2.0/24", "192.0.2.7/32"], "192.0.2.0-192.0.2.255\n");
    check(&["192.0.2.0/25", "198.51.100.0/24"], "192.0.2.0-192.0.2.127\n198.51.100.0-198.51.100.255\n");
    check(&["0.0.0.0/0", "::/0"], "0.0.0.0-255.255.255.255\n::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n");
    check(&["255.255.255.255/32", "::/128"], "255.255.255.255-255.255.255.255\n::-::\n");
}
