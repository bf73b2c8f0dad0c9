//! Which provider keeps which target: the one place that knows them all.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "nftables")]
mod nftables;

use serde::Serialize;
use tagwall_provider::Provider;

#[cfg(any(feature = "aws", feature = "azure", feature = "nftables"))]
use crate::config::Backend;
use crate::config::{Config, Target};
use crate::reconcile::Kept;
use crate::report::{Class, Failure};
use crate::source::{Settings, Source, SourceError};
use crate::state::State;

/// A provider, or why there is none.
pub type Made = Result<Box<dyn Provider>, Failure>;

/// Who finds and removes what older configurations left in one place.
#[derive(Debug)]
pub struct Sweeper<'a> {
    /// The place, in words.
    pub place: String,
    /// The target whose own place it is, where it is one's.
    pub target: Option<&'a Target>,
    /// Who looks there.
    pub provider: Made,
}

/// What the API of a cloud was asked since this process began, all accounts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Which cloud's: `aws`, `azure`.
    pub provider: &'static str,
    /// Calls.
    pub calls: u64,
    /// How often one was tried again.
    pub retries: u64,
    /// The fewest writes that a subscription was last said to have left; none where the cloud tells nobody.
    pub remaining_writes: Option<u64>,
}

/// What providers of one process share: a client for each account.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    #[cfg(feature = "aws")]
    aws: tagwall_aws::Clients,
    #[cfg(feature = "azure")]
    azure: tagwall_arm::Clients,
}

impl Providers {
    /// Gives every target its provider. One that cannot be made fails alone, in its own report.
    pub fn keep<'a>(&self, targets: Vec<&'a Target>, config: &Config, state: &State) -> Vec<Kept<'a>> {
        targets.into_iter().map(|target| Kept { target, provider: self.of(target, config, state) }).collect()
    }

    /// The provider of one target. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Where this build has none of the kind, or its settings cannot work.
    pub fn of(&self, target: &Target, config: &Config, state: &State) -> Made {
        let _ = (config, state);
        match &target.backend {
            #[cfg(feature = "nftables")]
            Backend::Nftables(raw) => nftables::make(target, raw, config, state),
            #[cfg(feature = "aws")]
            Backend::AwsSecurityGroups(groups) => Ok(aws::groups(&self.aws, target, groups, config)),
            #[cfg(feature = "aws")]
            Backend::AwsPrefixLists(lists) => Ok(aws::prefix_lists(&self.aws, target, lists, config)),
            #[cfg(feature = "azure")]
            Backend::AzureNsg(nsg) => azure::make(&self.azure, target, nsg, config),
            #[expect(clippy::allow_attributes, reason = "whether it can be reached hangs on the features")]
            #[allow(unreachable_patterns, reason = "every kind is built in")]
            backend => Err(left_out(backend.feature())),
        }
    }

    /// The source of these settings. Where it is Azure's own API, it is asked by the same clients as targets are.
    ///
    /// # Errors
    /// As [`Source::new`].
    pub fn source(&self, settings: Settings) -> Result<Source, SourceError> {
        let source = Source::new(settings)?;
        #[cfg(feature = "azure")]
        let source = source.asking_by(&self.azure);
        Ok(source)
    }

    /// What the clouds were asked: of those that were asked anything.
    pub fn requests(&self) -> Vec<Requests> {
        let mut requests: Vec<Requests> = Vec::new();
        #[cfg(feature = "aws")]
        requests.push(aws::requests(&self.aws));
        #[cfg(feature = "azure")]
        requests.push(azure::requests(&self.azure));
        requests.retain(|requests| requests.calls > 0);
        requests
    }

    /// Providers that can find and remove what older configurations left, one for each kind of firewall, and account,
    /// whose truth can be read without knowing any target.
    pub fn sweepers<'a>(&self, config: &'a Config) -> Vec<Sweeper<'a>> {
        let _ = config;
        let sweepers = std::iter::empty();
        #[cfg(feature = "nftables")]
        let sweepers = sweepers.chain([Sweeper {
            place: "nftables on this host".to_owned(),
            target: None,
            provider: nftables::sweeper(config),
        }]);
        #[cfg(feature = "aws")]
        let sweepers = sweepers.chain(aws::sweepers(&self.aws, config));
        #[cfg(feature = "azure")]
        let sweepers = sweepers.chain(azure::sweepers(&self.azure, config));
        sweepers.collect()
    }
}

fn left_out(feature: &str) -> Failure {
    Failure {
        message: format!("this tagwall was built without {feature}"),
        hint: Some(format!("install the full package, or build it with `--features {feature}`")),
        class: Class::Rejected,
    }
}

/// Sorted ports as runs: a cloud's rule holds one, and rules are scarce.
#[cfg(any(feature = "aws", feature = "azure"))]
fn runs(ports: &[u16]) -> impl Iterator<Item = (u16, u16)> {
    ports.chunk_by(|one, next| one.checked_add(1) == Some(*next)).filter_map(|run| Some((*run.first()?, *run.last()?)))
}

#[cfg(all(test, any(feature = "aws", feature = "azure")))]
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
