//! Passes that are killed at random moments leave the old rules or the new ones, never anything between.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Addresses, Random, World, old_and_new, strs, with_namespaces};

/// How many passes are killed. With `TAGWALL_SOAK` ten times as many.
const KILLED: usize = 300;

const THEIRS: &str = "table inet filter {
    set theirs { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }
    chain input { type filter hook input priority 5; policy accept; ip saddr @theirs tcp dport 8443 counter accept; }
}
table inet tagwall { comment \"made by tagwall, do not edit\"; chain hers { comment \"tagwall:hers/edge\"; tcp dport 1 drop; }; }";

#[test]
fn passes_killed_at_random_moments() {
    with_namespaces(|| {
        let mut random = Random::from_environment();
        let soak = std::env::var_os("TAGWALL_SOAK").is_some();
        let documents = old_and_new();
        let documents = documents.each_ref().map(|prefixes| strs(prefixes));
        let sets = documents.each_ref().map(|prefixes| Addresses::of(prefixes.iter().copied()));

        let world = World::empty();
        world.config(&crate::support::EDGE.replace(
            "[\"AzureActiveDirectory\"]",
            "[\"AzureActiveDirectory\"]\nlimits = { loss = \"100%\", growth = \"1000%\" }",
        ));
        world.host.nft(THEIRS);
        let before = world.ruleset();
        let theirs = || without_ours(&world);
        let their_rules = theirs();

        let mut number = 0;
        let mut publish = |prefixes: &[&str]| {
            number += 1;
            world.feed(number, &[("AzureActiveDirectory", prefixes)]);
        };
        publish(&documents[0]);
        world.expect(0, "sync");

        // The kills lie from the start to about twice the time that a pass takes to its commit, which is found by
        // the outcomes: too late, and they come sooner.
        let mut latest = Duration::from_millis(50);
        let mut seen = [0; 2];
        let mut torn_down = false;
        let mut now = 0;
        for round in 0..if soak { 10 * KILLED } else { KILLED } {
            // Now and then the skeleton has to be made as well.
            torn_down = torn_down || random.below(8) == 0;
            if torn_down {
                world.host.nft("table inet tagwall { chain hers { }; }; delete table inet tagwall; table inet tagwall { comment \"made by tagwall, do not edit\"; chain hers { comment \"tagwall:hers/edge\"; tcp dport 1 drop; }; }");
                assert_eq!(world.ruleset(), before);
            }
            let next = 1 - now;
            publish(&documents[next]);
            let mut child = world.spawn(world.command("sync").stdout(Stdio::null()).stderr(Stdio::null()));
            std::thread::sleep(latest * u32::try_from(random.below(1000)).unwrap() / 1000);
            let _ = child.kill();
            child.wait().unwrap();

            let admitted = world.admitted("edge");
            let absent = !world.ruleset().contains("edge-ports");
            let old = if torn_down { absent } else { admitted == sets[now] };
            let new = admitted == sets[next] && !absent;
            assert!(old || new, "round {round}: neither the old nor the new rules, but\n{admitted}{}", world.ruleset());
            seen[usize::from(new)] += 1;
            latest = latest.mul_f64(if new { 0.95 } else { 1.05 });
            assert_eq!(theirs(), their_rules, "round {round}: foreign rules changed");

            if random.below(3) == 0 {
                world.expect(0, "sync -q");
                assert_eq!(world.admitted("edge"), sets[next], "round {round}: the next pass does not converge");
                assert_eq!(theirs(), their_rules, "round {round}: foreign rules changed");
                world.expect(0, "sync -n");
                (now, torn_down) = (next, false);
            } else if new {
                (now, torn_down) = (next, false);
            }
            assert!(!world.tagwall("status").stderr.contains("damaged"), "round {round}: the state is damaged");
        }
        eprintln!("{seen:?} of the killed passes left the old and the new rules; they came within {latest:?}");
        assert!(seen.iter().all(|count| *count > KILLED / 10), "the kills came too early or too late: {seen:?}");
        world.expect(0, "sync -q");
        assert_eq!(world.expect(0, "withdraw --yes").stdout, "edge: withdrawn\n");
        assert_eq!(world.ruleset(), before);
        // What killed passes left half written does not pile up.
        let rubbish = std::fs::read_dir(world.path("state")).unwrap().count();
        assert!(rubbish < 20, "{rubbish} files in the state directory");
    });
}

/// The listing of the ruleset without the chains and sets that are named for our target.
fn without_ours(world: &World) -> String {
    let ruleset = world.ruleset();
    let mut kept = String::new();
    let mut ours = false;
    for line in ruleset.lines() {
        let depth = line.len() - line.trim_start_matches('\t').len();
        if depth == 1 && line.ends_with('{') {
            ours = line.contains("edge-");
        }
        if !ours && !line.trim().is_empty() {
            kept.push_str(line);
            kept.push('\n');
        }
        if depth == 1 && line.trim() == "}" {
            ours = false;
        }
    }
    kept
}
