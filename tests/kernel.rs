//! What commands do to a live firewall.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Addresses, EDGE, TAGWALL, World, assert_same, many, strs, with_namespaces};

pub(crate) const PREFIXES: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];

#[track_caller]
pub(crate) fn admits(world: &World, target: &str, prefixes: &[&str]) {
    assert_same(&world.admitted(target), &Addresses::of(prefixes.iter().copied()), target);
}

#[test]
fn without_a_configuration_the_defaults_are_planned_and_applied_only_when_asked_for() {
    with_namespaces(|| {
        let world = World::empty();
        // The built-in limits allow no documentation space, so these are Microsoft's.
        let prefixes = ["20.20.32.0/19", "40.126.0.0/18", "2603:1006:2000::/48"];
        world.feed(10, &[("AzureActiveDirectory", &prefixes)]);
        let run = world.expect(2, "sync --dry-run --feed feed.json");
        assert!(run.stdout.contains("tcp 8443, entra"), "{}", run.stdout);
        world.expect(1, "sync --feed feed.json");
        assert_eq!(world.ruleset(), "");
        world.expect(0, "sync --defaults --feed feed.json");
        admits(&world, "default", &prefixes);
        let ruleset = world.ruleset();
        assert!(ruleset.contains("tcp dport 8443") && ruleset.contains("iif \"lo\" accept"), "{ruleset}");
        world.expect(0, "sync --dry-run --feed feed.json");
        world.expect(0, "status --feed feed.json");
        world.expect(1, "withdraw --yes");
        world.expect(0, "withdraw --defaults --yes");
        assert!(!world.ruleset().contains("8443"));
    });
}

#[test]
fn policies_observe_add_only_and_sync() {
    with_namespaces(|| {
        let all = many(32);
        let (older, newer) = (strs(&all[..33]), strs(&all[1..]));
        let world = World::edge(&older);
        let policy = |policy: &str| {
            world.config(&EDGE.replace("nftables = {}", &format!("policy = \"{policy}\"\nnftables = {{}}")));
        };
        policy("observe");
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("left as it is: the policy is `observe`"), "{}", run.stdout);
        assert_eq!(world.ruleset(), "");
        world.expect(2, "sync -n");

        policy("add-only");
        world.expect(0, "sync");
        admits(&world, "edge", &older);
        world.feed(11, &[("AzureActiveDirectory", &newer)]);
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("admits 1 prefix beyond its lists (198.51.100.0/29)"), "{}", run.stdout);
        admits(&world, "edge", &strs(&all));
        assert!(world.expect(0, "sync").stdout.contains("admits 1 prefix beyond its lists"));

        policy("observe");
        world.expect(0, "sync");
        admits(&world, "edge", &strs(&all));
        policy("sync");
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("- 198.51.100.0/29"), "{}", run.stdout);
        admits(&world, "edge", &newer);
    });
}

#[test]
fn what_was_changed_by_hand_is_shown_and_mended() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let right = world.ruleset();
        let check = |script: &str, shown: &str| {
            world.host.nft(script);
            assert_ne!(world.ruleset(), right, "{script} does nothing");
            let plan = world.expect(2, "sync --dry-run -v").stdout.replace("\n      ", " ");
            assert!(plan.contains(shown), "{script}: no {shown:?} in\n{plan}");
            world.expect(2, "status");
            world.expect(0, "sync");
            assert_eq!(world.ruleset(), right, "{script}");
            world.expect(0, "sync --dry-run");
        };
        check("add element inet tagwall edge-v4 { 203.0.113.0/24 }", "- 203.0.113.0/24");
        check("delete element inet tagwall edge-v4 { 192.0.2.0/25 }", "+ 192.0.2.0/25");
        check("flush set inet tagwall edge-v6", "+ 2001:db8:1::/48");
        check("flush chain inet tagwall edge-admit", "is missing or was changed");
        check("flush chain inet tagwall edge-ports", "* mend: tcp port 8443 is open to everybody: ");
        check("insert rule inet tagwall edge-admit accept", "is none of ours");
        check("insert rule inet tagwall edge-ports tcp dport 8443 accept", "is none of ours");
        check("add chain inet tagwall edge-ports { policy drop; }", "chain edge-ports has the policy drop");
        check("delete chain inet tagwall edge-ports", "chain edge-ports is missing");
        check("add table inet tagwall { flags dormant; }", "dormant");
        check("delete table inet tagwall", "closes tcp port 8443 to everybody else");
        check("flush ruleset", "closes tcp port 8443 to everybody else");
    });
}

/// A table of the operator's with two sets and a rule that looks into them.
const OPERATORS: &str = "table inet filter {
    set azure4 { type ipv4_addr; flags interval; }
    set azure6 { type ipv6_addr; flags interval; }
    set other { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }
    chain input {
        type filter hook input priority 0; policy accept;
        ip saddr @azure4 tcp dport 8443 accept comment \"mine\"
        tcp dport 8443 drop
    }
}";

#[test]
fn sets_in_the_operators_own_table() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let config = |more: &str| {
            let mode = format!(
                "nftables = {{ mode = \"set\", table = \"inet filter\", v4 = \"azure4\", v6 = \"azure6\"{more} }}"
            );
            world.config(&EDGE.replace("nftables = {}", &mode));
        };
        config("");
        let fails = |says: &str| {
            let run = world.expect(1, "sync");
            assert!(run.stdout.replace("\n      ", " ").contains(says), "{}", run.stdout);
        };
        fails("there is no table inet filter");
        world.host.nft("table inet filter { set azure4 { type ipv4_addr; }; }");
        fails("set azure4 of table inet filter lacks the flag `interval`");
        world.host.nft("delete table inet filter");
        world.host.nft("table inet filter { set azure4 { type inet_service; flags interval; }; }");
        fails("set azure4 of table inet filter does not hold IPv4 addresses");
        world.host.nft("delete table inet filter");
        world.host.nft(OPERATORS);
        let theirs = world.ruleset();

        // What stands there and is not wanted is somebody's until the operator says otherwise.
        world.host.nft("add element inet filter azure4 { 198.51.100.0/24, 203.0.113.7 }");
        let held = world.ruleset();
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("refused not-ours") && run.stdout.contains("203.0.113.7"), "{}", run.stdout);
        assert!(run.stdout.contains("adopt = true") && !run.stdout.contains("--override"), "{}", run.stdout);
        world.expect(1, "withdraw --yes");
        assert_eq!(world.ruleset(), held, "a refused pass changed something");

        config(", adopt = true");
        world.expect(0, "sync");
        let in_sets = || {
            let set = |name: &str| Addresses::of_set(&world.host, &format!("inet filter {name}")).unwrap();
            (set("azure4"), set("azure6"))
        };
        let expected = (Addresses::of(PREFIXES[..2].iter().copied()), Addresses::of([PREFIXES[2]]));
        assert_eq!(in_sets(), expected);

        // From now on tagwall knows them for its own, and only elements differ from what the operator wrote.
        config("");
        world.host.nft("add element inet filter azure4 { 203.0.113.7 }");
        world.expect(0, "sync");
        assert_eq!(in_sets(), expected);
        world.expect(0, "withdraw --yes");
        assert_eq!(world.ruleset(), theirs, "more than elements was touched");
        assert!(!theirs.contains("192.0.2.0/25"));
    });
}

#[test]
fn orphans_are_listed_in_every_plan_and_removed_alone() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.host.nft("table ip theirs { chain c { tcp dport 22 accept; }; }");
        world.expect(0, "sync");
        world.config(&EDGE.replace("targets.edge", "targets.front"));
        for arguments in ["sync -n", "sync", "sync", "status"] {
            let run = world.tagwall(arguments);
            assert!(run.stdout.contains("tagwall:test/edge"), "{arguments}: {}", run.stdout);
        }
        let report = world.expect(0, "sync --format json").json();
        assert_eq!(report["orphans"][0]["mark"], "tagwall:test/edge");
        admits(&world, "edge", &PREFIXES);

        // Somebody else's tagwall, and a mark that is none, are left alone.
        world.host.nft("table inet tagwall { chain hers { comment \"tagwall:hers/edge\"; }; set odd { type ipv4_addr; comment \"tagwall:test\"; }; }");
        let run = world.expect(3, "withdraw --orphans");
        assert!(run.stdout.contains("tagwall:test/edge"), "{}", run.stdout);
        admits(&world, "edge", &PREFIXES);
        let before = world.ruleset();
        world.expect(0, "withdraw --orphans --yes");
        let after = world.ruleset();
        assert!(!after.contains("tagwall:test/edge"));
        for kept in ["tagwall:hers/edge", "set odd", "tagwall:test/front", "table ip theirs"] {
            assert!(before.contains(kept) && after.contains(kept), "{kept} is gone:\n{after}");
        }
        admits(&world, "front", &PREFIXES);
        assert!(!world.tagwall("sync").stdout.contains("Orphans"));
        assert_eq!(world.expect(0, "withdraw --orphans --yes").stdout, "no orphans\n");

        // Without any target left, orphans are still found.
        world.config("");
        assert!(world.expect(0, "withdraw --orphans --yes").stdout.contains("tagwall:test/front"));
        assert!(!world.ruleset().contains("tagwall:test/front"));
    });
}

#[test]
fn withdraw_removes_ours_alone_and_is_remembered() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let theirs = "table inet filter { chain input { type filter hook input priority 5; policy drop; tcp dport 22 accept; }; }\n\
                      table inet tagwall { comment \"made by tagwall, do not edit\"; chain hers { tcp dport 1 drop; }; }";
        world.host.nft(theirs);
        let before = world.ruleset();
        assert_eq!(world.expect(0, "withdraw -n").stdout, "edge: nothing of ours is there\n");
        world.expect(0, "sync");
        world.expect(3, "withdraw");
        let told = world.expect(2, "withdraw -n").stdout;
        assert!(told.contains(&format!("edge: would take {} entries out of", PREFIXES.len())), "{told}");
        assert!(told.contains("open to everybody"), "{told}");
        admits(&world, "edge", &PREFIXES);
        world.expect(0, "withdraw --yes");
        assert_eq!(world.ruleset(), before);
        let run = world.expect(2, "status");
        assert!(run.stdout.contains("withdrawn on purpose"), "{}", run.stdout);
        let record = world.expect(2, "status --format json").json()["records"]["edge"].clone();
        assert!(record["withdrawn"].is_string(), "{record}");
        let audit = fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
        let record: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
        assert_eq!((&record["event"], &record["target"]), (&json!("withdraw"), &json!("edge")));
        world.expect(2, "sync -n");
        assert!(world.expect(2, "status").stdout.contains("withdrawn on purpose"), "a dry run forgot it");
        world.expect(0, "sync");
        assert!(!world.expect(0, "status").stdout.contains("withdrawn"));
    });
}

#[test]
fn what_is_paused_is_withdrawn_only_by_name_of_that() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        world.expect(0, "pause --reason busy");
        let refused = world.expect(3, "withdraw --yes");
        assert!(refused.stderr.contains("busy") && refused.stderr.contains("--even-paused"), "{}", refused.stderr);
        admits(&world, "edge", &PREFIXES);
        world.expect(0, "withdraw --yes --even-paused");
        assert!(!world.ruleset().contains("8443"));
    });
}

#[test]
fn check_says_by_its_exit_status_that_a_pass_would_fail() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        assert_eq!(world.expect(0, "check --format json").json()["targets"][0]["failures"], json!([]));
        let sound = fs::read_to_string(world.path("tagwall.toml")).unwrap();
        let broken = "\n[targets.broken]\nlists = [\"entra\"]\nnftables = { mode = \"set\", table = \"inet absent\", v4 = \"s4\" }\n";
        fs::write(world.path("tagwall.toml"), sound + broken).unwrap();
        let run = world.expect(1, "check");
        assert!(run.stderr.contains("error: target `broken`: "), "{}", run.stderr);
        let told = world.expect(1, "check --format json").json();
        assert_eq!((&told["schema"], &told["targets"][1]["failures"]), (&json!(1), &json!([])), "{told}");
        assert!(told["targets"][0]["failures"][0]["message"].as_str().unwrap().contains("absent"), "{told}");
        // The file alone is as it should be.
        world.expect(0, "check --no-environment");
    });
}

#[test]
fn ones_own_connection_is_not_cut_unasked() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let over = |connection: &str, arguments: &str| {
            world.finish(world.command(arguments).env("SSH_CONNECTION", connection))
        };
        let mine = "203.0.113.9 50022 192.0.2.1 8443";
        let refused = over(mine, "sync");
        assert_eq!(refused.status, 3, "{}", world.telling(&refused));
        assert!(
            refused.stdout.contains("refused own-session") && refused.stdout.contains("203.0.113.9"),
            "{}",
            refused.stdout
        );
        assert!(refused.stdout.contains("--yes"));
        assert_eq!(world.ruleset(), "");
        // Over another port, from an admitted address, or from loopback nothing is cut.
        assert_eq!(over("203.0.113.9 50022 192.0.2.1 22", "sync -n").status, 2);
        assert_eq!(over("192.0.2.9 50022 192.0.2.1 8443", "sync -n").status, 2);
        assert_eq!(over("::1 50022 ::1 8443", "sync -n").status, 2);
        assert_eq!(over("nonsense", "sync -n").status, 2);
        assert_eq!(over(mine, "sync --yes").status, 0);
        // It is cut already.
        assert_eq!(over(mine, "sync").status, 0);
        let widened = [&PREFIXES[..], &["203.0.113.0/24"]].concat();
        world.feed(11, &[("AzureActiveDirectory", &widened)]);
        assert_eq!(over(mine, "sync").status, 0);
        world.feed(12, &[("AzureActiveDirectory", &PREFIXES)]);
        assert_eq!(over(mine, "sync").status, 3);
        admits(&world, "edge", &widened);
    });
}

#[test]
fn rule_sets_that_drop_besides_and_ports_nobody_hears_are_warned_about() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let warns = |about: &str| {
            let [check, status] = ["check", "status"].map(|verb| world.tagwall(verb).stderr.contains(about));
            assert_eq!(check, status, "check and status differ about {about:?}");
            check
        };
        assert!(warns("nothing listens on tcp port 8443"));
        let listener = world.host.inside(|| TcpListener::bind("[::]:8443").unwrap());
        assert!(!warns("nothing listens"));
        drop(listener);
        let closes = "chain input of table inet filter drops tcp port 8443 on input";
        assert!(!warns(closes));
        world.host.nft("table inet filter { chain input { type filter hook input priority 5; policy drop; }; }");
        assert!(warns(closes));
        // Whoever runs a pass hears of it, however quietly, and once.
        for arguments in ["sync -q", "sync -q --dry-run", "status -q"] {
            assert_eq!(world.tagwall(arguments).stderr.matches(closes).count(), 1, "{arguments}");
        }
        world.host.nft("add chain inet filter input { policy accept; }");
        assert!(!warns("drops tcp port"));
        assert_eq!(world.tagwall("sync -q").stderr, "");
        world.host.nft("table ip f { chain out { type filter hook output priority 5; policy drop; }; }");
        assert!(!warns("drops"), "a chain of another hook does not bear on the port");
    });
}

#[test]
fn without_privilege_it_is_said_what_is_needed() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let mut command = Command::new("setpriv");
        world.prepare(&mut command);
        command.args(["--bounding-set=-all", "--inh-caps=-all", TAGWALL, "sync", "-n", "-c", "tagwall.toml"]);
        let run = world.finish(&mut command);
        assert_eq!(run.status, 1, "{}", world.telling(&run));
        assert!(
            run.stdout.replace("\n      ", " ").contains("even listing nftables needs CAP_NET_ADMIN"),
            "{}",
            run.stdout
        );
    });
}
