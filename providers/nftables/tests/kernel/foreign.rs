//! What is somebody else's stays as it is, and is told.

use tagwall_nftables::Nftables;
use tagwall_provider::{Applied, Desired, ForeignEffect, Limit, Provider, Skeleton};

use crate::support::{admitted, edge, in_namespace, list, nft, pass, prefixes, ruleset, settings, target, wait};

/// What stands there keeps the target from being made, and stays byte for byte.
fn check_occupied(script: &str, finding: &str) {
    in_namespace(|| {
        nft(script);
        let before = ruleset();
        let provider = edge();
        let observed = wait(provider.observe()).unwrap();
        let refusal = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap_err();
        assert_eq!(refusal.limit, Limit::NotOurs);
        assert!(refusal.finding.contains(finding), "{}", refusal.finding);
        assert_eq!(wait(provider.withdraw()).unwrap(), Applied::default(), "nothing there is ours to withdraw");
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn unmarked_chain() {
    check_occupied(
        "add table inet tagwall\nadd chain inet tagwall edge-ports",
        "lacks the comment `tagwall:test/edge`",
    );
}

#[test]
fn unmarked_set() {
    let script = "add table inet tagwall\nadd set inet tagwall edge-v6 { type ipv6_addr; flags interval; }";
    check_occupied(script, "set edge-v6 of table inet tagwall is not ours");
}

#[test]
fn another_owners() {
    let chain = r#"table inet tagwall {
        chain edge-admit {
            comment "tagwall:else/edge"
        }
    }"#;
    check_occupied(chain, "its comment is `tagwall:else/edge`");
    let set =
        r#"table inet tagwall { set edge-v4 { type ipv4_addr; flags interval; comment "tagwall:test/other"; }; }"#;
    check_occupied(set, "its comment is `tagwall:test/other`");
}

/// Where what is refused leaves the port open, the refusal says that first.
#[test]
fn a_comment_lost_with_the_rules() {
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.0/24"));
        nft(
            "flush chain inet tagwall edge-ports\ndelete chain inet tagwall edge-ports\nadd chain inet tagwall edge-ports { type filter hook input priority 0; }",
        );
        let observed = wait(provider.observe()).unwrap();
        let refusal = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap_err();
        let open = "tcp port 8443 is open to everybody: chain edge-ports does not send it to chain edge-admit; ";
        assert!(refusal.finding.starts_with(open), "{}", refusal.finding);
        assert!(refusal.finding.contains("lacks the comment `tagwall:test/edge`"), "{}", refusal.finding);
    });
}

/// A chain that comes after the observation is a conflict: nothing is written over.
#[test]
fn occupied_since() {
    in_namespace(|| {
        let provider = edge();
        let observed = wait(provider.observe()).unwrap();
        let steps = provider.place(&observed, &Desired::listed(prefixes("192.0.2.0/24"))).unwrap();
        nft("add table inet tagwall\nadd chain inet tagwall edge-ports");
        let before = ruleset();
        assert_eq!(wait(provider.apply(&observed.revision, &steps)).unwrap_err().class(), "conflict");
        assert_eq!(ruleset(), before);
    });
}

const OTHERS: &str = r"
    table ip filter {
        chain forward {
            type filter hook forward priority 0; policy drop;
            tcp dport 8443 accept
        }
        chain edge-ports {
            counter drop
        }
    }
    table inet theirs {
        map edge-v4 { type ipv4_addr : verdict; elements = { 192.0.2.1 : drop }; }
        set edge-v6 { type ipv6_addr; flags interval; elements = { 2001:db8::/32 }; }
        chain input {
            type filter hook input priority 0; policy accept;
            ip saddr vmap @edge-v4
        }
    }
";

#[test]
fn other_tables_stay() {
    in_namespace(|| {
        nft(OTHERS);
        let before = ruleset();
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.0/24 2001:db8::/48"));
        pass(&provider, &prefixes("192.0.2.0/25 2001:db8::/47"));
        assert_ne!(ruleset(), before);
        let applied = wait(provider.withdraw()).unwrap();
        assert_eq!((applied.skeleton, applied.calls), (5, 1), "two chains, two sets, the table");
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn withdraw_leaves_what_others_put_into_our_table() {
    in_namespace(|| {
        nft("add table inet tagwall\nadd counter inet tagwall theirs");
        let before = ruleset();
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.0/24"));
        nft("add rule inet tagwall edge-ports tcp dport { 1, 2 } drop");
        assert_eq!(wait(provider.withdraw()).unwrap().skeleton, 4);
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn withdraw_removes_the_table_with_a_strangers_set_in_our_chain() {
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.0/24"));
        nft("add rule inet tagwall edge-ports tcp dport { 1, 2 } drop");
        assert_eq!(wait(provider.withdraw()).unwrap().skeleton, 5);
        assert_eq!(ruleset(), "");
        assert_eq!(wait(provider.observe()).unwrap().skeleton, Skeleton::Absent);
    });
}

#[test]
fn referred_to_by_others() {
    in_namespace(|| {
        let provider = edge();
        pass(&provider, &prefixes("192.0.2.0/24"));
        nft("add chain inet tagwall theirs\nadd rule inet tagwall theirs jump edge-admit");
        let before = ruleset();
        let error = wait(provider.withdraw()).unwrap_err();
        assert_eq!(error.class(), "rejected");
        assert!(error.hint().unwrap().contains("refers to one of its chains"), "{error:?}");
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn drop_policies_of_others_are_told() {
    in_namespace(|| {
        nft(r"
            table inet firewalld {
                chain filter_INPUT {
                    type filter hook input priority 10; policy drop;
                }
            }
            table ip6 mine {
                chain forward {
                    type filter hook forward priority 0; policy drop;
                }
            }
        ");
        let foreign = wait(edge().observe()).unwrap().foreign;
        assert_eq!(foreign.len(), 1, "{foreign:?}");
        assert_eq!(foreign[0].effect, ForeignEffect::Blocks);
        assert!(foreign[0].description.starts_with("chain filter_INPUT of table inet firewalld drops tcp port 8443"));
    });
}

/// Two targets of one owner and one of another share the table.
#[test]
fn orphans_are_told_apart() {
    in_namespace(|| {
        let old = Nftables::new(target("old")).unwrap();
        pass(&old, &prefixes("192.0.2.0/24"));
        pass(&Nftables::new(target("other")).unwrap(), &prefixes("192.0.2.0/24"));
        let provider = edge();
        pass(&provider, &prefixes("198.51.100.0/24"));
        let observed = wait(provider.observe()).unwrap();
        let [orphan] = &observed.orphans[..] else { panic!("{:?}", observed.orphans) };
        assert_eq!(orphan.mark.to_string(), "tagwall:test/old");
        assert_eq!(orphan.object, "chain old-admit, chain old-ports, set old-v4, set old-v6 of table inet tagwall");
        let applied = wait(provider.remove_orphans(&observed.orphans)).unwrap();
        assert_eq!((applied.skeleton, applied.calls), (4, 1));
        assert_eq!(admitted("old"), prefixes(""));
        assert_eq!(admitted("other"), prefixes("192.0.2.0/24"));
        assert_eq!(admitted("edge"), prefixes("198.51.100.0/24"));
        let listing = list("table inet tagwall");
        assert!(!listing.contains("old"), "{listing}");
    });
}

#[test]
fn a_configured_target_is_no_orphan_even_when_asked_for() {
    in_namespace(|| {
        let old = Nftables::new(target("old")).unwrap();
        pass(&old, &prefixes("192.0.2.0/24"));
        let orphans = wait(edge().observe()).unwrap().orphans;
        let mut settings = settings();
        settings.siblings.push("old".to_owned());
        let before = ruleset();
        let back = Nftables::new(settings).unwrap();
        assert_eq!(wait(back.remove_orphans(&orphans)).unwrap(), Applied::default());
        assert_eq!(ruleset(), before);
    });
}

/// Without the right to read there is nothing to guess from.
#[test]
fn without_the_capability() {
    const INSIDE: &str = "TAGWALL_TEST_WITHOUT_CAPABILITY";
    if std::env::var_os(INSIDE).is_none() {
        in_namespace(|| {
            let status = std::process::Command::new("setpriv")
                .args(["--bounding-set", "-net_admin", "--"])
                .arg(std::env::current_exe().unwrap())
                .args(["foreign::without_the_capability", "--exact", "--nocapture"])
                .env(INSIDE, "1")
                .status()
                .unwrap();
            assert!(status.success());
        });
        return;
    }
    let error = wait(edge().observe()).unwrap_err();
    assert_eq!(error.class(), "denied");
    assert!(error.hint().unwrap().contains("CAP_NET_ADMIN"), "{error:?}");
}
