//! Other base chains that judge the same ports: a packet has to come through all of them.

use tagwall_nftables::{Established, Hook, Mode, Nftables, Settings};
use tagwall_provider::{ForeignEffect, OwnerMark, PrefixSet, Provider};

use crate::packets::{ALLOWED, HOST, IMPATIENCE, PATIENCE, REFUSED, clients, connect, serve};
use crate::support::{Namespace, edge, in_namespace, nft, pass, prefixes, run, settings, skip, target, wait};

fn all() -> PrefixSet {
    prefixes("192.0.2.10/32 2001:db8::10/128")
}

fn owned_by(owner: &str, name: &str) -> Settings {
    Settings { mark: OwnerMark::new(owner, name).unwrap(), siblings: vec![name.to_owned()], ..settings() }
}

/// What a target's observation says of others.
fn told(provider: &Nftables) -> Vec<(ForeignEffect, String)> {
    let foreign = wait(provider.observe()).unwrap().foreign;
    foreign.into_iter().map(|foreign| (foreign.effect, foreign.description)).collect()
}

fn connects(clients: &Namespace, from: [&str; 2], within: std::time::Duration) -> [bool; 2] {
    clients.run(|| [0, 1].map(|family| connect(from[family], HOST[family], 8443, within).is_some()))
}

/// Two configurations with an owner each keep one port: what only one admits is cut, and both say why.
#[test]
fn two_owners_on_one_port() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let (ours, theirs) = (edge(), Nftables::new(owned_by("else", "door")).unwrap());
        pass(&ours, &all());
        assert_eq!(told(&ours), [], "nobody else is there");
        assert_eq!(connects(&clients, ALLOWED, PATIENCE), [true, true]);
        pass(&theirs, &prefixes("192.0.2.10/32 192.0.2.200/32"));
        // The one that both admit, the one that only ours does, and the one that only theirs does.
        assert_eq!(connects(&clients, ALLOWED, IMPATIENCE), [true, false]);
        assert_eq!(connects(&clients, REFUSED, IMPATIENCE), [false, false]);
        let mark = |owner, name| ForeignEffect::Judges(OwnerMark::new(owner, name).unwrap());
        let [(effect, description)] = &told(&ours)[..] else { panic!("{:?}", told(&ours)) };
        assert_eq!(*effect, mark("else", "door"));
        assert_eq!(
            description,
            "chain door-ports of table inet tagwall (of target `door` of owner `else`) judges tcp port 8443 on input as well: only what both admit gets through; leave the ports to one of the configurations, and run `tagwall withdraw` with the other"
        );
        let [(effect, description)] = &told(&theirs)[..] else { panic!("{:?}", told(&theirs)) };
        assert_eq!(*effect, mark("test", "edge"));
        assert!(description.contains("target `edge` of owner `test`"), "{description}");
        assert!(wait(ours.observe()).unwrap().orphans.is_empty(), "somebody else's is no orphan of ours");
        wait(theirs.withdraw()).unwrap();
        assert_eq!(told(&ours), []);
        assert_eq!(connects(&clients, ALLOWED, PATIENCE), [true, true]);
    });
}

/// A target that was renamed leaves its old chains behind: nothing of theirs goes by itself, and it is told.
#[test]
fn a_renamed_target_judges_on() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        pass(&Nftables::new(target("old")).unwrap(), &prefixes("192.0.2.10/32"));
        let renamed = edge();
        pass(&renamed, &all());
        assert_eq!(connects(&clients, ALLOWED, IMPATIENCE), [true, false]);
        let [(effect, description)] = &told(&renamed)[..] else { panic!("{:?}", told(&renamed)) };
        assert_eq!(*effect, ForeignEffect::Judges(OwnerMark::new("test", "old").unwrap()));
        assert!(description.contains("which is configured no longer"), "{description}");
        assert!(description.ends_with("`tagwall withdraw --orphans` removes it"), "{description}");
        let orphans = wait(renamed.observe()).unwrap().orphans;
        wait(renamed.remove_orphans(&orphans)).unwrap();
        assert_eq!(told(&renamed), []);
        assert_eq!(connects(&clients, ALLOWED, PATIENCE), [true, true]);
    });
}

/// Chains of tagwall's that judge other ports, other protocols or nothing any more are nobody's concern here.
#[test]
fn only_chains_on_the_same_port_are_told() {
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &all());
        pass(&Nftables::new(Settings { ports: vec![443, 22], ..owned_by("else", "web") }).unwrap(), &all());
        let protocol = tagwall_nftables::Protocol::Udp;
        pass(&Nftables::new(Settings { protocol, ..owned_by("else", "dns") }).unwrap(), &all());
        assert_eq!(told(&provider), []);
        // Before DNAT, and for one of two ports.
        let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None };
        let before = Settings { ports: vec![8443, 443], mode, ..owned_by("else", "before") };
        pass(&Nftables::new(before).unwrap(), &all());
        let [(ForeignEffect::Judges(mark), description)] = &told(&provider)[..] else {
            panic!("{:?}", told(&provider));
        };
        assert_eq!(mark.target(), "before");
        assert!(description.contains("judges tcp port 8443 on prerouting as well"), "{description}");
        // Asleep it judges nothing.
        nft("add table inet tagwall { flags dormant; }");
        assert_eq!(told(&provider), []);
    });
}

/// What firewalld 1.3 (nftables backend) makes for a host with one interface in zone `public`, written from knowledge
/// of it and cut to what packets to this host come by.
fn firewalld(opened: &str) -> String {
    format!(
        r#"
        table inet firewalld {{
            chain mangle_PREROUTING {{
                type filter hook prerouting priority mangle + 10; policy accept;
            }}
            chain filter_PREROUTING {{
                type filter hook prerouting priority filter + 10; policy accept;
                icmpv6 type {{ nd-router-advert, nd-neighbor-solicit }} accept
                meta nfproto ipv6 fib saddr . mark . iif oif missing drop
            }}
            chain filter_INPUT {{
                type filter hook input priority filter + 10; policy accept;
                ct state {{ established, related }} accept
                ct status dnat accept
                iifname "lo" accept
                ct state invalid drop
                jump filter_INPUT_ZONES
                reject with icmpx admin-prohibited
            }}
            chain filter_INPUT_ZONES {{
                iifname "host" goto filter_IN_public
                goto filter_IN_public
            }}
            chain filter_IN_public {{
                jump filter_IN_public_pre
                jump filter_IN_public_log
                jump filter_IN_public_deny
                jump filter_IN_public_allow
                jump filter_IN_public_post
                meta l4proto {{ icmp, ipv6-icmp }} accept
            }}
            chain filter_IN_public_pre {{ }}
            chain filter_IN_public_log {{ }}
            chain filter_IN_public_deny {{ }}
            chain filter_IN_public_allow {{
                tcp dport 22 ct state {{ new, untracked }} accept
                ip6 daddr fe80::/64 udp dport 546 ct state {{ new, untracked }} accept
                {opened}
            }}
            chain filter_IN_public_post {{ }}
        }}
        "#
    )
}

/// firewalld closes by a last rule that rejects, with a policy that accepts.
#[test]
fn firewalld_rejects_what_it_was_not_told_of() {
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let provider = edge();
        pass(&provider, &all());
        nft(&firewalld(""));
        assert_eq!(connects(&clients, ALLOWED, IMPATIENCE), [false, false]);
        let [(effect, description)] = &told(&provider)[..] else { panic!("{:?}", told(&provider)) };
        assert_eq!(*effect, ForeignEffect::Blocks, "{description}");
        assert_eq!(
            description,
            "chain filter_INPUT of table inet firewalld drops tcp port 8443 on input: the rule `[reject]` of chain filter_INPUT drops; tagwall can only narrow what others let through, so let everybody through there: `firewall-cmd --permanent --add-port=8443/tcp`, then `firewall-cmd --reload`"
        );
        // What that command makes, and with it nothing is left to tell.
        nft("flush ruleset");
        pass(&provider, &all());
        nft(&firewalld("tcp dport 8443 ct state { new, untracked } accept"));
        assert_eq!(connects(&clients, ALLOWED, PATIENCE), [true, true]);
        assert_eq!(connects(&clients, REFUSED, IMPATIENCE), [false, false]);
        assert_eq!(told(&provider), []);
    });
}

/// A chain of somebody else's on input, and what is told of it: nothing, or an effect and words of the description.
fn check(chain: &str, expect: Option<(&ForeignEffect, &str)>) {
    in_namespace(|| {
        let provider = edge();
        nft(chain);
        let told = told(&provider);
        match (&told[..], expect) {
            ([], None) => {}
            ([(effect, description)], Some((expected, words))) => {
                assert_eq!(effect, expected, "{chain}\n{description}");
                assert!(description.contains(words), "{chain}\n`{words}` is not in `{description}`");
            }
            _ => panic!("{chain}\n{told:?}"),
        }
    });
}

fn input(rules: &str) -> String {
    format!("table inet mine {{ chain input {{ type filter hook input priority 0; {rules}; }}; }}")
}

#[test]
fn what_others_drop_is_told() {
    use ForeignEffect::{Blocks, MayBlock};
    let policy = "drops tcp port 8443 on input: its policy is drop";
    check(&input("policy drop"), Some((&Blocks, policy)));
    check(&input("policy drop"), Some((&Blocks, "`nft insert rule inet mine input tcp dport 8443 accept`")));
    check(&input("policy drop; tcp dport 22 accept"), Some((&Blocks, policy)));
    check(&input("policy drop; tcp dport { 22, 80-443 } accept"), Some((&Blocks, policy)));
    check(&input("policy drop; udp dport 8443 accept"), Some((&Blocks, policy)));
    check(
        &input("policy drop; iif lo accept; iifname lo accept; ct state established accept"),
        Some((&Blocks, policy)),
    );
    check(&input("policy drop; meta nfproto ipv4 accept"), Some((&Blocks, "8443 of IPv6 packets on input")));
    check(&input("policy accept; tcp dport 8443 reject"), Some((&Blocks, "the rule `tcp dport 8443 [reject]`")));
    check(&input("policy accept; drop"), Some((&Blocks, "the rule `drop` of chain input drops")));
    check(
        &input("policy drop; ip saddr 192.0.2.0/24 accept; ip6 saddr 2001:db8::/32 accept"),
        Some((&MayBlock, "may drop tcp port 8443 on")),
    );
    check(&input("policy drop; tcp dport vmap { 22: accept }"), Some((&MayBlock, policy.trim_start_matches("drops "))));
    check(&input("policy accept; ip saddr != 192.0.2.0/24 tcp dport 8443 drop"), Some((&MayBlock, "may drop")));

    check(&input("policy accept"), None);
    check(&input("policy drop; tcp dport 8443 accept"), None);
    check(&input("policy drop; tcp dport { 22, 8443 } accept"), None);
    check(&input("policy drop; tcp dport { 22, 8000-9000 } ct state { new, untracked } counter accept"), None);
    // Odd packets and single addresses are theirs to drop.
    check(&input("policy accept; ct state invalid drop; ip saddr 192.0.2.7 drop; tcp flags & syn == 0 drop"), None);
    check(&input("policy accept; tcp dport 22 drop; tcp dport { 23, 25 } reject"), None);
    // Other hooks, and tables that see nothing.
    check("table inet mine { chain forward { type filter hook forward priority 0; policy drop; }; }", None);
    check("table bridge mine { chain input { type filter hook input priority 0; policy drop; }; }", None);
    check("table inet mine { flags dormant; chain input { type filter hook input priority 0; policy drop; }; }", None);
}

/// What is dropped of a family that the target does not admit anyway.
#[test]
fn only_families_that_are_admitted_count() {
    in_namespace(|| {
        nft(&input("policy accept; meta nfproto ipv6 drop"));
        let provider = edge();
        assert_eq!(told(&provider).len(), 1, "nothing is admitted yet, so both count");
        pass(&provider, &prefixes("192.0.2.10/32"));
        assert_eq!(told(&provider), []);
        pass(&provider, &all());
        assert_eq!(told(&provider).len(), 1);
    });
}

/// What translates a port lets it go on.
#[test]
fn translation_does_not_block() {
    in_namespace(|| {
        nft(
            "table ip nat { chain prerouting { type nat hook prerouting priority -100; tcp dport 8443 dnat to 198.51.100.2:443; }; }",
        );
        let mode = Mode::Enforce { hook: Hook::Prerouting, established: Established::Cut, priority: None };
        assert_eq!(told(&Nftables::new(Settings { mode, ..settings() }).unwrap()), []);
    });
}

/// iptables and ufw, as iptables-nft writes them: the words are those of the program that made them.
#[test]
fn the_remedy_is_in_the_words_of_who_made_it() {
    let made = |family, chain: &str| {
        format!(
            "table {family} filter {{ {chain}; chain INPUT {{ type filter hook input priority 0; policy drop; {}; }}; }}",
            chain.split(' ').nth(1).map(|name| format!("jump {name}")).unwrap_or_default()
        )
    };
    let check = |script: &str, words| check(script, Some((&ForeignEffect::Blocks, words)));
    check(&made("ip", "chain ufw-before-input { iifname lo accept; }"), "through there: `ufw allow 8443/tcp`");
    check(&made("ip6", "chain ufw6-before-input { }"), "through there: `ufw allow 8443/tcp`");
    check(&made("ip", "chain more { }"), "`iptables -I INPUT -p tcp --dport 8443 -j ACCEPT`");
    check(&made("ip6", "chain more { }"), "`ip6tables -I INPUT -p tcp --dport 8443 -j ACCEPT`");
}

/// ufw's chains as iptables-nft writes them, cut to what decides: what it was told to let through is, the rest is not.
#[test]
fn ufw_by_iptables() {
    if std::process::Command::new("iptables-nft").arg("--version").output().is_err() {
        return skip("there is no iptables-nft");
    }
    in_namespace(|| {
        let clients = clients();
        serve(8443);
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.10/32"));
        let iptables = |arguments: &str| {
            run("iptables-nft", &arguments.split(' ').collect::<Vec<_>>());
        };
        iptables("-N ufw-before-input");
        iptables("-N ufw-user-input");
        iptables("-A ufw-before-input -i lo -j ACCEPT");
        iptables("-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
        iptables("-A ufw-before-input -m conntrack --ctstate INVALID -j DROP");
        iptables("-A ufw-before-input -j ufw-user-input");
        iptables("-A ufw-user-input -p tcp --dport 22 -j ACCEPT");
        iptables("-A INPUT -j ufw-before-input");
        let comes = |within| clients.run(|| connect(ALLOWED[0], HOST[0], 8443, within).is_some());
        assert!(comes(PATIENCE));
        assert_eq!(told(&provider), []);
        iptables("-P INPUT DROP");
        assert!(!comes(IMPATIENCE));
        let [(ForeignEffect::Blocks, description)] = &told(&provider)[..] else { panic!("{:?}", told(&provider)) };
        assert!(description.ends_with("`ufw allow 8443/tcp`"), "{description}");
        iptables("-A ufw-user-input -p tcp --dport 8443 -j ACCEPT");
        assert!(comes(PATIENCE));
        assert_eq!(told(&provider), []);
        iptables("-I ufw-user-input -p tcp --dport 8443 -j REJECT");
        assert!(!comes(IMPATIENCE));
        let [(ForeignEffect::Blocks, description)] = &told(&provider)[..] else { panic!("{:?}", told(&provider)) };
        assert!(
            description.contains("the rule `tcp dport 8443 counter [reject]` of chain ufw-user-input"),
            "{description}"
        );
    });
}

/// Chains that lead to each other in more ways than anybody can follow take no end.
#[test]
fn a_maze_is_left() {
    use std::fmt::Write as _;
    let mut script = "table inet mine {\n".to_owned();
    for depth in (0..15).rev() {
        let jump = if depth < 14 {
            format!("meta mark {depth} jump c{0}\nmeta mark != {depth} jump c{0}\n", depth + 1)
        } else {
            String::new()
        };
        writeln!(script, "chain c{depth} {{\n{jump}{jump}}}").unwrap();
    }
    script += "chain input { type filter hook input priority 0; policy drop; jump c0; }\n}";
    check(&script, Some((&ForeignEffect::MayBlock, "its policy is drop")));
}
