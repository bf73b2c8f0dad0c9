//! What a pull request and a job are told.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use crate::support::{EDGE, TAGWALL, World, many, old_and_new, strs, with_namespaces};

/// A world with a change that is pending, of which the first list was accepted before.
fn pending() -> World {
    let [old, new] = old_and_new();
    let world = World::edge(&strs(&old));
    world.expect(0, "sync");
    world.config(&format!("{EDGE}[lists.entra.limits]\nloss = \"50%\"\n"));
    world.feed(11, &[("AzureActiveDirectory", &strs(&new))]);
    world
}

#[test]
fn markdown_is_a_comment_that_its_job_finds_again() {
    with_namespaces(|| {
        let world = pending();
        assert_snapshot!(world.tell("plan --format markdown"), @"");
        assert_snapshot!(world.tell("sync --format markdown"), @"");
        assert_snapshot!(world.tell("status --format markdown"), @"");
        world.feed(12, &[("AzureActiveDirectory", &strs(&many(3)))]);
        assert_snapshot!(world.tell("sync --format markdown"), @"");
        let first = |arguments: &str| world.tagwall(arguments).stdout.lines().next().unwrap_or_default().to_owned();
        assert_eq!(first("plan --format markdown"), "<!-- tagwall:plan:test -->");
        assert_eq!(first("plan --format markdown -c missing.toml"), "<!-- tagwall:error -->");
        // The host's name is another for each job: it is no part of the mark.
        let text = fs::read_to_string(world.path("tagwall.toml")).unwrap();
        world.write("nameless.toml", &text.replace("owner = \"test\"\n", ""));
        assert_eq!(first("plan --format markdown -c nameless.toml --state-dir none"), "<!-- tagwall:plan -->");
    });
}

#[test]
fn a_job_gets_annotations_and_a_summary() {
    with_namespaces(|| {
        let world = pending();
        let run = |arguments: &str, status: i32| {
            let mut command = world.command(&format!("{arguments} --format github"));
            let run = world.finish(command.env("GITHUB_STEP_SUMMARY", world.path("summary.md")));
            assert_eq!(run.status, status, "{}", world.telling(&run));
            run
        };
        world.write("summary.md", "# before\n");
        assert_eq!(run("plan", 2).stdout, "");
        let summary = fs::read_to_string(world.path("summary.md")).unwrap();
        let rest = summary.strip_prefix("# before\n").expect("what stood in the summary stays");
        assert_eq!(rest, world.tagwall("plan --format markdown").stdout);
        world.feed(12, &[("AzureActiveDirectory", &strs(&many(3)))]);
        assert_snapshot!(world.telling(&run("sync", 3)), @"");
        assert_snapshot!(world.telling(&run("plan -c missing.toml", 1)), @"");
        // Without a summary the Markdown is the rest of the result.
        let stdout = world.expect(3, "plan --format github").stdout;
        assert!(
            stdout.starts_with("::error title=tagwall%3A edge refused%2C loss::")
                && stdout.contains("<!-- tagwall:plan:test -->"),
            "{stdout}"
        );
    });
}

#[test]
fn what_ends_with_which_status_is_the_callers_to_say() {
    with_namespaces(|| {
        let world = pending();
        let check = |arguments: &str, status: i32| {
            let json = world.expect(status, &format!("{arguments} --format json")).json();
            assert_eq!(json["exit_status"], status, "{arguments}");
        };
        check("plan", 2);
        check("plan --fail-on pending", 2);
        check("plan --fail-on refused", 0);
        check("plan --fail-on drift", 0);
        check("plan --fail-on refused,drift", 0);
        check("status --fail-on drift", 0);
        check("plan -t hub", 64);
        // Somebody else's change is drift; what Microsoft published is not.
        world.host.nft("add element inet tagwall edge-v4 { 203.0.113.255 }\n");
        check("plan --fail-on drift", 2);
        check("status --fail-on drift", 2);
        check("plan --fail-on refused", 0);
        check("sync --fail-on drift", 2);
        check("sync --fail-on drift", 0);
        world.host.nft("flush chain inet tagwall edge-ports\n");
        check("plan --fail-on drift", 2);
        world.host.nft("delete table inet tagwall\n");
        check("plan --fail-on drift", 2);
        check("sync", 0);
        world.feed(12, &[("AzureActiveDirectory", &strs(&many(3)))]);
        check("plan", 3);
        check("plan --fail-on pending,drift", 0);
        check("plan --fail-on refused", 3);
        check("sync --fail-on drift", 0);
        // An error is one whatever is asked for.
        fs::remove_file(world.path("feed.json")).unwrap();
        check("plan --fail-on drift", 1);
        // What was withdrawn is no drift.
        world.expect(0, "withdraw --yes");
        check("status --fail-on drift", 0);
        let wrong = world.expect(64, "plan --fail-on nothing");
        assert!(wrong.stderr.contains("possible values: refused, pending, drift"), "{}", wrong.stderr);
    });
}

#[test]
fn what_others_named_stands_in_code_and_ends_nothing() {
    with_namespaces(|| {
        let world = World::edge(&["192.0.2.0/24"]);
        // A chain of somebody else's with a name made to break out.
        world.host.nft(
            "add table inet other { comment \"x\"; }\n\
             add chain inet other bad { type filter hook input priority 0; policy drop; comment \"```\\n::error::@all <img>\"; }\n",
        );
        let markdown = world.tagwall("plan --format markdown").stdout;
        let fences: Vec<&str> = markdown.lines().filter(|line| line.contains("```")).collect();
        assert!(
            fences.len() % 2 == 0 && fences.iter().all(|line| ["```", "```diff", "```text"].contains(line)),
            "{markdown}"
        );
        let mut inside = false;
        for line in markdown.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                assert!(!line.contains("@all") && !line.contains("<img"), "outside of code: {line}");
            }
        }
        let github = world.tagwall("plan --format github").stdout;
        let commands: Vec<&str> = github.lines().filter(|line| line.trim_start().starts_with("::")).collect();
        assert!(commands.iter().all(|line| line.starts_with("::warning title=tagwall::")), "{commands:?}");
    });
}

#[test]
fn no_secret_is_shown_in_any_format() {
    with_namespaces(|| {
        let world = World::edge(&["192.0.2.0/24"]);
        let text = fs::read_to_string(world.path("tagwall.toml")).unwrap();
        let url = "url = \"http://somebody:hunter2@127.0.0.1:9/list.json?token=hunter3\"";
        let source = format!("kind = \"url\"\n{url}\n");
        world.write("tagwall.toml", &text.replace("kind = \"file\"\npath = \"feed.json\"\n", &source));
        for verb in ["plan", "sync", "plan -o plan.json", "status", "observe", "explain 192.0.2.1"] {
            for format in ["text", "json", "markdown", "github"] {
                let mut command = Command::new(TAGWALL);
                world.prepare(&mut command);
                command.args(verb.split(' ')).args(["-c", "tagwall.toml", "-vv"]);
                if verb != "observe" {
                    command.args(["--format", format]);
                }
                let run = world.finish(&mut command);
                let saved = fs::read_to_string(world.path("plan.json")).unwrap_or_default();
                let all = format!("{}{}{saved}", run.stdout, run.stderr);
                assert!(!all.contains("hunter"), "{verb} --format {format}: {all}");
            }
        }
        // The control: the host of it is told, so it was asked.
        let asked = world.tagwall("plan");
        assert!(asked.stdout.contains("127.0.0.1") || asked.stderr.contains("127.0.0.1"), "{}", world.telling(&asked));
    });
}
