//! What the operator wants, read strictly: an unknown key is an error with its line.
//!
//! Two stages. [`raw`] is the file as typed, with every key documented: the JSON schema is made from it.
//! [`Config`] is the file resolved: defaults filled in, names checked, references followed.

pub mod aws;
pub mod azure;
mod grace;
mod percent;
pub mod raw;
mod resolve;
mod sources;
mod span;
pub mod telling;
mod widen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tagwall_provider::{Family, Held, OwnerMark, PrefixSet};

use crate::confirm::Confirm;
use crate::grace::{Dropped, Grace};
use crate::limits::Limits;
use crate::schedule::Schedule;
use crate::source;

pub use grace::RemovalGrace;
pub use percent::Percent;
pub use raw::{Hook, Policy, Protocol, SpecialSpace};
pub use span::TimeSpan;
pub use telling::{Listen, Log, Receiver};
pub use widen::Widen;

/// A configuration, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it came from: a file, or [`Config::defaults`].
    pub origin: Origin,
    /// The hash of the file's bytes; `None` of the defaults.
    pub sha256: Option<source::Digest>,
    /// Whose marks ours are.
    pub owner: String,
    /// Whether the owner is the host's name because nobody gave one.
    pub owner_is_host: bool,
    /// Where the publication comes from.
    pub source: source::Settings,
    /// What judges a list that says nothing of its own.
    pub limits: Limits,
    /// When the daemon makes its passes.
    pub schedule: Schedule,
    /// Warn when the publication is older than this.
    pub stale: Duration,
    /// Where tagwall keeps its state, where the file says so.
    pub state_dir: Option<PathBuf>,
    /// How many generations it keeps.
    pub generations: usize,
    /// Who may be admitted, by name.
    pub lists: BTreeMap<String, List>,
    /// Where, in the order of their names.
    pub targets: Vec<Target>,
    /// Where the daemon answers over HTTP; nowhere where it is `None`.
    pub listen: Option<Listen>,
    /// How and how much is logged.
    pub log: Log,
    /// Who is told of changes and of trouble, in the order of their names.
    pub receivers: Vec<Receiver>,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// Nothing was configured.
    Defaults,
}

/// Who: a named selection of tags.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Its name.
    pub name: String,
    /// The tags, as typed. With regions, the regional tag of each.
    pub tags: Vec<String>,
    /// Which families of them.
    pub families: Vec<Family>,
    /// What the operator adds.
    pub extra: PrefixSet,
    /// What the operator takes out.
    pub exclude: PrefixSet,
    /// How long what Microsoft drops stays.
    pub grace: Grace,
    /// The limits that judge its changes.
    pub limits: Limits,
}

impl List {
    /// What it still admits of what was dropped.
    pub fn holds(&self, dropped: &Dropped) -> Held {
        let Held { prefixes, until } = dropped.held(self.grace);
        Held { prefixes: self.wanted(&prefixes), until }
    }

    /// What it admits of these addresses: of its families, and not excluded.
    pub fn wanted(&self, addresses: &PrefixSet) -> PrefixSet {
        let families = self.families.iter().map(|family| addresses.only(*family));
        families.fold(PrefixSet::new(), |sum, of| sum.union(&of)).difference(&self.exclude)
    }
}

/// Where: one configured firewall object and its ports.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The mark on all that is written for it.
    pub mark: OwnerMark,
    /// The lists whose union it admits.
    pub lists: Vec<String>,
    /// The ports it is about.
    pub ports: Vec<u16>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// What may be changed.
    pub policy: Policy,
    /// Whether it goes ahead of the others.
    pub canary: bool,
    /// Who is asked whether a change did well.
    pub confirm: Option<Confirm>,
    /// How far it may be opened beyond what is listed, to save prefixes.
    pub widen: Option<Widen>,
    /// The one tag that is named to a firewall which knows it, in place of its prefixes.
    pub service_tag: Option<String>,
    /// The firewall.
    pub backend: Backend,
}

impl Target {
    /// What becomes of its ports where nothing of ours is there, to be said before that is done.
    pub fn without_us(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let (protocol, ports) = (self.protocol.name(), ports.join(" "));
        match &self.backend {
            Backend::Nftables(raw) if raw.mode == raw::Mode::Set => {
                format!("empties {}; your rules decide what that means", self.backend.object())
            }
            Backend::Nftables(_) => format!("{protocol} {ports} is then open to everybody"),
            Backend::AwsSecurityGroups(_) => {
                format!("{protocol} {ports} is then closed to all but whom other rules of these groups admit")
            }
            Backend::AwsPrefixLists(_) => "whoever names these lists admits nobody by them any more".to_owned(),
            Backend::AzureNsg(_) => {
                format!("{protocol} {ports} is then as the group's other rules leave it")
            }
        }
    }
}

/// Which firewall a target is.
#[derive(Clone, Debug, PartialEq)]
pub enum Backend {
    /// The nftables of this host.
    Nftables(raw::Nftables),
    /// Inbound rules of AWS security groups.
    AwsSecurityGroups(aws::SecurityGroups),
    /// Managed prefix lists of AWS.
    AwsPrefixLists(aws::PrefixLists),
    /// Rules of an Azure network security group.
    AzureNsg(azure::Nsg),
}

impl Backend {
    /// The provider's name, as its key in the configuration.
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::Nftables(_) => "nftables",
            Self::AwsSecurityGroups(_) => "aws-security-groups",
            Self::AwsPrefixLists(_) => "aws-prefix-lists",
            Self::AzureNsg(_) => "azure-nsg",
        }
    }

    /// The feature of a build that brings its provider.
    pub const fn feature(&self) -> &'static str {
        match self {
            Self::Nftables(_) => "nftables",
            Self::AwsSecurityGroups(_) | Self::AwsPrefixLists(_) => "aws",
            Self::AzureNsg(_) => "azure",
        }
    }

    /// The object whose entries cannot carry an owner mark, where it is such a one.
    pub fn unmarked_object(&self) -> Option<String> {
        match self {
            Self::Nftables(raw) if raw.mode == raw::Mode::Set => Some(self.object()),
            _ => None,
        }
    }

    /// What it is, in words.
    pub fn object(&self) -> String {
        match self {
            Self::Nftables(raw) if raw.mode == raw::Mode::Set => {
                let sets: Vec<&str> = [&raw.v4, &raw.v6].into_iter().flatten().map(String::as_str).collect();
                format!("nftables {} {}", raw.table.as_deref().unwrap_or_default(), sets.join(" "))
            }
            Self::Nftables(_) => "nftables inet tagwall".to_owned(),
            Self::AwsSecurityGroups(groups) => groups.object(),
            Self::AwsPrefixLists(lists) => lists.object(),
            Self::AzureNsg(nsg) => nsg.object(),
        }
    }

    /// Whether a boot with nothing to restore closes its ports.
    pub const fn boots_closed(&self) -> bool {
        match self {
            Self::Nftables(raw) => matches!((raw.mode, raw.boot), (raw::Mode::Enforce, raw::Boot::Closed)),
            _ => false,
        }
    }

    /// Whether a program of this host should listen on its ports: those that DNAT forwards are listened on elsewhere.
    pub const fn listens_here(&self) -> bool {
        match self {
            Self::Nftables(raw) => matches!(raw.hook, Hook::Input),
            _ => false,
        }
    }

    /// Whether it guards this host, so that it could cut the operator's own session.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Nftables(_))
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("the configuration `{}` is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why; shows the line.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value means nothing, or contradicts another.
    #[error("the configuration `{}` is not valid: `{key}` {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, as a path (`targets.edge.lists`).
        key: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
}

/// Where a service looks for its configuration.
pub const DEFAULT_PATH: &str = "/etc/tagwall/tagwall.toml";

impl Config {
    /// Reads and resolves a file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and the key or the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Resolves the text of a file.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw = toml::from_str::<raw::Config>(text).map_err(|error| {
            // It shows the line, which may hold the address of a mirror.
            let source = in_words(&source::without_secrets(&error.to_string())).into();
            ConfigError::Parse { path: path.to_owned(), source }
        })?;
        let resolved = resolve::resolve(raw, Origin::File(path.to_owned()));
        let config = resolved.map_err(|(key, problem)| ConfigError::Value { path: path.to_owned(), key, problem })?;
        Ok(Self { sha256: Some(source::digest(text.as_bytes())), ..config })
    }

    /// This configuration with another owner's marks.
    #[must_use]
    pub fn owned_by(mut self, owner: &str) -> Self {
        for target in &mut self.targets {
            // Both parts were valid apart, so they are together.
            if let Ok(mark) = OwnerMark::new(owner, &target.name) {
                target.mark = mark;
            }
        }
        owner.clone_into(&mut self.owner);
        self
    }

    /// What tagwall does where nothing is configured: AzureActiveDirectory on TCP 8443 of this host.
    ///
    /// # Panics
    /// Never: the text is a constant, and a test reads it.
    pub fn defaults() -> Self {
        let raw = toml::from_str(DEFAULTS).expect("the built-in configuration parses, a test keeps it");
        resolve::resolve(raw, Origin::Defaults).expect("the built-in configuration resolves, a test keeps it")
    }
}

/// What the reader of TOML says, with what to write in place of how Rust calls it.
fn in_words(error: &str) -> String {
    let words = [
        ("expected a sequence", "expected a list, as in `[\"a\", \"b\"]`"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected a map", "expected a table"),
    ];
    words.into_iter().fold(error.to_owned(), |text, (from, to)| text.replace(from, to))
}

const DEFAULTS: &str = r#"
[lists.entra]
tags = ["AzureActiveDirectory"]

[targets.default]
lists = ["entra"]
nftables = {}
"#;

#[cfg(test)]
mod cloud_tests;
#[cfg(test)]
mod tests;
