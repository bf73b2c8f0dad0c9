//! What a sceptical operator tries: the longest names, many ports, the ends of the priorities, two at once.

use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{Desired, OwnerMark, Provider, Skeleton};

use crate::packets::{ALLOWED, HOST, IMPATIENCE, PATIENCE, REFUSED, clients, connect, serve};
use crate::support::{admitted, in_namespace, list, nft, pass, prefixes, ruleset, run, settings, target, wait};

/// From nothing to in sync, changed, drifted, mended and withdrawn.
fn check_life(settings: &Settings) {
    let name = settings.mark.target().to_owned();
    let provider = Nftables::new(settings.clone()).unwrap();
    for desired in ["192.0.2.0/24 2001:db8::/48", "192.0.2.0/25 198.51.100.0/24"] {
        pass(&provider, &prefixes(desired));
        assert_eq!(admitted(&name), prefixes(desired));
        let (steps, _) = pass(&provider, &prefixes(desired));
        assert!(steps.is_empty(), "{steps:?}");
    }
    let saved = ruleset();
    nft(&format!("flush chain inet tagwall {name}-ports"));
    let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else { panic!("no drift") };
    assert!(lines[0].contains("open to everybody"), "{lines:#?}");
    pass(&provider, &prefixes("192.0.2.0/25 198.51.100.0/24"));
    assert_eq!(ruleset(), saved);
    // What nft saved it also loads.
    let listing = run("nft", &["list", "ruleset"]);
    nft("flush ruleset");
    nft(&listing);
    assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
    wait(provider.withdraw()).unwrap();
}

/// The longest owner and target: a mark of 105 bytes in comments that hold 128.
#[test]
fn longest_marks() {
    in_namespace(|| {
        let (owner, name) = ("o".repeat(48), "t".repeat(48));
        check_life(&Settings { mark: OwnerMark::new(&owner, &name).unwrap(), ..settings() });
        assert_eq!(ruleset(), "");
    });
}

#[test]
fn priorities_at_their_ends() {
    for (hook, priorities) in
        [(Hook::Input, [i32::MIN, -1, 1, i32::MAX]), (Hook::Prerouting, [i32::MIN, -200, -199, -101])]
    {
        for priority in priorities {
            in_namespace(|| {
                let mode = Mode::Enforce { hook, established: Established::Cut, priority: Some(priority) };
                check_life(&Settings { mode, ..settings() });
                assert_eq!(ruleset(), "");
            });
        }
    }
}

#[test]
fn a_hundred_ports() {
    in_namespace(|| {
        let ports: Vec<u16> = (0..100).map(|index| 8000 + index * 7).collect();
        let settings = Settings { ports: ports.clone(), ..settings() };
        let provider = Nftables::new(settings.clone()).unwrap();
        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap();
        assert_eq!(
            steps.skeleton[0].description,
            "create chains on input, priority 0: closes 100 tcp ports (8000, 8007, 8014, 8021, …) to everybody else"
        );
        check_life(&settings);
        pass(&provider, &prefixes("192.0.2.10/32"));
        let clients = clients();
        for port in [ports[0], ports[99]] {
            serve(port);
            clients.run(|| {
                assert!(connect(ALLOWED[0], HOST[0], port, PATIENCE).is_some());
                assert!(connect(REFUSED[0], HOST[0], port, IMPATIENCE).is_none());
            });
        }
    });
}

/// Datagrams as well: an echo comes back to an admitted address alone.
#[test]
fn udp() {
    use std::net::UdpSocket;
    in_namespace(|| {
        let provider = Nftables::new(Settings { protocol: Protocol::Udp, ..settings() }).unwrap();
        let clients = clients();
        let socket = UdpSocket::bind("[::]:8443").unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
        let echoes = |from: &str, to: &str, expected: bool| {
            clients.run(|| {
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.connect((to, 8443)).unwrap();
                socket.set_read_timeout(Some(if expected { PATIENCE } else { IMPATIENCE })).unwrap();
                socket.send(b"x").unwrap();
                assert_eq!(socket.recv(&mut [0; 16]).is_ok(), expected, "{from}");
            });
        };
        for family in 0..2 {
            echoes(REFUSED[family], HOST[family], true);
        }
        pass(&provider, &prefixes("192.0.2.10/32 2001:db8::10/128"));
        serve(8443);
        for family in 0..2 {
            echoes(ALLOWED[family], HOST[family], true);
            echoes(REFUSED[family], HOST[family], false);
            clients.run(|| assert!(connect(REFUSED[family], HOST[family], 8443, PATIENCE).is_some(), "tcp is not udp"));
        }
        check_life(&Settings { protocol: Protocol::Udp, ..settings() });
    });
}

/// One of two targets in the shared table is withdrawn while the other is changed all the while.
#[test]
fn a_neighbour_withdrawn() {
    in_namespace(|| {
        let stays = Nftables::new(target("other")).unwrap();
        let both = ["192.0.2.0/24", "192.0.2.0/24 198.51.100.0/24 2001:db8::/48"].map(prefixes);
        pass(&stays, &both[0]);
        std::thread::scope(|scope| {
            let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            let comes_and_goes = scope.spawn(move || {
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                let provider = Nftables::new(settings()).unwrap();
                let desired = Desired::listed(prefixes("203.0.113.0/24"));
                for _ in 0..50 {
                    let applied = (0..20).any(|_| {
                        let observed = wait(provider.observe()).unwrap();
                        let steps = provider.place(&observed, &desired).unwrap();
                        wait(provider.apply(&observed.revision, &steps)).is_ok()
                    });
                    assert!(applied);
                    assert_eq!(admitted("edge"), prefixes("203.0.113.0/24"));
                    assert!(wait(provider.withdraw()).unwrap().skeleton >= 4);
                    assert_eq!(admitted("edge"), prefixes(""));
                }
            });
            let mut round = 0;
            while !comes_and_goes.is_finished() {
                let desired = &both[round % 2];
                round += 1;
                pass(&stays, desired);
                assert_eq!(admitted("other"), *desired);
            }
            comes_and_goes.join().unwrap();
            eprintln!("{round} passes beside 50 comings and goings");
        });
        let listing = list("table inet tagwall");
        assert!(!listing.contains("edge") && listing.contains("other-admit"), "{listing}");
        assert_eq!(wait(stays.observe()).unwrap().skeleton, Skeleton::Intact);
        wait(stays.withdraw()).unwrap();
        assert_eq!(ruleset(), "");
    });
}
