//! What is so now is told before what was: by `status` of rules that are gone, by `check` of what a pass would not take.

use crate::support::{EDGE, World, many, strs, with_namespaces};

#[test]
fn rules_that_are_gone_are_no_old_success() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(3)));
        assert_eq!(world.tagwall("sync -q").status, 0);
        let right = world.tagwall("status");
        assert!(right.stdout.contains("enforced as it should be"), "{}", world.telling(&right));
        assert!(!right.stderr.contains("open to everybody"), "{}", world.telling(&right));
        world.host.nft("flush ruleset");
        let gone = world.tagwall("status");
        assert_eq!(gone.status, 2);
        assert!(gone.stdout.contains("edge: not so now; left right by a pass"), "{}", world.telling(&gone));
        assert!(!gone.stdout.contains("enforced as it should be"), "{}", world.telling(&gone));
        let warned = "`edge`: its rules are gone: tcp 8443 is open to everybody whom no rule of others keeps out";
        assert!(gone.stderr.contains(warned), "{}", world.telling(&gone));
        // What somebody took away on purpose is no surprise.
        assert_eq!(world.tagwall("withdraw --yes").status, 0);
        let withdrawn = world.tagwall("status");
        assert!(!withdrawn.stderr.contains("its rules are gone"), "{}", world.telling(&withdrawn));
    });
}

#[test]
fn a_file_is_read_where_nothing_of_it_is_remembered() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(3)));
        let status = world.tagwall("status");
        assert_eq!(status.status, 2, "{}", world.telling(&status));
        assert!(status.stdout.contains("+3 -0 prefixes"), "{}", world.telling(&status));
        std::fs::remove_file(world.path("feed.json")).unwrap();
        let missing = world.tagwall("status");
        assert_eq!(missing.status, 1, "{}", world.telling(&missing));
        assert!(missing.stderr.contains("feed.json"), "{}", world.telling(&missing));
    });
}

#[test]
fn a_check_fails_where_a_pass_would() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(3)));
        assert_eq!(world.tagwall("check").status, 0);
        world.config(&EDGE.replace("\"AzureActiveDirectory\"", "\"AzureActiveDirectry\""));
        let typo = world.tagwall("check");
        assert_eq!(typo.status, 1, "{}", world.telling(&typo));
        assert!(typo.stderr.contains("did you mean `AzureActiveDirectory`?"), "{}", world.telling(&typo));
        // Of the configuration alone nothing is wrong.
        assert_eq!(world.tagwall("check --no-environment").status, 0);
        world.config(EDGE);
        std::fs::remove_file(world.path("feed.json")).unwrap();
        let missing = world.tagwall("check");
        assert_eq!(missing.status, 1, "{}", world.telling(&missing));
        assert!(missing.stderr.contains("feed.json"), "{}", world.telling(&missing));
    });
}

#[test]
fn a_configuration_that_is_not_read_is_pointed_at() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(3)));
        // The tests' own `-c` is left out.
        let run = |folder: &std::path::Path| {
            let mut command = std::process::Command::new(crate::support::TAGWALL);
            command.current_dir(folder).args(["--state-dir", "elsewhere", "--feed"]).arg(world.path("feed.json"));
            String::from_utf8(command.args(["sync", "--dry-run"]).output().unwrap().stderr).unwrap()
        };
        let here = world.path("tagwall.toml").parent().unwrap().to_owned();
        assert!(run(&here).contains("the `tagwall.toml` that is here is read with `-c tagwall.toml`"));
        assert!(!run(std::path::Path::new("/")).contains("that is here"));
    });
}
