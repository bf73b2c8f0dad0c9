//! From a foreign `nft flush ruleset` until the target stands again, piece by piece, for a set of the size of
//! AzureActiveDirectory (200 IPv4 and 16 IPv6 prefixes), beside `nft -f` of the same table in the same run.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a benchmark talks and may panic")]

use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
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
    let mut pieces: [Vec<Duration>; 6] = Default::default();
    for _ in 0..ROUNDS {
        heal(&provider, &desired);
        drain(&mut wake_ups);
        let flush = std::thread::spawn(|| {
            nft(&["flush", "ruleset"]);
            Instant::now()
        });
        wait(next(&mut wake_ups));
        let woken = Instant::now();
        let observed = wait(provider.observe()).unwrap();
        let read = Instant::now();
        let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
        let placed = Instant::now();
        wait(provider.apply(&observed.revision, &steps)).unwrap();
        let applied = Instant::now();
        assert_eq!(wait(provider.observe()).unwrap().admitted(), desired);
        let verified = Instant::now();
        let flushed = flush.join().unwrap();
        let times = [
            read - woken,
            placed - read,
            applied - placed,
            applied - woken,
            applied.saturating_duration_since(flushed),
            verified - applied,
        ];
        for (piece, time) in pieces.iter_mut().zip(times) {
            piece.push(time);
        }
    }
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
    println!("{} prefixes, flushed by `nft` and healed {ROUNDS} times", desired.prefixes().count());
    println!("{:<44} {:>10} {:>10}", "", "median", "worst");
    let names = [
        "observe",
        "place",
        "apply, while nft is still flushing",
        "wake-up to enforced",
        "end of nft to enforced",
        "the read that verifies",
    ];
    for (name, times) in names.into_iter().zip(pieces) {
        row(name, times);
    }
    row("apply, with nothing else going on", alone);
    row("`nft -f` of the same, as a process", theirs);
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!("{name:<44} {:>10} {:>10}", ms(times[times.len() / 2]), ms(times[times.len() - 1]));
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
