//! Targets of this host.

use tagwall_nftables as nft;
use tagwall_provider::{OwnerMark, Provider};

use crate::config::{Backend, Config, Protocol, Target, raw};
use crate::report::Failure;
use crate::state::{State, TargetRecord};

type Made = Result<Box<dyn Provider>, Failure>;

pub(super) fn make(target: &Target, raw: &raw::Nftables, config: &Config, state: &State) -> Made {
    // Leave to overwrite belongs to an object, not to a name: another set under the same target is not ours yet.
    let filled = |record: &TargetRecord| record.claimed && record.unmarked == target.backend.unmarked_object();
    let claimed = raw.adopt || state.targets.get(&target.name).is_some_and(filled);
    boxed(nft::Settings {
        mark: target.mark.clone(),
        siblings: siblings(config),
        ports: target.ports.clone(),
        protocol: match target.protocol {
            Protocol::Tcp => nft::Protocol::Tcp,
            Protocol::Udp => nft::Protocol::Udp,
        },
        mode: mode(raw, claimed),
    })
}

/// A provider of no target: `-` names none, and it is only asked for orphans.
pub(super) fn sweeper(config: &Config) -> Made {
    let mark = OwnerMark::new(&config.owner, "-").map_err(|error| Failure::of(&error, None))?;
    let mode = mode(&raw::Nftables::default(), false);
    boxed(nft::Settings { mark, siblings: siblings(config), ports: vec![1], protocol: nft::Protocol::Tcp, mode })
}

fn boxed(settings: nft::Settings) -> Made {
    let provider = nft::Nftables::new(settings);
    let failed = |error: nft::CreateError| Failure::of(&error, None);
    provider.map(|provider| Box::new(provider) as Box<dyn Provider>).map_err(failed)
}

fn siblings(config: &Config) -> Vec<String> {
    // What an enforcing target left behind when it became one that fills sets is an orphan.
    let enforcing = |target: &&Target| match &target.backend {
        Backend::Nftables(raw) => raw.mode == raw::Mode::Enforce,
        _ => false,
    };
    config.targets.iter().filter(enforcing).map(|target| target.name.clone()).collect()
}

fn mode(raw: &raw::Nftables, claimed: bool) -> nft::Mode {
    match raw.mode {
        raw::Mode::Enforce => nft::Mode::Enforce {
            hook: match raw.hook {
                raw::Hook::Input => nft::Hook::Input,
                raw::Hook::Prerouting => nft::Hook::Prerouting,
            },
            established: match raw.established {
                raw::Established::Cut => nft::Established::Cut,
                raw::Established::Keep => nft::Established::Keep,
            },
            priority: raw.priority,
        },
        raw::Mode::Set => {
            let (family, table) = raw.table.as_deref().and_then(|table| table.split_once(' ')).unwrap_or_default();
            let family = match family {
                "ip" => nft::TableFamily::Ip,
                "ip6" => nft::TableFamily::Ip6,
                _ => nft::TableFamily::Inet,
            };
            nft::Mode::Set { family, table: table.to_owned(), v4: raw.v4.clone(), v6: raw.v6.clone(), claimed }
        }
    }
}
