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
        assert_snapshot!(world.tell("plan --format markdown"), @r"
        exit status 2
        --- stdout
        <!-- tagwall:plan:test -->
        ### tagwall plan: 1 to change

        Publication Public, change number 11, 0 days old, from `feed.json`

        | target | firewall | outcome | IPv4 | IPv6 |
        |---|---|---|---|---|
        | `edge` | `nftables inet tagwall, tcp 8443` | **to change** | +12 -12 prefixes, 96 addresses gained, 96 lost | +1 -1 prefixes, 2^80 addresses gained, 2^80 lost |

        <details><summary><code>edge</code>: planned</summary>

        ```diff
        + 192.0.2.64/29
        + 192.0.2.80/29
        + 192.0.2.96/29
        + 192.0.2.112/29
        + 192.0.2.128/29
        + 192.0.2.144/29
        + 192.0.2.160/29
        + 192.0.2.176/29
        + 192.0.2.192/29
        + 192.0.2.208/29
        + 192.0.2.224/29
        + 192.0.2.240/29
        + 2001:db8:30::/48
        - 198.51.100.0/29
        - 198.51.100.16/29
        - 198.51.100.32/29
        - 198.51.100.48/29
        - 198.51.100.64/29
        - 198.51.100.80/29
        - 198.51.100.96/29
        - 198.51.100.112/29
        - 198.51.100.128/29
        - 198.51.100.144/29
        - 198.51.100.160/29
        - 198.51.100.176/29
        - 2001:db8:10::/48
        IPv4: +12 -12 prefixes, 96 addresses gained, 96 lost
        IPv6: +1 -1 prefixes, 2^80 addresses gained, 2^80 lost
        planned: 36 IPv4 and 2 IPv6 prefixes
        ```

        </details>

        | list | family | lost | allowed | gained | allowed |
        |---|---|---|---|---|---|
        | `entra` | IPv4 | 33.3 % of the addresses (96), 12 of 36 prefixes | 50 % | 33.3 % (96 addresses) | 100 % |
        | `entra` | IPv6 | 50.0 % of the addresses (2^80), 1 of 2 prefixes | 50 % | 50.0 % (2^80 addresses) | 100 % |

        Plan `1879604e5baa4fe40ac4c5153e7d12960b6d15f814f5b95630874a83767ed668`
        ");
        assert_snapshot!(world.tell("sync --format markdown"), @r"
        exit status 0
        --- stdout
        <!-- tagwall:pass:test -->
        ### tagwall pass: 1 changed

        Publication Public, change number 11, 0 days old, from `feed.json`

        | target | firewall | outcome | IPv4 | IPv6 |
        |---|---|---|---|---|
        | `edge` | `nftables inet tagwall, tcp 8443` | changed | +12 -12 prefixes, 96 addresses gained, 96 lost | +1 -1 prefixes, 2^80 addresses gained, 2^80 lost |

        <details><summary><code>edge</code>: applied</summary>

        ```diff
        + 192.0.2.64/29
        + 192.0.2.80/29
        + 192.0.2.96/29
        + 192.0.2.112/29
        + 192.0.2.128/29
        + 192.0.2.144/29
        + 192.0.2.160/29
        + 192.0.2.176/29
        + 192.0.2.192/29
        + 192.0.2.208/29
        + 192.0.2.224/29
        + 192.0.2.240/29
        + 2001:db8:30::/48
        - 198.51.100.0/29
        - 198.51.100.16/29
        - 198.51.100.32/29
        - 198.51.100.48/29
        - 198.51.100.64/29
        - 198.51.100.80/29
        - 198.51.100.96/29
        - 198.51.100.112/29
        - 198.51.100.128/29
        - 198.51.100.144/29
        - 198.51.100.160/29
        - 198.51.100.176/29
        - 2001:db8:10::/48
        IPv4: +12 -12 prefixes, 96 addresses gained, 96 lost
        IPv6: +1 -1 prefixes, 2^80 addresses gained, 2^80 lost
        applied and read back: 36 IPv4 and 2 IPv6 prefixes
        ```

        </details>

        | list | family | lost | allowed | gained | allowed |
        |---|---|---|---|---|---|
        | `entra` | IPv4 | 33.3 % of the addresses (96), 12 of 36 prefixes | 50 % | 33.3 % (96 addresses) | 100 % |
        | `entra` | IPv6 | 50.0 % of the addresses (2^80), 1 of 2 prefixes | 50 % | 50.0 % (2^80 addresses) | 100 % |
        ");
        assert_snapshot!(world.tell("status --format markdown"), @r"
        exit status 0
        --- stdout
        <!-- tagwall:status:test -->
        ### tagwall status: 1 in sync

        Publication Public, change number 11, 0 days old, from `feed.json`

        | target | firewall | outcome | IPv4 | IPv6 |
        |---|---|---|---|---|
        | `edge` | `nftables inet tagwall, tcp 8443` | in sync | 36 prefixes | 2 prefixes |

        ```text
        warning: target `edge`: nothing listens on tcp port 8443 here
        ```

        --- stderr
        warning: target `edge`: nothing listens on tcp port 8443 here
        ");
        world.feed(12, &[("AzureActiveDirectory", &strs(&many(3)))]);
        assert_snapshot!(world.tell("sync --format markdown"), @r#"
        exit status 3
        --- stdout
        <!-- tagwall:pass:test -->
        ### tagwall pass: 1 refused

        Publication Public, change number 12, 0 days old, from `feed.json`

        | target | firewall | outcome | IPv4 | IPv6 |
        |---|---|---|---|---|
        | `edge` | `nftables inet tagwall, tcp 8443` | **refused** (loss) | +3 -36 prefixes, 24 addresses gained, 288 lost | +1 -1 prefixes, 2^80 addresses gained, 2^80 lost |

        ```text
        edge
        refused loss: list `entra`: 100.0 % of the IPv4 addresses (288) and 100.0 % of the prefixes (36 of 36) would go, the limit is 50 %
          hint: until then its new prefixes are not admitted either
          hint: compare with Microsoft's page: is the drop announced, does a second source agree?
          hint: `loss = "100%"` in `[limits]` or in the list's own `limits` would let it through (now "50%")
          hint: to let this one through: --override loss --reason TEXT
        ```

        <details><summary><code>edge</code>: refused</summary>

        ```diff
        held back:
        + 198.51.100.0/29
        + 198.51.100.16/29
        + 198.51.100.32/29
        + 2001:db8:10::/48
        - 192.0.2.0/29
        - 192.0.2.16/29
        - 192.0.2.32/29
        - 192.0.2.48/29
        - 192.0.2.64/29
        - 192.0.2.80/29
        - 192.0.2.96/29
        - 192.0.2.112/29
        - 192.0.2.128/29
        - 192.0.2.144/29
        - 192.0.2.160/29
        - 192.0.2.176/29
        - 192.0.2.192/29
        - 192.0.2.208/29
        - 192.0.2.224/29
        - 192.0.2.240/29
        - 198.51.100.192/29
        - 198.51.100.208/29
        - 198.51.100.224/29
        - 198.51.100.240/29
        - 203.0.113.0/29
        - 203.0.113.16/29
        - 203.0.113.32/29
        - 203.0.113.48/29
        - 203.0.113.64/29
        - 203.0.113.80/29
        - 203.0.113.96/29
        - 203.0.113.112/29
        - 203.0.113.128/29
        - 203.0.113.144/29
        - 203.0.113.160/29
        - 203.0.113.176/29
        - 203.0.113.192/29
        - 203.0.113.208/29
        - 203.0.113.224/29
        - 203.0.113.240/29
        - 2001:db8:30::/48
        IPv4: +3 -36 prefixes, 24 addresses gained, 288 lost
        IPv6: +1 -1 prefixes, 2^80 addresses gained, 2^80 lost
        refused loss: list `entra`: 100.0 % of the IPv4 addresses (288) and 100.0 % of the prefixes (36 of 36) would go, the limit is 50 %
        hint: until then its new prefixes are not admitted either
        hint: compare with Microsoft's page: is the drop announced, does a second source agree?
        hint: `loss = "100%"` in `[limits]` or in the list's own `limits` would let it through (now "50%")
        hint: to let this one through: --override loss --reason TEXT
        kept at generation 2: 36 IPv4 and 2 IPv6 prefixes
        ```

        </details>

        | list | family | lost | allowed | gained | allowed |
        |---|---|---|---|---|---|
        | `entra` | IPv4 | 100.0 % of the addresses (288), 36 of 36 prefixes | 50 % | 8.3 % (24 addresses) | 100 % |
        | `entra` | IPv6 | 50.0 % of the addresses (2^80), 1 of 2 prefixes | 50 % | 50.0 % (2^80 addresses) | 100 % |
        "#);
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
        assert_snapshot!(world.telling(&run("sync", 3)), @r"
        exit status 3
        --- stdout
        ::error title=tagwall%3A edge refused%2C loss::list `entra`: 91.7 %25 of the IPv4 addresses (264) and 91.7 %25 of the prefixes (33 of 36) would go, the limit is 50 %25%0Ahint: until then its new prefixes are not admitted either
        ");
        assert_snapshot!(world.telling(&run("plan -c missing.toml", 1)), @r"
        exit status 1
        --- stdout
        ::error title=tagwall::cannot read the configuration `missing.toml`: No such file or directory (os error 2)
        --- stderr
        error: cannot read the configuration `missing.toml`: No such file or directory (os error 2)
        ");
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
            fences.len().is_multiple_of(2) && fences.iter().all(|line| ["```", "```diff", "```text"].contains(line)),
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
