//! What the memory provider does beyond the suite: slots, objects that are dropped from a target, kinds of failure.

use tagwall_provider::testing::conformance::pass;
use tagwall_provider::testing::memory::{Failure, MemoryFirewall, MemoryProvider};
use tagwall_provider::{Desired, IpNet, Operation, OwnerMark, PrefixSet, Provider, ProviderError};

fn mark() -> OwnerMark {
    OwnerMark::new("edge", "api").unwrap()
}

fn hosts(numbers: impl Iterator<Item = u8>) -> PrefixSet {
    // Every second address, so that nothing merges.
    numbers.map(|number| format!("192.0.2.{}/32", number * 2).parse::<IpNet>().unwrap()).collect()
}

/// Which entries stand in which slot.
async fn slots(provider: &MemoryProvider) -> Vec<(u32, String)> {
    let entries = provider.observe().await.unwrap().entries;
    let mut slots: Vec<(u32, String)> = entries.iter().map(|entry| (entry.slot.0, entry.admits.to_string())).collect();
    slots.sort_unstable();
    slots
}

#[tokio::test]
async fn an_insert_moves_nothing() {
    let firewall = MemoryFirewall::new();
    firewall.limit("a", 3);
    firewall.limit("b", 3);
    let provider = MemoryProvider::new(&firewall, mark(), &["a", "b"]);
    pass(&provider, &Desired::listed(hosts(1..5))).await.unwrap();
    let before = slots(&provider).await;
    let of = |slot| before.iter().filter(|entry| entry.0 == slot).count();
    assert_eq!((of(0), of(1)), (3, 1));

    // One that sorts first goes where there is room; one that left makes room for the next.
    pass(&provider, &Desired::listed(hosts(0..5))).await.unwrap();
    let after = slots(&provider).await;
    assert!(before.iter().all(|entry| after.contains(entry)), "{before:?} {after:?}");
    pass(&provider, &Desired::listed(hosts(0..2))).await.unwrap();
    let steps = pass(&provider, &Desired::listed(hosts(0..6))).await.unwrap().steps;
    assert_eq!(steps.of(Operation::Add).map(|step| step.slot.0).collect::<Vec<_>>(), [0, 0, 1, 1]);
}

#[tokio::test]
async fn a_dropped_object_leaves_an_orphan() {
    let firewall = MemoryFirewall::new();
    firewall.limit("a", 1);
    let both = MemoryProvider::new(&firewall, mark(), &["a", "b"]);
    pass(&both, &Desired::listed(hosts(0..2))).await.unwrap();
    assert_eq!(both.observe().await.unwrap().orphans, []);

    let one = MemoryProvider::new(&firewall, mark(), &["b"]);
    let orphans = one.observe().await.unwrap().orphans;
    assert_eq!(
        orphans.iter().map(|orphan| (&orphan.mark, orphan.object.as_str())).collect::<Vec<_>>(),
        [(&mark(), "a")]
    );
    pass(&one, &Desired::listed(hosts(0..2))).await.unwrap();
    assert_eq!(one.remove_orphans(&orphans).await.unwrap().removed, 1);
    let seen = one.observe().await.unwrap();
    assert_eq!((seen.orphans.len(), seen.admitted()), (0, hosts(0..2)));
}

#[tokio::test]
async fn failures_are_of_their_class() {
    let check = async |failure: Failure, class: &str, made: bool| {
        let firewall = MemoryFirewall::new();
        let provider = MemoryProvider::new(&firewall, mark(), &["a"]);
        pass(&provider, &Desired::listed(PrefixSet::new())).await.unwrap();
        let seen = provider.observe().await.unwrap();
        let steps = provider.place(&seen, &Desired::listed(hosts(0..2))).unwrap();
        firewall.fail_write(1, failure);
        let error = provider.apply(&seen.revision, &steps).await.unwrap_err();
        assert_eq!(error.class(), class);
        assert_eq!(firewall.admitted(&mark()), hosts(0..if made { 2 } else { 1 }), "{failure:?}");
        if let ProviderError::Rejected { applied, .. } = error {
            assert_eq!((applied.added, applied.calls), (1, 1));
        }
        firewall.fail_read(1, failure);
        assert!(provider.observe().await.is_ok());
        assert_eq!(provider.observe().await.unwrap_err().class(), class);
        assert!(provider.observe().await.is_ok());
    };
    check(Failure::Transient, "transient", false).await;
    check(Failure::Denied, "denied", false).await;
    check(Failure::Conflict, "conflict", false).await;
    check(Failure::Rejected, "rejected", false).await;
    check(Failure::AnswerLost, "transient", true).await;
}

#[tokio::test]
async fn a_pass_starts_over_a_bounded_number_of_times() {
    let firewall = MemoryFirewall::new();
    let provider = MemoryProvider::new(&firewall, mark(), &["a"]);
    (0..5).for_each(|call| firewall.fail_write(call, Failure::Conflict));
    assert_eq!(pass(&provider, &Desired::listed(hosts(0..2))).await.unwrap().conflicts, 5);
    (0..6).for_each(|call| firewall.fail_write(call, Failure::Conflict));
    pass(&provider, &Desired::listed(hosts(0..3))).await.unwrap_err();
    assert_eq!(firewall.admitted(&mark()), hosts(0..2));
}

/// What moves the lock, and nothing of ours, is no reason to plan again; what moves in the middle of a change is.
#[tokio::test]
async fn a_stale_lock_is_no_conflict_unless_ours_moved() {
    let foreign: IpNet = "203.0.113.0/24".parse().unwrap();
    let firewall = MemoryFirewall::new();
    let provider = MemoryProvider::new(&firewall, mark(), &["a"]);
    let seen = provider.observe().await.unwrap();
    let steps = provider.place(&seen, &Desired::listed(hosts(0..3))).unwrap();
    firewall.insert("a", foreign, None);
    assert_ne!(provider.observe().await.unwrap().revision.lock, seen.revision.lock);

    let (changed, ()) = tokio::join!(provider.apply(&seen.revision, &steps), async {
        // The skeleton and one entry are made by then.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        firewall.delete("a", foreign, None);
    });
    assert_eq!(changed.unwrap_err().class(), "conflict");
    assert_eq!(firewall.admitted(&mark()), hosts(0..1));

    let seen = provider.observe().await.unwrap();
    let steps = provider.place(&seen, &Desired::listed(hosts(0..3))).unwrap();
    firewall.insert("a", foreign, None);
    provider.apply(&seen.revision, &steps).await.unwrap();
    assert_eq!(firewall.admitted(&mark()), hosts(0..3));
}
