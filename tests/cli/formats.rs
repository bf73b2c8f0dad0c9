//! What is printed for other programs: prefixes, tags, man pages, completions.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use super::TWO;
use crate::support::{World, with_namespaces};

#[test]
fn prefixes_in_every_format() {
    with_namespaces(|| {
        let world = World::empty();
        world.feed(
            10,
            &[
                ("AzureActiveDirectory", &["198.51.100.0/25", "2001:db8::/48", "192.0.2.128/25", "198.51.100.128/25"]),
                ("Storage", &["192.0.2.0/25"]),
                ("V4Only", &["192.0.2.0/25"]),
                ("2ndTag.West-Europe", &["192.0.2.7/32"]),
            ],
        );
        let feed = "--feed feed.json";
        // What is printed here is documentation space, which `sync` would refuse and this warns about.
        let tell = |arguments: &str| world.expect(0, &format!("prefixes {arguments} {feed}")).stdout;
        assert_snapshot!(tell("--tag azureactivedirectory"), @r"
        192.0.2.128/25
        198.51.100.0/24
        2001:db8::/48
        ");
        assert_snapshot!(tell("--tag Storage --tag AzureActiveDirectory"), @r"
        192.0.2.0/24
        198.51.100.0/24
        2001:db8::/48
        ");
        assert_snapshot!(tell("--tag AzureActiveDirectory --format json"), @r#"
        {
          "schema": 1,
          "name": "AzureActiveDirectory",
          "publication": {
            "cloud": "public",
            "change_number": 10,
            "date": null,
            "age_days": 0,
            "sha256": "811f1e2b9b68a702122ebbc1559a64e6af02baf77c4a37741f1aea2a7cc73463",
            "origin": "feed.json",
            "freshness": "fresh",
            "unknown_fields": 0
          },
          "ipv4": [
            "192.0.2.128/25",
            "198.51.100.0/24"
          ],
          "ipv6": [
            "2001:db8::/48"
          ]
        }
        "#);
        assert_snapshot!(tell("--tag AzureActiveDirectory --format nft"), @r"
        # Public service tags, change number 10
        # sha256 811f1e2b9b68a702122ebbc1559a64e6af02baf77c4a37741f1aea2a7cc73463
        define azureactivedirectory_v4 = {
            192.0.2.128/25,
            198.51.100.0/24
        }
        define azureactivedirectory_v6 = {
            2001:db8::/48
        }
        ");
        assert_snapshot!(tell("--tag AzureActiveDirectory --format terraform"), @r#"
        # Public service tags, change number 10
        # sha256 811f1e2b9b68a702122ebbc1559a64e6af02baf77c4a37741f1aea2a7cc73463
        locals {
          azureactivedirectory_ipv4 = [
            "192.0.2.128/25",
            "198.51.100.0/24",
          ]
          azureactivedirectory_ipv6 = [
            "2001:db8::/48",
          ]
        }
        "#);
        assert_snapshot!(world.tell(&format!("prefixes --tag AzureActiveDirectry {feed}")), @r"
        exit status 3
        --- stderr
          refused missing-tag: list `AzureActiveDirectry`: the publication has no tag
              `AzureActiveDirectry`
          hint: did you mean `AzureActiveDirectory`?
          hint: `tagwall tags` lists the tags of the publication
        ");
        assert_snapshot!(world.tell(&format!("prefixes --tag AzureActiveDirectory --cloud china {feed}")), @r"
        exit status 1
        --- stderr
        error: feed.json is the publication of cloud `Public`, not of `China`
        hint: Microsoft has served another cloud's document by mistake before; if it is not that, correct `cloud`
        ");

        // What is for nft is taken by nft.
        for tag in ["AzureActiveDirectory", "V4Only", "2ndTag.West-Europe"] {
            let text = tell(&format!("--tag {tag} --format nft"));
            let names: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix("define ")?.split(' ').next()).collect();
            let set = |name: &&str| {
                let kind = if name.ends_with("_v4") { "ipv4_addr" } else { "ipv6_addr" };
                format!("add set inet t {name} {{ type {kind}; flags interval; elements = ${name}; }}\n")
            };
            let script = format!("{text}add table inet t\n{}", names.iter().map(set).collect::<String>());
            assert!(!names.is_empty() && world.host.try_nft(&["-c", "-f", "-"], &script), "nft refused:\n{script}");
            assert!(!world.host.try_nft(&["-c", "-f", "-"], &script.replace("define ", "def ")), "nft takes anything");
        }
    });
}

#[test]
fn tags_are_listed_and_searched() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        world.feed(
            10,
            &[
                ("Storage", &["192.0.2.0/24"]),
                ("AzureActiveDirectory", &TWO),
                ("Storage.WestEurope", &["192.0.2.0/25"]),
            ],
        );
        assert_snapshot!(world.tell("tags"), @r"
        exit status 0
        --- stdout
        AzureActiveDirectory       2 IPv4       1 IPv6
        Storage                    1 IPv4       0 IPv6
        ");
        assert_snapshot!(world.tell("tags STOR --all"), @r"
        exit status 0
        --- stdout
        Storage                  1 IPv4       0 IPv6
        Storage.WestEurope       1 IPv4       0 IPv6
        ");
        assert_snapshot!(world.tell("tags west"), @r"
        exit status 0
        --- stderr
        no tag matches; --all searches regional tags too
        ");
        let json = world.expect(0, "tags storage --all --format json").json();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["tags"][1]["name"], "Storage.WestEurope");
        assert_eq!(json["tags"][1]["region"], "WestEurope");
    });
}

#[test]
fn those_who_connect_today_are_held_against_the_lists() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        let log =
            "192.0.2.1 - - \"GET /scim\"\n192.0.2.1 -\n203.0.113.9:50022 -\n203.0.113.9 -\n198.18.0.1 -\nrestarted\n";
        world.write("access.log", log);
        assert_snapshot!(world.tell("clients access.log --most 1"), @r"
        exit status 0
        --- stdout
        3 addresses, 6 lines, 1 without an address

        edge  nftables inet tagwall
          would let in    1 address, 2 lines
          would shut out  2 addresses, 3 lines
            203.0.113.9  2
            … 1 more, --most shows them
        ");
        let json = world.expect(0, "clients access.log --format json").json();
        assert_eq!((&json["addresses"], &json["targets"][0]["shut_out"]["lines"]), (&3.into(), &3.into()), "{json}");
        assert_eq!(json["targets"][0]["clients"][0], serde_json::json!({ "address": "203.0.113.9", "lines": 2 }));
        assert!(world.expect(1, "clients nowhere.log").stderr.contains("cannot read `nowhere.log`"));
        // Nothing is remembered, and no firewall is asked.
        assert!(!world.path("state").exists());
    });
}

#[test]
fn man_pages_and_completions() {
    with_namespaces(|| {
        let world = World::empty();
        world.expect(0, "generate man --dir man");
        let mut pages: Vec<String> = fs::read_dir(world.path("man"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        pages.sort();
        assert_snapshot!(pages.join(" "), @r"tagwall-apply.1 tagwall-check.1 tagwall-clients.1 tagwall-explain.1 tagwall-generate.1 tagwall-history.1 tagwall-observe.1 tagwall-pause.1 tagwall-plan.1 tagwall-prefixes.1 tagwall-restore.1 tagwall-resume.1 tagwall-rollback.1 tagwall-run.1 tagwall-status.1 tagwall-sync.1 tagwall-tags.1 tagwall-withdraw.1 tagwall.1");
        for page in &pages {
            let text = fs::read_to_string(world.path("man").join(page)).unwrap();
            let name = page.strip_suffix(".1").unwrap();
            assert!(
                text.contains(&format!(".TH {}", name.to_ascii_uppercase())) && text.contains(".SH SYNOPSIS"),
                "{text}"
            );
            let verb = name.strip_prefix("tagwall").unwrap().trim_start_matches('-');
            assert_eq!(world.expect(0, &format!("generate man {verb}")).stdout, text);
        }
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let text = world.expect(0, &format!("generate completions {shell}")).stdout;
            assert!(text.contains("withdraw") && text.contains("dry-run"), "{shell}: {text}");
        }
        // bash at least can be asked whether it takes its own.
        let completions = world.expect(0, "generate completions bash").stdout;
        let path = world.write("tagwall.bash", &completions);
        let mut bash = Command::new("bash");
        world.prepare(&mut bash);
        assert_eq!(world.finish(bash.arg("-n").arg(path)).status, 0);
    });
}
