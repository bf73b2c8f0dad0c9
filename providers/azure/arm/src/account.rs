//! Which cloud, and as whom: the key of a client.

use std::path::PathBuf;

use url::Url;

use crate::ArmError;

/// One of Microsoft's clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cloud {
    /// The public cloud.
    #[default]
    Public,
    /// US Government.
    UsGovernment,
    /// Azure in China, run by 21Vianet.
    China,
}

impl Cloud {
    /// Where its Resource Manager listens.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// Where its tokens come from.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

/// As whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// The first of those below whose inputs are there, in this order. One that is there and fails is an error: none of
    /// the others is tried in its place.
    #[default]
    Auto,
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` of the environment.
    Environment,
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and the token in the file `AZURE_FEDERATED_TOKEN_FILE`: workload identity of
    /// Kubernetes, and the OIDC token of a GitHub workflow that was written to a file.
    WorkloadIdentity,
    /// The identity that Azure gives a virtual machine, a container or an App Service.
    ManagedIdentity {
        /// Which, where the machine has several; the one that belongs to the machine alone otherwise.
        client_id: Option<String>,
    },
    /// Whoever is logged in to the Azure CLI: for people, not for services.
    AzureCli,
}

/// Which cloud, and as whom. Targets of equal accounts share one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// The cloud, which says where to ask.
    pub cloud: Cloud,
    /// The credential.
    pub credential: CredentialKind,
    /// Another Resource Manager: of a private cloud, or for tests.
    pub endpoint: Option<String>,
    /// Another place to get tokens from.
    pub authority: Option<String>,
    /// Certificate authorities to be trusted beside the system's own, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Account {
    /// The Resource Manager's address. Tokens go nowhere but there.
    ///
    /// # Errors
    /// [`ArmError::Settings`] where it is no address over TLS.
    pub fn endpoint(&self) -> Result<Url, ArmError> {
        address("endpoint", self.endpoint.as_deref().unwrap_or(self.cloud.endpoint()))
    }

    /// The address that tokens come from.
    ///
    /// # Errors
    /// [`ArmError::Settings`] where it is no address over TLS.
    pub fn authority(&self) -> Result<Url, ArmError> {
        address("authority", self.authority.as_deref().unwrap_or(self.cloud.authority()))
    }
}

fn address(what: &str, text: &str) -> Result<Url, ArmError> {
    let wrong = |why: &str| ArmError::Settings { what: format!("the {what} `{text}` {why}") };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address: {error}")))?;
    if url.scheme() != "https" {
        return Err(wrong("is not over TLS (https), and a token is sent nowhere else"));
    }
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !plain || url.host_str().is_none() {
        return Err(wrong("is more than a host and a port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own_addresses() {
        let account = |cloud| Account { cloud, ..Account::default() };
        let check = |cloud: Cloud, endpoint: &str, authority: &str| {
            assert_eq!(account(cloud).endpoint().unwrap().as_str(), endpoint);
            assert_eq!(account(cloud).authority().unwrap().as_str(), authority);
        };
        check(Cloud::Public, "https://management.azure.com/", "https://login.microsoftonline.com/");
        check(Cloud::UsGovernment, "https://management.usgovcloudapi.net/", "https://login.microsoftonline.us/");
        check(Cloud::China, "https://management.chinacloudapi.cn/", "https://login.chinacloudapi.cn/");
    }

    #[test]
    fn an_address_without_tls_gets_no_token() {
        let check = |endpoint: &str, good: bool| {
            let account = Account { endpoint: Some(endpoint.to_owned()), ..Account::default() };
            assert_eq!(account.endpoint().is_ok(), good, "{endpoint}");
        };
        check("https://127.0.0.1:8443", true);
        check("https://management.local.azurestack.external/", true);
        check("http://127.0.0.1:8443", false);
        check("https://user:word@management.azure.com", false);
        check("https://management.azure.com?x=y", false);
        check("management.azure.com", false);
        check("", false);
    }
}
