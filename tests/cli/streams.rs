//! Widths, colours, closed pipes, full disks, and the log.

use std::fs;
use std::process::{Command, Stdio};

use super::TWO;
use crate::support::{EDGE, TAGWALL, World, document, many, strs, with_namespaces};

#[test]
fn nothing_of_a_dry_run_is_wider_than_80_columns_but_paths() {
    with_namespaces(|| {
        let check = |world: &World, arguments: &str| {
            let run = world.tagwall(arguments);
            let wide = |line: &&str| line.chars().count() > 80 && !line.contains("feed.json");
            assert_eq!(run.stdout.lines().find(wide), None, "{}", world.telling(&run));
            run.status
        };
        let prefixes = many(32);
        let world = World::edge(&strs(&prefixes));
        assert_eq!(check(&world, "sync -n"), 2);
        assert_eq!(check(&world, "sync -n -v"), 2);
        world.expect(0, "sync");
        world.host.nft("delete table inet tagwall; add table ip x; add chain ip x y { type filter hook input priority 9; policy drop; }");
        assert_eq!(check(&world, "sync -n"), 2);
        world.feed(11, &[("AzureActiveDirectory", &strs(&prefixes[10..]))]);
        assert_eq!(check(&world, "sync -n"), 3);
        world.config(&EDGE.replace("entra", "a-list-with-a-name-as-long-as-a-name-may-ever-be"));
        world.feed(11, &[("AzureActiveDirectory", &["8.0.0.0/7", "10.0.0.0/8", "224.0.0.0/4", "fc00::/7"])]);
        assert_eq!(check(&world, "sync -n"), 3);
        world.feed(11, &[("Azure", &["192.0.2.0/25"])]);
        assert_eq!(check(&world, "sync -n"), 3);
        assert_eq!(check(&world, "status"), 2);
    });
}

#[test]
fn colour_is_for_those_who_want_it() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        let coloured = |arguments: &str, variables: &[(&str, &str)]| {
            let run = world.finish(world.command(arguments).envs(variables.iter().copied()));
            assert_eq!(run.status, 2);
            let plain = anstream::adapter::strip_str(&run.stdout).to_string();
            assert_eq!(plain, world.tagwall("sync -n").stdout, "colours change the words");
            plain != run.stdout
        };
        // stdout is a pipe here.
        assert!(!coloured("sync -n", &[]));
        assert!(coloured("sync -n --color always", &[]));
        assert!(coloured("sync -n --color always", &[("NO_COLOR", "1")]));
        assert!(!coloured("sync -n --color never", &[("CLICOLOR_FORCE", "1")]));
        assert!(coloured("sync -n", &[("CLICOLOR_FORCE", "1")]));
        assert!(!coloured("sync -n", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));

        let on_terminal = |variables: &str| {
            let mut command = Command::new("script");
            world.prepare(&mut command);
            let line = format!("env {variables} {TAGWALL} sync -n -c tagwall.toml");
            world.finish(command.args(["-qec", &line, "/dev/null"])).stdout.contains('\x1b')
        };
        assert!(on_terminal("TERM=xterm"));
        assert!(!on_terminal("TERM=xterm NO_COLOR=1"));
        assert!(!on_terminal("TERM=dumb"));
    });
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(40)));
        // The line ends are what `head` waits for; the rest meets a closed pipe.
        let many_tags: Vec<(String, Vec<String>)> = (0..5000).map(|number| (format!("Tag{number}"), many(1))).collect();
        let tags: Vec<(&str, Vec<&str>)> =
            many_tags.iter().map(|(name, prefixes)| (name.as_str(), strs(prefixes))).collect();
        let tags: Vec<(&str, &[&str])> = tags.iter().map(|(name, prefixes)| (*name, prefixes.as_slice())).collect();
        world.write("large.json", &document(10, &tags));
        let check = |arguments: &str| {
            let mut command = Command::new("bash");
            world.prepare(&mut command);
            let line = format!("{TAGWALL} {arguments} | head -n 1; echo ${{PIPESTATUS[0]}}");
            let run = world.finish(command.args(["-c", &line]));
            assert_eq!(run.stdout.lines().last(), Some("0"), "{}", world.telling(&run));
            assert!(!run.stderr.contains("panic"), "{}", run.stderr);
        };
        check("tags --feed large.json");
        check("generate schema config");
        check("generate completions bash");
        check("generate man");
        check("--help");
        check("prefixes --feed large.json --tag Tag1 --format json");
    });
}

#[test]
fn a_full_disk_is_an_error() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        let check = |arguments: &str| {
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut child = world.spawn(world.command(arguments).stdout(full).stderr(Stdio::null()));
            assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments}");
        };
        check("tags");
        check("sync -n");
        check("generate schema config");
    });
}

#[test]
fn the_log_goes_to_stderr_as_loud_as_asked() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        assert_eq!(world.tagwall("sync").stderr, "");
        world.expect(0, "withdraw --yes");
        let run = world.tagwall("sync -vv");
        assert!(run.stderr.contains("DEBUG") && run.stderr.contains("edge"), "{}", run.stderr);
        assert!(!run.stdout.contains("DEBUG"));
        world.expect(0, "withdraw --yes");
        let filtered = world.finish(world.command("sync").env("TAGWALL_LOG", "tagwall=debug"));
        assert!(filtered.stderr.contains("DEBUG"), "{}", filtered.stderr);
    });
}
