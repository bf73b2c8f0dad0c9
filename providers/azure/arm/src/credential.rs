//! As whom: the credentials of azure_identity, in an order of our own.
//!
//! azure_identity 1.0 has no chain for services on purpose. Ours looks at what is there, in the order of
//! [`CredentialKind`], takes the first, and stays with it: a secret that has expired is an error to be told, and not a
//! reason to go on as somebody else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use tokio::sync::RwLock;

use crate::{Account, ArmError, CredentialKind};

/// What the environment says: the process's own, or what a test puts in its place.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// Values of one's own.
    pub fn of(value: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(value))
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some of it is secret.
        f.write_str("Environment")
    }
}

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// Where the metadata service of Azure's machines listens.
const METADATA: &str = "169.254.169.254:80";

/// A credential that can be had anew: those of azure_identity keep a token until shortly before it expires, whatever
/// Resource Manager thinks of it meanwhile.
#[derive(Debug)]
pub(crate) struct Renewable {
    account: Account,
    kind: CredentialKind,
    environment: Environment,
    transport: Transport,
    current: RwLock<Arc<dyn TokenCredential>>,
}

impl Renewable {
    pub(crate) async fn new(
        account: &Account,
        environment: Environment,
        transport: Transport,
    ) -> Result<Self, ArmError> {
        let kind = match &account.credential {
            CredentialKind::Auto => found(&environment).await?,
            pinned => pinned.clone(),
        };
        let first = make(account, &kind, &environment, &transport)?;
        Ok(Self { account: account.clone(), kind, environment, transport, current: RwLock::new(first) })
    }

    /// What it is, in words.
    pub(crate) const fn name(&self) -> &'static str {
        match self.kind {
            CredentialKind::Auto => "found",
            CredentialKind::Environment => "a client secret of the environment",
            CredentialKind::WorkloadIdentity => "workload identity",
            CredentialKind::ManagedIdentity { .. } => "managed identity",
            CredentialKind::AzureCli => "the Azure CLI",
        }
    }

    /// Forgets what token there is.
    pub(crate) async fn renew(&self) -> Result<(), ArmError> {
        let fresh = make(&self.account, &self.kind, &self.environment, &self.transport)?;
        *self.current.write().await = fresh;
        Ok(())
    }
}

#[async_trait]
impl TokenCredential for Renewable {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let current = Arc::clone(&*self.current.read().await);
        current.get_token(scopes, options).await
    }
}

/// The first whose inputs are there.
async fn found(environment: &Environment) -> Result<CredentialKind, ArmError> {
    let has = |name| environment.get(name).is_some();
    let is_client = has(TENANT) && has(CLIENT);
    if is_client && (has(SECRET) || has(CERTIFICATE)) {
        return Ok(CredentialKind::Environment);
    }
    if is_client && has(TOKEN_FILE) {
        return Ok(CredentialKind::WorkloadIdentity);
    }
    if has("IDENTITY_ENDPOINT") || has("MSI_ENDPOINT") || answers(METADATA).await {
        return Ok(CredentialKind::ManagedIdentity { client_id: environment.get(CLIENT) });
    }
    let path = environment.get("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("az").is_file()) {
        return Ok(CredentialKind::AzureCli);
    }
    Err(ArmError::Credential {
        what: format!(
            "there is no credential: neither {TENANT}, {CLIENT} and {SECRET} or {TOKEN_FILE} in the environment, nor a managed identity, nor the Azure CLI"
        ),
        transient: false,
    })
}

/// Whether somebody listens there. Azure's metadata service is on the machine itself and answers in milliseconds.
async fn answers(address: &str) -> bool {
    let connected = tokio::net::TcpStream::connect(address);
    matches!(tokio::time::timeout(Duration::from_secs(1), connected).await, Ok(Ok(_)))
}

fn make(
    account: &Account,
    kind: &CredentialKind,
    environment: &Environment,
    transport: &Transport,
) -> Result<Arc<dyn TokenCredential>, ArmError> {
    let missing = |name: &str| ArmError::Credential {
        what: format!("`{name}` is not in the environment, and the credential needs it"),
        transient: false,
    };
    let need = |name: &str| environment.get(name).ok_or_else(|| missing(name));
    let failed =
        |error: azure_core::Error| ArmError::Credential { what: first_line(&error.to_string()), transient: false };
    let mut custom = CustomConfiguration::default();
    custom.authority_host = account.authority()?.into();
    let client_options = ClientOptions {
        transport: Some(transport.clone()),
        cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
        // There is one layer that tries again, and it lies above.
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    Ok(match kind {
        CredentialKind::Auto => return Err(missing(CLIENT)),
        CredentialKind::Environment => {
            if environment.get(SECRET).is_none() && environment.get(CERTIFICATE).is_some() {
                let what = format!(
                    "{CERTIFICATE} names a certificate, which this build takes no part in: use a federated credential ({TOKEN_FILE}) or {SECRET}"
                );
                return Err(ArmError::Credential { what, transient: false });
            }
            let secret = Secret::new(need(SECRET)?);
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(&need(TENANT)?, need(CLIENT)?, secret, Some(options)).map_err(failed)?
        }
        CredentialKind::WorkloadIdentity => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(need(CLIENT)?),
                tenant_id: Some(need(TENANT)?),
                token_file_path: Some(need(TOKEN_FILE)?.into()),
            };
            WorkloadIdentityCredential::new(Some(options)).map_err(failed)?
        }
        CredentialKind::ManagedIdentity { client_id } => {
            let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
            let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
            ManagedIdentityCredential::new(Some(options)).map_err(failed)?
        }
        CredentialKind::AzureCli => AzureCliCredential::new(None).map_err(failed)?,
    })
}

/// azure_identity adds the way to its own documentation.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(variables: &[(&'static str, &'static str)], expected: Option<CredentialKind>) {
        let variables = variables.to_vec();
        let value =
            move |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let environment = Environment::of(value);
        assert_eq!(found(&environment).await.ok(), expected);
    }

    #[tokio::test]
    async fn the_first_whose_inputs_are_there_is_taken() {
        let client = [(TENANT, "t"), (CLIENT, "c")];
        let with = |more: &[(&'static str, &'static str)]| [&client[..], more].concat();
        check(
            &with(&[(SECRET, "s"), (TOKEN_FILE, "f"), ("IDENTITY_ENDPOINT", "e")]),
            Some(CredentialKind::Environment),
        )
        .await;
        check(&with(&[(TOKEN_FILE, "f"), ("IDENTITY_ENDPOINT", "e")]), Some(CredentialKind::WorkloadIdentity)).await;
        let managed =
            |client: Option<&str>| Some(CredentialKind::ManagedIdentity { client_id: client.map(str::to_owned) });
        check(&with(&[("IDENTITY_ENDPOINT", "e")]), managed(Some("c"))).await;
        // An empty value is none, and half a secret's inputs are not all of them.
        check(&[(TENANT, ""), (CLIENT, "c"), (SECRET, "s"), ("MSI_ENDPOINT", "e")], managed(Some("c"))).await;
        check(&[("IDENTITY_ENDPOINT", "e")], managed(None)).await;
    }
}
