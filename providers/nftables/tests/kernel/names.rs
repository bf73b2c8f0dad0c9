//! The skeleton as nft prints it, and names that nft would trip over.

use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{OwnerMark, Provider, Skeleton};

use crate::support::{in_namespace, list, nft, pass, prefixes, ruleset, run, settings, target, wait};

fn check_listing(settings: Settings, expect: &str) {
    in_namespace(|| {
        pass(&Nftables::new(settings).unwrap(), &prefixes("192.0.2.0/24 2001:db8::/48"));
        let listing = list("table inet tagwall").replace('\t', "    ");
        assert_eq!(listing.trim(), expect.trim(), "the table is\n{listing}");
    });
}

#[test]
fn input() {
    check_listing(
        settings(),
        r#"
table inet tagwall {
    comment "made by tagwall, do not edit"
    set edge-v4 {
        type ipv4_addr
        flags interval
        comment "tagwall:test/edge"
        elements = { 192.0.2.0/24 }
    }

    set edge-v6 {
        type ipv6_addr
        flags interval
        comment "tagwall:test/edge"
        elements = { 2001:db8::/48 }
    }

    chain edge-admit {
        comment "tagwall:test/edge"
        ip saddr @edge-v4 counter packets 0 bytes 0 accept comment "tagwall:test/edge"
        ip6 saddr @edge-v6 counter packets 0 bytes 0 accept comment "tagwall:test/edge"
        counter packets 0 bytes 0 drop comment "tagwall:test/edge"
    }

    chain edge-ports {
        comment "tagwall:test/edge"
        type filter hook input priority 0; policy accept;
        iif "lo" accept comment "tagwall:test/edge"
        tcp dport 8443 goto edge-admit comment "tagwall:test/edge"
    }
}"#,
    );
}

#[test]
fn prerouting_udp_keeping_connections() {
    let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None };
    let mark = OwnerMark::new("test", "dns").unwrap();
    check_listing(
        Settings { mark, mode, ports: vec![53, 853], protocol: Protocol::Udp, ..settings() },
        r#"
table inet tagwall {
    comment "made by tagwall, do not edit"
    set dns-v4 {
        type ipv4_addr
        flags interval
        comment "tagwall:test/dns"
        elements = { 192.0.2.0/24 }
    }

    set dns-v6 {
        type ipv6_addr
        flags interval
        comment "tagwall:test/dns"
        elements = { 2001:db8::/48 }
    }

    chain dns-admit {
        comment "tagwall:test/dns"
        ct state established,related counter packets 0 bytes 0 accept comment "tagwall:test/dns"
        ip saddr @dns-v4 counter packets 0 bytes 0 accept comment "tagwall:test/dns"
        ip6 saddr @dns-v6 counter packets 0 bytes 0 accept comment "tagwall:test/dns"
        counter packets 0 bytes 0 drop comment "tagwall:test/dns"
    }

    chain dns-ports {
        comment "tagwall:test/dns"
        type filter hook prerouting priority -150; policy accept;
        iif "lo" accept comment "tagwall:test/dns"
        fib daddr type local udp dport 53 goto dns-admit comment "tagwall:test/dns"
        fib daddr type local udp dport 853 goto dns-admit comment "tagwall:test/dns"
    }
}"#,
    );
}

/// Names that are words of nft's language, begin with a digit, or differ from another's only in how they are
/// written: each target has objects of its own, and a saved listing can be loaded again.
#[test]
fn awkward_names() {
    let longest = "x".repeat(48);
    let names = [
        "edge",
        "edge-admit",
        "edge-ports",
        "edge-v4",
        "edge.eu-1",
        "_edge",
        "__edge",
        "-edge",
        ".edge",
        "8443",
        "8443-edge",
        "_8443",
        "mark",
        "drop",
        "ip",
        "10.0.0.1",
        "last",
        "0x1f",
        "edge_1",
        "EDGE",
        longest.as_str(),
    ];
    in_namespace(|| {
        let desired = |index: usize| prefixes(&format!("192.0.2.{index}/32 2001:db8::{index:x}/128"));
        for (index, name) in names.iter().enumerate() {
            pass(&Nftables::new(target(name)).unwrap(), &desired(index));
        }
        let before = ruleset();
        let saved = run("nft", &["list", "ruleset"]);
        nft("flush ruleset");
        nft(&saved);
        assert_eq!(ruleset(), before);
        for (index, name) in names.iter().enumerate() {
            let provider = Nftables::new(target(name)).unwrap();
            let observed = wait(provider.observe()).unwrap();
            assert_eq!((observed.admitted(), observed.skeleton), (desired(index), Skeleton::Intact), "{name}");
            wait(provider.withdraw()).unwrap();
        }
        assert_eq!(ruleset(), "");
    });
}
