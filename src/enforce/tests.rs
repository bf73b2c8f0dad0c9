use async_trait::async_trait;
use tagwall_provider::{
    Admits, Entry, ForeignEffect, IpNet, Observed, Operation, Orphan, Revision, Skeleton, Slot, Step, Steps,
};

use super::*;
use crate::fixture::set;

/// A firewall that shows one thing, whatever is done to it, and asks for these steps.
#[derive(Debug)]
struct Shown(Observed, Steps);

#[async_trait]
impl Provider for Shown {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        Ok(self.0.clone())
    }

    fn place(&self, _: &Observed, _: &Desired) -> Result<Steps, Refusal> {
        Ok(self.1.clone())
    }

    async fn apply(&self, _: &Revision, _: &Steps) -> Result<Applied, ProviderError> {
        Ok(Applied::default())
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        Ok(Applied::default())
    }

    async fn remove_orphans(&self, _: &[Orphan]) -> Result<Applied, ProviderError> {
        Ok(Applied::default())
    }
}

fn entry(prefix: IpNet) -> Entry {
    Entry { admits: Admits::Range(prefix.into()), slot: Slot::default(), id: None }
}

/// What the verification finds where the firewall shows these entries and what others admit.
async fn check(desired: &[&str], ours: &[&str], others: ForeignEffect, expect: Result<(), &str>) {
    let entries = set(ours).prefixes().map(entry).collect();
    let mut observed = Observed::new(entries, Skeleton::Intact, "");
    observed.foreign = vec![Foreign { description: "a rule".to_owned(), effect: others }];
    let provider = Shown(observed, Steps::default());
    let plan = plan(&provider, provider.0.clone(), &Desired::listed(set(desired)), Policy::Sync).unwrap();
    let found = verify(&provider, &plan).await.map_err(|error| error.to_string());
    assert_eq!(found, expect.map_err(|text| format!("after the change the firewall {text}")));
}

#[tokio::test]
async fn what_others_admit_is_not_missing() {
    let both = ["192.0.2.0/24", "198.51.100.0/24"];
    let theirs = |prefixes: &[&str]| ForeignEffect::Admits(set(prefixes));
    check(&both, &both, theirs(&[]), Ok(())).await;
    check(&both, &both[..1], theirs(&both[1..]), Ok(())).await;
    check(&both, &both[..1], theirs(&["198.51.100.0/25"]), Err("does not admit 198.51.100.128/25")).await;
    check(&both, &both[..1], theirs(&[]), Err("does not admit 198.51.100.0/24")).await;
    check(&both, &both[..1], ForeignEffect::MayBlock, Err("does not admit 198.51.100.0/24")).await;
    // Theirs is no surplus of ours, and does not hide one.
    check(&both[..1], &both, theirs(&both[1..]), Err("still admits 198.51.100.0/24")).await;
    check(&both[..1], &both[..1], theirs(&both[1..]), Ok(())).await;
}

#[tokio::test]
async fn a_tag_is_there_where_nothing_is_left_to_do() {
    let observed = Observed::new(Vec::new(), Skeleton::Intact, "");
    let verified = async |steps: Steps| {
        let provider = Shown(observed.clone(), steps);
        let desired = Desired::ServiceTag("AzureActiveDirectory".to_owned());
        let plan = plan(&provider, observed.clone(), &desired, Policy::Sync).unwrap();
        verify(&provider, &plan).await.map_err(|error| error.to_string())
    };
    assert_eq!(verified(Steps::default()).await, Ok(()));
    let admits = Admits::ServiceTag("AzureActiveDirectory".into());
    let step = Step { operation: Operation::Add, admits, slot: Slot::default(), id: None };
    let missing = verified(Steps { entries: vec![step], ..Steps::default() }).await;
    assert!(missing.unwrap_err().contains("does not name the service tag AzureActiveDirectory"));
}
