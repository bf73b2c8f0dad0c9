//! What is refused, with limit, figure and override, and feeds that fail.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::TWO;
use crate::support::{World, document, many, strs, with_namespaces};

#[test]
fn a_loss_is_refused_with_its_figure_and_goes_by_override() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        let before = world.ruleset();
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        assert_snapshot!(world.tell("sync"), @r#"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          held back:
          - 198.51.100.0/29
          - 198.51.100.16/29
          - 198.51.100.32/29
          - 198.51.100.48/29
          - 198.51.100.64/29
          - 198.51.100.80/29
          - 198.51.100.96/29
          - 198.51.100.112/29
          IPv4: +0 -8 prefixes, 0 addresses gained, 64 lost
          refused loss: list `entra`: 25.0 % of the IPv4 addresses (64) and 25.0 % of
              the prefixes (8 of 32) would go, the limit is 10 %
          hint: until then its new prefixes are not admitted either
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss = "25%"` in `[limits]` or in the list's own `limits` would let it
              through (now "10%")
          hint: to let this one through: --override loss --reason TEXT
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        "#);
        assert_snapshot!(world.tell("sync -q"), @r#"
        exit status 3
        --- stdout
        edge
          refused loss: list `entra`: 25.0 % of the IPv4 addresses (64) and 25.0 % of
              the prefixes (8 of 32) would go, the limit is 10 %
          hint: until then its new prefixes are not admitted either
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss = "25%"` in `[limits]` or in the list's own `limits` would let it
              through (now "10%")
          hint: to let this one through: --override loss --reason TEXT
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes
        1 refused
        "#);
        assert_eq!(world.ruleset(), before, "a refused pass changed something");

        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        let run = world.finish(world.command("sync --override loss").args(["--reason", "announced in May"]));
        assert_snapshot!(world.telling(&run), @r"
        exit status 0
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json
        overridden loss: list `entra`: 25.0 % of the IPv4 addresses (64) and 25.0 % of
            the prefixes (8 of 32) would go, the limit is 10 %

        edge  nftables inet tagwall, tcp 8443, entra
          - 198.51.100.0/29
          - 198.51.100.16/29
          - 198.51.100.32/29
          - 198.51.100.48/29
          - 198.51.100.64/29
          - 198.51.100.80/29
          - 198.51.100.96/29
          - 198.51.100.112/29
          IPv4: +0 -8 prefixes, 0 addresses gained, 64 lost
          applied and read back: 24 IPv4 and 2 IPv6 prefixes

        1 changed
        ");
        let audit = fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
        let record: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
        assert_eq!((&record["event"], &record["reason"]), (&"pass".into(), &"announced in May".into()));
        assert!(record["limits"][0].as_str().unwrap().starts_with("loss: list `entra`"), "{record}");
    });
}

#[test]
fn what_a_publication_can_be_refused_for() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        let before = world.ruleset();
        world.feed(9, &[("AzureActiveDirectory", &strs(&all))]);
        assert_snapshot!(world.tell("sync"), @r"
        exit status 3
        --- stdout
        Publication Public, change number 9, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          refused older-publication: the publication has change number 9, the last one
              accepted had 10
          hint: a cache or a mirror may serve an old file: try again later
          hint: Microsoft's own number has fallen twice, in 2020: compare with its page
          hint: to let this one through: --override older-publication --reason TEXT
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        ");
        world.feed(11, &[("AzureActiveDirectory", &["192.0.2.0/24", "2000::/3"])]);
        assert_snapshot!(world.tell("sync"), @r#"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          held back:
          + 192.0.2.0/24
          + 2000::/3
          - 198.51.100.0/29
          - 198.51.100.16/29
          - 198.51.100.32/29
          - 198.51.100.48/29
          - 198.51.100.64/29
          - 198.51.100.80/29
          - 198.51.100.96/29
          - 198.51.100.112/29
          - … 24 more, -v shows all
          ~ re-expressed: 2 prefixes, 0 addresses lost
          IPv4: +1 -32 prefixes, 256 addresses gained, 256 lost
          IPv6: +1 -0 prefixes, about 2^125.0 addresses gained, 0 lost
          refused too-broad: tag `AzureActiveDirectory` has 2000::/3, the limit is /32
          hint: take it out of the list with `exclude`
          hint: `too-broad` in `[limits]` or in the list's own `limits` sets how broad a
              prefix may be
          hint: to let this one through: --override too-broad --reason TEXT
          refused loss: list `entra`: 100.0 % of the IPv4 addresses (256) and 100.0 % of
              the prefixes (32 of 32) would go, the limit is 10 %
          hint: until then its new prefixes are not admitted either
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss = "100%"` in `[limits]` or in the list's own `limits` would let it
              through (now "10%")
          hint: to let this one through: --override loss --reason TEXT
          refused growth: list `entra`: the IPv6 addresses would grow by
              1759218604441500.0 % (about 2^125.0 more than 2^81), the limit is 100 %
          hint: compare with Microsoft's page: is the growth announced, does a second
              source agree?
          hint: `growth` in `[limits]` or in the list's own `limits` (now "100%") sets
              how much is allowed
          hint: to let this one through: --override growth --reason TEXT
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        "#);
        world.feed(11, &[("AzureActiveDirectory", &[])]);
        assert_snapshot!(world.tell("sync"), @r#"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          held back:
          - 198.51.100.0/29
          - 198.51.100.16/29
          - 198.51.100.32/29
          - 198.51.100.48/29
          - 198.51.100.64/29
          - 198.51.100.80/29
          - 198.51.100.96/29
          - 198.51.100.112/29
          - … 26 more, -v shows all
          IPv4: +0 -32 prefixes, 0 addresses gained, 256 lost
          IPv6: +0 -2 prefixes, 0 addresses gained, 2^81 lost
          refused empty-tag: list `entra`: tag `AzureActiveDirectory` has no prefix in
              IPv4 or IPv6
          hint: an empty tag would close the port to everybody: wait for the next
              publication
          hint: take the tag out of list `entra` if Microsoft has withdrawn it
          refused loss: list `entra`: all IPv4 would go (32 prefixes, 256 addresses)
          refused loss: list `entra`: all IPv6 would go (2 prefixes, 2^81 addresses)
          hint: until then its new prefixes are not admitted either
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: no `loss` lets a whole family go: `families` can take one out of the
              list
          hint: to let this one through: --override loss --reason TEXT
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        "#);
        world.feed(11, &[("AzureActiveDirectoryDomainServices", &["192.0.2.0/24"])]);
        assert_snapshot!(world.tell("sync"), @r"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
          held back:
          - 198.51.100.0/29
          - 198.51.100.16/29
          - 198.51.100.32/29
          - 198.51.100.48/29
          - 198.51.100.64/29
          - 198.51.100.80/29
          - 198.51.100.96/29
          - 198.51.100.112/29
          - … 26 more, -v shows all
          IPv4: +0 -32 prefixes, 0 addresses gained, 256 lost
          IPv6: +0 -2 prefixes, 0 addresses gained, 2^81 lost
          refused missing-tag: list `entra`: the publication has no tag
              `AzureActiveDirectory`
          hint: did you mean `AzureActiveDirectoryDomainServices`?
          hint: `tagwall tags` lists the tags of the publication
          hint: take the tag out of list `entra` if Microsoft has withdrawn it
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        ");
        world.write(
            "feed.json",
            &document(11, &[("AzureActiveDirectory", &strs(&all))]).replace("Public", "AzureChinaCloud"),
        );
        world.expect(3, "sync");
        world.write("feed.json", &document(11, &[("AzureActiveDirectory", &strs(&all))]).replace("Public", "China"));
        assert_snapshot!(world.tell("sync"), @r"
        exit status 3
        --- stdout

        edge  nftables inet tagwall, tcp 8443, entra
          refused wrong-cloud: the publication is of cloud `China`, the configuration
              asks for `Public`
          hint: Microsoft once served another cloud's file for a day: try again later
          hint: set `cloud` in `[source]` if the other cloud is meant
          kept at generation 1: 32 IPv4 and 2 IPv6 prefixes

        1 refused
        ");
        assert_eq!(world.ruleset(), before, "a refused pass changed something");
    });
}

#[test]
fn feeds_that_fail() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        fs::remove_file(world.path("feed.json")).unwrap();
        assert_snapshot!(world.tell("sync"), @r"
        exit status 1
        --- stdout

        edge  nftables inet tagwall, tcp 8443, entra
          failed: cannot read `feed.json`: No such file or directory (os error 2)

        1 failed
        ");
        world.write("feed.json", "");
        assert_snapshot!(world.tell("sync"), @r"
        exit status 1
        --- stdout

        edge  nftables inet tagwall, tcp 8443, entra
          failed: feed.json is not a service-tag document: the document is empty

        1 failed
        ");
        world.write("feed.json", "<html><head><title>504 Gateway Time-out</title></head></html>");
        assert_snapshot!(world.tell("sync -n"), @r"
        exit status 1
        --- stdout

        edge  nftables inet tagwall, tcp 8443, entra
          failed: feed.json is not a service-tag document: an HTML page came in place of
              the document: `504 Gateway Time-out`

        Dry run: 1 failed
        ");
        world.feed(10, &[("AzureActiveDirectory", &["192.0.2.1/24"])]);
        assert_snapshot!(world.tell("prefixes entra"), @r"
        exit status 1
        --- stderr
        error: feed.json is not a service-tag document: tag `AzureActiveDirectory`: prefix `192.0.2.1/24` has bits set below its length (line 10, byte 213)
        ");
        assert_snapshot!(world.tell("tags --feed http://127.0.0.1:1/feed.json"), @r"
        exit status 1
        --- stderr
        error: no whole answer from http://127.0.0.1:1/feed.json: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
        hint: see whether this host reaches it (`curl -v`); HTTPS_PROXY and NO_PROXY are respected
        ");

        world.feed(10, &[("AzureActiveDirectory", &TWO)]);
        world.expect(0, "sync");
        world.write("feed.json", "{");
        assert_snapshot!(world.tell("sync"), @r"
        exit status 1
        --- stdout

        edge  nftables inet tagwall, tcp 8443, entra
          failed: feed.json is not a service-tag document: the document breaks off after
              1 byte
          kept at generation 1: 2 IPv4 and 1 IPv6 prefixes

        1 failed
        ");
    });
}
