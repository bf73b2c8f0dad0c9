//! Help, wrong usage, and configurations that are missing or bad.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::TWO;
use crate::support::{EDGE, World, with_namespaces};

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
            let _ = write!(text, "$ tagwall {verb} -h\n{own}");
            if verb.is_empty() {
                let _ = write!(text, "Everywhere:{common}");
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
          plan      What a pass would do, to be looked at, and with -o to be reviewed and applied
          apply     Do just what a saved plan says; refused where anything has moved since
          observe   Save what the firewalls hold, for `plan --state` where they cannot be reached
          status    What is enforced now, how old it is, what is wrong with it
          explain   Why an address is admitted, or is not: by which prefix, list and tag; changes nothing
          clients   Who connects today, held against the lists: whom a target would shut out; changes
                    nothing
          check     Check the configuration; changes nothing
          prefixes  Print the prefixes of a list or a tag, one a line
          tags      List or search the service tags of the publication
          history   What passes enforced, newest last
          rollback  Go back to what an earlier pass enforced, and stay there until `resume`
          pause     Stop all writing until `resume`; what is enforced stays
          resume    Go on after `pause`, `rollback`, `withdraw` or a change that was not confirmed: one pass
          restore   Enforce what was enforced last, without network: for boot, and after somebody loaded a
                    ruleset
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
              --wait <SPAN>      How long to wait while another process makes a pass [default: 60s]
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
          -n, --dry-run                   Show what would change and change nothing (exit status 2 if
                                          anything would)
          -t, --target <NAME>             Only these targets
              --defaults                  Without a configuration: keep TCP 8443 of this host open to
                                          AzureActiveDirectory
              --override <LIMIT>          Let one refusal through, this once; written to the audit file
              --reason <TEXT>             Why
          -y, --yes                       Do not ask, even where the change would cut your own connection
              --metrics-file <FILE.prom>  Write metrics after the pass, for node_exporter's collector of
                                          text files
              --notify                    Tell the receivers of `[notify]` what the pass shows and they were
                                          not told yet; for cron, where no daemon does
              --fail-on <WHAT>            What ends with an exit status other than 0, besides errors
                                          [default: refused,pending] [possible values: refused, pending,
                                          drift]
              --format <FORMAT>           How to say it [default: text] [possible values: text, json,
                                          markdown, github]
          -h, --help                      Print help (see more with '--help')

        $ tagwall status -h
        What is enforced now, how old it is, what is wrong with it

        Usage: tagwall status [OPTIONS]

        Options:
          -t, --target <NAME>    Only these targets
              --fail-on <WHAT>   What ends with an exit status other than 0, besides errors [default:
                                 refused,pending] [possible values: refused, pending, drift]
              --format <FORMAT>  How to say it [default: text] [possible values: text, json, markdown,
                                 github]
          -h, --help             Print help (see more with '--help')

        $ tagwall check -h
        Check the configuration; changes nothing

        Usage: tagwall check [OPTIONS]

        Options:
              --no-environment   Look at the file alone, not at this host
              --notify           Send a test to everybody who is to be told
              --format <FORMAT>  How to say it [default: text] [possible values: text, json]
          -h, --help             Print help (see more with '--help')

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
          -n, --dry-run        Show what would go, and change nothing
              --even-paused    What is paused, too
              --defaults       Without a configuration: the target of `sync --defaults`
          -y, --yes            Do not ask
          -h, --help           Print help (see more with '--help')

        $ tagwall generate -h
        Print man pages, shell completions and schemas

        Usage: tagwall generate [OPTIONS] <COMMAND>

        Commands:
          man          The man page of a command, or all of them into a directory
          completions  Completions for a shell
          schema       The JSON schema of the configuration, of `--format json` or of a file that is saved
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
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that, `tagwall withdraw --defaults` takes it away
        ");
        assert_snapshot!(world.tell("check"), @r"
        exit status 1
        --- stderr
        error: there is no configuration at `/etc/tagwall/tagwall.toml`
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that, `tagwall withdraw --defaults` takes it away
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
        hint: `tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, `tagwall sync --defaults` applies that, `tagwall withdraw --defaults` takes it away
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
        unknown field `tag`, expected one of `tags`, `regions`, `families`, `extra`, `exclude`, `removal-grace`, `limits`
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
        hint: use https: plain HTTP is asked of this host alone, by `localhost`, since anybody between could change the list
        ");
    });
}
