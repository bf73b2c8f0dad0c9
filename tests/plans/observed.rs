//! Plans made from what was observed elsewhere.

use std::fs;

use serde_json::Value;

use crate::support::{EDGE, World, many, old_and_new, strs, with_namespaces};

/// A machine of a pull request's job: the configuration, the feed and an observation, no firewall and no state.
fn elsewhere(world: &World) -> World {
    let job = World::empty();
    for file in ["tagwall.toml", "feed.json", "state.json"] {
        fs::copy(world.path(file), job.path(file)).unwrap();
    }
    job
}

#[test]
fn a_plan_from_an_observation_is_the_plan_and_is_applied_where_it_was_observed() {
    with_namespaces(|| {
        let [old, new] = old_and_new();
        for backend in ["{}", "{ mode = \"set\", table = \"inet site\", v4 = \"four\", v6 = \"six\" }"] {
            let world = World::empty();
            world.host.nft(
                "add table inet site\nadd set inet site four { type ipv4_addr; flags interval; }\n\
                 add set inet site six { type ipv6_addr; flags interval; }\n",
            );
            let limits = "[lists.entra.limits]\nloss = \"60%\"\ngrowth = \"300%\"\n";
            world.config(&format!("{}{limits}", EDGE.replace("nftables = {}", &format!("nftables = {backend}"))));
            world.feed(10, &[("AzureActiveDirectory", &strs(&old))]);
            world.expect(0, "sync");
            world.feed(11, &[("AzureActiveDirectory", &strs(&new))]);
            world.expect(0, "observe -o state.json");
            let saved: Value = serde_json::from_slice(&fs::read(world.path("state.json")).unwrap()).unwrap();
            let mut printed = world.expect(0, "observe").json();
            printed["observed"] = saved["observed"].clone();
            assert_eq!(printed, saved, "the same stands on stdout and in the file, but for the time");

            let job = elsewhere(&world);
            let before = job.ruleset();
            let run = job.expect(2, "plan --state state.json -o plan.json --format json");
            let here = world.expect(2, "plan --format json").json();
            for key in ["add", "remove", "skeleton", "outcome"] {
                assert_eq!(run.json()["targets"][0][key], here["targets"][0][key], "{key}");
            }
            assert!(!job.path("state").exists() && job.ruleset() == before, "the job has no firewall to touch");
            fs::copy(job.path("plan.json"), world.path("plan.json")).unwrap();
            let hash = run.json()["plan"].as_str().unwrap().to_owned();
            world.expect(0, &format!("apply plan.json --expect-hash {hash}"));
            world.expect(0, "sync -n");
        }
    });
}

#[test]
fn planning_from_an_observation_opens_no_socket_and_needs_no_right() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(8)));
        world.expect(0, "observe -o state.json");
        let job = elsewhere(&world);
        // Nobody without rights can even list nf_tables: the control shows it.
        let run = |arguments: &str| {
            let mut command = std::process::Command::new("setpriv");
            job.prepare(&mut command);
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]);
            command.arg(crate::support::TAGWALL).args(arguments.split(' ')).args(["-c", "tagwall.toml"]);
            job.finish(&mut command)
        };
        assert_eq!(run("plan").status, 1, "the control: without rights no firewall is read");
        let planned = run("plan --state state.json");
        assert_eq!(planned.status, 2, "{}", job.telling(&planned));
        assert!(planned.stdout.contains("+ 198.51.100.0/29"), "{}", planned.stdout);
    });
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_saved() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(
            "[lists.entra]\ntags = [\"A\"]\n[targets.good]\nlists = [\"entra\"]\nnftables = {}\n\
             [targets.bad]\nlists = [\"entra\"]\nnftables = { mode = \"set\", table = \"inet none\", v4 = \"a\", v6 = \"b\" }\n",
        );
        world.feed(1, &[("A", &["192.0.2.0/24"])]);
        let run = world.expect(1, "observe -o state.json");
        assert!(run.stdout.contains("bad: not read: there is no table inet none"), "{}", run.stdout);
        assert!(run.stdout.contains("good: 0 entries in nftables inet tagwall"), "{}", run.stdout);
        world.expect(2, "plan --state state.json --target good");
        world.expect(1, "plan --state state.json");
    });
}
