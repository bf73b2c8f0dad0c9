//! The configuration file as typed. The comments here are its reference: the JSON schema carries them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::aws::raw as aws;
use super::azure::raw as azure;
use super::telling::raw as telling;
use super::{Percent, RemovalGrace, TimeSpan};

/// The configuration of tagwall.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "tagwall.toml")]
pub struct Config {
    /// Whose marks tagwall writes and takes for its own; the host name by default.
    pub owner: Option<String>,
    /// Where the publication comes from.
    pub source: Source,
    /// When the daemon makes its passes.
    pub schedule: Schedule,
    /// Who: named selections of service tags.
    pub lists: BTreeMap<String, List>,
    /// Where: firewall objects and their ports.
    pub targets: BTreeMap<String, Target>,
    /// What a change may not exceed without an override.
    pub limits: Limits,
    /// Who is asked, after every change, whether it did well; nobody by default.
    pub confirm: Option<Confirm>,
    /// Where tagwall keeps what it has to remember.
    pub state: State,
    /// Where the daemon tells how things stand.
    pub metrics: telling::Metrics,
    /// How and how much is logged.
    pub log: telling::Log,
    /// Who is told of changes and of trouble, by name.
    pub notify: telling::Receivers,
}

/// Who is asked from outside whether a change did well. Where nobody says so in time, the change is taken back and the
/// target stays as it was until `tagwall resume`. Exactly one of `command` and `url-file` must be given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Confirm {
    /// A program and its arguments that has a probe elsewhere look at the port: exit status 0 confirms.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// A file that holds the address of such a probe, which is asked by POST: a status of 200 to 299 confirms.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// How long it may take; asked again and again until then. `"30s"` by default.
    #[serde(default)]
    pub timeout: Option<TimeSpan>,
}

/// Where the publication comes from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// Which of Microsoft's clouds; the public one by default.
    pub cloud: Option<Cloud>,
    /// How it is fetched.
    pub kind: Kind,
    /// The document, for `kind = "file"`.
    pub path: Option<PathBuf>,
    /// The document's address, for `kind = "url"`: a mirror of your own.
    pub url: Option<String>,
    /// The page that links to the document, for `kind = "download"`; Microsoft's by default.
    pub page: Option<String>,
    /// Hosts that may be asked, redirects included; Microsoft's two by default.
    pub hosts: Option<Vec<String>>,
    /// What tagwall calls itself in requests.
    pub user_agent: Option<String>,
    /// A subscription by id, for `kind = "discovery-api"`: Azure answers for the whole cloud that it is in.
    pub subscription: Option<String>,
    /// A region of Azure, for `kind = "discovery-api"`: whose version of the list is asked for. Every answer has all
    /// regions.
    pub location: Option<String>,
    /// Whose credentials are used, for `kind = "discovery-api"`.
    pub credential: Option<azure::Credential>,
    /// The client id of a user-assigned managed identity, for `kind = "discovery-api"`.
    pub client_id: Option<String>,
    /// Another address of Azure Resource Manager, for `kind = "discovery-api"`.
    pub endpoint: Option<String>,
    /// Another address of Microsoft Entra ID, for `kind = "discovery-api"`.
    pub authority: Option<String>,
    /// A PEM file of further certificate authorities.
    pub extra_ca: Option<PathBuf>,
    /// How long connecting may take; 10 s by default.
    pub connect_timeout: Option<TimeSpan>,
    /// How long the server may stay silent; 30 s by default.
    pub read_timeout: Option<TimeSpan>,
    /// How long a whole fetch may take, retries and all; 5 m by default, and 30 s of a source to compare with.
    pub total_timeout: Option<TimeSpan>,
    /// How often a request is tried before the last good publication is used; 4 by default.
    pub attempts: Option<u32>,
    /// How old the last good publication may be to be used when fetching fails; 30 d by default.
    pub last_good_max_age: Option<TimeSpan>,
    /// Another source, with the same keys: every pass says where the two differ in the tags that targets use. This one
    /// is gone by, whatever the other says, and that the other fails is a warning.
    pub compare: Option<Box<Self>>,
}

/// When the daemon makes its passes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    /// A crontab(5) line of exactly five fields, 0 and 7 are Sunday; `"23 */6 * * *"` by default.
    pub cron: Option<String>,
    /// How far a pass may be put off, so that not all hosts ask at once, at most 24 h; `"10m"` by default.
    pub jitter: Option<TimeSpan>,
    /// The time zone that the line is in (`"Europe/Berlin"`); the system's by default.
    pub time_zone: Option<String>,
}

/// Which of Microsoft's clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The public cloud.
    #[default]
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure China.
    China,
}

/// How the publication is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// From Microsoft's download page.
    #[default]
    Download,
    /// From a file.
    File,
    /// From one address.
    Url,
    /// From Azure's Service Tag Discovery API: numbered otherwise than the file, a subset of it, up to weeks behind.
    DiscoveryApi,
}

/// Who: a named selection of service tags.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct List {
    /// Service tags by name, case ignored. May be left out of a list that has `extra`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Regions: of each tag the regional tags (`Storage` and `westeurope` is `Storage.WestEurope`) in place of the global one.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Address families; both by default.
    #[serde(default)]
    pub families: Option<Vec<Family>>,
    /// Prefixes admitted besides: yours, so they are not judged by `special-space`.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Prefixes never admitted, whatever the tags and `extra` say.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How long what Microsoft drops stays admitted: a time (`"14d"`) or so many further publications
    /// (`"2 publications"`); `"none"` by default.
    #[serde(default)]
    pub removal_grace: RemovalGrace,
    /// Limits for this list alone; what is not given is as in `[limits]`.
    #[serde(default)]
    pub limits: Limits,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Where: one firewall object and its ports. Exactly one provider table must be given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// The lists whose union is admitted.
    pub lists: Vec<String>,
    /// The ports; 8443 by default.
    #[serde(default)]
    pub ports: Option<Vec<u16>>,
    /// The protocol; TCP by default.
    #[serde(default)]
    pub protocol: Protocol,
    /// What may be changed; everything by default.
    #[serde(default)]
    pub policy: Policy,
    /// Goes ahead of the targets that are no canaries: where it is refused or fails, they stay as they are.
    #[serde(default)]
    pub canary: bool,
    /// Who is asked whether a change of this target did well; as in `[confirm]` by default.
    #[serde(default)]
    pub confirm: Option<Confirm>,
    /// Admit a little more than is listed, in fewer prefixes, where a firewall has no room for them all.
    #[serde(default)]
    pub widen: Option<Widen>,
    /// The nftables of this host.
    #[serde(default)]
    pub nftables: Option<Nftables>,
    /// Inbound rules of AWS security groups.
    #[serde(default)]
    pub aws_security_groups: Option<aws::SecurityGroups>,
    /// Managed prefix lists of AWS.
    #[serde(default)]
    pub aws_prefix_lists: Option<aws::PrefixLists>,
    /// Rules of an Azure network security group.
    #[serde(default)]
    pub azure_nsg: Option<azure::Nsg>,
}

/// How far a target may be opened to addresses that Microsoft does not list, to save prefixes: the cover of at most so
/// many prefixes that admits the fewest of them. What a list excludes and special address space stay out. Where no such
/// cover keeps within the bounds the target is refused. Every plan shows the addresses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Widen {
    /// How many IPv4 prefixes at most; as many as are listed by default.
    pub v4: Option<usize>,
    /// How many IPv6 prefixes at most; as many as are listed by default.
    pub v6: Option<usize>,
    /// The most addresses that may come in that way, of each family, beside those listed; `"5%"` by default.
    pub most_extra: Option<Percent>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name in lower case, as nftables and people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a pass may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Shows what would change, changes nothing.
    Observe,
    /// Adds what is missing, removes nothing.
    AddOnly,
    /// Adds and removes.
    #[default]
    Sync,
}

impl Policy {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::AddOnly => "add-only",
            Self::Sync => "sync",
        }
    }
}

/// The nftables of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nftables {
    /// A chain of tagwall's own that closes the ports to everybody else, or a set in a table of yours.
    pub mode: Mode,
    /// Where packets are judged (`enforce`).
    pub hook: Hook,
    /// Whether connections that are up survive the removal of their address (`enforce`).
    pub established: Established,
    /// The chain's priority (`enforce`); 0 for `input`, -150 for `prerouting`, which is before DNAT.
    pub priority: Option<i32>,
    /// What a boot makes of the ports where no generation can be restored (`enforce`).
    pub boot: Boot,
    /// The table that holds the sets (`set`), with its family: `inet filter`.
    pub table: Option<String>,
    /// The set of IPv4 addresses (`set`).
    pub v4: Option<String>,
    /// The set of IPv6 addresses (`set`).
    pub v6: Option<String>,
    /// Take over what the sets hold already (`set`). Without it a first pass that finds anything unexpected refuses.
    pub adopt: bool,
}

/// What a boot makes of ports that nothing is remembered of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// Closed to everybody but this host, until the first pass.
    #[default]
    Closed,
    /// As they are without tagwall: open, unless somebody else closes them.
    Open,
}

/// How a target of nftables is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Own table, chain and sets.
    #[default]
    Enforce,
    /// Named sets in the operator's own table; only their elements.
    Set,
}

/// Where packets are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Packets for a program on this host.
    #[default]
    Input,
    /// All packets to an address of this host, before DNAT: ports published by containers.
    Prerouting,
}

/// What becomes of a connection whose address is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Established {
    /// It stalls at once.
    #[default]
    Cut,
    /// It goes on; new ones are refused.
    Keep,
}

/// What a change may not exceed without an override.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The most a list may lose per family, in addresses and in prefixes; `"10%"` by default. Unless it is set, a list under 16 prefixes may lose two.
    pub loss: Option<Percent>,
    /// The most a list may gain per family, in addresses; `"100%"` by default. From nothing is not growth.
    pub growth: Option<Percent>,
    /// The broadest prefix that may be listed; `{ v4 = 12, v6 = 32 }` by default.
    pub too_broad: Option<TooBroad>,
    /// Special address space that may be listed all the same; none by default.
    pub special: Option<Vec<SpecialSpace>>,
    /// The age of a publication, by the date in its file name, from which tagwall warns; `"21d"` by default. Global only.
    pub stale: Option<TimeSpan>,
}

/// The broadest prefixes that may be listed, as prefix lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TooBroad {
    /// For IPv4, 0 to 32.
    #[schemars(range(max = 32))]
    pub v4: u8,
    /// For IPv6, 0 to 128.
    #[schemars(range(max = 128))]
    pub v6: u8,
}

impl Default for TooBroad {
    fn default() -> Self {
        Self { v4: 12, v6: 32 }
    }
}

/// Address space that no public service is reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialSpace {
    /// Private and shared (RFC 1918, 6598, 4193).
    Private,
    /// Loopback.
    Loopback,
    /// Link-local.
    LinkLocal,
    /// Multicast.
    Multicast,
    /// Documentation (RFC 5737, 3849, 9637).
    Documentation,
    /// Unspecified, benchmarking, mapped and future use.
    Reserved,
}

/// Where tagwall keeps what it has to remember.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// The directory; `/var/lib/tagwall` for root, under the user's state directory otherwise.
    pub dir: Option<PathBuf>,
    /// How many generations are kept to roll back to; 32 by default.
    #[schemars(range(min = 2))]
    pub generations: Option<usize>,
}
