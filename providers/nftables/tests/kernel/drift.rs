//! What people change by hand around the entries is shown, and mended in one transaction.

use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{Provider, Skeleton};

use crate::support::{edge, in_namespace, list, nft, pass, prefixes, settings, wait, without_counts};

const DESIRED: &str = "192.0.2.0/24 198.51.100.7/32 2001:db8::/48";

/// The table as nft prints it, chains and sets in the order of their names: one made again goes last.
fn table() -> Vec<String> {
    let listing = without_counts(&list("table inet tagwall"));
    let apart = listing.replace("\n\tset ", "\n\n\tset ").replace("\n\tchain ", "\n\n\tchain ");
    let blocks = apart.split("\n\n").map(|block| block.trim_matches(&['\n', '}'][..]).to_owned());
    let mut blocks: Vec<String> = blocks.filter(|block| !block.is_empty()).collect();
    blocks.sort_unstable();
    blocks
}

/// `script` is shown as `line`, and mended so that the table is again as it was.
fn check_with(settings: &Settings, script: &str, line: &str) {
    in_namespace(|| {
        let provider = Nftables::new(settings.clone()).unwrap();
        let desired = prefixes(DESIRED);
        pass(&provider, &desired);
        let before = table();
        nft(script);
        assert_ne!(table(), before, "the script changes nothing:\n{script}");
        let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else {
            panic!("not shown as drift:\n{script}")
        };
        assert!(lines.iter().any(|shown| shown.contains(line)), "`{line}` is not in {lines:#?}");
        let (steps, applied) = pass(&provider, &desired);
        assert_eq!((steps.skeleton.len(), applied.calls), (lines.len(), 1));
        assert_eq!(table(), before, "not mended:\n{script}");
        assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
    });
}

fn check(script: &str, line: &str) {
    check_with(&settings(), script, line);
}

#[test]
fn rules_removed() {
    check("flush chain inet tagwall edge-ports", r#"`iif "lo" accept` is missing"#);
    check("flush chain inet tagwall edge-admit", "`counter drop` is missing");
}

#[test]
fn rule_added() {
    check("insert rule inet tagwall edge-admit accept", "the rule `accept` is none of ours");
    check("add rule inet tagwall edge-ports tcp dport 22 drop", "the rule `tcp dport 22 drop` is none of ours");
    check("add rule inet tagwall edge-ports tcp dport { 22, 23 } drop", "the rule `tcp dport @__set");
    let ours = r#"insert rule inet tagwall edge-admit accept comment "tagwall:test/edge""#;
    check(ours, "the rule `accept` is none of ours");
}

#[test]
fn rule_changed() {
    let rule = |rule: &str| {
        format!(
            "flush chain inet tagwall edge-ports\nadd rule inet tagwall edge-ports iif lo accept comment \"tagwall:test/edge\"\nadd rule inet tagwall edge-ports {rule} comment \"tagwall:test/edge\""
        )
    };
    let missing = "the rule `tcp dport 8443 goto edge-admit` is missing or was changed";
    check(&rule("tcp dport 8444 goto edge-admit"), missing);
    check(&rule("tcp dport != 8443 goto edge-admit"), missing);
    check(&rule("udp dport 8443 goto edge-admit"), missing);
    check(&rule("tcp sport 8443 goto edge-admit"), missing);
    check(&rule("tcp dport 8443 jump edge-admit"), missing);
    check(&rule("tcp dport 8443 counter goto edge-admit"), missing);
    check(&rule("ip daddr 192.0.2.1 tcp dport 8443 goto edge-admit"), missing);
}

#[test]
fn rules_reordered() {
    let script = r#"
        flush chain inet tagwall edge-ports
        add rule inet tagwall edge-ports tcp dport 8443 goto edge-admit comment "tagwall:test/edge"
        add rule inet tagwall edge-ports iif lo accept comment "tagwall:test/edge"
    "#;
    check(script, "its rules are not in order");
}

#[test]
fn comment_lost() {
    let script = r#"
        flush chain inet tagwall edge-ports
        add rule inet tagwall edge-ports iif lo accept comment "tagwall:test/edge"
        add rule inet tagwall edge-ports tcp dport 8443 goto edge-admit
    "#;
    check(script, "has lost its comment");
}

#[test]
fn policy_flipped() {
    check("add chain inet tagwall edge-ports { policy drop; }", "has the policy drop");
}

/// Every rule reads as nft lists it: those of ours, however they are configured, and what others may have added.
fn check_texts(settings: &Settings, theirs: &[&str]) {
    in_namespace(|| {
        let provider = Nftables::new(settings.clone()).unwrap();
        pass(&provider, &prefixes(DESIRED));
        let rules = |chain: &str| -> Vec<String> {
            let listing = without_counts(&list(&format!("chain inet tagwall {chain}")));
            let rules = listing.lines().filter(|line| !line.contains("type filter hook"));
            let rules = rules.filter_map(|line| line.strip_prefix("\t\t")).filter(|line| !line.starts_with("comment"));
            rules.map(|line| line.replace(r#" comment "tagwall:test/edge""#, "")).collect()
        };
        let mut expected = Vec::new();
        for chain in ["edge-ports", "edge-admit"] {
            let missing = |rule| format!("chain {chain}: the rule `{rule}` is missing or was changed");
            expected.extend(rules(chain).into_iter().map(missing));
        }
        let kept = matches!(settings.mode, Mode::Enforce { established: Established::Keep, .. });
        assert_eq!(expected.len(), 1 + settings.ports.len() + usize::from(kept) + 2 + 1);
        nft("flush chain inet tagwall edge-ports\nflush chain inet tagwall edge-admit");
        for rule in theirs {
            nft(&format!("add rule inet tagwall edge-admit {rule}"));
        }
        let listed = rules("edge-admit");
        assert_eq!(listed.len(), theirs.len());
        expected.extend(listed.into_iter().map(|rule| format!("chain edge-admit: the rule `{rule}` is none of ours")));
        let Skeleton::Drifted(mut lines) = wait(provider.observe()).unwrap().skeleton else { panic!("no drift") };
        lines.retain(|line| line.starts_with("chain edge-"));
        expected.sort_unstable();
        lines.sort_unstable();
        assert_eq!(lines, expected);
    });
}

#[test]
fn rules_read_as_nft_lists_them() {
    check_texts(&settings(), &[]);
    let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None };
    check_texts(&Settings { mode: mode.clone(), ports: vec![53, 65535], protocol: Protocol::Udp, ..settings() }, &[]);
    let plain = [
        "accept",
        "return",
        "ct state new accept",
        "ct state established counter drop",
        "tcp dport != 8443 accept",
        "tcp sport 1024 drop",
        "udp dport 53 return",
        "ip saddr 198.51.100.7 accept",
        "ip saddr 198.51.100.0/24 accept",
        "ip saddr != 10.0.0.0/8 drop",
        "ip daddr 192.0.2.1 tcp dport 8443 accept",
        "ip6 saddr 2001:db8::1 drop",
        "ip6 daddr 2001:db8::1 drop",
        "meta nfproto ipv6 drop",
        "meta l4proto udp drop",
        "iif != \"lo\" drop",
        "fib daddr type local accept",
    ];
    check_texts(&settings(), &plain);
}

fn ports_again(definition: &str) -> String {
    format!(
        r#"
        flush chain inet tagwall edge-ports
        delete chain inet tagwall edge-ports
        table inet tagwall {{
            chain edge-ports {{
                comment "tagwall:test/edge"
                {definition}
                iif lo accept comment "tagwall:test/edge"
                tcp dport 8443 goto edge-admit comment "tagwall:test/edge"
            }}
        }}
        "#
    )
}

#[test]
fn hooked_in_elsewhere() {
    check(&ports_again("type filter hook input priority 10; policy accept;"), "on input with priority 10, not");
    check(&ports_again("type filter hook forward priority 0; policy accept;"), "on forward with priority 0, not");
    check(&ports_again(""), "does not hook in");
}

#[test]
fn admitting_chain_hooked_in() {
    let script = r#"
        flush chain inet tagwall edge-ports
        flush chain inet tagwall edge-admit
        delete chain inet tagwall edge-admit
        table inet tagwall {
            chain edge-admit {
                comment "tagwall:test/edge"
                type filter hook input priority 0; policy accept;
            }
        }
    "#;
    check(script, "hooks in by itself");
}

#[test]
fn chain_removed() {
    check("flush chain inet tagwall edge-ports\ndelete chain inet tagwall edge-ports", "chain edge-ports is missing");
    let both = "flush chain inet tagwall edge-ports\nflush chain inet tagwall edge-admit\ndelete chain inet tagwall edge-admit";
    check(both, "chain edge-admit is missing");
}

fn set_again(definition: &str) -> String {
    format!(
        r#"
        flush chain inet tagwall edge-admit
        delete set inet tagwall edge-v4
        table inet tagwall {{
            set edge-v4 {{
                comment "tagwall:test/edge"
                {definition}
            }}
        }}
        "#
    )
}

#[test]
fn set_made_otherwise() {
    let plain = "set edge-v4 is no plain interval set of IPv4 addresses";
    check(&set_again("type ipv4_addr"), plain);
    check(&set_again("type ipv4_addr\nelements = { 192.0.2.1, 203.0.113.1 }"), plain);
    // nft 1.0.6 dies of a catch-all element in an interval set.
    check(&set_again("type ipv4_addr\nelements = { * }"), "set edge-v4 has a catch-all element");
    check(&set_again("type ipv4_addr; flags interval, timeout; timeout 1h"), plain);
    check(&set_again("type ipv4_addr; flags interval; size 10"), plain);
    check(&set_again("type ipv6_addr; flags interval"), plain);
    check(&set_again("type ipv4_addr . inet_service; flags interval"), plain);
}

#[test]
fn set_removed() {
    check("flush chain inet tagwall edge-admit\ndelete set inet tagwall edge-v6", "set edge-v6 is missing");
}

#[test]
fn renamed() {
    check("rename chain inet tagwall edge-ports elsewhere", "chain elsewhere carries the mark of this target");
}

#[test]
fn put_to_sleep() {
    check("add table inet tagwall { flags dormant; }", "is dormant");
    // Asleep and with a chain gone: the chain is made before the table is woken.
    let both = "add table inet tagwall { flags dormant; }\nflush chain inet tagwall edge-ports\ndelete chain inet tagwall edge-ports";
    check(both, "is dormant");
}

#[test]
fn every_mode_is_mended() {
    for hook in [Hook::Input, Hook::Prerouting] {
        for established in [Established::Cut, Established::Keep] {
            let mode = Mode::Enforce { hook, established, priority: Some(-7) };
            let settings = Settings { mode, ports: vec![8443, 443], ..settings() };
            check_with(&settings, "flush chain inet tagwall edge-admit", "is missing");
            check_with(&settings, "flush chain inet tagwall edge-ports", "is missing");
        }
    }
}

/// Other settings are drift as well: a target that moves to another hook is moved in one transaction.
#[test]
fn settings_changed() {
    in_namespace(|| {
        let desired = prefixes(DESIRED);
        pass(&edge(), &desired);
        let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None };
        let moved = Nftables::new(Settings { mode, ports: vec![443], ..settings() }).unwrap();
        let (steps, applied) = pass(&moved, &desired);
        assert_eq!((applied.calls, steps.entries.len()), (1, 0));
        let chain = list("chain inet tagwall edge-ports");
        assert!(chain.contains("hook prerouting priority -150"), "{chain}");
        assert!(chain.contains("fib daddr type local tcp dport 443 goto edge-admit"), "{chain}");
        assert_eq!(wait(moved.observe()).unwrap().skeleton, Skeleton::Intact);
    });
}
