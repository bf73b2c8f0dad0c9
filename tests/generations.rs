//! What was enforced, and how it comes back: history, rollback, pause, restore, and what is kept while a publication is
//! refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::kernel::admits;
use crate::support::{EDGE, Namespace, World, many, strs, with_namespaces};

/// Two targets, each with a list of its own.
const TWO: &str = "[lists.a]\ntags = [\"A\"]\n[lists.b]\ntags = [\"B\"]\n[targets.zz-first]\nlists = [\"a\"]\ncanary = true\nnftables = {}\n\
                   [targets.edge]\nlists = [\"b\"]\nports = [9443]\nnftables = {}\n";

/// A result with its lines joined: where they are broken is not what is tested here.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const A: &str = "192.0.2.0/24";
const B: &str = "198.51.100.0/24";
const C: &str = "203.0.113.0/24";

/// A world that was synchronised with each of these publications.
fn synchronised(publications: &[&[&str]]) -> World {
    let world = World::empty();
    world.config(EDGE);
    for (number, prefixes) in publications.iter().enumerate() {
        publish(&world, 10 + number as u64, prefixes);
        world.expect(0, "sync");
    }
    world
}

fn publish(world: &World, change_number: u64, prefixes: &[&str]) {
    world.feed(change_number, &[("AzureActiveDirectory", prefixes)]);
}

fn flush(world: &World) {
    world.host.run("nft", &["flush", "ruleset"]);
}

/// The events of the audit file, with the targets' outcomes of passes.
fn audited(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    let told = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let as_text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match value["event"].as_str().unwrap() {
            "pass" => format!("{}: {}", as_text(&value["cause"]), as_text(&value["targets"][0]["outcome"])),
            event => event.to_owned(),
        }
    };
    text.lines().map(told).collect()
}

#[test]
fn a_rollback_goes_back_and_stays_until_resume() {
    with_namespaces(|| {
        let world = synchronised(&[&[A], &[A, B], &[A, B], &[A, B, C]]);
        let run = world.expect(0, "history");
        // The third pass enforced what the second did.
        assert_eq!(run.stdout.matches("by sync").count(), 3, "{}", run.stdout);
        assert!(
            run.stdout.contains("edge (now): 3 IPv4 and 0 IPv6 prefixes, +1 -0, change number 13"),
            "{}",
            run.stdout
        );

        let run = world.expect(2, "rollback -n");
        assert!(run.stdout.contains(&format!("- {C}")), "{}", run.stdout);
        admits(&world, "edge", &[A, B, C]);
        let run = world.expect(0, "rollback --reason because");
        assert!(run.stdout.contains("pinned to generation 2"), "{}", run.stdout);
        admits(&world, "edge", &[A, B]);

        // Neither a pass nor a new publication moves it, and drift is mended to where it is.
        publish(&world, 14, &[A, B, C, "2001:db8::/48"]);
        assert!(world.expect(0, "sync").stdout.contains("pinned to generation 2"));
        flush(&world);
        world.expect(0, "sync");
        admits(&world, "edge", &[A, B]);
        let run = world.expect(0, "status");
        assert!(run.stdout.contains("(because)"), "{}", run.stdout);
        assert!(world.expect(0, "history").stdout.contains("edge (now, pinned)"));

        world.expect(0, "rollback --to 1");
        admits(&world, "edge", &[A]);
        assert!(world.expect(1, "rollback").stderr.contains("no earlier generation"));
        assert!(world.expect(1, "rollback --to 99").stderr.contains("there is no generation 99"));
        admits(&world, "edge", &[A]);

        world.expect(0, "resume");
        admits(&world, "edge", &[A, B, C, "2001:db8::/48"]);
        let events = audited(&world);
        assert_eq!(
            events[3..],
            [
                "rollback",
                "rollback: applied",
                "sync: applied",
                "rollback",
                "rollback: applied",
                "resume",
                "sync: applied"
            ]
        );
    });
}

#[test]
fn a_pause_stops_all_writing_until_resume() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        world.expect(0, "pause --reason maintenance");
        publish(&world, 11, &[A, B]);
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("paused") && run.stdout.contains("maintenance"), "{}", run.stdout);
        admits(&world, "edge", &[A]);
        // Not even drift is mended. What is as it should be is no reason to complain.
        flush(&world);
        world.expect(3, "sync");
        assert_eq!(world.ruleset(), "");
        // A boot brings back what the pause left.
        world.expect(0, "restore");
        admits(&world, "edge", &[A]);
        assert!(world.expect(3, "status").stdout.contains("everything is paused"));
        assert!(world.expect(1, "resume --target edge").stderr.contains("without --target"));
        world.expect(0, "resume");
        admits(&world, "edge", &[A, B]);
        // Of one target alone.
        world.expect(0, "pause --target edge");
        publish(&world, 12, &[A]);
        world.expect(3, "sync");
        world.expect(0, "resume --target edge");
        admits(&world, "edge", &[A]);
        assert!(world.expect(0, "resume").stderr.contains("nothing of that is paused"));
    });
}

#[test]
fn a_boot_restores_what_was_enforced_without_a_source() {
    with_namespaces(|| {
        let world = synchronised(&[&[A], &[A, B]]);
        fs::remove_file(world.path("feed.json")).unwrap();
        flush(&world);
        let before = fs::read(world.path("state/state.json")).unwrap();
        world.expect(0, "restore");
        admits(&world, "edge", &[A, B]);
        assert_eq!(fs::read(world.path("state/state.json")).unwrap(), before);
        assert!(world.expect(0, "restore").stdout.contains("in sync"));

        // The pinned one after a rollback.
        world.expect(0, "rollback");
        flush(&world);
        world.expect(0, "restore");
        admits(&world, "edge", &[A]);

        // Whatever became of the state: what is known is enforced, and what is not is closed.
        for (file, text, expect) in [
            ("state/state.json", "{\"version\": 99}", &[A, B][..]),
            ("state/state.json", "damaged", &[A, B]),
            ("state/generations/2.json", "damaged", &[A]),
            ("state/generations/1.json", "damaged", &[]),
        ] {
            world.write(file, text);
            flush(&world);
            let run = world.expect(0, "restore");
            assert!(run.stderr.contains("warning"), "{file}: {}", run.stderr);
            admits(&world, "edge", expect);
        }
        assert!(world.ruleset().contains("drop"), "{}", world.ruleset());
        // The one whose owner decided that a boot leaves the port as it is.
        flush(&world);
        world.config(&EDGE.replace("nftables = {}", "nftables = { boot = \"open\" }"));
        world.expect(0, "restore");
        assert_eq!(world.ruleset(), "");
    });
}

#[test]
fn what_was_withdrawn_is_not_restored() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        world.expect(0, "withdraw --yes");
        world.expect(0, "restore");
        assert_eq!(world.ruleset(), "");
        world.expect(0, "resume");
        admits(&world, "edge", &[A]);
    });
}

#[test]
fn while_a_publication_is_refused_drift_is_mended_to_what_was_enforced() {
    with_namespaces(|| {
        let all = many(32);
        let world = synchronised(&[&strs(&all)]);
        publish(&world, 11, &strs(&all[8..]));
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("kept at generation 1: 32 IPv4 and 2 IPv6 prefixes"), "{}", run.stdout);
        flush(&world);
        assert_eq!(world.expect(3, "sync -n --format json").json()["targets"][0]["kept"]["outcome"], "planned");
        assert_eq!(world.ruleset(), "");
        let report = world.expect(3, "sync --format json").json();
        assert_eq!(report["targets"][0]["outcome"], "refused");
        assert_eq!(report["targets"][0]["kept"]["outcome"], "applied");
        admits(&world, "edge", &strs(&all));
        // The same without any publication.
        world.write("feed.json", "<html>");
        flush(&world);
        let run = world.expect(1, "sync");
        assert!(run.stdout.contains("from which it had drifted"), "{}", run.stdout);
        admits(&world, "edge", &strs(&all));
        // Nor does what was refused become the publication that `status` goes by.
        world.expect(0, "status");
    });
}

#[test]
fn what_microsoft_drops_stays_for_its_grace_period() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(&EDGE.replace("[targets", "removal-grace = \"1 publication\"\n[targets"));
        publish(&world, 10, &[A, B]);
        world.expect(0, "sync");
        publish(&world, 11, &[A]);
        let run = world.expect(0, "sync");
        assert!(
            joined(&run.stdout)
                .contains(&format!("held until the next publication: 1 prefix that Microsoft dropped ({B})")),
            "{}",
            run.stdout
        );
        admits(&world, "edge", &[A, B]);
        let held = world.expect(0, "sync -n --format json").json()["targets"][0]["held"].clone();
        assert_eq!(held[0]["prefixes"][0], B);
        flush(&world);
        world.expect(0, "restore");
        admits(&world, "edge", &[A, B]);
        publish(&world, 12, &[A, C]);
        world.expect(0, "sync");
        admits(&world, "edge", &[A, C]);
    });
}

#[test]
fn targets_wait_for_the_canary() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(TWO);
        world.feed(10, &[("A", &[A]), ("B", &[B])]);
        world.expect(0, "sync");
        world.feed(11, &[("B", &[B, C])]);
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("canary: `zz-first` goes ahead, and it was refused"), "{}", run.stdout);
        admits(&world, "edge", &[B]);
        // Drift is mended all the same.
        flush(&world);
        world.expect(3, "sync");
        admits(&world, "edge", &[B]);
        admits(&world, "zz-first", &[A]);
        // Negative control: without a canary neither waits for the other.
        world.config(&TWO.replace("canary = true", ""));
        world.expect(3, "sync");
        admits(&world, "edge", &[B, C]);
    });
}

#[test]
fn a_change_that_is_not_confirmed_is_taken_back() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        let with = |script: &str, timeout: &str| {
            let probe = world.write("probe", &format!("cd '{}'\n{script}", world.path("").display()));
            let confirm = format!("confirm = {{ command = [\"sh\", {probe:?}], timeout = \"{timeout}\" }}\n");
            world.config(&EDGE.replace("nftables", &format!("{confirm}nftables")));
        };
        with("echo no answer from outside >&2; exit 7", "1s");
        publish(&world, 11, &[A, B]);
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("no answer from outside"), "{}", run.stdout);
        admits(&world, "edge", &[A]);
        // It stays so, without another try, until somebody says so.
        with("touch tried", "1s");
        world.expect(3, "sync");
        assert!(!world.path("tried").exists());
        admits(&world, "edge", &[A]);
        world.expect(0, "resume");
        assert!(world.path("tried").exists());
        admits(&world, "edge", &[A, B]);
        // Mending drift asks nobody: what comes back was confirmed.
        fs::remove_file(world.path("tried")).unwrap();
        flush(&world);
        world.expect(0, "sync");
        assert!(!world.path("tried").exists());
        // A probe that never answers is given up, with all that it started.
        with("sleep 1000 & echo $! > sleeper; wait", "1s");
        publish(&world, 12, &[A, B, C]);
        let run = world.expect(3, "sync");
        assert!(joined(&run.stdout).contains("no answer within"), "{}", run.stdout);
        admits(&world, "edge", &[A, B]);
        let sleeper = fs::read_to_string(world.path("sleeper")).unwrap();
        let state = fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
        // Nobody may ask this host about itself.
        world.write("address", "http://127.0.0.1:1/");
        world.config(&EDGE.replace("nftables", "confirm = { url-file = \"address\", timeout = \"1s\" }\nnftables"));
        world.expect(3, "resume");
        assert!(joined(&world.expect(3, "status").stdout).contains("would prove nothing"));
    });
}

#[test]
fn one_state_directory_is_of_one_owner() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        let text = fs::read_to_string(world.path("tagwall.toml")).unwrap();
        world.write("tagwall.toml", &text.replace("owner = \"test\"", "owner = \"other\""));
        let run = world.expect(1, "sync");
        assert!(run.stderr.contains("is of owner `test`") && run.stderr.contains("hint"), "{}", run.stderr);
        // A host that is renamed goes on with its rules.
        world.write("tagwall.toml", &text.replace("owner = \"test\"", ""));
        assert!(world.expect(0, "sync").stdout.contains("in sync"));
    });
}

#[test]
fn a_damaged_generation_is_said_and_written_anew() {
    with_namespaces(|| {
        let world = synchronised(&[&[A], &[A, B]]);
        for damage in ["", "{}", "{\"version\": 7}"] {
            let newest = fs::read_dir(world.path("state/generations")).unwrap().count();
            world.write(&format!("state/generations/{newest}.json"), damage);
            world.expect(0, "sync");
            fs::remove_file(world.path("feed.json")).unwrap();
            flush(&world);
            let run = world.expect(0, "restore");
            assert_eq!(run.stderr, "", "it was not written anew");
            admits(&world, "edge", &[A, B]);
            publish(&world, 11, &[A, B]);
        }
    });
}

#[test]
fn what_the_last_target_left_is_shown_without_any_target() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        world.config("");
        let run = world.expect(0, "status");
        assert!(run.stderr.contains("orphan") && run.stderr.contains("tagwall:test/edge"), "{}", world.telling(&run));
        assert!(world.expect(1, "sync").stderr.contains("withdraw --orphans"));
        world.expect(0, "withdraw --orphans --yes");
        assert_eq!(world.expect(0, "status").stderr.matches("orphan").count(), 0);
    });
}

#[test]
fn a_restore_never_empties_rules_that_stand() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        fs::remove_dir_all(world.path("state")).unwrap();
        let before = world.ruleset();
        let run = world.expect(1, "restore");
        assert!(joined(&run.stdout).contains("left as they are"), "{}", world.telling(&run));
        assert_eq!(world.ruleset(), before);
        // Negative control: where nothing stands, the port is closed.
        flush(&world);
        world.expect(0, "restore");
        admits(&world, "edge", &[]);
    });
}

#[test]
fn a_list_that_is_renamed_while_its_publication_is_refused_costs_nobody_anything() {
    with_namespaces(|| {
        let both = "[lists.a]\ntags = [\"A\"]\n[lists.b]\ntags = [\"B\"]\n[targets.edge]\nlists = [\"a\", \"b\"]\nnftables = {}";
        let world = World::empty();
        world.config(both);
        world.feed(10, &[("A", &[A]), ("B", &[B])]);
        world.expect(0, "sync");
        world
            .config(&both.replace("lists.b]\ntags = [\"B\"]", "lists.c]\ntags = [\"typo\"]").replace("\"b\"", "\"c\""));
        for command in ["sync", "restore"] {
            let _ = world.tagwall(command);
            admits(&world, "edge", &[A, B]);
            flush(&world);
            let _ = world.tagwall(command);
            admits(&world, "edge", &[A, B]);
        }
    });
}

#[test]
fn what_add_only_left_is_no_leave_to_remove_it() {
    with_namespaces(|| {
        let all = many(32);
        let add_only = EDGE.replace("nftables", "policy = \"add-only\"\nnftables");
        let world = World::empty();
        world.config(&add_only);
        publish(&world, 10, &strs(&all));
        world.expect(0, "sync");
        publish(&world, 11, &strs(&all[16..]));
        let _ = world.tagwall("sync");
        world.config(EDGE);
        world.expect(3, "sync");
        admits(&world, "edge", &strs(&all));
        flush(&world);
        world.expect(3, "sync");
        admits(&world, "edge", &strs(&all));
    });
}

#[test]
fn a_pin_goes_nowhere_else() {
    with_namespaces(|| {
        let world = synchronised(&[&[A], &[A, B], &[A, B, C]]);
        world.expect(0, "rollback --to 1");
        let before = world.ruleset();
        let path = world.path("state/generations/1.json");
        let good = fs::read(&path).unwrap();
        for damage in [None, Some("damaged")] {
            fs::remove_file(&path).unwrap();
            if let Some(text) = damage {
                world.write("state/generations/1.json", text);
            } else {
                fs::write(&path, "").unwrap();
                fs::remove_file(&path).unwrap();
            }
            let run = world.expect(1, "sync");
            assert!(joined(&run.stdout).contains("is pinned, and is left as it is"), "{}", world.telling(&run));
            assert_eq!(world.ruleset(), before);
            fs::write(&path, &good).unwrap();
        }
        world.expect(0, "sync");
        // What is paused is not written, and not pinned either.
        world.expect(0, "resume");
        world.expect(0, "pause");
        world.expect(3, "rollback");
        world.expect(0, "resume");
        assert!(!world.expect(0, "status").stdout.contains("pinned"));
        admits(&world, "edge", &[A, B, C]);
    });
}

#[test]
fn a_pinned_canary_holds_the_others() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(TWO);
        for (number, prefixes) in [(10, &[B][..]), (11, &[B, C])] {
            world.feed(number, &[("A", prefixes), ("B", prefixes)]);
            world.expect(0, "sync");
        }
        world.expect(0, "rollback --target zz-first");
        world.feed(12, &[("A", &[A, B, C]), ("B", &[A, B, C])]);
        let run = world.expect(3, "sync");
        assert!(joined(&run.stdout).contains("`zz-first` goes ahead, and it is pinned"), "{}", world.telling(&run));
        admits(&world, "edge", &[B, C]);
        admits(&world, "zz-first", &[B]);
        world.expect(0, "resume");
        world.expect(0, "sync");
        admits(&world, "edge", &[A, B, C]);
    });
}

#[test]
fn a_resume_ends_what_it_names() {
    with_namespaces(|| {
        let world = World::empty();
        world.config(&TWO.replace("canary = true", ""));
        for (number, prefixes) in [(10, &[B][..]), (11, &[B, C])] {
            world.feed(number, &[("A", prefixes), ("B", prefixes)]);
            world.expect(0, "sync");
        }
        world.expect(0, "rollback");
        world.expect(0, "pause");
        // The pause of everything ends, what somebody pinned stays.
        let run = world.expect(0, "resume");
        assert!(run.stderr.contains("tagwall resume --target edge"), "{}", world.telling(&run));
        admits(&world, "edge", &[B]);
        assert!(world.expect(1, "resume").stderr.contains("edge, zz-first"));
        world.expect(0, "resume --target edge");
        admits(&world, "edge", &[B, C]);
        admits(&world, "zz-first", &[B]);
        world.expect(0, "resume --all");
        admits(&world, "zz-first", &[B, C]);
    });
}

#[test]
fn who_is_asked_by_an_address_is_not_on_this_host() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        let outside = Namespace::new();
        world.host.join(&outside);
        // Answers one request with this status, and yields the request.
        let answer = |status: &'static str| {
            let listener = outside.inside(|| TcpListener::bind(("::", 80)).unwrap());
            std::thread::spawn(move || {
                let (mut connection, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let mut length = 0;
                while !String::from_utf8_lossy(&request[..length]).contains('}') {
                    length += connection.read(&mut request[length..]).unwrap();
                }
                write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            })
        };
        world.write("address", "http://10.77.0.2/secret-path");
        world.config(&EDGE.replace("nftables", "confirm = { url-file = \"address\", timeout = \"2s\" }\nnftables"));
        let asked = answer("204 No Content");
        publish(&world, 11, &[A, B]);
        world.expect(0, "sync");
        let request = asked.join().unwrap();
        assert!(request.starts_with("POST /secret-path") && request.contains("\"target\":\"edge\""), "{request}");
        admits(&world, "edge", &[A, B]);
        // A probe that says no; its address is told nowhere.
        let asked = answer("502 Bad Gateway");
        publish(&world, 12, &[A, B, C]);
        let run = world.expect(3, "sync -vv");
        asked.join().unwrap();
        assert!(joined(&run.stdout).contains("`10.77.0.2` answered 502"), "{}", run.stdout);
        assert!(!world.telling(&run).contains("secret-path"), "{}", world.telling(&run));
        admits(&world, "edge", &[A, B]);
    });
}

#[test]
fn a_pass_that_is_killed_before_it_was_confirmed_is_asked_about_later() {
    with_namespaces(|| {
        let world = synchronised(&[&[A]]);
        let with = |script: &str| {
            let probe = world.write("probe", &format!("cd '{}'\n{script}", world.path("").display()));
            let confirm = format!("confirm = {{ command = [\"sh\", {probe:?}], timeout = \"1s\" }}\n");
            world.config(&EDGE.replace("nftables", &format!("{confirm}nftables")));
        };
        // The probe kills who asks it, after the change was made.
        with("kill -9 $PPID");
        publish(&world, 11, &[A, B]);
        let mut killed = world.spawn(&mut world.command("sync"));
        assert!(!killed.wait().unwrap().success());
        admits(&world, "edge", &[A, B]);
        with("exit 1");
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("taken back to generation 1"), "{}", run.stdout);
        admits(&world, "edge", &[A]);
        assert!(world.expect(3, "status").stdout.contains("unconfirmed"));
        // So it is with an edit of the operator's own.
        publish(&world, 12, &[A]);
        with("exit 0");
        world.expect(0, "resume");
        with("exit 1");
        let text = fs::read_to_string(world.path("tagwall.toml")).unwrap();
        world.write("tagwall.toml", &text.replace("[targets", "exclude = [\"192.0.2.0/25\"]\n[targets"));
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("taken back"), "{}", run.stdout);
        admits(&world, "edge", &[A]);
        flush(&world);
        world.expect(3, "sync");
        admits(&world, "edge", &[A]);
    });
}
