//! Targets in Azure.

use tagwall_arm::{Account, Clients, Cloud, CredentialKind};
use tagwall_azure::{NetworkSecurityGroup, Nsg, Settings};
use tagwall_provider::Provider;

use super::Made;
use crate::config::{Backend, Config, Target, azure, raw};
use crate::source;

pub(super) fn make(clients: &Clients, target: &Target, nsg: &azure::Nsg, config: &Config) -> Made {
    let azure = |target: &&Target| matches!(target.backend, Backend::AzureNsg(_));
    let settings = Settings {
        mark: target.mark.clone(),
        configured: config.targets.iter().filter(azure).map(|target| target.mark.clone()).collect(),
        ports: target.ports.clone(),
        protocol: target.protocol,
        priority: nsg.priority,
        destination: nsg.destination.clone(),
        deny: nsg.deny,
        admit_probes: nsg.admit_probes,
        service_tag: target.service_tag.clone(),
    };
    let azure::Nsg { subscription, resource_group, nsg: name, .. } = nsg.clone();
    let account = account(&nsg.account, config.source.cloud);
    let nsg = Nsg { subscription, resource_group, name };
    Ok(Box::new(NetworkSecurityGroup::new(clients, account, nsg, settings)))
}

fn account(account: &azure::Account, of_source: source::Cloud) -> Account {
    let azure::Account { cloud, credential, client_id, endpoint, authority, extra_ca } = account.clone();
    let cloud = match (cloud, of_source) {
        (Some(raw::Cloud::Public), _) | (None, source::Cloud::Public) => Cloud::Public,
        (Some(raw::Cloud::UsGovernment), _) | (None, source::Cloud::UsGovernment) => Cloud::UsGovernment,
        (Some(raw::Cloud::China), _) | (None, source::Cloud::China) => Cloud::China,
    };
    let credential = match credential {
        azure::raw::Credential::Auto => CredentialKind::Auto,
        azure::raw::Credential::Environment => CredentialKind::Environment,
        azure::raw::Credential::WorkloadIdentity => CredentialKind::WorkloadIdentity,
        azure::raw::Credential::ManagedIdentity => CredentialKind::ManagedIdentity { client_id },
        azure::raw::Credential::AzureCli => CredentialKind::AzureCli,
    };
    Account { cloud, credential, endpoint, authority, ca_file: extra_ca }
}
