//! Passes that go well, and what becomes of several targets.

use insta::assert_snapshot;

use super::TWO;
use crate::support::{World, many, strs, with_namespaces};

#[test]
fn a_first_pass_planned_applied_and_in_sync() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        assert_snapshot!(world.tell("sync --dry-run"), @r"
        exit status 2
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          * create chains on input, priority 0: closes tcp port 8443 to everybody else
          + 192.0.2.0/25
          + 198.51.100.0/24
          + 2001:db8:1::/48
          IPv4: +2 -0 prefixes, 384 addresses gained, 0 lost
          IPv6: +1 -0 prefixes, 2^80 addresses gained, 0 lost
          planned: 2 IPv4 and 1 IPv6 prefixes

        Dry run: 1 to change; nothing was changed, `tagwall sync` applies it
        ");
        assert_snapshot!(world.tell("sync"), @r"
        exit status 0
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          * create chains on input, priority 0: closes tcp port 8443 to everybody else
          + 192.0.2.0/25
          + 198.51.100.0/24
          + 2001:db8:1::/48
          IPv4: +2 -0 prefixes, 384 addresses gained, 0 lost
          IPv6: +1 -0 prefixes, 2^80 addresses gained, 0 lost
          applied and read back: 2 IPv4 and 1 IPv6 prefixes

        1 changed
        ");
        assert_snapshot!(world.tell("sync"), @r"
        exit status 0
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          in sync: 2 IPv4 and 1 IPv6 prefixes

        1 in sync
        ");
        assert_snapshot!(world.tell("sync --dry-run"), @r"
        exit status 0
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          in sync: 2 IPv4 and 1 IPv6 prefixes

        Dry run: 1 in sync
        ");
        assert_snapshot!(world.tell("status"), @r"
        exit status 0
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json (the last good one, from disk)

        edge  nftables inet tagwall, tcp 8443, entra
          in sync: 2 IPv4 and 1 IPv6 prefixes

        1 in sync
        edge: last pass less than a minute ago, enforced as it should be; generation 1
        --- stderr
        warning: target `edge`: nothing listens on tcp port 8443 here
        ");
        assert_snapshot!(world.tell("check"), @r"
        exit status 0
        --- stdout
        tagwall.toml is valid: owner test, public cloud
          edge: nftables inet tagwall, tcp 8443, entra, policy sync
        --- stderr
        warning: target `edge`: nothing listens on tcp port 8443 here
        ");
        assert_snapshot!(world.tell("sync --quiet"), @r"exit status 0");
        assert_snapshot!(world.tell("withdraw"), @r"
        exit status 3
        --- stderr
          refused unconfirmed: nobody said yes, and nothing was changed
          hint: `--yes` says it for a script
        ");
        assert_snapshot!(world.tell("withdraw --yes"), @r"
        exit status 0
        --- stdout
        edge: withdrawn
        ");
        assert_snapshot!(world.tell("withdraw --yes"), @r"
        exit status 0
        --- stdout
        edge: nothing of ours was there
        ");
        assert_snapshot!(world.tell("status"), @r"
        exit status 2
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json (the last good one, from disk)

        edge  nftables inet tagwall, tcp 8443, entra
          * create chains on input, priority 0: closes tcp port 8443 to everybody else
          + 192.0.2.0/25
          + 198.51.100.0/24
          + 2001:db8:1::/48
          IPv4: +2 -0 prefixes, 384 addresses gained, 0 lost
          IPv6: +1 -0 prefixes, 2^80 addresses gained, 0 lost
          planned: 2 IPv4 and 1 IPv6 prefixes

        1 to change; `tagwall sync` applies it
        edge: withdrawn on purpose less than a minute ago; `tagwall sync` enforces it again; generation 1
        --- stderr
        warning: target `edge`: nothing listens on tcp port 8443 here
        ");
    });
}

#[test]
fn a_change_is_shown_by_what_it_means() {
    with_namespaces(|| {
        let mut prefixes = many(32);
        let world = World::edge(&strs(&prefixes));
        world.expect(0, "sync");
        // One goes, one comes, three are written another way, one of them wider.
        prefixes.retain(|prefix| !["198.51.100.0/29", "203.0.113.16/29"].contains(&prefix.as_str()));
        prefixes.extend(["203.0.113.16/30", "203.0.113.20/30", "198.51.100.24/29", "192.0.2.0/28"].map(str::to_owned));
        world.feed(11, &[("AzureActiveDirectory", &strs(&prefixes))]);
        assert_snapshot!(world.tell("sync --dry-run"), @r"
        exit status 2
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          + 192.0.2.0/28
          + 198.51.100.16/28
          - 198.51.100.0/29
          ~ re-expressed: 1 prefix, 0 addresses lost
          IPv4: +2 -1 prefixes, 24 addresses gained, 8 lost
          planned: 32 IPv4 and 2 IPv6 prefixes

        Dry run: 1 to change; nothing was changed, `tagwall sync` applies it
        ");
        assert_eq!(world.expect(0, "sync -q").stdout, "");
    });
}

#[test]
fn long_lists_are_folded_unless_all_is_asked_for() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(40)));
        assert_snapshot!(world.tell("sync -n"), @r"
        exit status 2
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          * create chains on input, priority 0: closes tcp port 8443 to everybody else
          + 192.0.2.0/29
          + 192.0.2.16/29
          + 192.0.2.32/29
          + 192.0.2.48/29
          + 192.0.2.64/29
          + 192.0.2.80/29
          + 192.0.2.96/29
          + 192.0.2.112/29
          + … 34 more, -v shows all
          IPv4: +40 -0 prefixes, 320 addresses gained, 0 lost
          IPv6: +2 -0 prefixes, 2^81 addresses gained, 0 lost
          planned: 40 IPv4 and 2 IPv6 prefixes

        Dry run: 1 to change; nothing was changed, `tagwall sync` applies it
        ");
        let full = world.tagwall("sync -n -v").stdout;
        assert!(full.lines().filter(|line| line.starts_with("  + ")).count() == 42 && !full.contains('…'), "{full}");
    });
}

#[test]
fn the_worst_of_all_targets_is_the_exit_status() {
    with_namespaces(|| {
        let world = World::empty();
        let target = |name: &str, list: &str, port: u16| {
            format!("[targets.{name}]\nlists = [\"{list}\"]\nports = [{port}]\nnftables = {{}}\n")
        };
        let broken = "[targets.broken]\nlists = [\"good\"]\nports = [4]\n\
                      nftables = { mode = \"set\", table = \"inet none\", v4 = \"a\", v6 = \"b\" }\n";
        let lists = "[lists.good]\ntags = [\"Good\"]\n[lists.gone]\ntags = [\"Gone\"]\n";
        let tags: &[(&str, &[&str])] = &[("Good", &["192.0.2.0/24"])];
        world.feed(1, tags);
        let check = |targets: &[&str], dry: i32, real: i32| {
            world.config(&format!("{lists}{}", targets.concat()));
            world.expect(dry, "sync -n");
            world.expect(real, "sync");
        };
        let (insync, pending) = (target("insync", "good", 1), target("pending", "good", 2));
        let (refused, again) = (target("refused", "gone", 3), target("again", "good", 5));
        check(&[&insync], 2, 0);
        check(&[&insync], 0, 0);
        check(&[&insync, &pending], 2, 0);
        check(&[&insync, &pending, &refused], 3, 3);
        check(&[&insync, &again, &refused], 3, 3);
        check(&[&refused, broken], 1, 1);
        check(&[&insync, broken], 1, 1);
        // Those that can be kept are, whatever becomes of the others.
        check(&[&insync, &target("late", "good", 6), &refused, broken], 1, 1);
        assert!(!world.admitted("late").to_string().is_empty());
    });
}
