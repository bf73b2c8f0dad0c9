//! Targets in Azure, as typed and as meant.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tagwall_provider::{Family, IpNet, PerFamily};

use super::raw::Cloud;

/// What is wrong with a key of the table.
type Problem = (String, String);

/// The priorities that Azure takes.
const PRIORITIES: std::ops::RangeInclusive<u16> = 100..=4096;
/// How many priorities from the first on are a target's own: of each family the prefixes, the tag, the probes and the
/// end.
pub const PRIORITY_BLOCK: u16 = 11;

/// The table as typed.
pub mod raw {
    use super::{Cloud, Deserialize, JsonSchema, PathBuf};

    /// Rules of a network security group.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Nsg {
        /// The subscription by id.
        pub subscription: String,
        /// The resource group.
        pub resource_group: String,
        /// The network security group by name.
        pub nsg: String,
        /// The first of eleven priorities that are tagwall's, 100 to 4086.
        pub priority: u16,
        /// What the rules name as their source.
        #[serde(default)]
        pub mode: Mode,
        /// Which addresses behind the group are opened; all by default.
        #[serde(default)]
        pub destination: Destination,
        /// Close the ports to everybody else by a rule behind those that admit. Without it Azure's own rules decide,
        /// which admit the virtual network.
        #[serde(default)]
        pub deny: bool,
        /// Whether the probes of Azure's load balancers pass all the same; with `deny`, where they do by default.
        #[serde(default)]
        pub admit_probes: Option<bool>,
        /// Which of Microsoft's clouds the group is in; that of the source by default.
        #[serde(default)]
        pub cloud: Option<Cloud>,
        /// Whose credentials are used.
        #[serde(default)]
        pub credential: Credential,
        /// The client id of a user-assigned managed identity.
        #[serde(default)]
        pub client_id: Option<String>,
        /// Another address of Azure Resource Manager.
        #[serde(default)]
        pub endpoint: Option<String>,
        /// Another address of Microsoft Entra ID.
        #[serde(default)]
        pub authority: Option<String>,
        /// A PEM file of further certificate authorities.
        #[serde(default)]
        pub extra_ca: Option<PathBuf>,
    }

    /// What rules name as their source.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Mode {
        /// The prefixes, judged and dated like everywhere else.
        #[default]
        Prefixes,
        /// Azure's own service tag, which Microsoft keeps: one rule, and no limit, grace or history of tagwall's.
        ServiceTag,
    }

    /// The addresses that are opened.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Destination {
        /// An IPv4 address or prefix; all by default.
        pub v4: Option<String>,
        /// An IPv6 address or prefix; all by default.
        pub v6: Option<String>,
    }

    /// Whose credentials are used.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Credential {
        /// The first that is there: environment, workload identity, managed identity, Azure CLI.
        #[default]
        Auto,
        /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.
        Environment,
        /// A federated token in a file: Kubernetes, GitHub.
        WorkloadIdentity,
        /// The identity of this machine.
        ManagedIdentity,
        /// Who is logged in by `az login`.
        AzureCli,
    }
}

/// Rules of a network security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nsg {
    /// Where, and as whom.
    pub account: Account,
    /// The subscription by id.
    pub subscription: String,
    /// The resource group.
    pub resource_group: String,
    /// The network security group by name.
    pub nsg: String,
    /// The first of [`PRIORITY_BLOCK`] priorities.
    pub priority: u16,
    /// What the rules name as their source.
    pub mode: raw::Mode,
    /// Which addresses are opened; all where it is `None`.
    pub destination: PerFamily<Option<String>>,
    /// Whether a rule behind ours closes the ports to everybody else.
    pub deny: bool,
    /// Whether that rule leaves load balancers' probes alone.
    pub admit_probes: bool,
}

/// Whose API is asked, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which of Microsoft's clouds; that of the source where it is `None`.
    pub cloud: Option<Cloud>,
    /// Whose credentials.
    pub credential: raw::Credential,
    /// The client id of a user-assigned managed identity.
    pub client_id: Option<String>,
    /// Another address of Azure Resource Manager.
    pub endpoint: Option<String>,
    /// Another address of Microsoft Entra ID.
    pub authority: Option<String>,
    /// A PEM file of further certificate authorities.
    pub extra_ca: Option<PathBuf>,
}

#[cfg(feature = "azure")]
impl Account {
    /// The same as the calls of Resource Manager take it, in this cloud unless it names another.
    pub fn of(&self, cloud: crate::source::Cloud) -> tagwall_arm::Account {
        use crate::source;
        use tagwall_arm::CredentialKind;

        let cloud = match self.cloud.map_or(cloud, source::Cloud::from) {
            source::Cloud::Public => tagwall_arm::Cloud::Public,
            source::Cloud::UsGovernment => tagwall_arm::Cloud::UsGovernment,
            source::Cloud::China => tagwall_arm::Cloud::China,
        };
        let Self { client_id, endpoint, authority, extra_ca, .. } = self.clone();
        let credential = match self.credential {
            raw::Credential::Auto => CredentialKind::Auto,
            raw::Credential::Environment => CredentialKind::Environment,
            raw::Credential::WorkloadIdentity => CredentialKind::WorkloadIdentity,
            raw::Credential::ManagedIdentity => CredentialKind::ManagedIdentity { client_id },
            raw::Credential::AzureCli => CredentialKind::AzureCli,
        };
        tagwall_arm::Account { cloud, credential, endpoint, authority, ca_file: extra_ca }
    }
}

impl Nsg {
    pub(super) fn resolve(raw: raw::Nsg, relative_to: &Path) -> Result<Self, Problem> {
        let raw::Nsg { subscription, resource_group, nsg, priority, mode, destination, deny, admit_probes, .. } = raw;
        for (key, text) in [("subscription", &subscription), ("resource-group", &resource_group), ("nsg", &nsg)] {
            // They become parts of a path.
            let plain = |letter: char| letter.is_alphanumeric() || "-_.()".contains(letter);
            if text.is_empty() || !text.chars().all(plain) || text.chars().all(|letter| letter == '.') {
                return problem(key, format!("is `{text}`, which is no name in Azure"));
            }
        }
        let last = PRIORITIES.end() - (PRIORITY_BLOCK - 1);
        if !(*PRIORITIES.start()..=last).contains(&priority) {
            let block = format!("the first of {PRIORITY_BLOCK} priorities, {} to {last}", PRIORITIES.start());
            return problem("priority", format!("is {priority}, which is not {block}"));
        }
        if admit_probes.is_some() && !deny {
            return problem("admit-probes", "goes with `deny = true` only: nothing of ours keeps probes out");
        }
        if raw.client_id.is_some() && raw.credential != raw::Credential::ManagedIdentity {
            return problem("client-id", "goes with `credential = \"managed-identity\"` only");
        }
        for (key, address) in [("endpoint", &raw.endpoint), ("authority", &raw.authority)] {
            if let Some(address) = address {
                super::resolve::endpoint(address).map_err(|problem| (key.to_owned(), problem))?;
            }
        }
        let destination = PerFamily { v4: destination.v4, v6: destination.v6 };
        for text in [&destination.v4, &destination.v6].into_iter().flatten() {
            // Azure takes no prefix that does not begin where it says.
            if let Some(prefix) = text.parse::<IpNet>().ok().filter(|prefix| *prefix != prefix.trunc()) {
                return problem(
                    "destination",
                    format!("is `{text}`, which begins at `{}`: write that", prefix.trunc()),
                );
            }
        }
        let account = Account {
            cloud: raw.cloud,
            credential: raw.credential,
            client_id: raw.client_id,
            endpoint: raw.endpoint,
            authority: raw.authority,
            extra_ca: raw.extra_ca.map(|path| relative_to.join(path)),
        };
        let admit_probes = admit_probes.unwrap_or(true);
        Ok(Self { account, subscription, resource_group, nsg, priority, mode, destination, deny, admit_probes })
    }

    /// What it is, in words.
    pub(super) fn object(&self) -> String {
        format!("Azure {}/{}", self.resource_group, self.nsg)
    }

    /// Whether both are of one group.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        same(&self.subscription, &other.subscription)
            && same(&self.resource_group, &other.resource_group)
            && same(&self.nsg, &other.nsg)
    }

    /// Whether both may open or close the same address behind the group. Two that are written otherwise are taken for
    /// two.
    pub(super) fn shares_destination(&self, other: &Self) -> bool {
        Family::ALL.into_iter().any(|family| match (self.destination.get(family), other.destination.get(family)) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        })
    }
}

fn problem<T>(key: &str, problem: impl Into<String>) -> Result<T, Problem> {
    Err((key.to_owned(), problem.into()))
}
