//! Targets in AWS.

use tagwall_aws::{Account, Clients, ListName, ListTarget, Ports, PrefixLists, Protocol, Role, SecurityGroups};
use tagwall_provider::{OwnerMark, PerFamily, Provider};

use super::{Made, Sweeper, runs};
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
        configured: configured(config, is_of_groups),
        ports: runs(&target.ports).map(|(first, last)| ports(target.protocol, first, last)).collect(),
        quota: groups.quota,
        make_room: groups.make_room,
    };
    Box::new(SecurityGroups::new(clients, account(&groups.account), groups.groups.clone(), of))
}

pub(super) fn prefix_lists(
    clients: &Clients,
    target: &Target,
    named: &aws::PrefixLists,
    config: &Config,
) -> Box<dyn Provider> {
    Box::new(lists(clients, target, named, config))
}

fn lists(clients: &Clients, target: &Target, lists: &aws::PrefixLists, config: &Config) -> PrefixLists {
    let name = |name: &Option<String>| match name {
        None => ListName::None,
        Some(name) if aws::is_list_id(name) => ListName::Id(name.clone()),
        Some(name) => ListName::Name(name.clone()),
    };
    let names = PerFamily { v4: name(&lists.lists.v4), v6: name(&lists.lists.v6) };
    let of = ListTarget {
        mark: target.mark.clone(),
        configured: configured(config, is_of_lists),
        most_entries: lists.most_entries,
        make_room: lists.make_room,
    };
    PrefixLists::new(clients, account(&lists.account), names, of)
}

/// One for each target, and two for each account that the configuration names: `-` names no target, and neither group
/// nor list is its own.
pub(super) fn sweepers<'a>(clients: &Clients, config: &'a Config) -> Vec<Sweeper<'a>> {
    let mut accounts: Vec<Account> = Vec::new();
    for target in &config.targets {
        let of = match &target.backend {
            Backend::AwsSecurityGroups(groups) => account(&groups.account),
            Backend::AwsPrefixLists(lists) => account(&lists.account),
            _ => continue,
        };
        if !accounts.contains(&of) {
            accounts.push(of);
        }
    }
    let of_groups = |account: &Account| -> Made {
        let nobody = OwnerMark::new(&config.owner, "-").map_err(|error| Failure::of(&error, None))?;
        let of = tagwall_aws::Target::new(nobody, Vec::new());
        let of = tagwall_aws::Target { configured: configured(config, is_of_groups), ..of };
        Ok(Box::new(SecurityGroups::new(clients, account.clone(), Vec::new(), of)))
    };
    let of_lists = |account: &Account| -> Made {
        let mark = OwnerMark::new(&config.owner, "-").map_err(|error| Failure::of(&error, None))?;
        let of = ListTarget { mark, configured: configured(config, is_of_lists), most_entries: 1, make_room: false };
        Ok(Box::new(PrefixLists::new(clients, account.clone(), PerFamily::default(), of).looking_everywhere()))
    };
    // What a target left in groups and lists that it does not name any more only the target itself tells from its own.
    let of_targets = config.targets.iter().filter_map(|target| {
        let provider: Box<dyn Provider> = match &target.backend {
            Backend::AwsSecurityGroups(named) => groups(clients, target, named, config),
            Backend::AwsPrefixLists(named) => Box::new(lists(clients, target, named, config).looking_everywhere()),
            _ => return None,
        };
        Some(Sweeper { place: target.backend.object(), target: Some(target), provider: Ok(provider) })
    });
    let of_accounts = accounts.iter().flat_map(|account| {
        let place = |what| format!("AWS {account}: {what}");
        [
            Sweeper {
                place: place("rules with our mark in all security groups"),
                target: None,
                provider: of_groups(account),
            },
            Sweeper { place: place("all prefix lists"), target: None, provider: of_lists(account) },
        ]
    });
    of_targets.chain(of_accounts).collect()
}

pub(super) fn requests(clients: &Clients) -> super::Requests {
    let tagwall_aws::Requests { calls, retries } = clients.requests();
    super::Requests { provider: "aws", calls, retries, remaining_writes: None }
}

const fn is_of_groups(backend: &Backend) -> bool {
    matches!(backend, Backend::AwsSecurityGroups(_))
}

const fn is_of_lists(backend: &Backend) -> bool {
    matches!(backend, Backend::AwsPrefixLists(_))
}

/// The marks of all targets of one kind.
fn configured(config: &Config, is_of_kind: fn(&Backend) -> bool) -> Vec<OwnerMark> {
    config.targets.iter().filter(|target| is_of_kind(&target.backend)).map(|target| target.mark.clone()).collect()
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
