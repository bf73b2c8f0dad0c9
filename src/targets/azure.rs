//! Targets in Azure.

use tagwall_arm::{Account, Clients};
use tagwall_azure::{NetworkSecurityGroup, Nsg, Ports, Protocol, Settings};
use tagwall_provider::OwnerMark;

use super::{Made, Sweeper, runs};
use crate::config::{self, Backend, Config, Target, azure};
use crate::report::Failure;

pub(super) fn make(clients: &Clients, target: &Target, nsg: &azure::Nsg, config: &Config) -> Made {
    let ports = runs(&target.ports).map(|(first, last)| Ports { first, last }).collect();
    let settings = Settings {
        configured: configured(config),
        protocol: match target.protocol {
            config::Protocol::Tcp => Protocol::Tcp,
            config::Protocol::Udp => Protocol::Udp,
        },
        destination: nsg.destination.clone(),
        deny: nsg.deny,
        admit_probes: nsg.admit_probes,
        service_tag: target.service_tag.clone(),
        ..Settings::new(target.mark.clone(), ports, nsg.priority)
    };
    settings.check().map_err(|error| Failure::of(&error, None))?;
    let account = nsg.account.of(config.source.cloud);
    let nsg = of(nsg);
    nsg.check().map_err(|error| Failure::of(&error, None))?;
    Ok(Box::new(NetworkSecurityGroup::new(clients, account, nsg, settings)))
}

/// One for each group that the configuration names: `-` names no target, and no rule is its own.
pub(super) fn sweepers<'a>(clients: &Clients, config: &'a Config) -> Vec<Sweeper<'a>> {
    let mut seen: Vec<(Account, Nsg)> = Vec::new();
    let mut sweepers = Vec::new();
    for target in &config.targets {
        let Backend::AzureNsg(named) = &target.backend else { continue };
        let group = (named.account.of(config.source.cloud), of(named));
        if seen.contains(&group) {
            continue;
        }
        let provider = sweeper(clients, group.clone(), named.priority, config);
        sweepers.push(Sweeper { place: target.backend.object(), target: None, provider });
        seen.push(group);
    }
    sweepers
}

pub(super) fn requests(clients: &Clients) -> super::Requests {
    let tagwall_arm::Requests { calls, retries, remaining_writes } = clients.requests();
    // Theirs are all tries, as Resource Manager counts them.
    super::Requests { provider: "azure", calls: calls.saturating_sub(retries), retries, remaining_writes }
}

fn sweeper(clients: &Clients, (account, nsg): (Account, Nsg), priority: u16, config: &Config) -> Made {
    let mark = OwnerMark::new(&config.owner, "-").map_err(|error| Failure::of(&error, None))?;
    let settings = Settings { configured: configured(config), ..Settings::new(mark, vec![Ports::one(1)], priority) };
    Ok(Box::new(NetworkSecurityGroup::new(clients, account, nsg, settings)))
}

fn configured(config: &Config) -> Vec<OwnerMark> {
    let azure = |target: &&Target| matches!(target.backend, Backend::AzureNsg(_));
    config.targets.iter().filter(azure).map(|target| target.mark.clone()).collect()
}

fn of(nsg: &azure::Nsg) -> Nsg {
    let azure::Nsg { subscription, resource_group, nsg: name, .. } = nsg.clone();
    Nsg { subscription, resource_group, name }
}
