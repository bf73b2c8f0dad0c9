//! Changes by others wake whoever watches; our own, and those of others' things, do not.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use tagwall_nftables::testing::{Faults, Hand};
use tagwall_nftables::{Mode, Nftables, Settings, TableFamily};
use tagwall_provider::{AddressRange, Desired, IpNet, Provider, Skeleton};

use crate::races::many;
use crate::support::{admitted, edge, in_namespace, nft, pass, prefixes, settings, target, wait};

/// How long is waited for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long for what must not. Everything that the kernel had to tell has been taken by then.
const IMPATIENCE: Duration = Duration::from_millis(100);

struct Watcher(BoxStream<'static, ()>);

impl Watcher {
    /// A watch that has begun.
    fn of(provider: &Nftables) -> Self {
        let watcher = Self(provider.watch().unwrap());
        wait(provider.observe()).unwrap();
        watcher
    }

    /// Whether a wake-up comes in time; `None` where the stream has ended.
    fn next(&mut self, within: Duration) -> Option<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let next = std::future::poll_fn(|context| Pin::new(&mut self.0).poll_next(context));
        match runtime.block_on(async { tokio::time::timeout(within, next).await }) {
            Ok(Some(())) => Some(true),
            Ok(None) => None,
            Err(_) => Some(false),
        }
    }

    fn woken(&mut self, by: &str) {
        assert_eq!(self.next(PATIENCE), Some(true), "not woken by: {by}");
        // Of one change the kernel tells in several messages, and another wake-up may come of the later ones.
        taken();
        while self.next(IMPATIENCE) == Some(true) {}
    }

    fn quiet(&mut self, after: &str) {
        taken();
        assert_eq!(self.next(IMPATIENCE), Some(false), "woken by: {after}");
    }
}

/// Waits until every listening socket of this namespace has been read empty.
fn taken() {
    let waiting = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[3] == "00000040" && fields[4] != "0"
    };
    // The first line names the columns.
    while std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap().lines().skip(1).any(waiting) {
        std::thread::yield_now();
    }
}

const DESIRED: &str = "192.0.2.0/24 198.51.100.0/24 2001:db8::/48";

#[test]
fn changes_by_others_wake() {
    in_namespace(|| {
        let provider = edge();
        let mut watcher = Watcher::of(&provider);
        let desired = prefixes(DESIRED);
        for script in [
            "flush ruleset",
            "delete table inet tagwall",
            "add table inet tagwall { flags dormant; }",
            "flush chain inet tagwall edge-ports",
            "flush chain inet tagwall edge-admit",
            "insert rule inet tagwall edge-admit accept",
            "add chain inet tagwall edge-ports { policy drop; }",
            "rename chain inet tagwall edge-ports elsewhere",
            "flush chain inet tagwall edge-ports\ndelete chain inet tagwall edge-ports",
            "flush chain inet tagwall edge-admit\ndelete set inet tagwall edge-v6",
            "flush set inet tagwall edge-v4",
            "add element inet tagwall edge-v4 { 203.0.113.0/24 }",
            "delete element inet tagwall edge-v6 { 2001:db8::/48 }",
        ] {
            pass(&provider, &desired);
            watcher.quiet("our own change");
            nft(script);
            watcher.woken(script);
        }
        pass(&provider, &desired);
        let mut hand = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
        assert!(hand.change(&["192.0.2.0/24".parse::<IpNet>().unwrap().into()], &[]));
        watcher.woken("a hand that writes over netlink");
    });
}

#[test]
fn our_own_changes_do_not_wake() {
    in_namespace(|| {
        let provider = edge();
        let mut watcher = Watcher::of(&provider);
        for desired in [DESIRED, "192.0.2.0/25", "", "0.0.0.0/0 ::/0", DESIRED] {
            pass(&provider, &prefixes(desired));
            watcher.quiet("our own change");
        }
        wait(provider.withdraw()).unwrap();
        watcher.quiet("our own withdrawal");
        // A daemon watches by one provider and writes by another: that is no news, and nobody's doing.
        pass(&edge(), &prefixes(DESIRED));
        watcher.quiet("what another provider of this process did");
        nft("flush ruleset");
        watcher.woken("a flush");
        pass(&edge(), &prefixes(DESIRED));
        watcher.quiet("another provider's mending");
        assert!(provider.last_disturber().is_some_and(|who| who.starts_with("`nft` (pid ")));
    });
}

/// Whoever undid us last is named, and nobody else: not who changed other things, and not we ourselves.
#[test]
fn who_undoes_us_is_named() {
    in_namespace(|| {
        let provider = edge();
        let mut watcher = Watcher::of(&provider);
        pass(&provider, &prefixes(DESIRED));
        nft("add table inet theirs");
        watcher.quiet("somebody else's own table");
        assert_eq!(provider.last_disturber(), None);

        let named = |expected: &str| {
            let since = Instant::now();
            let is_named = || provider.last_disturber().is_some_and(|who| who.starts_with(expected));
            while !is_named() && since.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            assert!(is_named(), "not {expected} but {:?}", provider.last_disturber());
        };
        nft("flush ruleset");
        watcher.woken("a flush");
        named("`nft` (pid ");
        let process = provider.last_disturber().unwrap();
        let id = process.split_once("pid ").unwrap().1.trim_end_matches(')');
        assert!(id.parse::<u32>().unwrap() > 1, "{process}");
        // We mend it, others do what does not concern us, and the name stays.
        pass(&provider, &prefixes(DESIRED));
        nft("add table inet theirs");
        taken();
        assert_eq!(provider.last_disturber().unwrap(), process);
        // Another program, by the name that it has.
        std::thread::scope(|scope| {
            let hand = || {
                let mut hand = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
                assert!(hand.change(&["192.0.2.0/24".parse::<IpNet>().unwrap().into()], &[]));
            };
            std::thread::Builder::new().name("a`bad\u{1b}name".to_owned()).spawn_scoped(scope, hand).unwrap();
        });
        watcher.woken("a hand");
        named("`a?bad?name` (pid ");
    });
}

/// A socket that was given up and opened again is still our own.
#[test]
fn our_own_changes_do_not_wake_from_another_socket() {
    in_namespace(|| {
        let faults = Faults::default();
        let provider = Nftables::with_faults(settings(), faults.clone()).unwrap();
        let mut watcher = Watcher::of(&provider);
        // The port of the socket that is given up is taken, so that the next one has another.
        let taken = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
        faults.cut_answer(1);
        wait(provider.observe()).unwrap_err();
        let also_taken = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
        pass(&provider, &prefixes(DESIRED));
        watcher.quiet("our own change from another socket");
        nft("flush ruleset");
        watcher.woken("somebody else's");
        drop((taken, also_taken));
    });
}

#[test]
fn an_operators_sets_are_watched() {
    in_namespace(|| {
        let mine = "
            table inet mine {
                set a { type ipv4_addr; flags interval; }
                set other { type ipv4_addr; flags interval; }
                chain input { type filter hook input priority 0; policy accept; }
            }
        ";
        nft(mine);
        let mode = Mode::Set {
            family: TableFamily::Inet,
            table: "mine".to_owned(),
            v4: Some("a".to_owned()),
            v6: None,
            claimed: true,
        };
        let provider = Nftables::new(Settings { mode, ..settings() }).unwrap();
        let mut watcher = Watcher::of(&provider);
        let desired = prefixes("192.0.2.0/24");
        for (script, wakes) in [
            ("add element inet mine a { 203.0.113.0/24 }", true),
            ("delete element inet mine a { 192.0.2.0/24 }", true),
            ("flush set inet mine a", true),
            ("delete set inet mine a\nadd set inet mine a { type ipv4_addr; flags interval; }", true),
            ("flush ruleset", true),
            ("add element inet mine other { 203.0.113.0/24 }", false),
            ("add rule inet mine input ip saddr @a accept", false),
            ("add chain inet mine more", false),
            ("add table ip mine\nadd set ip mine a { type ipv4_addr; flags interval; }", false),
            ("add table inet tagwall", false),
        ] {
            nft(mine);
            taken();
            while watcher.next(IMPATIENCE) == Some(true) {}
            pass(&provider, &desired);
            watcher.quiet("our own change");
            nft(script);
            if wakes { watcher.woken(script) } else { watcher.quiet(script) }
        }
    });
}

#[test]
fn ten_thousand_changes_of_others_do_not_wake() {
    in_namespace(|| {
        nft("table inet theirs { set busy { type ipv4_addr; flags interval; }; }");
        let provider = edge();
        pass(&provider, &prefixes(DESIRED));
        pass(&Nftables::new(target("other")).unwrap(), &prefixes(DESIRED));
        let mut watcher = Watcher::of(&provider);
        let block = [AddressRange::from("203.0.113.0/24".parse::<IpNet>().unwrap())];
        // A sibling target's set, and a table of somebody else's with a set of any name.
        for (table, set) in [("theirs", "busy"), ("tagwall", "other-v4")] {
            let mut hand = Hand::new(TableFamily::Inet, table, set);
            for _ in 0..2500 {
                assert!(hand.change(&[], &block) && hand.change(&block, &[]));
            }
        }
        watcher.quiet("10,000 changes elsewhere");
        nft("add element inet tagwall edge-v4 { 203.0.113.0/24 }");
        watcher.woken("and then one of ours");
    });
}

#[test]
fn many_changes_are_one_wake_up() {
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &prefixes(DESIRED));
        let mut watcher = Watcher::of(&provider);
        let mut hand = Hand::new(TableFamily::Inet, "tagwall", "edge-v4");
        let block = [AddressRange::from("203.0.113.0/24".parse::<IpNet>().unwrap())];
        for _ in 0..500 {
            assert!(hand.change(&[], &block) && hand.change(&block, &[]));
        }
        taken();
        std::thread::sleep(IMPATIENCE);
        assert_eq!(watcher.next(PATIENCE), Some(true));
        watcher.quiet("what was told already");
    });
}

/// What was lost may have been about us. With a buffer that loses nothing the same changes do not wake.
#[test]
fn an_overflow_wakes() {
    for overflow in [false, true] {
        in_namespace(|| {
            nft("table inet theirs { set busy { type ipv4_addr; flags interval; }; }");
            let faults = Faults::default();
            if overflow {
                faults.overflow();
            }
            let provider = Nftables::with_faults(settings(), faults).unwrap();
            let mut watcher = Watcher::of(&provider);
            let mut hand = Hand::new(TableFamily::Inet, "theirs", "busy");
            let block: Vec<AddressRange> = many(2000).ranges().collect();
            let mut woken = false;
            for _ in 0..if overflow { 1000 } else { 10 } {
                assert!(hand.change(&[], &block) && hand.change(&block, &[]));
                woken |= overflow && watcher.next(IMPATIENCE) == Some(true);
                if woken {
                    break;
                }
            }
            if overflow {
                assert!(woken);
            } else {
                watcher.quiet("changes elsewhere that fit in the buffer");
            }
        });
    }
}

/// How many threads watch, in this process.
fn watching() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path().join("comm"));
    threads.filter(|comm| std::fs::read_to_string(comm).is_ok_and(|name| name.trim() == "tagwall-watch")).count()
}

#[test]
fn the_thread_ends_with_the_stream() {
    in_namespace(|| {
        let provider = edge();
        // Under a test runner that keeps one process, other tests have threads of their own.
        let before = watching();
        let comes = |expected: &dyn Fn(usize) -> bool| {
            let since = Instant::now();
            while !expected(watching()) && since.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            expected(watching())
        };
        let watchers: Vec<Watcher> = (0..3).map(|_| Watcher::of(&provider)).collect();
        assert!(comes(&|now| now >= 3), "a thread takes a moment to take its name, but no longer");
        drop(watchers);
        assert!(comes(&|now| now <= before), "a thread outlives its stream");
        // The other way round, the watch goes on.
        let mut watcher = Watcher::of(&provider);
        pass(&provider, &prefixes(DESIRED));
        drop(provider);
        nft("flush ruleset");
        watcher.woken("a flush after the provider is gone");
    });
}

/// From the flush of all rules until the target stands again. `TAGWALL_TEST_HEALS=200` for good figures.
#[test]
fn flushed_and_healed() {
    in_namespace(|| {
        let heals: usize = std::env::var("TAGWALL_TEST_HEALS").map_or(15, |heals| heals.parse().unwrap());
        let provider = edge();
        let desired = many(200);
        pass(&provider, &desired);
        let mut watcher = Watcher::of(&provider);
        let (mut read, mut written, mut from_exit) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..heals {
            std::thread::scope(|scope| {
                let flush = scope.spawn(|| {
                    nft("flush ruleset");
                    Instant::now()
                });
                assert_eq!(watcher.next(PATIENCE), Some(true));
                let woken = Instant::now();
                let observed = wait(provider.observe()).unwrap();
                let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
                read.push(woken.elapsed());
                wait(provider.apply(&observed.revision, &steps)).unwrap();
                let healed = Instant::now();
                written.push(healed - woken);
                from_exit.push(healed.saturating_duration_since(flush.join().unwrap()));
            });
            assert_eq!(admitted("edge"), desired);
            assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
            while watcher.next(IMPATIENCE) == Some(true) {}
        }
        // The transaction waits in the kernel until the flush is done with, which is about when nft ends.
        for (what, mut times) in
            [("wake-up to placed", read), ("wake-up to healed", written), ("end of nft to healed", from_exit)]
        {
            times.sort_unstable();
            eprintln!("{what}: median {:?}, worst {:?} of {heals}, 200 prefixes", times[heals / 2], times[heals - 1]);
        }
    });
}
