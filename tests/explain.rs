//! That what is explained is what packets find, and what the kernel itself says.
#![expect(clippy::too_many_lines, reason = "snapshots are long")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{EDGE, Namespace, Random, World, with_namespaces};

/// How many addresses are tried without `TAGWALL_SOAK`, of the 1,000 with it.
const FRACTION: usize = 200;
/// All attempts are made at once, so this passes once. One that is let through is over in a millisecond.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// A few prefixes of documentation space, of any length, in no order.
fn prefixes(random: &mut Random) -> Vec<String> {
    let mut below = |bound: u64| u32::try_from(random.below(bound)).unwrap();
    let v4 = (0..12).map(|_| {
        let net = [(192, 0, 2), (198, 51, 100), (203, 0, 113)][below(3) as usize];
        let length = 26 + below(7);
        let address = u32::from(Ipv4Addr::new(net.0, net.1, net.2, 0)) | (below(256) & (u32::MAX << (32 - length)));
        format!("{}/{length}", Ipv4Addr::from(address))
    });
    let mut all: Vec<String> = v4.collect();
    for _ in 0..6 {
        let length = 33 + random.below(90);
        let bits = u128::from(random.below(u64::MAX)) << 32 | u128::from(random.below(u64::MAX));
        let mask = u128::MAX << (128 - length);
        let address = (0x2001_0db8_u128 << 96 | bits & ((1 << 96) - 1)) & mask;
        all.push(format!("{}/{length}", Ipv6Addr::from(address)));
    }
    // No publication has a prefix twice.
    all.sort_unstable();
    all.dedup();
    all
}

/// Addresses at both ends of each prefix, just beside it and inside, and any others of the same space.
fn addresses(random: &mut Random, prefixes: &[String], count: usize) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    while found.len() < count {
        let pick = usize::try_from(random.below(prefixes.len() as u64)).unwrap();
        let (address, length) = prefixes[pick].split_once('/').unwrap();
        let (length, step): (u32, u64) = (length.parse().unwrap(), random.below(6));
        match address.parse().unwrap() {
            IpAddr::V4(first) => {
                let (first, size) = (u32::from(first), 1_u64 << (32 - length));
                let inside = u32::try_from(random.below(size)).unwrap();
                let last = first + u32::try_from(size - 1).unwrap();
                let near = [
                    first,
                    last,
                    first - 1,
                    last + 1,
                    first + inside,
                    first & !255 | u32::try_from(random.below(256)).unwrap(),
                ];
                found.insert(IpAddr::V4(near[usize::try_from(step).unwrap()].into()));
            }
            IpAddr::V6(first) => {
                let (first, last) = (u128::from(first), u128::from(first) | (u128::MAX >> length));
                let near = [
                    first,
                    last,
                    first - 1,
                    last + 1,
                    first | u128::from(random.below(u64::MAX)) >> (length / 2),
                    first ^ 1 << random.below(90),
                ];
                found.insert(IpAddr::V6(near[usize::try_from(step).unwrap()].into()));
            }
        }
    }
    found.into_iter().collect()
}

/// A host and somebody outside who has all of these addresses.
fn joined(world: &World, addresses: &[IpAddr]) -> Namespace {
    let outside = Namespace::new();
    world.host.join(&outside);
    let lines = addresses.iter().map(|address| {
        let (length, nodad) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
        format!("address add {address}/{length} dev lo{nodad}\n")
    });
    let batch: String = lines.collect();
    outside.inside(|| {
        let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
    });
    // One neighbour for all of them.
    world.host.run("ip", &["route", "add", "default", "via", "10.77.0.2"]);
    world.host.run("ip", &["-6", "route", "add", "default", "via", "fd77::2"]);
    outside
}

/// From which of these addresses a connection comes about and carries data.
fn connecting(outside: &Namespace, addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
    let all = async {
        let mut attempts = JoinSet::new();
        for &source in addresses {
            attempts.spawn(async move {
                let server: IpAddr = if source.is_ipv4() { "10.77.0.1" } else { "fd77::1" }.parse().unwrap();
                let socket =
                    if source.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
                let socket = socket.unwrap();
                socket.bind(SocketAddr::new(source, 0)).unwrap();
                let attempt = async {
                    let mut stream = socket.connect(SocketAddr::new(server, 8443)).await?;
                    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0]).await
                };
                tokio::time::timeout(GIVEN_UP, attempt).await.is_ok_and(|done| done.is_ok()).then_some(source)
            });
        }
        attempts.join_all().await.into_iter().flatten().collect()
    };
    outside.inside(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(all))
}

/// What is explained of each address: whether it is admitted, by the verdict, and by the kernel's own word.
fn explained(world: &World, addresses: &[IpAddr]) -> Vec<(IpAddr, bool, bool)> {
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let run = world.tagwall(&format!("explain --format json {}", words.join(" ")));
    assert_eq!(run.status, 0, "{}", run.stderr);
    let json = run.json();
    let of = |told: &Value| {
        let target = &told["targets"][0];
        let admitted = match target["verdict"].as_str().unwrap() {
            "admitted" => true,
            "not-admitted" => false,
            verdict => panic!("{verdict}: {told:#}"),
        };
        assert_eq!(
            !target["wanted"].as_array().unwrap().is_empty(),
            admitted,
            "what is wanted is what is enforced: {told:#}"
        );
        (told["address"].as_str().unwrap().parse().unwrap(), admitted, target["asked"].as_bool().unwrap())
    };
    json["addresses"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_is_explained_is_what_packets_find() {
    with_namespaces(|| {
        let soak = std::env::var_os("TAGWALL_SOAK").is_some();
        let mut random = Random::from_environment();
        // Open files are bounded: a few hundred at a time.
        for _ in 0..if soak { 5 } else { 1 } {
            let prefixes = prefixes(&mut random);
            let addresses = addresses(&mut random, &prefixes, FRACTION);
            let world = World::edge(&prefixes.iter().map(String::as_str).collect::<Vec<_>>());
            let outside = joined(&world, &addresses);
            world.host.inside(|| {
                let listener = TcpListener::bind(("::", 8443)).unwrap();
                std::thread::spawn(move || {
                    for connection in listener.incoming() {
                        let _ = connection.and_then(|mut connection| connection.write_all(b"!"));
                    }
                });
            });
            // The control: before anything is enforced all of them come through, once the interfaces have found their
            // neighbours.
            let all_come = (0..20).any(|_| connecting(&outside, &addresses).len() == addresses.len());
            assert!(all_come, "the way there does not work");
            world.expect(0, "sync");
            let came = connecting(&outside, &addresses);
            for (address, admitted, asked) in explained(&world, &addresses) {
                assert_eq!(
                    (admitted, asked),
                    (came.contains(&address), came.contains(&address)),
                    "{address} of {prefixes:?}"
                );
            }
            assert!(came.len() > FRACTION / 5 && addresses.len() - came.len() > FRACTION / 5, "{} came", came.len());
            eprintln!("{} of {} addresses came through, as explained", came.len(), addresses.len());
        }
    });
}

#[test]
fn an_address_is_explained_to_people() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(
            "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\nextra = [\"203.0.113.0/28\"]\n\
             [targets.edge]\nlists = [\"entra\"]\nnftables = {}\n",
        );
        world.feed(
            10,
            &[
                ("AzureCloud.westeurope", &["192.0.2.0/24", "2001:db8::/40"]),
                ("AzureActiveDirectory", &["192.0.2.0/25", "2001:db8:1::/48"]),
            ],
        );
        assert_snapshot!(world.tell("explain 192.0.2.7"), @r"
        exit status 0
        --- stdout
        192.0.2.7

        edge  nftables inet tagwall
          nothing of ours stands there: what else there is decides alone
          wanted by list entra: tag AzureActiveDirectory has 192.0.2.0/25
          the firewall itself, asked for this address: it is not in

        Tags of Public, change number 10, that hold it
          AzureActiveDirectory   192.0.2.0/25  AzureAD
          AzureCloud.westeurope  192.0.2.0/24  westeurope, AzureAD
        ");
        world.expect(0, "sync");
        assert_snapshot!(world.tell("explain 192.0.2.7"), @r"
        exit status 0
        --- stdout
        192.0.2.7

        edge  nftables inet tagwall
          admitted by 192.0.2.0/25 in edge-v4
          wanted by list entra: tag AzureActiveDirectory has 192.0.2.0/25
          the firewall itself, asked for this address: it is in

        Tags of Public, change number 10, that hold it
          AzureActiveDirectory   192.0.2.0/25  AzureAD
          AzureCloud.westeurope  192.0.2.0/24  westeurope, AzureAD
        ");
        assert_snapshot!(world.tell("explain 203.0.113.3 192.0.2.200"), @r"
        exit status 0
        --- stdout
        203.0.113.3

        edge  nftables inet tagwall
          admitted by 203.0.113.0/28 in edge-v4
          wanted by list entra: its `extra` has it
          the firewall itself, asked for this address: it is in

        No tag of Public, change number 10, holds it

        192.0.2.200

        edge  nftables inet tagwall
          not admitted
          wanted by none of its lists
          the firewall itself, asked for this address: it is not in

        Tags of Public, change number 10, that hold it
          AzureCloud.westeurope  192.0.2.0/24  westeurope, AzureAD
        ");
        // Somebody else's element is there, and no list wants it; somebody else's chain drops what we admit.
        world.host.nft(
            "add element inet tagwall edge-v4 { 203.0.113.200 }\nadd table inet other\n\
             add chain inet other wall { type filter hook input priority 0; policy drop; }\n",
        );
        assert_snapshot!(world.tell("explain 203.0.113.200"), @r"
        exit status 0
        --- stdout
        203.0.113.200

        edge  nftables inet tagwall
          dropped by a rule that is not ours, though 203.0.113.200/32 in edge-v4 admits it
          wanted by none of its lists
          the firewall itself, asked for this address: it is in
          ! not ours: chain wall of table inet other drops tcp port 8443 on input: its policy is drop; tagwall can only narrow what others let through, so let everybody through there: `nft insert rule inet other wall tcp dport 8443 accept`

        No tag of Public, change number 10, holds it
        ");
        world.host.nft("flush chain inet tagwall edge-ports\n");
        assert_snapshot!(world.tell("explain 192.0.2.7"), @r#"
        exit status 0
        --- stdout
        192.0.2.7

        edge  nftables inet tagwall
          unsure: 192.0.2.0/25 in edge-v4 holds it, and the rules are not as they should be
          ! tcp port 8443 is open to everybody: chain edge-ports does not send it to chain edge-admit
          ! chain edge-ports: the rule `iif "lo" accept` is missing or was changed
          ! chain edge-ports: the rule `tcp dport 8443 goto edge-admit` is missing or was changed
          wanted by list entra: tag AzureActiveDirectory has 192.0.2.0/25
          the firewall itself, asked for this address: it is in
          ! not ours: chain wall of table inet other drops tcp port 8443 on input: its policy is drop; tagwall can only narrow what others let through, so let everybody through there: `nft insert rule inet other wall tcp dport 8443 accept`

        Tags of Public, change number 10, that hold it
          AzureActiveDirectory   192.0.2.0/25  AzureAD
          AzureCloud.westeurope  192.0.2.0/24  westeurope, AzureAD
        "#);
        assert_snapshot!(world.tell("explain edge"), @r"
        exit status 64
        --- stderr
        error: invalid value 'edge' for '<IP>...': invalid IP address syntax

        For more information, try '--help'.
        ");
        world.config(EDGE);
        std::fs::remove_file(world.path("feed.json")).unwrap();
        std::fs::remove_dir_all(world.path("state")).unwrap();
        assert_snapshot!(world.tell("explain 2001:db8:1::7"), @r#"
        exit status 0
        --- stdout
        2001:db8:1::7

        edge  nftables inet tagwall
          unsure: 2001:db8:1::/48 in edge-v6 holds it, and the rules are not as they should be
          ! tcp port 8443 is open to everybody: chain edge-ports does not send it to chain edge-admit
          ! chain edge-ports: the rule `iif "lo" accept` is missing or was changed
          ! chain edge-ports: the rule `tcp dport 8443 goto edge-admit` is missing or was changed
          no publication is known: what its lists want cannot be told
          the firewall itself, asked for this address: it is in
          ! not ours: chain wall of table inet other drops tcp port 8443 on input: its policy is drop; tagwall can only narrow what others let through, so let everybody through there: `nft insert rule inet other wall tcp dport 8443 accept`
        --- stderr
        warning: cannot read `feed.json`: No such file or directory (os error 2)
        "#);
    });
}
