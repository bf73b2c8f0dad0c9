//! The lock and the state directory, in every condition they can be found in.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::kernel::{PREFIXES, admits};
use crate::support::{Run, TAGWALL, World, many, strs, with_namespaces};

#[test]
fn one_pass_at_a_time_and_a_killed_one_leaves_no_lock() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        // A pass whose source does not answer holds the lock for as long as it waits.
        let silent = world.host.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let feed = format!("sync --feed http://{}/feed.json", silent.local_addr().unwrap());
        let mut holder = world.spawn(world.command(&feed).stdout(Stdio::null()).stderr(Stdio::null()));
        // It is past the lock when it asks.
        let _asked = silent.accept().unwrap();
        for arguments in ["sync --wait 0s", "withdraw --yes --wait 1s", "rollback --wait 0s", "pause --wait 0s"] {
            let run = world.expect(1, arguments);
            assert!(run.stderr.contains(&format!("process {}", holder.id())), "{}", run.stderr);
            assert!(run.stderr.contains("another pass holds the lock"), "{}", run.stderr);
        }
        assert_eq!(world.ruleset(), "");
        // Reading needs no lock.
        world.expect(2, "sync -n");
        world.expect(0, "check");
        holder.kill().unwrap();
        holder.wait().unwrap();
        world.expect(0, "sync");
    });
}

/// Runs the program where the world's directory is mounted read-only.
fn read_only(world: &World, arguments: &str) -> Run {
    let script = "mount --bind . . && mount -o remount,ro,bind . && cd . && cd \"$PWD\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    world.prepare(&mut command);
    command.args(["-m", "sh", "-c", script, "sh", TAGWALL]).args(arguments.split(' ')).args(["-c", "tagwall.toml"]);
    world.finish(&mut command)
}

#[test]
fn a_state_directory_that_cannot_be_written_does_not_stop_enforcement() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let run = read_only(&world, "sync");
        assert_eq!(run.status, 0, "{}", world.telling(&run));
        assert!(run.stderr.contains("Read-only file system"), "the mount is not read-only: {}", run.stderr);
        admits(&world, "edge", &PREFIXES);
        assert!(!world.path("state").exists());
        // With a state that can be read and not written.
        world.expect(0, "sync");
        let state = fs::read(world.path("state/state.json")).unwrap();
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..2])]);
        let run = read_only(&world, "sync --override loss --reason because");
        assert_eq!(run.status, 0, "{}", world.telling(&run));
        assert!(run.stderr.contains("audit"), "{}", run.stderr);
        admits(&world, "edge", &PREFIXES[..2]);
        assert_eq!(fs::read(world.path("state/state.json")).unwrap(), state);
    });
}

#[test]
fn a_damaged_state_is_passed_over_and_written_anew() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        let good = fs::read_to_string(world.path("state/state.json")).unwrap();
        for damaged in ["", "{", "null", "[]", "{\"version\": 1, \"lists\": 7}", &good[..good.len() / 2]] {
            world.write("state/state.json", damaged);
            let run = world.expect(0, "sync");
            assert!(run.stderr.contains("state.json` is damaged"), "{damaged:?}: {}", run.stderr);
            assert_eq!(world.expect(0, "sync").stderr, "", "{damaged:?} was not written anew");
        }
        // The comparison with the accepted publication is lost, that with the firewall is not.
        world.write("state/state.json", "");
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        for pass in 1..=3 {
            let run = world.expect(3, "sync");
            assert!(run.stdout.contains("refused loss: target `edge`"), "pass {pass}: {}", run.stdout);
        }

        // An accepted document that is lost or damaged is said, too.
        world.feed(10, &[("AzureActiveDirectory", &strs(&all))]);
        world.expect(0, "sync");
        let document = fs::read_dir(world.path("state/publications")).unwrap().next().unwrap().unwrap().path();
        fs::write(&document, "{}").unwrap();
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        let run = world.expect(3, "sync");
        assert!(run.stderr.contains("list `entra` was last accepted with cannot be read"), "{}", run.stderr);
        admits(&world, "edge", &strs(&all));
    });
}

#[test]
fn the_state_of_a_newer_tagwall_is_not_guessed_at() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let newer = r#"{"version": 2, "something": "else"}"#;
        world.write("state/state.json", newer);
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..1])]);
        for arguments in ["sync", "sync -n", "status", "withdraw --yes"] {
            let run = world.expect(1, arguments);
            assert!(run.stderr.contains("is of version 2, this tagwall reads up to 1"), "{}", run.stderr);
            assert!(run.stderr.contains("hint: use the tagwall that wrote it"), "{}", run.stderr);
        }
        assert_eq!(fs::read_to_string(world.path("state/state.json")).unwrap(), newer);
        admits(&world, "edge", &PREFIXES);
    });
}
