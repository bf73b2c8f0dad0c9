//! Set mode: elements in sets of the operator's own table.

use tagwall_nftables::{CreateError, Established, Hook, Mode, Nftables, Settings, SettingsError, TableFamily};
use tagwall_provider::{Desired, IpNet, Limit, PrefixSet, Provider, Skeleton};

use crate::support::{edge, elements, in_namespace, list, nft, pass, prefixes, ruleset, settings, wait};

fn filling(v4: Option<&str>, v6: Option<&str>, claimed: bool) -> Settings {
    let mode = Mode::Set {
        family: TableFamily::Inet,
        table: "mine".to_owned(),
        v4: v4.map(str::to_owned),
        v6: v6.map(str::to_owned),
        claimed,
    };
    Settings { mode, ..settings() }
}

const MINE: &str = r"
    table inet mine {
        set a { type ipv4_addr; flags interval; }
        set b { type ipv6_addr; flags interval; auto-merge; }
        chain input {
            type filter hook input priority 0; policy accept;
            tcp dport 8443 ip saddr != @a drop
        }
    }
";

fn admitted() -> PrefixSet {
    ["inet mine a", "inet mine b"].into_iter().flat_map(elements).collect()
}

#[test]
fn fills_and_empties() {
    in_namespace(|| {
        nft(MINE);
        let before = ruleset();
        let provider = Nftables::new(filling(Some("a"), Some("b"), false)).unwrap();
        for desired in [
            "192.0.2.0/24 2001:db8::/48",
            "192.0.2.0/25 0.0.0.0/8 2001:db8::/47",
            "0.0.0.0/0 ::/0",
            "255.255.255.255/32",
        ] {
            let claimed = Nftables::new(filling(Some("a"), Some("b"), true)).unwrap();
            pass(&claimed, &prefixes(desired));
            assert_eq!(admitted(), prefixes(desired));
            let (steps, _) = pass(&provider, &prefixes(desired));
            assert!(steps.is_empty());
        }
        let error = wait(provider.withdraw()).unwrap_err();
        assert!(error.hint().unwrap().contains("adopt = true"), "{error:?}");
        let claimed = Nftables::new(filling(Some("a"), Some("b"), true)).unwrap();
        assert_eq!(wait(claimed.withdraw()).unwrap().removed, 1);
        assert_eq!(ruleset(), before);
    });
}

/// What nft wrote is read as nft means it: ranges, neighbours, its own end at the lowest address.
#[test]
fn reads_what_nft_wrote() {
    in_namespace(|| {
        nft(MINE);
        nft("add element inet mine a { 192.0.2.3-192.0.2.9, 192.0.2.10-192.0.2.11, 198.51.100.0/24, 255.255.255.255 }");
        nft("add element inet mine b { ::-::5, 2001:db8::/32, ffff::/16 }");
        let provider = Nftables::new(filling(Some("a"), Some("b"), true)).unwrap();
        let observed = wait(provider.observe()).unwrap();
        assert_eq!((observed.admitted(), observed.skeleton), (admitted(), Skeleton::Intact));
        pass(&provider, &prefixes("192.0.2.8/29 255.255.255.254/31 ::/126"));
        assert_eq!(admitted(), prefixes("192.0.2.8/29 255.255.255.254/31 ::/126"));
    });
}

/// Every first address from the lowest on, since nft writes something of its own there.
#[test]
fn takes_over_from_nft_at_the_edges() {
    for theirs in ["0.0.0.0", "0.0.0.0/1", "0.0.0.0/0", "128.0.0.0/1", "255.255.255.255", "192.0.2.1"] {
        for ours in ["0.0.0.0/32", "0.0.0.0/1", "0.0.0.0/0", "128.0.0.0/1", "255.255.255.255/32", "192.0.2.0/31"] {
            in_namespace(|| {
                nft(MINE);
                nft(&format!("add element inet mine a {{ {theirs} }}"));
                let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
                pass(&provider, &prefixes(ours));
                assert_eq!(admitted(), prefixes(ours), "{theirs} then {ours}");
                assert!(pass(&provider, &prefixes(ours)).0.is_empty());
            });
        }
    }
}

#[test]
fn does_not_take_what_is_not_declared_its_own() {
    in_namespace(|| {
        nft(MINE);
        nft("add element inet mine a { 192.0.2.0/26, 203.0.113.7 }");
        let before = ruleset();
        let provider = Nftables::new(filling(Some("a"), Some("b"), false)).unwrap();
        let observed = wait(provider.observe()).unwrap();
        let refusal = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap_err();
        assert_eq!(refusal.limit, Limit::NotOurs);
        assert!(refusal.finding.contains("holds 1 elements") && refusal.finding.contains("203.0.113.7"), "{refusal}");
        assert_eq!(ruleset(), before);
        // What is there and desired anyway is no reason to refuse.
        pass(&provider, &prefixes("192.0.2.0/24 203.0.113.0/24"));
        assert_eq!(admitted(), prefixes("192.0.2.0/24 203.0.113.0/24"));
    });
}

#[test]
fn wants_a_set_for_each_desired_family() {
    in_namespace(|| {
        nft(MINE);
        let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
        let observed = wait(provider.observe()).unwrap();
        let refusal = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24 2001:db8::/32"))).unwrap_err();
        assert_eq!(refusal.limit, Limit::Capacity);
        assert!(refusal.finding.contains("1 IPv6 prefixes"), "{refusal}");
    });
}

/// A set of this definition cannot be kept; the reason contains `finding`.
fn check_unusable(definition: &str, finding: &str) {
    in_namespace(|| {
        nft(&format!("table inet mine {{ {definition}; }}"));
        let before = ruleset();
        let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
        let error = wait(provider.observe()).unwrap_err();
        assert_eq!(error.class(), "rejected");
        assert!(error.to_string().contains(finding), "`{finding}` is not in `{error}`");
        assert!(error.hint().unwrap().contains("nft add"), "{error:?}");
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn other_sets_are_refused() {
    check_unusable("set a { type ipv4_addr; }", "lacks the flag `interval`");
    check_unusable("set a { type ipv6_addr; flags interval; }", "does not hold IPv4 addresses");
    check_unusable("set a { type inet_service; flags interval; }", "does not hold IPv4 addresses");
    check_unusable("set a { type ipv4_addr; flags interval, constant; elements = { 192.0.2.1 }; }", "is constant");
    check_unusable("set a { type ipv4_addr . inet_service; flags interval; }", "has keys of several fields");
    check_unusable("set a { type ipv4_addr; flags interval, timeout; timeout 1d; }", "has a default timeout");
    check_unusable("set a { type ipv4_addr; flags dynamic; }", "is dynamic");
    check_unusable("set a { type ipv4_addr; flags dynamic, timeout; timeout 1m; }", "is dynamic");
    check_unusable("set a { type ipv4_addr; flags timeout; }", "lacks the flag `interval`");
    check_unusable("map a { type ipv4_addr : verdict; flags interval; }", "is a map");
    check_unusable("set b { type ipv4_addr; flags interval; }", "there is no set a in table inet mine");
    in_namespace(|| {
        let error = wait(Nftables::new(filling(Some("a"), None, true)).unwrap().observe()).unwrap_err();
        assert_eq!(error.to_string(), "there is no table inet mine");
    });
}

/// An element that goes by itself leaves a gap, however right it is now: it is drift, and made to stay.
#[test]
fn elements_with_a_timeout_are_made_to_stay() {
    in_namespace(|| {
        nft("table inet mine { set a { type ipv4_addr; flags interval, timeout; }; }");
        let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
        let desired = prefixes("192.0.2.0/24 198.51.100.0/24 203.0.113.7/32");
        pass(&provider, &desired);
        assert!(pass(&provider, &desired).0.is_empty(), "what tagwall adds stays");
        nft("delete element inet mine a { 198.51.100.0/24, 203.0.113.7 }
            add element inet mine a { 198.51.100.0/24 timeout 1h, 203.0.113.7 timeout 30m expires 20m }");
        assert!(list("set inet mine a").contains("expires"), "the control: they would go");
        let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else { panic!("not seen") };
        assert_eq!(lines, ["set a has an element with a timeout: what it admits would go by itself"]);
        assert_eq!(pass(&provider, &desired).1.calls, 1);
        let listing = list("set inet mine a");
        assert!(!listing.contains("expires"), "{listing}");
        assert_eq!(admitted(), desired);
        assert!(pass(&provider, &desired).0.is_empty());
    });
}

/// A target that enforced and now fills sets has left chains behind, which would go on dropping.
#[test]
fn what_enforcing_left_is_an_orphan() {
    in_namespace(|| {
        nft(MINE);
        let before = ruleset();
        pass(&edge(), &prefixes("192.0.2.0/24"));
        let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
        let orphans = wait(provider.observe()).unwrap().orphans;
        assert_eq!(orphans.len(), 1, "{orphans:?}");
        wait(provider.remove_orphans(&orphans)).unwrap();
        assert_eq!(ruleset(), before);
    });
}

/// An end without a start cannot be removed by naming it: the set is emptied and filled again, in one transaction.
#[test]
fn a_dangling_end_is_mended() {
    in_namespace(|| {
        nft(MINE);
        let provider = Nftables::new(filling(Some("a"), None, true)).unwrap();
        let desired = prefixes("192.0.2.0/24 198.51.100.0/24");
        pass(&provider, &desired);
        let mut hand = tagwall_nftables::testing::Hand::new(TableFamily::Inet, "mine", "a");
        assert!(hand.delete_start("192.0.2.0/24".parse::<IpNet>().unwrap().into()));
        let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else { panic!("not seen") };
        assert_eq!(lines, ["set a has an end without a beginning"]);
        assert_eq!(pass(&provider, &desired).1.calls, 1);
        assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
        assert_eq!(admitted(), desired, "{}", list("table inet mine"));
    });
}

#[test]
fn settings_that_make_no_target() {
    let check = |settings: Settings, expect: SettingsError| match Nftables::new(settings) {
        Err(CreateError::Settings { source, .. }) => assert_eq!(source, expect),
        other => panic!("{other:?}"),
    };
    check(Settings { ports: Vec::new(), ..settings() }, SettingsError::NoPorts);
    check(Settings { ports: vec![1, 0], ..settings() }, SettingsError::PortZero);
    let prerouting = |established, priority| {
        let mode = Mode::Enforce { hook: Hook::Prerouting, established, priority: Some(priority) };
        Settings { mode, ..settings() }
    };
    for late in [-100, 0, i32::MAX] {
        check(prerouting(Established::Cut, late), SettingsError::TooLate(late));
    }
    for early in [i32::MIN, -200] {
        check(prerouting(Established::Keep, early), SettingsError::TooEarly(early));
        assert!(Nftables::new(prerouting(Established::Cut, early)).is_ok());
    }
    for right in [-199, -101] {
        assert!(Nftables::new(prerouting(Established::Keep, right)).is_ok());
    }
    check(filling(None, None, true), SettingsError::NoSets);
    check(filling(Some("a"), Some("a"), true), SettingsError::SameSet("a".to_owned()));
    check(filling(Some(""), None, true), SettingsError::Name(String::new()));
    check(filling(Some("a\0b"), None, true), SettingsError::Name("a\0b".to_owned()));
}
