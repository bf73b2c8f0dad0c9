//! Targets in AWS, as typed and as meant.

use schemars::JsonSchema;
use serde::Deserialize;
use tagwall_provider::{Family, PerFamily};

/// What is wrong with a key of the table: `("groups", "is empty…")`.
type Problem = (String, String);

/// How many inbound rules of one family a security group takes unless AWS was asked for more.
const DEFAULT_QUOTA: u64 = 60;
/// How many entries a managed prefix list takes.
const MOST_ENTRIES: u64 = 1000;
/// How many security groups a network interface takes at most, however much AWS is asked for.
const MOST_GROUPS: usize = 16;

/// The tables as typed.
pub mod raw {
    use super::{Deserialize, JsonSchema};

    /// Inbound rules of security groups.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct SecurityGroups {
        /// The region (`"eu-west-1"`).
        pub region: String,
        /// The groups by id (`"sg-…"`). Prefixes go where there is room, the first group first, and stay where they are.
        pub groups: Vec<String>,
        /// How many inbound rules of one family a group takes: 60, unless AWS was asked for more.
        #[serde(default)]
        pub quota: Option<u64>,
        /// Where old and new do not fit at once, let what nobody wants any more go first. Until the next call, what
        /// replaces it is not admitted.
        #[serde(default)]
        pub make_room: bool,
        /// A profile of the AWS configuration files; the SDK's usual chain of credentials by default.
        #[serde(default)]
        pub profile: Option<String>,
        /// A role to assume.
        #[serde(default)]
        pub role: Option<Role>,
        /// Another address of the EC2 API (a VPC end point, an emulator).
        #[serde(default)]
        pub endpoint: Option<String>,
    }

    /// Managed prefix lists, one for each family.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct PrefixLists {
        /// The region (`"eu-west-1"`).
        pub region: String,
        /// The list of IPv4 prefixes: by id (`"pl-…"`), or the name of one that tagwall makes.
        #[serde(default)]
        pub v4: Option<String>,
        /// The list of IPv6 prefixes.
        #[serde(default)]
        pub v6: Option<String>,
        /// How far a list may grow; 1000, which is AWS' limit, by default. Every group that names the list has to have
        /// the quota for all of it.
        #[serde(default)]
        pub most_entries: Option<u64>,
        /// Where old and new do not fit at once, let what nobody wants any more go first. Until the next call, what
        /// replaces it is not admitted.
        #[serde(default)]
        pub make_room: bool,
        /// A profile of the AWS configuration files; the SDK's usual chain of credentials by default.
        #[serde(default)]
        pub profile: Option<String>,
        /// A role to assume.
        #[serde(default)]
        pub role: Option<Role>,
        /// Another address of the EC2 API (a VPC end point, an emulator).
        #[serde(default)]
        pub endpoint: Option<String>,
    }

    /// A role to assume, by `sts:AssumeRole`.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Role {
        /// Its ARN (`"arn:aws:iam::123456789012:role/tagwall"`).
        pub arn: String,
        /// The external id that its trust policy asks for.
        #[serde(default)]
        pub external_id: Option<String>,
        /// How its sessions are named in AWS' own logs; `"tagwall"` by default.
        #[serde(default)]
        pub session_name: Option<String>,
    }
}

/// Whose API is asked, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The region.
    pub region: String,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A role to assume.
    pub role: Option<raw::Role>,
    /// Another address of the API.
    pub endpoint: Option<String>,
}

/// Inbound rules of security groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroups {
    /// Where.
    pub account: Account,
    /// The groups by id, the first to be filled first.
    pub groups: Vec<String>,
    /// How many inbound rules of one family a group takes.
    pub quota: u64,
    /// Whether what nobody wants may go before what comes.
    pub make_room: bool,
}

/// Managed prefix lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixLists {
    /// Where.
    pub account: Account,
    /// The lists: by id (`pl-…`), or the names of such as tagwall makes.
    pub lists: PerFamily<Option<String>>,
    /// How far a list may grow.
    pub most_entries: u64,
    /// Whether what nobody wants may go before what comes.
    pub make_room: bool,
}

impl SecurityGroups {
    pub(super) fn resolve(raw: raw::SecurityGroups) -> Result<Self, Problem> {
        let raw::SecurityGroups { region, groups, quota, make_room, profile, role, endpoint } = raw;
        if groups.is_empty() {
            return problem("groups", "is empty: name at least one security group");
        }
        if let Some(name) = groups.iter().find(|name| !is_id(name, "sg-")) {
            return problem(
                "groups",
                format!("has `{name}`, which is no id of a security group, such as `sg-0123abcd`"),
            );
        }
        if let Some(twice) = groups.iter().enumerate().find(|(index, group)| groups[..*index].contains(group)) {
            return problem("groups", format!("names `{}` twice", twice.1));
        }
        if groups.len() > MOST_GROUPS {
            let problem = format!(
                "names {} groups: a network interface takes {MOST_GROUPS} at most, and 5 unless AWS was asked for more",
                groups.len()
            );
            return self::problem("groups", problem);
        }
        let quota = quota.unwrap_or(DEFAULT_QUOTA);
        if !(1..=1000).contains(&quota) {
            return problem("quota", format!("is {quota}; AWS allows 1 to 1000 rules"));
        }
        Ok(Self { account: Account::resolve(region, profile, role, endpoint)?, groups, quota, make_room })
    }

    /// What it is, in words.
    pub(super) fn object(&self) -> String {
        format!("AWS {} {}", self.account.region, self.groups.join(" "))
    }

    /// A group that both are of.
    pub(super) fn shared<'a>(&'a self, other: &Self) -> Option<&'a str> {
        self.groups.iter().find(|group| other.groups.contains(group)).map(String::as_str)
    }
}

impl PrefixLists {
    pub(super) fn resolve(raw: raw::PrefixLists) -> Result<Self, Problem> {
        let raw::PrefixLists { region, v4, v6, most_entries, make_room, profile, role, endpoint } = raw;
        let lists = PerFamily { v4, v6 };
        if lists.v4.is_none() && lists.v6.is_none() {
            return problem("v4", "is missing, and so is `v6`: name at least one prefix list");
        }
        if lists.v4 == lists.v6 {
            return problem("v6", "is the list of `v4`: a prefix list holds one family");
        }
        for (key, name) in [("v4", &lists.v4), ("v6", &lists.v6)] {
            let wrong = name.as_ref().filter(|name| !is_id(name, "pl-") && !is_list_name(name));
            if let Some(name) = wrong {
                let known = "neither an id such as `pl-0123abcd` nor a name of 1 to 255 characters";
                return problem(key, format!("is `{name}`, {known}"));
            }
        }
        let most_entries = most_entries.unwrap_or(MOST_ENTRIES);
        if !(1..=MOST_ENTRIES).contains(&most_entries) {
            return problem("most-entries", format!("is {most_entries}; AWS allows 1 to {MOST_ENTRIES}"));
        }
        Ok(Self { account: Account::resolve(region, profile, role, endpoint)?, lists, most_entries, make_room })
    }

    /// What it is, in words.
    pub(super) fn object(&self) -> String {
        let lists: Vec<&str> = self.names().collect();
        format!("AWS {} {}", self.account.region, lists.join(" "))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        Family::ALL.into_iter().filter_map(|family| self.lists.get(family).as_deref())
    }

    /// A list that both are about. An id says it all; a name is one of its account and region.
    pub(super) fn shared<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let same = |name: &&str| is_id(name, "pl-") || self.account == other.account;
        self.names().filter(same).find(|name| other.names().any(|theirs| theirs == *name))
    }
}

/// Whether this names a prefix list that is there, by its id.
pub fn is_list_id(name: &str) -> bool {
    is_id(name, "pl-")
}

impl Account {
    fn resolve(
        region: String,
        profile: Option<String>,
        role: Option<raw::Role>,
        endpoint: Option<String>,
    ) -> Result<Self, Problem> {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if region.is_empty() || !plain(&region) {
            return problem("region", format!("is `{region}`, which is no region, such as `eu-west-1`"));
        }
        // Whoever names an address of the API may be in a partition that nobody has heard of.
        if endpoint.is_none() && !is_region(&region) {
            let known = "its regions are an area, a direction and a number, such as `eu-west-1`";
            return problem("region", format!("is `{region}`, which is in no partition of AWS: {known}"));
        }
        if let Some(role) = &role {
            let is_role = role.arn.starts_with("arn:") && role.arn.contains(":role/");
            if !is_role {
                let problem = format!(
                    "is `{}`, which is no ARN of a role, such as `arn:aws:iam::123456789012:role/tagwall`",
                    role.arn
                );
                return Err(("role.arn".to_owned(), problem));
            }
        }
        if let Some(endpoint) = &endpoint {
            super::resolve::endpoint(endpoint).map_err(|problem| ("endpoint".to_owned(), problem))?;
        }
        Ok(Self { region, profile, role, endpoint })
    }
}

/// Whether a region may be: `area-direction-number`, as AWS names them. No list of regions, which would be short of the
/// next one.
fn is_region(name: &str) -> bool {
    const AREAS: [&str; 16] = [
        "af", "ap", "ca", "cn", "eu", "eu-isoe", "eusc-de", "il", "me", "mx", "sa", "us", "us-gov", "us-iso",
        "us-isob", "us-isof",
    ];
    const DIRECTIONS: [&str; 9] =
        ["north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest", "central"];
    let mut parts = name.rsplitn(3, '-');
    let (number, direction, area) = (parts.next(), parts.next(), parts.next());
    number.is_some_and(|number| matches!(number.parse::<u8>(), Ok(1..=99)) && !number.starts_with('0'))
        && direction.is_some_and(|direction| DIRECTIONS.contains(&direction))
        && area.is_some_and(|area| AREAS.contains(&area))
}

fn is_id(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// AWS: up to 255 characters, and names of its own begin with `com.amazonaws`.
fn is_list_name(name: &str) -> bool {
    (1..=255).contains(&name.chars().count())
        && name.trim() == name
        && !name.starts_with("com.amazonaws")
        && !name.starts_with("pl-")
}

fn problem<T>(key: &str, problem: impl Into<String>) -> Result<T, Problem> {
    Err((key.to_owned(), problem.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_a_place_in_a_partition() {
        let check = |name: &str, expect: bool| assert_eq!(is_region(name), expect, "{name}");
        for name in [
            "eu-west-1",
            "ap-southeast-7",
            "mx-central-1",
            "il-central-1",
            "us-gov-west-1",
            "cn-northwest-1",
            "us-iso-east-1",
            "us-isob-west-1",
            "eu-isoe-west-1",
            "us-isof-south-1",
            "eusc-de-east-1",
            "af-south-1",
            // Not yet, but it may come.
            "eu-west-9",
            "sa-west-12",
        ] {
            check(name, true);
        }
        for name in [
            "eu-wset-1",
            "eu-west",
            "eu-west-",
            "eu-west-0",
            "eu-west-01",
            "eu-west-1a",
            "euwest-1",
            "ue-west-1",
            "us-gov-1",
            "west-1",
            "eu--1",
            "eu-west-1-1",
            "local",
        ] {
            check(name, false);
        }
    }
}
