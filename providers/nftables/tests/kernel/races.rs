//! Others write at the same time: no torn read is believed, nothing of theirs is lost, and passes go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tagwall_nftables::testing::{Faults, Hand};
use tagwall_nftables::{Nftables, TableFamily};
use tagwall_provider::{AddressRange, Desired, IpNet, PrefixSet, Provider, ProviderError, Skeleton};

use crate::support::{admitted, edge, elements, in_namespace, nft, pass, prefixes, settings, target, wait};

/// Prefixes that do not touch: `count` of every second /28 from 10.0.0.0 on.
pub(crate) fn many(count: u32) -> PrefixSet {
    let prefix = |index: u32| IpNet::new(std::net::Ipv4Addr::from((10 << 24) + index * 32).into(), 28).unwrap();
    (0..count).map(prefix).collect()
}

/// Runs `watch` while a hand writes elements in and out of a set, as fast as it can, from the same namespace.
/// Answers how often it wrote.
fn while_written(table: &str, set: &str, block: &[AddressRange], watch: impl FnOnce()) -> usize {
    let (done, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut hand = Hand::new(TableFamily::Inet, table, set);
            while !done.load(Ordering::Relaxed) {
                assert!(hand.change(&[], block) && hand.change(block, &[]), "the hand's own writes must succeed");
                writes.fetch_add(2, Ordering::Relaxed);
            }
        });
        while writes.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(watch));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    writes.into_inner()
}

/// Elements spread all over those of [`many`], none of which they touch.
fn spread() -> Vec<AddressRange> {
    (0..64u32)
        .map(|index| {
            AddressRange::from(IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(
                (10 << 24) + index * 10_000 / 32 * 32 + 24,
            ))))
        })
        .collect()
}

#[test]
fn no_torn_read_of_our_set_is_believed() {
    in_namespace(|| {
        let base = many(20_000);
        let provider = edge();
        pass(&provider, &base);
        let block = spread();
        let with_block = base.union(&block.iter().copied().collect());
        let (mut believed, mut torn) = (0, 0);
        let writes = while_written("tagwall", "edge-v4", &block, || {
            let mut glancing = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
            for _ in 0..12 {
                match wait(provider.observe()) {
                    Ok(observed) => {
                        believed += 1;
                        let read = observed.admitted();
                        assert!(read == base || read == with_block, "a torn read was believed");
                        assert_eq!(observed.skeleton, Skeleton::Intact);
                    }
                    Err(error) => assert!(matches!(error, ProviderError::Transient(_)), "{error:?}"),
                }
                let read: PrefixSet = glancing.glance().into_iter().collect();
                torn += usize::from(read != base && read != with_block);
            }
        });
        eprintln!("{writes} writes; {believed} of 12 reads believed; {torn} of 12 glances torn");
        assert!(torn > 0, "nothing was ever torn, so nothing was shown");
        // Once it is quiet the next read is good.
        assert_eq!(wait(provider.observe()).unwrap().admitted(), base);
    });
}

/// Passes succeed, however the tables around are written.
fn check_passes_beside(table: &str, set: &str) {
    in_namespace(|| {
        nft(r"
            table inet theirs { set busy { type ipv4_addr; flags interval; elements = { 192.0.2.1 }; }; }
            table inet tagwall { set busy { type ipv4_addr; flags interval; elements = { 192.0.2.1 }; }; }
        ");
        let provider = edge();
        let some = many(3000);
        pass(&provider, &some);
        let more = some.union(&prefixes("198.51.100.0/24 2001:db8::/48"));
        let writes = while_written(table, set, &spread(), || {
            for round in 0..20 {
                let desired = if round % 2 == 0 { &more } else { &some };
                let (steps, applied) = pass(&provider, desired);
                assert_eq!((steps.entries.len(), applied.calls), (2, 1));
            }
        });
        eprintln!("{writes} writes beside 20 passes");
        assert_eq!(admitted("edge"), some);
        for table in ["theirs", "tagwall"] {
            assert_eq!(
                elements(&format!("inet {table} busy")),
                [AddressRange::from("192.0.2.1/32".parse::<IpNet>().unwrap())]
            );
        }
    });
}

#[test]
fn passes_succeed_beside_a_sibling_set() {
    check_passes_beside("tagwall", "busy");
}

#[test]
fn passes_succeed_beside_another_table() {
    check_passes_beside("theirs", "busy");
}

/// Rules are written only on exactly the ruleset that was read, however often that takes.
#[test]
fn rules_are_mended_beside_another_table() {
    in_namespace(|| {
        nft("table inet theirs { set busy { type ipv4_addr; flags interval; elements = { 192.0.2.1 }; }; }");
        let provider = edge();
        let desired = many(100);
        let writes = while_written("theirs", "busy", &spread(), || {
            for _ in 0..10 {
                let mut tries = 0;
                loop {
                    let observed = wait(provider.observe()).unwrap();
                    let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
                    assert!(!steps.skeleton.is_empty());
                    match wait(provider.apply(&observed.revision, &steps)) {
                        Ok(_) => break,
                        Err(ProviderError::Transient(_)) if tries < 20 => tries += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                eprintln!("{tries} times transient");
                assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
                nft("flush chain inet tagwall edge-ports");
            }
        });
        eprintln!("{writes} writes beside 10 mendings");
    });
}

/// Targets that are made at one moment in one table: each loses to neighbours time and again, and none of that is a
/// conflict, since nobody touches what is another's.
#[test]
fn many_targets_are_made_at_once() {
    const TARGETS: usize = 12;
    in_namespace(|| {
        let providers: Vec<Nftables> = (0..TARGETS)
            .map(|number| {
                let mut settings = target(&format!("t{number}"));
                settings.siblings = (0..TARGETS).map(|sibling| format!("t{sibling}")).collect();
                settings.ports = vec![8000 + u16::try_from(number).unwrap()];
                Nftables::new(settings).unwrap()
            })
            .collect();
        for round in 0..5u32 {
            let desired = many(100 + round);
            let together = std::sync::Barrier::new(TARGETS);
            let lost = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for provider in &providers {
                    scope.spawn(|| {
                        let observed = wait(provider.observe()).unwrap();
                        let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
                        together.wait();
                        assert_eq!(wait(provider.apply(&observed.revision, &steps)).unwrap().calls, 1);
                        let now = wait(provider.observe()).unwrap();
                        let moved =
                            now.revision.lock.parse::<u32>().unwrap() - observed.revision.lock.parse::<u32>().unwrap();
                        lost.fetch_add(usize::from(moved > 1), Ordering::Relaxed);
                    });
                }
            });
            assert!(lost.into_inner() >= TARGETS - 1, "nobody was in anybody's way, so nothing was shown");
            for (number, provider) in providers.iter().enumerate() {
                assert_eq!(admitted(&format!("t{number}")), desired);
                assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
            }
            if round % 2 == 0 {
                // Again from drift, and then from nothing.
                nft("delete table inet tagwall");
            } else {
                for provider in &providers {
                    wait(provider.withdraw()).unwrap();
                }
            }
        }
    });
}

/// What is left of an answer that was given up is never read as another's: the next request finds a fresh socket, and
/// a watch still knows what is our own.
#[test]
fn an_answer_that_cannot_be_read_spoils_no_other() {
    in_namespace(|| {
        let faults = Faults::default();
        let provider = Nftables::with_faults(settings(), faults.clone()).unwrap();
        // Answered in some fifty pieces.
        let some = many(20_000);
        pass(&provider, &some);
        let more = some.union(&prefixes("198.51.100.0/24"));
        // From the generation id on, through the dumps around the elements, into that of the elements.
        for number in [0, 1, 2, 3, 5, 8, 13, 21, 34] {
            let desired = if number % 2 == 0 { &more } else { &some };
            faults.cut_answer(number);
            let error = wait(provider.observe()).unwrap_err();
            assert!(error.to_string().contains("cannot be read"), "answer {number}: {error}");
            let (steps, _) = pass(&provider, desired);
            assert!(steps.entries.len() < 2, "answer {number}: {} steps", steps.entries.len());
            assert_eq!(admitted("edge"), *desired, "answer {number}");
        }
        // The answer to a commit is lost: it was made, and the next look shows it.
        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap();
        faults.cut_answer(0);
        wait(provider.apply(&observed.revision, &steps)).unwrap_err();
        assert_eq!(wait(provider.observe()).unwrap().admitted(), prefixes("192.0.2.0/24"));
    });
}

/// A commit by somebody else between reading and writing costs one more try, and nothing where it was ours that
/// they changed.
#[test]
fn stale_generation() {
    in_namespace(|| {
        let provider = edge();
        let desired = prefixes("192.0.2.0/24");
        pass(&provider, &desired);
        let next = Desired::listed(prefixes("192.0.2.0/24 198.51.100.0/24"));
        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &next).unwrap();
        nft("add table inet theirs");
        assert_eq!(wait(provider.apply(&observed.revision, &steps)).unwrap().added, 1);

        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
        nft("add element inet tagwall edge-v4 { 203.0.113.0/24 }");
        let error = wait(provider.apply(&observed.revision, &steps)).unwrap_err();
        assert_eq!(error.class(), "conflict");
        assert_eq!(admitted("edge"), prefixes("192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"), "nothing was changed");
    });
}
