//! Applied where nothing moved, refused with the reason where anything did.

use super::{alter, audited, planned, read, said};
use crate::support::{Addresses, EDGE, World, assert_same, many, old_and_new, strs, with_namespaces};

/// The two kinds of target that nftables has.
const SETS: &str = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n[targets.edge]\nlists = [\"entra\"]\n\
                    nftables = { mode = \"set\", table = \"inet site\", v4 = \"four\", v6 = \"six\" }\n";

/// A world that enforces one publication and has another to go to.
fn world(config: &str) -> World {
    let [old, new] = old_and_new();
    let world = World::empty();
    world.config(config);
    if config == SETS {
        world.host.nft(
            "add table inet site\nadd set inet site four { type ipv4_addr; flags interval; }\n\
             add set inet site six { type ipv6_addr; flags interval; }\n",
        );
    }
    world.feed(10, &[("AzureActiveDirectory", &strs(&old))]);
    world.expect(0, "sync");
    world.feed(11, &[("AzureActiveDirectory", &strs(&new))]);
    world.config(&format!("{config}[lists.entra.limits]\nloss = \"50%\"\n"));
    world
}

fn admitted(world: &World, config: &str) -> Addresses {
    if config == EDGE {
        return world.admitted("edge");
    }
    let [v4, v6] = ["four", "six"].map(|set| Addresses::of_set(&world.host, &format!("inet site {set}")).unwrap());
    Addresses::both(v4, v6)
}

#[test]
fn what_was_planned_is_done_and_stands_in_the_audit_file() {
    with_namespaces(|| {
        for config in [EDGE, SETS] {
            let world = world(config);
            let hash = planned(&world, 2, "");
            // Equal plans have equal hashes, whenever they are made and whatever the ruleset's generation.
            world.host.nft("add table inet somebody\n");
            assert_eq!(planned(&world, 2, "--expires 1h"), hash);
            world.expect(0, &format!("apply plan.json --expect-hash {hash}"));
            let new = old_and_new()[1].clone();
            assert_same(&admitted(&world, config), &Addresses::of(strs(&new)), "the result is the plan");
            let line = audited(&world);
            assert_eq!(
                (&line["cause"], &line["plan"], &line["generation"]),
                (&"apply".into(), &hash.into(), &2.into())
            );
            let again = said(&world, 3, "apply plan.json");
            assert!(again.contains("it admits already what the plan would bring it to"), "{again}");
            world.expect(0, "sync -n");
        }
    });
}

/// Plans, changes something, and applies: refused for this reason, and nothing is changed.
fn check(config: &str, reason: &str, change: impl FnOnce(&World)) {
    let world = world(config);
    let hash = planned(&world, 2, "");
    change(&world);
    let before = world.ruleset();
    let text = said(&world, 3, "apply plan.json");
    assert!(text.contains("stale-plan") && text.contains(reason), "not for `{reason}`: {text}");
    assert_eq!(world.ruleset(), before, "refused for `{reason}`, and changed");
    let line = audited(&world);
    assert_eq!(line["event"], "not-applied", "{line}");
    // The control: it is this change that it was refused for.
    if read(&world)["hash"] == hash.as_str() {
        planned(&world, 2, "");
        world.expect(0, "apply plan.json");
    }
}

#[test]
fn a_source_that_moved_is_refused() {
    with_namespaces(|| {
        let new = old_and_new()[1].clone();
        check(
            EDGE,
            "the source has a newer publication: change number 12, and the plan went by change number 11",
            |world| {
                world.feed(12, &[("AzureActiveDirectory", &strs(&new))]);
            },
        );
        check(EDGE, "the source has other bytes than the plan went by, under the same change number 11", |world| {
            let text = std::fs::read_to_string(world.path("feed.json")).unwrap();
            world.write("feed.json", &text.replacen("\"Azure\"", "\"azure\"", 1));
        });
    });
}

#[test]
fn an_older_source_is_refused() {
    with_namespaces(|| {
        let world = world(EDGE);
        planned(&world, 2, "");
        world.feed(10, &[("AzureActiveDirectory", &strs(&old_and_new()[0]))]);
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("the source has an older publication: change number 10"), "{text}");
    });
}

#[test]
fn a_configuration_that_moved_is_refused() {
    with_namespaces(|| {
        check(EDGE, "the configuration is another", |world| {
            let text = std::fs::read_to_string(world.path("tagwall.toml")).unwrap();
            world.write("tagwall.toml", &format!("{text}# a word\n"));
        });
        let world = world(EDGE);
        planned(&world, 2, "");
        let text = std::fs::read_to_string(world.path("tagwall.toml")).unwrap();
        world.write("tagwall.toml", &text.replace("owner = \"test\"", "owner = \"other\""));
        let text = said(&world, 3, "apply plan.json --state-dir elsewhere");
        assert!(text.contains("the plan is of owner `test`, and the configuration's owner is `other`"), "{text}");
    });
}

#[test]
fn a_firewall_that_moved_is_refused() {
    with_namespaces(|| {
        let nft = |script: &'static str| move |world: &World| world.host.nft(script);
        check(
            EDGE,
            "target `edge`: 192.0.2.240/32 came since",
            nft("add element inet tagwall edge-v4 { 192.0.2.240 }\n"),
        );
        check(
            EDGE,
            "target `edge`: 198.51.100.0/29 went since",
            nft("delete element inet tagwall edge-v4 { 198.51.100.0/29 }\n"),
        );
        check(EDGE, "its rules were changed", nft("insert rule inet tagwall edge-ports accept\n"));
        check(EDGE, "its rules were changed", nft("flush chain inet tagwall edge-ports\n"));
        check(EDGE, "its rules are gone", nft("delete table inet tagwall\n"));
        check(SETS, "target `edge`: 192.0.2.240/32 came since", nft("add element inet site four { 192.0.2.240 }\n"));
        check(
            SETS,
            "target `edge`: 2001:db8:10::/48 went since",
            nft("delete element inet site six { 2001:db8:10::/48 }\n"),
        );
    });
}

#[test]
fn an_expired_and_an_altered_plan_are_refused() {
    with_namespaces(|| {
        let world = world(EDGE);
        planned(&world, 2, "--expires 0s");
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("it expired at"), "{text}");

        let add = |content: &mut serde_json::Value| {
            content["targets"][0]["steps"]["entries"][0]["admits"] = "0.0.0.0/1".into();
        };
        let hash = planned(&world, 2, "");
        alter(&world, false, add);
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("it was altered: it says its hash is"), "{text}");
        planned(&world, 2, "");
        alter(&world, true, add);
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("what is to be done is not what the plan says"), "{text}");
        let text = said(&world, 3, &format!("apply plan.json --expect-hash {hash}"));
        assert!(text.contains("it is not the plan that was reviewed: its hash is"), "{text}");

        // What it says that was observed and desired is held against what is, each by itself.
        let forged = |reason: &str, change: &dyn Fn(&mut serde_json::Value)| {
            planned(&world, 2, "");
            alter(&world, true, |content| change(&mut content["targets"][0]));
            let text = said(&world, 3, "apply plan.json");
            assert!(text.contains(reason), "{reason}: {text}");
        };
        forged("what it should admit is another", &|target| {
            target["desired"]["prefixes"]["extra"] = ["192.0.2.0/24"].into();
        });
        forged("192.0.2.0/29 came since", &|target| {
            target["observed"]["entries"].as_array_mut().unwrap().remove(0);
        });
        forged("as they should be by now", &|target| target["observed"]["skeleton"] = "absent".into());
        planned(&world, 2, "");
        alter(&world, true, |content| content["targets"] = serde_json::json!([]));
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("it is of no target"), "{text}");
    });
}

#[test]
fn limits_are_judged_again_and_a_refused_plan_is_not_applied() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        planned(&world, 3, "");
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("target `edge` could not be planned: refused loss"), "{text}");
        // A forged plan without the refusal comes to the limit itself.
        alter(&world, true, |content| content["targets"][0]["refusals"] = serde_json::json!([]));
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("refused loss: list `entra`: 25.0 %"), "{text}");
        // What was let through for the plan is let through for nobody else.
        planned(&world, 2, "--override loss --reason announced");
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("refused loss"), "{text}");
        assert_same(&world.admitted("edge"), &Addresses::of(strs(&all)), "nothing was changed");
        world.expect(0, "apply plan.json --override loss --reason announced");
        assert_eq!(audited(&world)["reason"], "announced");

        world.feed(12, &[("AzureActiveDirectory", &strs(&all[7..]))]);
        planned(&world, 2, "");
        world.expect(0, "pause --reason lunch");
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("refused paused"), "{text}");
        world.expect(0, "resume");
    });
}

#[test]
fn one_target_that_moved_keeps_all_from_being_changed() {
    with_namespaces(|| {
        let world = World::empty();
        let target = |name: &str, port: u16| {
            format!("[targets.{name}]\nlists = [\"entra\"]\nports = [{port}]\nnftables = {{}}\n")
        };
        world.config(&format!("[lists.entra]\ntags = [\"A\"]\n{}{}", target("one", 1), target("two", 2)));
        world.feed(10, &[("A", &["192.0.2.0/24"])]);
        world.expect(0, "sync");
        world.feed(11, &[("A", &["192.0.2.0/24", "198.51.100.0/24"])]);
        planned(&world, 2, "");
        world.host.nft("add element inet tagwall two-v4 { 203.0.113.7 }\n");
        let before = world.ruleset();
        let text = said(&world, 3, "apply plan.json");
        assert!(text.contains("target `two`: 203.0.113.7/32 came since") && !text.contains("target `one`"), "{text}");
        assert_eq!(world.ruleset(), before);
        // A plan of the other alone is none of it.
        planned(&world, 2, "--target one");
        world.expect(0, "apply plan.json");
        let expected = Addresses::of(["192.0.2.0/24", "198.51.100.0/24"]);
        assert_same(&world.admitted("one"), &expected, "one");
        assert_ne!(world.admitted("two"), expected);
    });
}
