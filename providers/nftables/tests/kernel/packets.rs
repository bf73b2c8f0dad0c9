//! What becomes of packets: a host with a port, and clients behind a veth pair, each in a namespace of its own.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tagwall_nftables::{Established, Hook, Mode, Nftables, Settings};
use tagwall_provider::{Counters, Desired, Family, PrefixSet, Provider};

use crate::support::{Namespace, edge, in_namespace, list, nft, pass, prefixes, run, settings, wait};

/// The host's addresses.
pub(crate) const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// The clients' addresses: one that tests admit, and one that they do not.
pub(crate) const ALLOWED: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
pub(crate) const REFUSED: [&str; 2] = ["192.0.2.200", "2001:db8::200"];

/// How long a connection may take. A dropped packet is sent again after a second, so a slow machine fails nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for what should not come.
pub(crate) const IMPATIENCE: Duration = Duration::from_millis(300);

/// Joins the namespace of this thread and another by a veth pair `host`–`clients` with these addresses.
fn join(other: &Namespace, host: &str, clients: &str, here: &[&str], there: &[&str]) {
    run("ip", &["link", "add", host, "type", "veth", "peer", "name", clients, "netns", &other.id()]);
    let up = |name: &str, addresses: &[&str]| {
        run("ip", &["link", "set", name, "up"]);
        for address in addresses {
            let length = if address.contains(':') { 64 } else { 24 };
            run("ip", &["address", "add", &format!("{address}/{length}"), "dev", name, "nodad"]);
        }
    };
    up(host, here);
    other.run(|| up(clients, there));
}

/// Makes the clients' namespace, joined to this one.
pub(crate) fn clients() -> Namespace {
    let clients = Namespace::new();
    join(&clients, "host", "clients", &HOST, &[ALLOWED, REFUSED].concat());
    clients
}

/// Accepts connections on the port at every address, and sends back a byte for each that comes.
pub(crate) fn serve(port: u16) {
    let listener = TcpListener::bind(("::", port)).unwrap();
    // The thread ends with the process: nothing in the namespace outlives its last user but this.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream?;
                std::io::copy(&mut stream.try_clone()?, &mut stream)
            });
        }
    });
}

/// Connects from an address, within a time.
pub(crate) fn connect(from: &str, to: &str, port: u16, within: Duration) -> Option<TcpStream> {
    use tokio::net::TcpSocket;
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        // Closed connections leave no port behind: thousands of them would make finding a free one slow.
        socket.set_zero_linger().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let connected = tokio::time::timeout(within, socket.connect(SocketAddr::new(to, port))).await;
        let stream = connected.ok()?.ok()?.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        Some(stream)
    })
}

/// Whether a byte comes back.
fn echoes(stream: &mut TcpStream, within: Duration) -> bool {
    use std::io::{Read, Write};
    stream.set_read_timeout(Some(within)).unwrap();
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

fn all() -> PrefixSet {
    prefixes("192.0.2.10/32 2001:db8::10/128")
}

#[test]
fn allowed_and_refused() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        serve(22);
        // Negative control: without rules the refused one connects.
        for family in 0..2 {
            clients.run(|| assert!(connect(REFUSED[family], HOST[family], 8443, PATIENCE).is_some()));
        }
        let provider = edge();
        pass(&provider, &all());
        for family in 0..2 {
            clients.run(|| {
                assert!(connect(ALLOWED[family], HOST[family], 8443, PATIENCE).is_some(), "{}", ALLOWED[family]);
                assert!(connect(REFUSED[family], HOST[family], 8443, IMPATIENCE).is_none(), "{}", REFUSED[family]);
                assert!(connect(REFUSED[family], HOST[family], 22, PATIENCE).is_some(), "another port is open");
            });
            assert!(connect(HOST[family], HOST[family], 8443, PATIENCE).is_some(), "loopback is always admitted");
        }
        let counters = wait(provider.observe()).unwrap().counters.unwrap();
        assert!(counters.admitted.v4.packets > 0 && counters.admitted.v6.packets > 0, "{counters:?}");
        assert!(counters.dropped.packets > 0 && counters.dropped.bytes > 0, "{counters:?}");
        // A target for IPv4 alone drops IPv6.
        pass(&provider, &all().only(Family::V4));
        clients.run(|| {
            assert!(connect(ALLOWED[0], HOST[0], 8443, PATIENCE).is_some());
            assert!(connect(ALLOWED[1], HOST[1], 8443, IMPATIENCE).is_none());
        });
        wait(provider.withdraw()).unwrap();
        clients.run(|| assert!(connect(REFUSED[1], HOST[1], 8443, PATIENCE).is_some()));
    });
}

/// What was counted stays while elements come and go, and is no part of what a change builds on.
#[test]
fn counters_survive_changes_of_elements() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let provider = edge();
        let counters = || wait(provider.observe()).unwrap().counters;
        assert_eq!(counters(), None, "nothing counts yet");
        pass(&provider, &all());
        assert_eq!(counters(), Some(Counters::default()));

        let observed = wait(provider.observe()).unwrap();
        clients.run(|| {
            assert!(connect(ALLOWED[0], HOST[0], 8443, PATIENCE).is_some());
            assert!(connect(REFUSED[1], HOST[1], 8443, IMPATIENCE).is_none());
        });
        // The last packets of the connection may be on their way, so at least so much was counted.
        let before = counters().unwrap();
        assert!(before.admitted.v4.packets >= 3 && before.admitted.v4.bytes > 3 * 40, "{before:?}");
        assert_eq!((before.admitted.v6, before.established), Default::default());
        assert!(before.dropped.packets > 0, "{before:?}");
        assert_eq!(wait(provider.observe()).unwrap().revision.content, observed.revision.content);
        // Worked out before anything was counted, and good all the same.
        let more = all().union(&prefixes("198.51.100.0/24"));
        let steps = provider.place(&observed, &Desired::listed(more.clone())).unwrap();
        wait(provider.apply(&observed.revision, &steps)).unwrap();

        for desired in [prefixes("203.0.113.0/24"), PrefixSet::default(), more] {
            pass(&provider, &desired);
            let after = counters().unwrap();
            assert!(after.admitted.v4.packets >= before.admitted.v4.packets, "{before:?} {after:?}");
            assert!(after.dropped.packets >= before.dropped.packets, "{before:?} {after:?}");
        }
        // The control: rules that are written again begin anew.
        nft("flush chain inet tagwall edge-admit");
        pass(&provider, &all());
        assert_eq!(counters(), Some(Counters::default()));
    });
}

/// A rule of somebody else's in our chain counts for nobody.
#[test]
fn only_our_own_rules_count() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let provider = edge();
        pass(&provider, &all());
        nft("insert rule inet tagwall edge-admit counter accept");
        clients.run(|| assert!(connect(REFUSED[0], HOST[0], 8443, PATIENCE).is_some()));
        assert!(list("chain inet tagwall edge-admit").contains("counter packets"));
        assert_eq!(wait(provider.observe()).unwrap().counters, Some(Counters::default()));
    });
}

/// A port that DNAT forwards to a container: only a chain before DNAT sees it.
#[test]
fn forwarded_ports() {
    in_namespace(|| {
        let clients = clients();
        let container = Namespace::new();
        join(&container, "bridge", "inside", &["198.51.100.1", "2001:db8:1::1"], &["198.51.100.2", "2001:db8:1::2"]);
        container.run(|| {
            serve(443);
            run("ip", &["route", "add", "default", "via", "198.51.100.1"]);
            run("ip", &["route", "add", "default", "via", "2001:db8:1::1"]);
        });
        clients.run(|| {
            run("ip", &["route", "add", "198.51.100.0/24", "via", HOST[0]]);
            run("ip", &["route", "add", "2001:db8:1::/64", "via", HOST[1]]);
        });
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        nft("
            table inet docker {
                chain nat {
                    type nat hook prerouting priority -100; policy accept;
                    fib daddr type local tcp dport 8443 dnat ip to 198.51.100.2:443
                    fib daddr type local tcp dport 8443 dnat ip6 to [2001:db8:1::2]:443
                }
            }
        ");
        let try_all = |refused: bool| {
            clients.run(|| {
                for family in 0..2 {
                    assert!(connect(ALLOWED[family], HOST[family], 8443, PATIENCE).is_some(), "{}", ALLOWED[family]);
                    let within = if refused { IMPATIENCE } else { PATIENCE };
                    assert_eq!(connect(REFUSED[family], HOST[family], 8443, within).is_none(), refused);
                }
            });
        };
        // Negative control: the input hook never sees it.
        pass(&edge(), &all());
        try_all(false);
        let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Cut, priority: None };
        let provider = Nftables::new(Settings { mode, ..settings() }).unwrap();
        pass(&provider, &all());
        try_all(true);
        // The port of somebody behind this host is not ours to close.
        container.run(|| serve(8443));
        clients.run(|| assert!(connect(REFUSED[0], "198.51.100.2", 8443, PATIENCE).is_some()));
    });
}

fn check_established(established: Established) {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let mode = Mode::Enforce { hook: Hook::Input, established, priority: None };
        let provider = Nftables::new(Settings { mode, ..settings() }).unwrap();
        pass(&provider, &all());
        for family in 0..2 {
            let mut stream = clients.run(|| connect(ALLOWED[family], HOST[family], 8443, PATIENCE)).unwrap();
            assert!(echoes(&mut stream, PATIENCE));
            pass(&provider, &prefixes("203.0.113.0/24"));
            let kept = established == Established::Keep;
            assert_eq!(echoes(&mut stream, if kept { PATIENCE } else { IMPATIENCE }), kept);
            clients.run(|| assert!(connect(ALLOWED[family], HOST[family], 8443, IMPATIENCE).is_none()));
            pass(&provider, &all());
        }
        let counted = wait(provider.observe()).unwrap().counters.unwrap().established.packets;
        assert_eq!(counted > 0, established == Established::Keep);
    });
}

#[test]
fn established_connections_are_cut() {
    check_established(Established::Cut);
}

#[test]
fn established_connections_are_kept() {
    check_established(Established::Keep);
}

/// Updates of a campaign: the whole with `TAGWALL_SOAK`, else a twentieth; `TAGWALL_TEST_UPDATES` says another number.
fn updates() -> u64 {
    let usual = if std::env::var_os("TAGWALL_SOAK").is_some() { 500 } else { 25 };
    std::env::var("TAGWALL_TEST_UPDATES").map_or(usual, |updates| updates.parse().unwrap())
}

/// What a campaign saw.
#[derive(Debug)]
struct Campaign {
    connected: u64,
    failed: u64,
    /// Packets of allowed clients, in front of our chains and behind them.
    allowed: [u64; 2],
    /// The same of refused clients.
    refused: [u64; 2],
}

impl Campaign {
    /// Not a packet too few, not a packet too many.
    fn check(&self, updates: u64) {
        assert_eq!(self.failed, 0, "{self:?}");
        assert_eq!(self.allowed[0], self.allowed[1], "an allowed packet was dropped: {self:?}");
        assert_eq!(self.refused[1], 0, "a refused packet came in: {self:?}");
        assert!(self.connected >= 2 * updates && self.refused[0] > 0, "{self:?}");
    }
}

/// Counts packets to the port in front of every chain of ours and behind.
const WATCH: &str = "
    table inet watch {
        chain before {
            type filter hook prerouting priority -200; policy accept;
            tcp dport 8443 ip saddr 192.0.2.10 counter
            tcp dport 8443 ip6 saddr 2001:db8::10 counter
            tcp dport 8443 ip saddr 192.0.2.200 counter
            tcp dport 8443 ip6 saddr 2001:db8::200 counter
        }
        chain behind {
            type filter hook input priority 100; policy accept;
            tcp dport 8443 ip saddr 192.0.2.10 counter
            tcp dport 8443 ip6 saddr 2001:db8::10 counter
            tcp dport 8443 ip saddr 192.0.2.200 counter
            tcp dport 8443 ip6 saddr 2001:db8::200 counter
        }
    }
";

/// What a chain of [`WATCH`] counted: packets of allowed clients, and of refused ones.
fn watched(chain: &str) -> [u64; 2] {
    let listing = list(&format!("chain inet watch {chain}"));
    let packets = |line: &str| line.split_once("counter packets ")?.1.split(' ').next()?.parse::<u64>().ok();
    let counts: Vec<u64> = listing.lines().filter_map(packets).collect();
    [counts[0] + counts[1], counts[2] + counts[3]]
}

/// Clients at an always-allowed address of each family connect all the while, as `update` is called again and
/// again; refused ones knock. In each update at least one connection of each allowed client begins and one ends,
/// or the campaign does not go on.
fn campaign(updates: u64, mut update: impl FnMut(u64)) -> Campaign {
    let clients = clients();
    serve(8443);
    update(0);
    nft(WATCH);
    let done = AtomicBool::new(false);
    let (begun, ended, failed) =
        ([const { AtomicU64::new(0) }; 2], [const { AtomicU64::new(0) }; 2], AtomicU64::new(0));
    let knocks = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (done, begun, ended, failed, knocks) = (&done, &begun, &ended, &failed, &knocks);
        for family in 0..2 {
            clients.spawn(scope, move || {
                while !done.load(Ordering::SeqCst) {
                    begun[family].fetch_add(1, Ordering::SeqCst);
                    if connect(ALLOWED[family], HOST[family], 8443, PATIENCE).is_none() {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                    ended[family].fetch_add(1, Ordering::SeqCst);
                }
            });
            clients.spawn(scope, move || {
                while !done.load(Ordering::SeqCst) {
                    connect(REFUSED[family], HOST[family], 8443, Duration::from_millis(2));
                    knocks.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let counts = || [&begun[0], &begun[1], &ended[0], &ended[1], knocks].map(|count| count.load(Ordering::SeqCst));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 1..=updates {
                let before = counts();
                update(number);
                while counts().iter().zip(before).any(|(now, before)| *now <= before) {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        }));
        done.store(true, Ordering::SeqCst);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    // A last packet may still be on its way.
    let (mut before, mut behind) = (watched("before"), watched("behind"));
    for _ in 0..10 {
        if before[0] != behind[0] {
            (before, behind) = (watched("before"), watched("behind"));
        }
    }
    Campaign {
        connected: ended.iter().map(|count| count.load(Ordering::SeqCst)).sum(),
        failed: failed.into_inner(),
        allowed: [before[0], behind[0]],
        refused: [before[1], behind[1]],
    }
}

/// Sets that all hold the allowed clients, each time in another interval among other neighbours.
fn desired(number: u64) -> PrefixSet {
    let around = [
        "192.0.2.10/32 2001:db8::10/128",
        "192.0.2.8/29 2001:db8::/120",
        "192.0.2.0/25 2001:db8::/119",
        "192.0.2.10/31 203.0.113.0/24 2001:db8::10/124",
        "192.0.2.0/27 198.51.100.0/24 2001:db8::/121 2001:db8:8::/48",
    ];
    let index = usize::try_from(number).unwrap() % around.len();
    let others: Vec<String> = (0..50).map(|other| format!("10.{}.{other}.0/24", number % 200)).collect();
    prefixes(&format!("{} {}", others.join(" "), around[index]))
}

#[test]
fn never_a_gap_while_sets_change() {
    in_namespace(|| {
        let provider = edge();
        let seen = campaign(updates(), |number| {
            let (steps, applied) = pass(&provider, &desired(number));
            assert!(!steps.entries.is_empty() && applied.calls == 1);
        });
        eprintln!("{} updates: {seen:?}", updates());
        seen.check(updates());
    });
}

/// The negative control: the same sets flushed and filled in two transactions are noticed.
#[test]
fn flushing_and_filling_apart_is_noticed() {
    in_namespace(|| {
        pass(&edge(), &desired(0));
        let seen = campaign(updates().min(25), |number| {
            for (set, family) in [("edge-v4", Family::V4), ("edge-v6", Family::V6)] {
                let desired = desired(number).only(family);
                let list: Vec<String> = desired.prefixes().map(|prefix| prefix.to_string()).collect();
                nft(&format!("flush set inet tagwall {set}"));
                nft(&format!("add element inet tagwall {set} {{ {} }}", list.join(", ")));
            }
        });
        eprintln!("{seen:?}");
        assert!(seen.allowed[1] < seen.allowed[0], "a gap that nobody notices: {seen:?}");
    });
}

/// Rules that are written again, and chains that are moved to another hook and back, leave no moment without: no
/// packet of an allowed client is dropped, and none of a refused one comes in.
#[test]
fn never_a_gap_while_rules_are_mended() {
    in_namespace(|| {
        let provider = edge();
        let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None };
        let moved = Nftables::new(Settings { mode, ..settings() }).unwrap();
        let seen = campaign(updates(), |number| {
            let (steps, applied) = pass(if number % 2 == 0 { &provider } else { &moved }, &all());
            assert!(!steps.skeleton.is_empty() && applied.calls == 1);
        });
        eprintln!("{} mendings: {seen:?}", updates());
        seen.check(updates());
    });
}

/// The negative control: rules flushed and written again in two transactions let somebody in.
#[test]
fn mending_in_two_transactions_is_noticed() {
    in_namespace(|| {
        let provider = edge();
        let seen = campaign(updates().min(25), |_| {
            pass(&provider, &all());
            nft("flush chain inet tagwall edge-ports");
            pass(&provider, &all());
        });
        eprintln!("{seen:?}");
        assert!(seen.refused[1] > 0, "a gap that nobody notices: {seen:?}");
    });
}
