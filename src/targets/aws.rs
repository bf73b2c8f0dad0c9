//! Targets in AWS.

use tagwall_aws::{Account, Clients, ListName, ListTarget, Ports, PrefixLists, Protocol, Role, SecurityGroups};
use tagwall_provider::{OwnerMark, PerFamily, Provider};

use super::Made;
use crate::config::{self, Backend, Config, Target, aws};
use crate::report::Failure;

pub(super) fn groups(
    clients: &Clients,
    target: &Target,
    groups: &aws::SecurityGroups,
    config: &Config,
) -> Box<dyn Provider> {
    let of = tagwall_aws::Target {
        mark: target.mark.clone(),
        configured: configured(config),
        ports: runs(&target.ports).map(|(first, last)| ports(target.protocol, first, last)).collect(),
        quota: groups.quota,
        make_room: groups.make_room,
    };
    Box::new(SecurityGroups::new(clients, account(&groups.account), groups.groups.clone(), of))
}

pub(super) fn prefix_lists(clients: &Clients, target: &Target, lists: &aws::PrefixLists) -> Box<dyn Provider> {
    let name = |name: &Option<String>| match name {
        None => ListName::None,
        Some(name) if aws::is_list_id(name) => ListName::Id(name.clone()),
        Some(name) => ListName::Name(name.clone()),
    };
    let names = PerFamily { v4: name(&lists.lists.v4), v6: name(&lists.lists.v6) };
    let of = ListTarget { mark: target.mark.clone(), most_entries: lists.most_entries, make_room: lists.make_room };
    Box::new(PrefixLists::new(clients, account(&lists.account), names, of))
}

/// One for each account that the configuration names: `-` names no target, and no group is its own.
pub(super) fn sweepers(clients: &Clients, config: &Config) -> Vec<Made> {
    let mut accounts: Vec<Account> = Vec::new();
    for target in &config.targets {
        let Backend::AwsSecurityGroups(groups) = &target.backend else { continue };
        let account = account(&groups.account);
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    let sweeper = |account| -> Made {
        let mark = OwnerMark::new(&config.owner, "-").map_err(|error| Failure::of(&error, None))?;
        let of = tagwall_aws::Target { configured: configured(config), ..tagwall_aws::Target::new(mark, Vec::new()) };
        Ok(Box::new(SecurityGroups::new(clients, account, Vec::new(), of)))
    };
    accounts.into_iter().map(sweeper).collect()
}

fn configured(config: &Config) -> Vec<OwnerMark> {
    let groups = |target: &&Target| matches!(target.backend, Backend::AwsSecurityGroups(_));
    config.targets.iter().filter(groups).map(|target| target.mark.clone()).collect()
}

fn account(account: &aws::Account) -> Account {
    let aws::Account { region, profile, role, endpoint } = account.clone();
    let role = role.map(|role| Role { arn: role.arn, external_id: role.external_id, session_name: role.session_name });
    Account { region, profile, role, endpoint }
}

const fn ports(protocol: config::Protocol, first: u16, last: u16) -> Ports {
    let protocol = match protocol {
        config::Protocol::Tcp => Protocol::Tcp,
        config::Protocol::Udp => Protocol::Udp,
    };
    Ports::Of { protocol, first, last }
}

/// Sorted ports as runs: a rule of a security group holds one, and rules are scarce.
fn runs(ports: &[u16]) -> impl Iterator<Item = (u16, u16)> {
    ports.chunk_by(|one, next| one.checked_add(1) == Some(*next)).filter_map(|run| Some((*run.first()?, *run.last()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_are_one_run() {
        let check = |ports: &[u16], expect: &[(u16, u16)]| assert_eq!(runs(ports).collect::<Vec<_>>(), expect);
        check(&[8443], &[(8443, 8443)]);
        check(&[80, 443, 444, 445, 8443], &[(80, 80), (443, 445), (8443, 8443)]);
        check(&[65534, 65535], &[(65534, 65535)]);
        check(&[], &[]);
    }
}
