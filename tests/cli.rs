//! Snapshots of whole commands: exit status, result, talk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{EDGE, World, document, many, strs, with_namespaces};

const TWO: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];

#[test]
fn help_of_every_verb() {
    with_namespaces(|| {
        let world = World::empty();
        let mut text = String::new();
        for verb in ["", "sync", "status", "check", "prefixes", "tags", "withdraw", "generate"] {
            let run = world.expect(0, &format!("{verb} -h"));
            assert_eq!(run.stderr, "");
            // What is the same for all is shown once.
            let (own, common) = run.stdout.split_once("Everywhere:").unwrap();
            text.push_str(&format!("$ tagwall {verb} -h\n{own}"));
            if verb.is_empty() {
                text.push_str(&format!("Everywhere:{common}"));
            }
            let long = world.expect(0, &format!("{verb} --help")).stdout;
            assert!(long.len() > run.stdout.len() && long.contains("Usage: tagwall"), "{long}");
        }
        assert_snapshot!(text, @r"
        $ tagwall  -h
        Keeps firewalls open to the prefixes of Azure service tags, and to nobody else

        Usage: tagwall [OPTIONS] <COMMAND>

        Commands:
          sync      One pass: fetch the publication, show the difference, apply it
          run       The daemon: passes by a schedule, and whenever a firewall was changed
          status    What is enforced now, how old it is, what is wrong with it
          check     Check the configuration; changes nothing
          prefixes  Print the prefixes of a list or a tag, one a line
          tags      List or search the service tags of the publication
          withdraw  Remove all that tagwall wrote; with nftables this opens the ports to everybody
          generate  Print man pages, shell completions and schemas
          help      Print this message or the help of the given subcommand(s)

        Options:
          -h, --help     Print help (see more with '--help')
          -V, --version  Print version

        Everywhere:
          -c, --config <FILE>    The configuration [default: /etc/tagwall/tagwall.toml, where it is there]
              --feed <FILE|URL>  Use this document in place of the configured source
              --state-dir <DIR>  Where tagwall keeps what it has to remember
          -q, --quiet            Say only what is wrong
          -v, --verbose...       Show all of long lists, and log what is done (-vv: in detail)
              --color <WHEN>     When to use colour [default: auto] [possible values: auto, always, never]

        Exit status: 0 done or nothing to do; 1 an error; 2 changes are pending (dry run);
        3 refused, nothing changed; 64 wrong usage.

        A service tag is not authentication: it says where a packet comes from, not who sent it.
        $ tagwall sync -h
        One pass: fetch the publication, show the difference, apply it

        Usage: tagwall sync [OPTIONS]

        Options:
          -n, --dry-run           Show what would change and change nothing (exit status 2 if anything
                                  would)
          -t, --target <NAME>     Only these targets
              --defaults          Without a configuration: keep TCP 8443 of this host open to
                                  AzureActiveDirectory
              --override <LIMIT>  Let one refusal through, this once; written to the audit file
              --reason <TEXT>     Why
          -y, --yes               Do not ask, even where the change would cut your own connection
              --format <FORMAT>   How to say it [default: text] [possible values: text, json]
          -h, --help              Print help (see more with '--help')

        $ tagwall status -h
        What is enforced now, how old it is, what is wrong with it

        Usage: tagwall status [OPTIONS]

        Options:
          -t, --target <NAME>    Only these targets
              --format <FORMAT>  How to say it [default: text] [possible values: text, json]
          -h, --help             Print help (see more with '--help')

        $ tagwall check -h
        Check the configuration; changes nothing

        Usage: tagwall check [OPTIONS]

        Options:
              --no-environment  Look at the file alone, not at this host
          -h, --help            Print help (see more with '--help')

        $ tagwall prefixes -h
        Print the prefixes of a list or a tag, one a line

        Usage: tagwall prefixes [OPTIONS] <LIST|--tag <NAME>>

        Arguments:
          [LIST]  A list of the configuration

        Options:
              --tag <NAME>       A service tag; several are united
              --cloud <CLOUD>    Of which cloud [default: as configured, else public]
              --format <FORMAT>  How to print them [default: text] [possible values: text, json, nft,
                                 terraform]
          -h, --help             Print help (see more with '--help')

        $ tagwall tags -h
        List or search the service tags of the publication

        Usage: tagwall tags [OPTIONS] [SEARCH]

        Arguments:
          [SEARCH]  Only tags whose name contains this, ignoring case

        Options:
          -a, --all              Regional tags too
              --cloud <CLOUD>    Of which cloud [default: as configured, else public]
              --format <FORMAT>  How to say it [default: text] [possible values: text, json]
          -h, --help             Print help (see more with '--help')

        $ tagwall withdraw -h
        Remove all that tagwall wrote; with nftables this opens the ports to everybody

        Usage: tagwall withdraw [OPTIONS]

        Options:
          -t, --target <NAME>  Only these targets
              --orphans        Only what carries our mark and belongs to no configured target
              --defaults       Without a configuration: the target of `sync --defaults`
          -y, --yes            Do not ask
          -h, --help           Print help (see more with '--help')

        $ tagwall generate -h
        Print man pages, shell completions and schemas

        Usage: tagwall generate [OPTIONS] <COMMAND>

        Commands:
          man          The man page of a command, or all of them into a directory
          completions  Completions for a shell
          schema       The JSON schema of the configuration or of `--format json`
          help         Print this message or the help of the given subcommand(s)

        Options:
          -h, --help  Print help (see more with '--help')
        ");
    });
}

#[test]
fn wrong_usage_is_64_and_says_what_would_be_right() {
    with_namespaces(|| {
        let world = World::edge(&TWO);
        let check = |arguments: &str, says: &str| {
            let run = world.expect(64, arguments);
            assert_eq!(run.stdout, "", "{arguments}");
            assert!(run.stderr.contains(says), "{arguments}: {}", run.stderr);
        };
        check("", "Usage: tagwall");
        check("bogus", "unrecognized subcommand 'bogus'");
        check("sync --dry", "unexpected argument '--dry'");
        check("sync -q -v", "cannot be used with");
        check("sync --override loss", "--reason <TEXT>");
        check("sync --reason because", "--override <LIMIT>");
        check("sync --override los --reason x", "these can be overridden: loss, growth");
        check("sync --override not-ours --reason x", "`not-ours` cannot be overridden");
        check("sync --override empty-tag --reason x", "`empty-tag` cannot be overridden");
        check("sync --defaults -c tagwall.toml", "cannot be used with");
        check("withdraw --orphans --target edge", "cannot be used with");
        check("prefixes", "<LIST|--tag <NAME>>");
        check("prefixes entra --tag AzureActiveDirectory", "cannot be used with");
        check("prefixes --tag x --format csv", "possible values: text, json, nft, terraform");
        check("tags --cloud mars", "public");
        check("generate man bogus", "there is no command `bogus`");
        assert_snapshot!(world.tell("sync --target edge --target hub"), @r"
        exit status 64
        --- stderr
        error: there is no target `hub`
        hint: there are: edge
        ");
        assert_snapshot!(world.tell("prefixes hub"), @r"
        exit status 64
        --- stderr
        error: there is no list `hub`
        hint: there are: entra
        ");
    });
}

#[test]
fn without_a_configuration() {
    with_namespaces(|| {
        let world = World::empty();
        assert_snapshot!(world.tell("sync"), @r"
        exit status 1
        --- stderr
        error: there is no configuration at `/etc/tagwall/tagwall.toml`
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that
        ");
        assert_snapshot!(world.tell("check"), @r"
        exit status 1
        --- stderr
        error: there is no configuration at `/etc/tagwall/tagwall.toml`
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that
        ");
        assert_snapshot!(world.tell("sync -c missing.toml --dry-run"), @r"
        exit status 1
        --- stderr
        error: cannot read the configuration `missing.toml`: No such file or directory (os error 2)
        ");
        assert_snapshot!(world.tell("withdraw --yes"), @r"
        exit status 1
        --- stderr
        error: there is no configuration at `/etc/tagwall/tagwall.toml`
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that
        ");
        assert_snapshot!(world.tell("status"), @r"
        exit status 1
        --- stdout

        default  nftables inet tagwall, tcp 8443, entra
          failed: no publication is known yet
          hint: `tagwall sync --dry-run` fetches one and shows what it would do

        1 failed
        default: never yet synchronised
        --- stderr
        warning: target `default`: nothing listens on tcp port 8443 here
        ");
    });
}

#[test]
fn bad_configurations_are_told_with_their_line() {
    with_namespaces(|| {
        let world = World::empty();
        let tell = |text: &str| {
            world.write("tagwall.toml", text);
            for verb in ["sync", "sync --dry-run", "status", "prefixes entra", "tags"] {
                assert_eq!(world.tagwall(verb).status, 1, "{verb}");
            }
            world.tell("check")
        };
        assert_snapshot!(tell(&EDGE.replace("tags =", "tag =")), @r#"
        exit status 1
        --- stderr
        error: the configuration `tagwall.toml` is not valid: TOML parse error at line 3, column 1
          |
        3 | tag = ["AzureActiveDirectory"]
          | ^^^
        unknown field `tag`, expected one of `tags`, `regions`, `families`, `extra`, `exclude`, `limits`
        "#);
        assert_snapshot!(tell(&EDGE.replace("[\"entra\"]", "[\"entry\"]")), @r"
        exit status 1
        --- stderr
        error: the configuration `tagwall.toml` is not valid: `targets.edge.lists` names `entry`, which is no list; there are `entra`
        ");
        assert_snapshot!(tell(&format!("{EDGE}[targets.other]\nlists = [\"entra\"]\nnftables = {{}}\n")), @r"
        exit status 1
        --- stderr
        error: the configuration `tagwall.toml` is not valid: `targets.other` would fight with `targets.edge`: both judge tcp port 8443, so only what both admit would pass; put both lists into one target
        ");
        assert_snapshot!(tell(&format!("{EDGE}[source]\nkind = \"url\"\nurl = \"http://mirror.example.com/x.json\"\n")), @r"
        exit status 1
        --- stderr
        error: http://mirror.example.com/x.json is not on a pinned host over https
        hint: if you trust that host, add it to `hosts` of the source
        ");
    });
}

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
          * create the chains and sets of tcp port 8443 on hook input, priority 0, in
              table inet tagwall
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
          * create the chains and sets of tcp port 8443 on hook input, priority 0, in
              table inet tagwall
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
        edge: last pass less than a minute ago, enforced as it should be
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
        assert_snapshot!(world.tell("sync --quiet"), @r"
        exit status 0
        --- stdout
        1 in sync
        ");
        assert_snapshot!(world.tell("withdraw"), @r"
        exit status 3
        --- stderr
          refused unconfirmed: nobody said yes
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
          * create the chains and sets of tcp port 8443 on hook input, priority 0, in
              table inet tagwall
          + 192.0.2.0/25
          + 198.51.100.0/24
          + 2001:db8:1::/48
          IPv4: +2 -0 prefixes, 384 addresses gained, 0 lost
          IPv6: +1 -0 prefixes, 2^80 addresses gained, 0 lost
          planned: 2 IPv4 and 1 IPv6 prefixes

        1 to change; `tagwall sync` applies it
        edge: withdrawn on purpose less than a minute ago; `tagwall sync` enforces it again
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
        assert_eq!(world.tagwall("sync --quiet").stdout, "1 changed\n");
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
          * create the chains and sets of tcp port 8443 on hook input, priority 0, in
              table inet tagwall
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
fn refusals_name_limit_figure_and_override() {
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
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss` in `[limits]` or in the list's own `limits` (now "10%") sets how
              much is allowed
          hint: to let this one through: --override loss --reason TEXT
          nothing was changed

        1 refused
        "#);
        assert_snapshot!(world.tell("sync -q"), @r#"
        exit status 3
        --- stdout
        edge
          refused loss: list `entra`: 25.0 % of the IPv4 addresses (64) and 25.0 % of
              the prefixes (8 of 32) would go, the limit is 10 %
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss` in `[limits]` or in the list's own `limits` (now "10%") sets how
              much is allowed
          hint: to let this one through: --override loss --reason TEXT
          nothing was changed
        1 refused
        "#);

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
          nothing was changed

        1 refused
        ");
        world.feed(11, &[("AzureActiveDirectory", &["192.0.2.0/24", "2000::/3"])]);
        assert_snapshot!(world.tell("sync"), @r#"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
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
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss` in `[limits]` or in the list's own `limits` (now "10%") sets how
              much is allowed
          hint: to let this one through: --override loss --reason TEXT
          refused growth: list `entra`: the IPv6 addresses would grow by
              1759218604441500.0 % (42535295865114890081282596670621614080 more than
              2417851639229258349412352), the limit is 100 %
          hint: compare with Microsoft's page: is the growth announced, does a second
              source agree?
          hint: `growth` in `[limits]` or in the list's own `limits` (now "100%") sets
              how much is allowed
          hint: to let this one through: --override growth --reason TEXT
          nothing was changed

        1 refused
        "#);
        world.feed(11, &[("AzureActiveDirectory", &[])]);
        assert_snapshot!(world.tell("sync"), @r#"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
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
          refused loss: list `entra`: all IPv6 would go (2 prefixes,
              2417851639229258349412352 addresses)
          hint: compare with Microsoft's page: is the drop announced, does a second
              source agree?
          hint: `loss` in `[limits]` or in the list's own `limits` (now "10%") sets how
              much is allowed
          hint: to let this one through: --override loss --reason TEXT
          nothing was changed

        1 refused
        "#);
        world.feed(11, &[("AzureActiveDirectoryDomainServices", &["192.0.2.0/24"])]);
        assert_snapshot!(world.tell("sync"), @r"
        exit status 3
        --- stdout
        Publication Public, change number 11, 0 days old
          feed.json

        edge  nftables inet tagwall, tcp 8443, entra
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
          hint: `tagwall tags` lists the tags of the publication
          hint: take the tag out of list `entra` if Microsoft has withdrawn it
          nothing was changed

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
          nothing was changed

        1 refused
        ");
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
        assert_eq!((&record["event"], &record["reason"]), (&"override".into(), &"announced in May".into()));
        assert!(record["limits"][0].as_str().unwrap().starts_with("loss: list `entra`"), "{record}");
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
        exit status 0
        --- stdout
        Publication Public, change number 10, 0 days old
          feed.json (the last good one, from disk)

        edge  nftables inet tagwall, tcp 8443, entra
          in sync: 2 IPv4 and 1 IPv6 prefixes

        1 in sync
        --- stderr
        warning: feed.json is not a service-tag document: the document breaks off after 1 bytes
        ");
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
            let line = format!("env {variables} {} sync -n -c tagwall.toml", crate::support::TAGWALL);
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
            let line = format!("{} {arguments} | head -n 1; echo ${{PIPESTATUS[0]}}", crate::support::TAGWALL);
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
          hint: take the tag out of list `AzureActiveDirectry` if Microsoft has
              withdrawn it
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
fn man_pages_and_completions() {
    with_namespaces(|| {
        let world = World::empty();
        world.expect(0, "generate man --dir man");
        let mut pages: Vec<String> = fs::read_dir(world.path("man"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        pages.sort();
        assert_snapshot!(pages.join(" "), @"tagwall-check.1 tagwall-generate.1 tagwall-prefixes.1 tagwall-run.1 tagwall-status.1 tagwall-sync.1 tagwall-tags.1 tagwall-withdraw.1 tagwall.1");
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

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(repository(&format!("config/{name}.schema.json"))).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// The schemas in the repository are what the program prints. To write them anew:
/// `tagwall generate schema config > config/tagwall.schema.json`, and `report` likewise.
#[test]
fn the_schemas_in_the_repository_are_fresh() {
    with_namespaces(|| {
        let world = World::empty();
        for (of, file) in [("config", "config/tagwall.schema.json"), ("report", "config/report.schema.json")] {
            let fresh = world.expect(0, &format!("generate schema {of}")).stdout;
            let stored = fs::read_to_string(repository(file)).unwrap_or_default();
            assert!(fresh == stored, "{file} is stale: write it anew with `tagwall generate schema {of} > {file}`");
        }
    });
}

#[test]
fn the_schema_of_the_configuration_takes_what_tagwall_takes() {
    let schema = schema("tagwall");
    let valid =
        |text: &str| schema.is_valid(&serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap());
    let mut files = vec![repository("config/tagwall.toml")];
    files.extend(fs::read_dir(repository("config/examples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() > 3);
    for file in files {
        assert!(valid(&fs::read_to_string(&file).unwrap()), "the schema refuses {}", file.display());
    }
    let refused = |text: &str| assert!(!valid(text), "the schema takes:\n{text}");
    assert!(valid(EDGE));
    refused(&EDGE.replace("tags =", "tag ="));
    refused(&EDGE.replace("nftables = {}", "nftables = { mod = \"set\" }"));
    refused(&EDGE.replace("nftables = {}", "nftables = { mode = \"sett\" }"));
    refused(&EDGE.replace("nftables = {}", "ports = [65536]\nnftables = {}"));
    refused(&EDGE.replace("nftables = {}", "ports = \"8443\"\nnftables = {}"));
    refused(&EDGE.replace("nftables = {}", "policy = \"add\"\nnftables = {}"));
    refused(&format!("{EDGE}[limits]\nloss = true\n"));
    refused(&format!("{EDGE}[limits]\ntoo-broad = {{ v4 = 33 }}\n"));
    refused(&format!("{EDGE}[limits]\nspecial = [\"intranet\"]\n"));
    refused(&format!("{EDGE}[schedul]\ncron = \"1\"\n"));
}

#[test]
fn every_report_fits_its_schema() {
    with_namespaces(|| {
        let schema = schema("report");
        let world = World::edge(&strs(&many(32)));
        let check = |arguments: &str, status: i32, outcome: Option<&str>| {
            let run = world.expect(status, &format!("{arguments} --format json"));
            let report = run.json();
            let faults: Vec<String> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{arguments}: {faults:?}\n{report:#}");
            assert_eq!(report["schema"], 1);
            assert_eq!(report["exit_status"], status);
            assert_eq!(report["targets"][0]["outcome"].as_str(), outcome, "{report:#}");
            report
        };
        let report = check("sync -n", 2, Some("planned"));
        assert_eq!(report["targets"][0]["add"].as_array().unwrap().len(), 34);
        assert_eq!(report["targets"][0]["addresses"]["gained"]["ipv4"], "256");
        assert_eq!(report["targets"][0]["addresses"]["gained"]["ipv6"], (2_u128 << 80).to_string());
        assert!(report["dry_run"].as_bool().unwrap() && !report["targets"][0]["skeleton"][0].is_null());
        let report = check("sync", 0, Some("applied"));
        assert_eq!(report["dry_run"], false);
        check("sync", 0, Some("in-sync"));
        check("status", 0, Some("in-sync"));
        world.feed(11, &[("AzureActiveDirectory", &strs(&many(8)))]);
        let report = check("sync -n", 3, Some("refused"));
        let refusal = &report["targets"][0]["refusal"];
        assert_eq!((&refusal["limit"], &refusal["can_be_overridden"]), (&"loss".into(), &true.into()));
        assert_eq!(report["targets"][0]["addresses"]["lost"]["ipv4"], "192");
        let report = check("sync --override loss --reason because", 0, Some("applied"));
        assert_eq!(report["overridden"][0]["limit"], "loss");
        fs::remove_file(world.path("feed.json")).unwrap();
        let report = check("sync", 0, Some("in-sync"));
        assert_eq!(report["publication"]["freshness"], "last-good");
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
        fs::remove_dir_all(world.path("state")).unwrap();
        let report = check("sync", 1, Some("failed"));
        assert!(report["targets"][0]["error"]["message"].as_str().unwrap().contains("feed.json"), "{report:#}");
        check("status", 1, Some("failed"));
        world.config("");
        check("sync -n", 1, None);

        let refused = |key: &str, value: Value| {
            let mut wrong = report.clone();
            wrong[key] = value;
            assert!(!schema.is_valid(&wrong), "the schema takes {wrong:#}");
        };
        refused("schema", 2.into());
        refused("targets", Value::Null);
        refused("exit_status", "1".into());
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
