//! What people change by hand around the entries is shown, and mended in one transaction.

use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{Provider, Skeleton};

use crate::packets::{ALLOWED, HOST, IMPATIENCE, PATIENCE, REFUSED, clients, connect, serve};
use crate::support::{Namespace, edge, in_namespace, list, nft, pass, prefixes, settings, wait, without_counts};

const DESIRED: &str = "192.0.2.10/32 198.51.100.7/32 2001:db8::10/128";

/// The table as nft prints it, chains and sets in the order of their names: one made again goes last.
fn table() -> Vec<String> {
    let listing = without_counts(&list("table inet tagwall"));
    let apart = listing.replace("\n\tset ", "\n\n\tset ").replace("\n\tchain ", "\n\n\tchain ");
    let blocks = apart.split("\n\n").map(|block| block.trim_matches(&['\n', '}'][..]).to_owned());
    let mut blocks: Vec<String> = blocks.filter(|block| !block.is_empty()).collect();
    blocks.sort_unstable();
    blocks
}

/// `script` is shown as `line`, with what it means for packets, and mended so that the table is again as it was.
fn check_with(settings: &Settings, script: &str, line: &str) {
    in_namespace(|| {
        let provider = Nftables::new(settings.clone()).unwrap();
        let desired = prefixes(DESIRED);
        pass(&provider, &desired);
        let host = Host::new(settings);
        host.check(&[], "before any drift");
        let before = table();
        nft(script);
        assert_ne!(table(), before, "the script changes nothing:\n{script}");
        let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else {
            panic!("not shown as drift:\n{script}")
        };
        assert!(lines.iter().any(|shown| shown.contains(line)), "`{line}` is not in {lines:#?}");
        host.check(&lines, script);
        let (steps, applied) = pass(&provider, &desired);
        assert_eq!((steps.skeleton.len(), applied.calls), (lines.len(), 1));
        assert_eq!(table(), before, "not mended:\n{script}");
        assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Intact);
    });
}

/// A host with the target's first port and another open, and clients that an intact target admits and refuses.
struct Host {
    clients: Namespace,
    port: u16,
}

/// A port that is none of any target here.
const ELSE: u16 = 8081;

impl Host {
    fn new(settings: &Settings) -> Self {
        let port = settings.ports[0];
        let host = Self { clients: clients(), port };
        serve(port);
        serve(ELSE);
        host
    }

    /// Packets fare as the lines say, and as an intact target lets them where no line says anything. A line that
    /// says "may" leaves it open.
    fn check(&self, lines: &[String], script: &str) {
        let said = |what: &str| lines.iter().any(|line| line.contains(what));
        let may = said(" may be open ") || said(" may be closed ");
        std::thread::scope(|scope| {
            for (index, family) in ["IPv4", "IPv6"].into_iter().enumerate() {
                let open = said("open to everybody") || said(&format!("open to every {family} address"));
                let closed = said("the admitted addresses") || said(&format!("the admitted {family} addresses"));
                let cut = said("every port but") || said(&format!("every {family} port but"));
                for (from, port, expect) in [
                    (REFUSED[index], self.port, open),
                    (ALLOWED[index], self.port, !closed),
                    (REFUSED[index], ELSE, !cut),
                ] {
                    let within = if expect { PATIENCE } else { IMPATIENCE };
                    self.clients.spawn(scope, move || {
                        let connected = connect(from, HOST[index], port, within).is_some();
                        assert!(connected == expect || may, "{from} to port {port}: {connected}\n{script}\n{lines:#?}");
                    });
                }
            }
        });
        for host in HOST {
            let expect = !said("closed to this host itself");
            let connected = connect(host, host, self.port, if expect { PATIENCE } else { IMPATIENCE }).is_some();
            assert!(connected == expect || may, "{host} to itself: {connected}\n{script}\n{lines:#?}");
        }
        let told = |line: &&String| line.contains(" open to ") || line.contains(" closed");
        let first = lines.iter().take_while(|line| told(line)).count();
        assert_eq!(first, lines.iter().filter(told).count(), "what it means is told first: {lines:#?}");
    }
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
        "ip saddr 192.0.2.128/25 accept",
        "ip6 saddr 2001:db8::/33 accept",
        "ip6 daddr != 2001:db8::/32 accept",
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

/// What is told first, word for word.
fn check_told(script: &str, told: &[&str]) {
    check(script, told.first().unwrap_or(&""));
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &prefixes(DESIRED));
        nft(script);
        let Skeleton::Drifted(lines) = wait(provider.observe()).unwrap().skeleton else { panic!("no drift") };
        assert_eq!(lines[..told.len()], *told, "{lines:#?}");
        let told_more =
            lines[told.len()..].iter().find(|line| line.starts_with("tcp port") || line.starts_with("every"));
        assert_eq!(told_more, None, "{lines:#?}");
    });
}

#[test]
fn what_it_means_is_told_first() {
    check_told(
        "flush chain inet tagwall edge-ports",
        &["tcp port 8443 is open to everybody: chain edge-ports does not send it to chain edge-admit"],
    );
    check_told(
        "flush chain inet tagwall edge-admit",
        &["tcp port 8443 is open to everybody: nothing drops at the end of chain edge-admit"],
    );
    check_told(
        "insert rule inet tagwall edge-ports tcp dport 8443 counter accept",
        &["tcp port 8443 is open to everybody: the rule `tcp dport 8443 counter accept` of chain edge-ports accepts"],
    );
    check_told(
        "insert rule inet tagwall edge-admit ct state new accept",
        &["tcp port 8443 is open to everybody: the rule `ct state new accept` of chain edge-admit accepts"],
    );
    check_told(
        "insert rule inet tagwall edge-admit meta nfproto ipv6 accept",
        &[
            "tcp port 8443 is open to every IPv6 address: the rule `meta nfproto ipv6 accept` of chain edge-admit accepts",
        ],
    );
    check_told(
        "insert rule inet tagwall edge-admit ip saddr 192.0.2.128/25 accept",
        &[
            "tcp port 8443 may be open to IPv4 addresses that are not admitted: the rule `ip saddr 192.0.2.128/25 accept` of chain edge-admit accepts",
        ],
    );
    check_told(
        "insert rule inet tagwall edge-admit return",
        &["tcp port 8443 is open to everybody: nothing drops at the end of chain edge-admit"],
    );
    check_told(
        "add table inet tagwall { flags dormant; }",
        &["tcp port 8443 is open to everybody: table inet tagwall is dormant"],
    );
    check_told(
        "flush chain inet tagwall edge-ports\ndelete chain inet tagwall edge-ports",
        &["tcp port 8443 is open to everybody: chain edge-ports is missing"],
    );
    check_told(
        &ports_again("type filter hook forward priority 0; policy accept;"),
        &["tcp port 8443 is open to everybody: chain edge-ports hooks in on forward, not on input"],
    );
    check_told(
        &set_again("type ipv4_addr\nelements = { * }\n}\nchain edge-admit {\nip saddr @edge-v4 accept\ncounter drop"),
        &[
            "tcp port 8443 is open to every IPv4 address: set edge-v4 has a catch-all element",
            "tcp port 8443 is closed to the admitted IPv6 addresses: nothing in chain edge-admit accepts before the rule `counter drop`",
        ],
    );
    check_told(
        "add chain inet tagwall edge-ports { policy drop; }",
        &["every port but tcp port 8443 is closed: chain edge-ports has the policy drop"],
    );
    check_told(
        "insert rule inet tagwall edge-admit ip6 saddr 2001:db8::/32 drop\ninsert rule inet tagwall edge-admit meta nfproto ipv4 drop",
        &[
            "tcp port 8443 is closed to the admitted IPv4 addresses: the rule `meta nfproto ipv4 drop` of chain edge-admit drops",
            "tcp port 8443 may be closed to admitted IPv6 addresses: the rule `ip6 saddr 2001:db8::/32 drop` of chain edge-admit drops",
        ],
    );
    check_told(
        r#"
        flush chain inet tagwall edge-admit
        add rule inet tagwall edge-admit ip6 saddr @edge-v6 counter accept comment "tagwall:test/edge"
        add rule inet tagwall edge-admit counter drop comment "tagwall:test/edge"
        "#,
        &[
            "tcp port 8443 is closed to the admitted IPv4 addresses: nothing in chain edge-admit accepts before the rule `counter drop`",
        ],
    );
    check_told(
        r#"
        flush chain inet tagwall edge-ports
        add rule inet tagwall edge-ports tcp dport 8443 goto edge-admit comment "tagwall:test/edge"
        "#,
        &[
            "tcp port 8443 is closed to this host itself: nothing in chain edge-admit accepts before the rule `counter drop`",
        ],
    );
    check_told(
        "insert rule inet tagwall edge-ports limit rate 1/day drop",
        &["tcp port 8443 may be closed to admitted addresses: the rule `[limit] drop` of chain edge-ports drops"],
    );
    // Nothing that anybody would notice.
    check_told("add rule inet tagwall edge-ports tcp dport 22 drop", &[]);
    check_told("add rule inet tagwall edge-admit accept", &[]);
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
    let renamed = "rename chain inet tagwall edge-ports elsewhere";
    check(renamed, "chain elsewhere carries the mark of this target");
    let accept = "the rule `tcp dport 8443 accept` of chain elsewhere accepts";
    check(&format!("insert rule inet tagwall edge-ports tcp dport 8443 accept\n{renamed}"), accept);
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
