//! From a foreign flush until the target stands again, piece by piece, for a set of the size of
//! AzureActiveDirectory (200 IPv4 and 16 IPv6 prefixes), beside `nft -f` of the same table in the same run.
//!
//! What is ours takes about a millisecond, nearly all of it the commit. After `nft` the rest is the kernel's: when the
//! socket of a program that deleted something is closed, `nft_rcv_nl_event` takes the commit mutex and holds it until
//! what was deleted is destroyed (`nf_tables_trans_destroy_flush_work`), which takes an RCU grace period: some 10 ms,
//! more on a busy machine. `nft` exits at once, so a transaction that heals arrives before that or waits for it in
//! `nf_tables_valid_genid` (seen in /proc/PID/task/TID/stack; Linux 6.18). After who stays connected nothing waits.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a benchmark talks and may panic")]

use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tagwall_nftables::testing::Hand;
use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings, TableFamily};
use tagwall_provider::{Desired, Family, IpNet, OwnerMark, PrefixSet, Provider};

const ROUNDS: usize = 101;

fn main() {
    if std::env::var_os("TAGWALL_BENCH_NAMESPACE").is_none() {
        eprintln!("run this by `./dev bench`: it writes to the firewall of the namespace that it is in");
        return;
    }
    let desired = prefixes();
    let provider = provider();
    let mut wake_ups = provider.watch().unwrap();
    // Answered after the watch has begun.
    wait(provider.observe()).unwrap();
    println!("{} prefixes, healed {ROUNDS} times", desired.prefixes().count());
    println!("{:<54} {:>10} {:>10}", "", "median", "worst");
    heals(&provider, &mut wake_ups, &desired, "`nft flush ruleset`", || nft(&["flush", "ruleset"]));
    let mut hand = Hand::new(TableFamily::Inet, "tagwall", "bench-v4");
    heals(&provider, &mut wake_ups, &desired, "a deletion by who stays connected", || assert!(hand.delete_table()));
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), script(&desired)).unwrap();
    let mut alone = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS / 4 {
        nft(&["flush", "ruleset"]);
        let began = Instant::now();
        nft(&["-f", &scratch.path().display().to_string()]);
        theirs.push(began.elapsed());
        nft(&["flush", "ruleset"]);
        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
        let began = Instant::now();
        wait(provider.apply(&observed.revision, &steps)).unwrap();
        alone.push(began.elapsed());
    }
    row("apply, with nothing else going on", alone);
    row("`nft -f` of the same, as a process", theirs);
}

/// Lets somebody undo the target again and again, and heals it.
fn heals(provider: &Nftables, wake_ups: &mut WakeUps, desired: &PrefixSet, what: &str, mut undo: impl FnMut() + Send) {
    let mut pieces: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        heal(provider, desired);
        drain(wake_ups);
        std::thread::scope(|scope| {
            scope.spawn(&mut undo);
            wait(next(wake_ups));
            let woken = Instant::now();
            let observed = wait(provider.observe()).unwrap();
            let read = Instant::now();
            let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
            let placed = Instant::now();
            wait(provider.apply(&observed.revision, &steps)).unwrap();
            let applied = Instant::now();
            assert_eq!(wait(provider.observe()).unwrap().admitted(), *desired);
            let verified = Instant::now();
            let times = [read - woken, placed - read, applied - placed, applied - woken, verified - applied];
            for (piece, time) in pieces.iter_mut().zip(times) {
                piece.push(time);
            }
        });
    }
    println!("after {what}:");
    for (name, times) in
        ["observe", "place", "apply", "wake-up to enforced", "read that verifies"].into_iter().zip(pieces)
    {
        row(&format!("  {name}"), times);
    }
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!("{name:<54} {:>10} {:>10}", ms(times[times.len() / 2]), ms(times[times.len() - 1]));
}

fn heal(provider: &Nftables, desired: &PrefixSet) {
    let observed = wait(provider.observe()).unwrap();
    let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
    wait(provider.apply(&observed.revision, &steps)).unwrap();
}

type WakeUps = Pin<Box<dyn Stream<Item = ()> + Send>>;

async fn next(wake_ups: &mut WakeUps) {
    std::future::poll_fn(|context| wake_ups.as_mut().poll_next(context)).await.unwrap();
}

/// Takes what is still told of the last round.
fn drain(wake_ups: &mut WakeUps) {
    std::thread::sleep(Duration::from_millis(20));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while wake_ups.as_mut().poll_next(&mut context).is_ready() {}
}

fn prefixes() -> PrefixSet {
    let v4 = (0..200u32).map(|index| IpNet::new(std::net::Ipv4Addr::from((20 << 24) + index * 4096).into(), 24));
    let v6 =
        (0..16u128).map(|index| IpNet::new(std::net::Ipv6Addr::from((0x2603_u128 << 112) + (index << 81)).into(), 48));
    v4.chain(v6).map(Result::unwrap).collect()
}

/// The same table, as an operator would write it.
fn script(set: &PrefixSet) -> String {
    let list = |family| {
        let prefixes: Vec<String> = set.only(family).prefixes().map(|prefix| prefix.to_string()).collect();
        prefixes.join(", ")
    };
    format!(
        "table inet tagwall {{\n\
         set bench-v4 {{ type ipv4_addr; flags interval; elements = {{ {} }}; }}\n\
         set bench-v6 {{ type ipv6_addr; flags interval; elements = {{ {} }}; }}\n\
         chain bench-admit {{ ip saddr @bench-v4 counter accept; ip6 saddr @bench-v6 counter accept; counter drop; }}\n\
         chain bench-ports {{ type filter hook input priority 0; iif lo accept; tcp dport 8443 goto bench-admit; }}\n\
         }}\n",
        list(Family::V4),
        list(Family::V6)
    )
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

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
