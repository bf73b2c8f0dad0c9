//! Loading, changing and reading sets of many prefixes, each beside what the `nft` program needs for the same in the
//! same run. `nft` is timed as a process, as scripts run it.
//!
//! `./dev bench` runs this in a network namespace; on its own it would write to this machine's firewall, so it refuses.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a benchmark talks and may panic")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{Desired, IpNet, OwnerMark, PrefixSet, Provider, Steps};

/// Prefixes in the set, and how often each thing is done: by tagwall, and by nft, which takes minutes for some.
const SIZES: [(usize, usize, usize); 4] = [(100, 21, 21), (10_000, 11, 7), (60_000, 7, 3), (200_000, 3, 1)];
/// How many of a change's prefixes go, and how many come.
const CHANGED: usize = 50;

/// How many times faster than `nft` the design wants this to be, on a set of 60,000.
#[derive(Clone, Copy)]
struct Target(f64);

const FULL_LOAD: Target = Target(3.0);
const DELTA: Target = Target(300.0);
const READ: Target = Target(2.0);

fn main() {
    if std::env::var_os("TAGWALL_BENCH_NAMESPACE").is_none() {
        eprintln!("run this by `./dev bench`: it writes to the firewall of the namespace that it is in");
        return;
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scratch = tempfile::tempdir().unwrap();
    println!("medians; a change is {CHANGED} prefixes removed and {CHANGED} added; nft is timed as a process");
    println!("{:>9}  {:<28} {:>10} {:>10} {:>9}", "prefixes", "", "tagwall", "nft", "ratio");
    for (size, rounds, nft_rounds) in SIZES {
        if quick && size > 10_000 {
            continue;
        }
        if size > 10_000 && !is_first_user_namespace() {
            println!(
                "{size:>9}  SKIPPED: outside the first user namespace the send buffer cannot be made large enough"
            );
            continue;
        }
        let bench = Bench::new(size, scratch.path());
        let ours = bench.tagwall(rounds, nft_rounds);
        let theirs = bench.nft(nft_rounds);
        let target = |target: Target| (size == 60_000).then_some(target);
        row(size, "full load", ours.load, Some(theirs.load), target(FULL_LOAD));
        row(size, "change", ours.change, Some(theirs.change), target(DELTA));
        row(size, "read", ours.read, Some(ours.nft_read), target(READ));
        row(size, "whole pass with a change", ours.pass, None, None);
    }
}

fn row(size: usize, name: &str, ours: Duration, theirs: Option<Duration>, target: Option<Target>) {
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let ratio = theirs.map(|theirs| format!("{:.1} x", theirs.as_secs_f64() / ours.as_secs_f64())).unwrap_or_default();
    let target = target.map(|Target(times)| format!("   target: {times} x")).unwrap_or_default();
    let theirs = theirs.map(|theirs| ms(theirs) + " ms").unwrap_or_default();
    println!("{size:>9}  {name:<28} {:>10} {theirs:>10} {ratio:>9}{target}", ms(ours) + " ms");
}

/// What tagwall took for each.
struct Ours {
    load: Duration,
    change: Duration,
    read: Duration,
    /// `nft list set` of the set that tagwall wrote.
    nft_read: Duration,
    /// Observe, place, apply and the read that verifies.
    pass: Duration,
}

/// What nft took for each.
struct Theirs {
    load: Duration,
    change: Duration,
}

/// One size.
struct Bench<'a> {
    before: PrefixSet,
    after: PrefixSet,
    scratch: &'a Path,
}

impl<'a> Bench<'a> {
    /// Prefixes that touch nothing: every eighth address begins one of two addresses.
    fn new(size: usize, scratch: &'a Path) -> Self {
        let start = u32::from_be_bytes([20, 0, 0, 0]);
        let prefix = |index: usize, offset: u32| {
            let address = start + u32::try_from(index).unwrap() * 8 + offset;
            IpNet::new(std::net::Ipv4Addr::from(address).into(), 31).unwrap()
        };
        let stride = size / CHANGED;
        let before: PrefixSet = (0..size).map(|index| prefix(index, 0)).collect();
        let gone: PrefixSet = (0..CHANGED).map(|index| prefix(index * stride, 0)).collect();
        let new: PrefixSet = (0..CHANGED).map(|index| prefix(index * stride, 4)).collect();
        let after = before.difference(&gone).union(&new);
        Self { before, after, scratch }
    }

    fn tagwall(&self, rounds: usize, nft_rounds: usize) -> Ours {
        let provider = provider();
        let mut load = Vec::new();
        for _ in 0..rounds {
            wait(provider.withdraw()).unwrap();
            load.push(apply(&provider, &self.before).0);
        }
        let mut change = Vec::new();
        for round in 0..rounds * 2 {
            let (time, steps) = apply(&provider, if round % 2 == 0 { &self.after } else { &self.before });
            assert_eq!(steps.entries.len(), CHANGED * 2);
            change.push(time);
        }
        let read = repeat(rounds, || {
            let observed = wait(provider.observe()).unwrap();
            assert_eq!(observed.entries.len(), self.before.prefixes().count());
        });
        let nft_read = repeat(nft_rounds, || nft(&["list", "set", "inet", "tagwall", "bench-v4"]));
        let mut round = 0;
        let pass = repeat(rounds, || {
            round += 1;
            let wanted = if round % 2 == 1 { &self.after } else { &self.before };
            apply(&provider, wanted);
            assert_eq!(wait(provider.observe()).unwrap().admitted(), *wanted);
        });
        wait(provider.withdraw()).unwrap();
        Ours { load: median(load), change: median(change), read, nft_read, pass }
    }

    fn nft(&self, rounds: usize) -> Theirs {
        let (gone, new) = (self.before.difference(&self.after), self.after.difference(&self.before));
        let full = self.script("full", &skeleton(&self.before));
        let forth = self.script("forth", &delta(&gone, &new));
        let back = self.script("back", &delta(&new, &gone));
        let load = (0..rounds).map(|round| {
            if round > 0 {
                nft(&["delete", "table", "inet", "tagwall"]);
            }
            repeat(1, || nft(&["-f", &full]))
        });
        let load = median(load.collect());
        let change = (0..rounds).map(|round| repeat(1, || nft(&["-f", if round % 2 == 0 { &forth } else { &back }])));
        let change = median(change.collect());
        nft(&["delete", "table", "inet", "tagwall"]);
        Theirs { load, change }
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.scratch.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// Brings the target to a set, and answers how long the writing took.
fn apply(provider: &Nftables, wanted: &PrefixSet) -> (Duration, Steps) {
    let observed = wait(provider.observe()).unwrap();
    let steps = provider.place(&observed, &Desired::listed(wanted.clone())).unwrap();
    let began = Instant::now();
    wait(provider.apply(&observed.revision, &steps)).unwrap();
    (began.elapsed(), steps)
}

/// The same table, as an operator would write it.
fn skeleton(set: &PrefixSet) -> String {
    format!(
        "table inet tagwall {{\n\
         set bench-v4 {{ type ipv4_addr; flags interval; elements = {{ {} }}; }}\n\
         set bench-v6 {{ type ipv6_addr; flags interval; }}\n\
         chain bench-admit {{ ip saddr @bench-v4 counter accept; ip6 saddr @bench-v6 counter accept; counter drop; }}\n\
         chain bench-ports {{ type filter hook input priority 0; iif lo accept; tcp dport 8443 goto bench-admit; }}\n\
         }}\n",
        list(set)
    )
}

fn delta(gone: &PrefixSet, new: &PrefixSet) -> String {
    let mut text = String::new();
    writeln!(text, "delete element inet tagwall bench-v4 {{ {} }}", list(gone)).unwrap();
    writeln!(text, "add element inet tagwall bench-v4 {{ {} }}", list(new)).unwrap();
    text
}

fn list(set: &PrefixSet) -> String {
    let prefixes: Vec<String> = set.prefixes().map(|prefix| prefix.to_string()).collect();
    prefixes.join(", ")
}

fn provider() -> Nftables {
    Nftables::new(Settings {
        mark: OwnerMark::new("bench", "bench").unwrap(),
        siblings: vec!["bench".to_owned()],
        ports: vec![8443],
        protocol: Protocol::Tcp,
        mode: Mode::Enforce { hook: Hook::Input, established: Established::Cut, priority: None },
    })
    .unwrap()
}

fn nft(words: &[&str]) {
    let status = Command::new("nft").args(words).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "nft {}", words.join(" "));
}

/// The median time of something.
fn repeat(rounds: usize, mut what: impl FnMut()) -> Duration {
    let times = (0..rounds).map(|_| {
        let began = Instant::now();
        what();
        began.elapsed()
    });
    median(times.collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn is_first_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().eq(["0", "0", "4294967295"])
}
