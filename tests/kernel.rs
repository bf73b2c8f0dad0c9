//! What commands do to a live firewall and to the state directory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Addresses, EDGE, Namespace, TAGWALL, World, assert_same, many, strs, with_namespaces};

const PREFIXES: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];

#[track_caller]
fn admits(world: &World, target: &str, prefixes: &[&str]) {
    assert_same(&world.admitted(target), &Addresses::of(prefixes.iter().copied()), target);
}

#[test]
fn without_a_configuration_the_defaults_are_planned_and_applied_only_when_asked_for() {
    with_namespaces(|| {
        let world = World::empty();
        // The built-in limits allow no documentation space, so these are Microsoft's.
        let prefixes = ["20.20.32.0/19", "40.126.0.0/18", "2603:1006:2000::/48"];
        world.feed(10, &[("AzureActiveDirectory", &prefixes)]);
        let run = world.expect(2, "sync --dry-run --feed feed.json");
        assert!(run.stdout.contains("tcp 8443, entra"), "{}", run.stdout);
        world.expect(1, "sync --feed feed.json");
        assert_eq!(world.ruleset(), "");
        world.expect(0, "sync --defaults --feed feed.json");
        admits(&world, "default", &prefixes);
        let ruleset = world.ruleset();
        assert!(ruleset.contains("tcp dport 8443") && ruleset.contains("iif \"lo\" accept"), "{ruleset}");
        world.expect(0, "sync --dry-run --feed feed.json");
        world.expect(0, "status --feed feed.json");
        world.expect(1, "withdraw --yes");
        world.expect(0, "withdraw --defaults --yes");
        assert!(!world.ruleset().contains("8443"));
    });
}

/// A client in one namespace and a server in another, which tagwall guards.
struct Packets<'a> {
    world: World,
    outside: Namespace,
    sources: &'a [&'a str],
}

/// An attempt that is dropped has to be given up some time; one that is let through is over in a millisecond.
const GIVEN_UP: Duration = Duration::from_millis(700);

impl<'a> Packets<'a> {
    fn new(sources: &'a [&'a str]) -> Self {
        let (world, outside) = (World::empty(), Namespace::new());
        world.host.join(&outside);
        for source in sources {
            let length = if source.contains(':') { 128 } else { 32 };
            outside.address(&format!("{source}/{length}"));
            world.host.run("ip", &["route", "add", &format!("{source}/{length}"), "dev", "veth"]);
        }
        Self { world, outside, sources }
    }

    /// Serves a port for as long as the world lasts: every connection gets one byte. To be called while every
    /// source can connect: it waits until they do, since interfaces take a moment to find their neighbours.
    fn serve(&self, port: u16) {
        self.world.host.inside(|| {
            let listener = TcpListener::bind(("::", port)).unwrap();
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    let _ = connection.and_then(|mut connection| connection.write_all(b"!"));
                }
            });
        });
        let connects = |source| (0..20).any(|_| self.connects(source, port));
        assert!(self.sources.iter().all(|source| connects(source)), "the interfaces do not work");
    }

    /// Whether a connection from this source comes about and carries data.
    fn connects(&self, source: &str, port: u16) -> bool {
        let source: IpAddr = source.parse().unwrap();
        let server: IpAddr = if source.is_ipv4() { "10.77.0.1" } else { "fd77::1" }.parse().unwrap();
        self.outside.inside(|| connect(source, SocketAddr::new(server, port)))
    }
}

fn connect(source: IpAddr, server: SocketAddr) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let attempt = async {
        let socket = if source.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
        let socket = socket.unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        let mut stream = socket.connect(server).await?;
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0]).await
    };
    runtime.block_on(async { tokio::time::timeout(GIVEN_UP, attempt).await }).is_ok_and(|done| done.is_ok())
}

#[test]
fn two_lists_on_one_port_admit_the_union_and_nobody_else() {
    with_namespaces(|| {
        let sources = ["192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8:1::7", "2001:db8:2::7", "2001:db8:3::7"];
        let packets = Packets::new(&sources);
        packets.serve(8443);
        packets.serve(8080);
        let can = |port| sources.map(|source| packets.connects(source, port));
        assert_eq!(can(8443), [true; 6], "before anything is enforced");

        let world = &packets.world;
        world.config(
            "[lists.one]\ntags = [\"One\"]\n[lists.two]\ntags = [\"Two\"]\n\
             [targets.edge]\nlists = [\"one\", \"two\"]\nnftables = {}\n",
        );
        world.feed(
            10,
            &[("One", &["192.0.2.0/25", "2001:db8:1::/48"]), ("Two", &["198.51.100.0/24", "2001:db8:2::/48"])],
        );
        world.expect(0, "sync");
        assert_eq!(can(8443), [true, true, false, true, true, false]);
        assert_eq!(can(8080), [true; 6], "a port that is nobody's business was closed");
        let loopback = world.host.inside(|| {
            let local =
                |address: &str| connect(address.parse().unwrap(), SocketAddr::new(address.parse().unwrap(), 8443));
            (local("127.0.0.1"), local("::1"))
        });
        assert_eq!(loopback, (true, true), "loopback is always admitted");

        // A list for IPv4 alone closes IPv6.
        world.feed(11, &[("One", &["192.0.2.0/25"]), ("Two", &["198.51.100.0/24"])]);
        world.expect(3, "sync");
        assert_eq!(can(8443), [true, true, false, true, true, false], "a refused pass changed something");
        world.expect(0, "sync --override loss --reason test");
        assert_eq!(can(8443), [true, true, false, false, false, false]);

        world.expect(0, "withdraw --yes");
        assert_eq!(can(8443), [true; 6], "after withdraw the port is open to all, as it was");
    });
}

#[test]
fn policies_observe_add_only_and_sync() {
    with_namespaces(|| {
        let all = many(32);
        let (older, newer) = (strs(&all[..33]), strs(&all[1..]));
        let world = World::edge(&older);
        let policy = |policy: &str| {
            world.config(&EDGE.replace("nftables = {}", &format!("policy = \"{policy}\"\nnftables = {{}}")))
        };
        policy("observe");
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("left as it is: the policy is `observe`"), "{}", run.stdout);
        assert_eq!(world.ruleset(), "");
        world.expect(2, "sync -n");

        policy("add-only");
        world.expect(0, "sync");
        admits(&world, "edge", &older);
        world.feed(11, &[("AzureActiveDirectory", &newer)]);
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("1 prefix no longer wanted and left: the policy is `add-only`"), "{}", run.stdout);
        admits(&world, "edge", &strs(&all));
        assert!(world.expect(0, "sync").stdout.contains("1 prefix no longer wanted"));

        policy("observe");
        world.expect(0, "sync");
        admits(&world, "edge", &strs(&all));
        policy("sync");
        let run = world.expect(0, "sync");
        assert!(run.stdout.contains("- 198.51.100.0/29"), "{}", run.stdout);
        admits(&world, "edge", &newer);
    });
}

#[test]
fn what_was_changed_by_hand_is_shown_and_mended() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let right = world.ruleset();
        let check = |script: &str, shown: &str| {
            world.host.nft(script);
            assert_ne!(world.ruleset(), right, "{script} does nothing");
            let plan = world.expect(2, "sync --dry-run -v").stdout.replace("\n      ", " ");
            assert!(plan.contains(shown), "{script}: no {shown:?} in\n{plan}");
            world.expect(2, "status");
            world.expect(0, "sync");
            assert_eq!(world.ruleset(), right, "{script}");
            world.expect(0, "sync --dry-run");
        };
        check("add element inet tagwall edge-v4 { 203.0.113.0/24 }", "- 203.0.113.0/24");
        check("delete element inet tagwall edge-v4 { 192.0.2.0/25 }", "+ 192.0.2.0/25");
        check("flush set inet tagwall edge-v6", "+ 2001:db8:1::/48");
        check("flush chain inet tagwall edge-admit", "is missing or was changed");
        check("insert rule inet tagwall edge-admit accept", "is none of ours");
        check("insert rule inet tagwall edge-ports tcp dport 8443 accept", "is none of ours");
        check("add chain inet tagwall edge-ports { policy drop; }", "chain edge-ports has the policy drop");
        check("delete chain inet tagwall edge-ports", "chain edge-ports is missing");
        check("add table inet tagwall { flags dormant; }", "dormant");
        check("delete table inet tagwall", "create the chains and sets");
        check("flush ruleset", "create the chains and sets");
    });
}

/// A table of the operator's with two sets and a rule that looks into them.
const OPERATORS: &str = "table inet filter {
    set azure4 { type ipv4_addr; flags interval; }
    set azure6 { type ipv6_addr; flags interval; }
    set other { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }
    chain input {
        type filter hook input priority 0; policy accept;
        ip saddr @azure4 tcp dport 8443 accept comment \"mine\"
        tcp dport 8443 drop
    }
}";

#[test]
fn sets_in_the_operators_own_table() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let config = |more: &str| {
            let mode = format!(
                "nftables = {{ mode = \"set\", table = \"inet filter\", v4 = \"azure4\", v6 = \"azure6\"{more} }}"
            );
            world.config(&EDGE.replace("nftables = {}", &mode));
        };
        config("");
        let fails = |says: &str| {
            let run = world.expect(1, "sync");
            assert!(run.stdout.replace("\n      ", " ").contains(says), "{}", run.stdout);
        };
        fails("there is no table inet filter");
        world.host.nft("table inet filter { set azure4 { type ipv4_addr; }; }");
        fails("set azure4 of table inet filter lacks the flag `interval`");
        world.host.nft("delete table inet filter");
        world.host.nft("table inet filter { set azure4 { type inet_service; flags interval; }; }");
        fails("set azure4 of table inet filter does not hold IPv4 addresses");
        world.host.nft("delete table inet filter");
        world.host.nft(OPERATORS);
        let theirs = world.ruleset();

        // What stands there and is not wanted is somebody's until the operator says otherwise.
        world.host.nft("add element inet filter azure4 { 198.51.100.0/24, 203.0.113.7 }");
        let held = world.ruleset();
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("refused not-ours") && run.stdout.contains("203.0.113.7"), "{}", run.stdout);
        assert!(run.stdout.contains("adopt = true") && !run.stdout.contains("--override"), "{}", run.stdout);
        world.expect(1, "withdraw --yes");
        assert_eq!(world.ruleset(), held, "a refused pass changed something");

        config(", adopt = true");
        world.expect(0, "sync");
        let in_sets = || {
            let set = |name: &str| Addresses::of_set(&world.host, &format!("inet filter {name}")).unwrap();
            (set("azure4"), set("azure6"))
        };
        let expected = (Addresses::of(PREFIXES[..2].iter().copied()), Addresses::of([PREFIXES[2]]));
        assert_eq!(in_sets(), expected);

        // From now on tagwall knows them for its own, and only elements differ from what the operator wrote.
        config("");
        world.host.nft("add element inet filter azure4 { 203.0.113.7 }");
        world.expect(0, "sync");
        assert_eq!(in_sets(), expected);
        world.expect(0, "withdraw --yes");
        assert_eq!(world.ruleset(), theirs, "more than elements was touched");
        assert!(!theirs.contains("192.0.2.0/25"));
    });
}

#[test]
fn orphans_are_listed_in_every_plan_and_removed_alone() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.host.nft("table ip theirs { chain c { tcp dport 22 accept; }; }");
        world.expect(0, "sync");
        world.config(&EDGE.replace("targets.edge", "targets.front"));
        for arguments in ["sync -n", "sync", "sync", "status"] {
            let run = world.tagwall(arguments);
            assert!(run.stdout.contains("tagwall:test/edge"), "{arguments}: {}", run.stdout);
        }
        let report = world.expect(0, "sync --format json").json();
        assert_eq!(report["orphans"][0]["mark"], "tagwall:test/edge");
        admits(&world, "edge", &PREFIXES);

        // Somebody else's tagwall, and a mark that is none, are left alone.
        world.host.nft("table inet tagwall { chain hers { comment \"tagwall:hers/edge\"; }; set odd { type ipv4_addr; comment \"tagwall:test\"; }; }");
        let run = world.expect(3, "withdraw --orphans");
        assert!(run.stdout.contains("tagwall:test/edge"), "{}", run.stdout);
        admits(&world, "edge", &PREFIXES);
        let before = world.ruleset();
        world.expect(0, "withdraw --orphans --yes");
        let after = world.ruleset();
        assert!(!after.contains("tagwall:test/edge"));
        for kept in ["tagwall:hers/edge", "set odd", "tagwall:test/front", "table ip theirs"] {
            assert!(before.contains(kept) && after.contains(kept), "{kept} is gone:\n{after}");
        }
        admits(&world, "front", &PREFIXES);
        assert!(!world.tagwall("sync").stdout.contains("Orphans"));
        assert_eq!(world.expect(0, "withdraw --orphans --yes").stdout, "no orphans\n");

        // Without any target left, orphans are still found.
        world.config("");
        assert!(world.expect(0, "withdraw --orphans --yes").stdout.contains("tagwall:test/front"));
        assert!(!world.ruleset().contains("tagwall:test/front"));
    });
}

#[test]
fn withdraw_removes_ours_alone_and_is_remembered() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let theirs = "table inet filter { chain input { type filter hook input priority 5; policy drop; tcp dport 22 accept; }; }\n\
                      table inet tagwall { comment \"made by tagwall, do not edit\"; chain hers { tcp dport 1 drop; }; }";
        world.host.nft(theirs);
        let before = world.ruleset();
        world.expect(0, "sync");
        world.expect(3, "withdraw");
        admits(&world, "edge", &PREFIXES);
        world.expect(0, "withdraw --yes");
        assert_eq!(world.ruleset(), before);
        let run = world.expect(2, "status");
        assert!(run.stdout.contains("withdrawn on purpose"), "{}", run.stdout);
        let record = world.expect(2, "status --format json").json()["records"]["edge"].clone();
        assert!(record["withdrawn"].is_string(), "{record}");
        let audit = fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
        let record: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
        assert_eq!((&record["event"], &record["target"]), (&json!("withdraw"), &json!("edge")));
        world.expect(2, "sync -n");
        assert!(world.expect(2, "status").stdout.contains("withdrawn on purpose"), "a dry run forgot it");
        world.expect(0, "sync");
        assert!(!world.expect(0, "status").stdout.contains("withdrawn"));
    });
}

#[test]
fn ones_own_connection_is_not_cut_unasked() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let over = |connection: &str, arguments: &str| {
            world.finish(world.command(arguments).env("SSH_CONNECTION", connection))
        };
        let mine = "203.0.113.9 50022 192.0.2.1 8443";
        let refused = over(mine, "sync");
        assert_eq!(refused.status, 3, "{}", world.telling(&refused));
        assert!(
            refused.stdout.contains("refused own-session") && refused.stdout.contains("203.0.113.9"),
            "{}",
            refused.stdout
        );
        assert!(refused.stdout.contains("--yes"));
        assert_eq!(world.ruleset(), "");
        // Over another port, from an admitted address, or from loopback nothing is cut.
        assert_eq!(over("203.0.113.9 50022 192.0.2.1 22", "sync -n").status, 2);
        assert_eq!(over("192.0.2.9 50022 192.0.2.1 8443", "sync -n").status, 2);
        assert_eq!(over("::1 50022 ::1 8443", "sync -n").status, 2);
        assert_eq!(over("nonsense", "sync -n").status, 2);
        assert_eq!(over(mine, "sync --yes").status, 0);
        // It is cut already.
        assert_eq!(over(mine, "sync").status, 0);
        let widened = [&PREFIXES[..], &["203.0.113.0/24"]].concat();
        world.feed(11, &[("AzureActiveDirectory", &widened)]);
        assert_eq!(over(mine, "sync").status, 0);
        world.feed(12, &[("AzureActiveDirectory", &PREFIXES)]);
        assert_eq!(over(mine, "sync").status, 3);
        admits(&world, "edge", &widened);
    });
}

#[test]
fn one_pass_at_a_time_and_a_killed_one_leaves_no_lock() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        // A pass whose source does not answer holds the lock for as long as it waits.
        let silent = world.host.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let feed = format!("sync --feed http://{}/feed.json", silent.local_addr().unwrap());
        let mut holder = world.spawn(world.command(&feed).stdout(Stdio::null()).stderr(Stdio::null()));
        // It is past the lock when it asks.
        let _asked = silent.accept().unwrap();
        for arguments in ["sync", "withdraw --yes"] {
            let run = world.expect(1, arguments);
            assert!(run.stderr.contains(&format!("process {}", holder.id())), "{}", run.stderr);
            assert!(run.stderr.contains("another pass holds the lock"), "{}", run.stderr);
        }
        assert_eq!(world.ruleset(), "");
        // Reading needs no lock.
        world.expect(2, "sync -n");
        world.expect(0, "check");
        holder.kill().unwrap();
        holder.wait().unwrap();
        world.expect(0, "sync");
    });
}

/// Runs the program where the world's directory is mounted read-only.
fn read_only(world: &World, arguments: &str) -> crate::support::Run {
    let script = "mount --bind . . && mount -o remount,ro,bind . && cd . && cd \"$PWD\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    world.prepare(&mut command);
    command.args(["-m", "sh", "-c", script, "sh", TAGWALL]).args(arguments.split(' ')).args(["-c", "tagwall.toml"]);
    world.finish(&mut command)
}

#[test]
fn a_state_directory_that_cannot_be_written_does_not_stop_enforcement() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let run = read_only(&world, "sync");
        assert_eq!(run.status, 0, "{}", world.telling(&run));
        assert!(run.stderr.contains("Read-only file system"), "the mount is not read-only: {}", run.stderr);
        admits(&world, "edge", &PREFIXES);
        assert!(!world.path("state").exists());
        // With a state that can be read and not written.
        world.expect(0, "sync");
        let state = fs::read(world.path("state/state.json")).unwrap();
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..2])]);
        let run = read_only(&world, "sync --override loss --reason because");
        assert_eq!(run.status, 0, "{}", world.telling(&run));
        assert!(run.stderr.contains("audit"), "{}", run.stderr);
        admits(&world, "edge", &PREFIXES[..2]);
        assert_eq!(fs::read(world.path("state/state.json")).unwrap(), state);
    });
}

#[test]
fn a_damaged_state_is_passed_over_and_written_anew() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        let good = fs::read_to_string(world.path("state/state.json")).unwrap();
        for damaged in ["", "{", "null", "[]", "{\"version\": 1, \"lists\": 7}", &good[..good.len() / 2]] {
            world.write("state/state.json", damaged);
            let run = world.expect(0, "sync");
            assert!(run.stderr.contains("state.json` is damaged"), "{damaged:?}: {}", run.stderr);
            assert_eq!(world.expect(0, "sync").stderr, "", "{damaged:?} was not written anew");
        }
        // The comparison with the accepted publication is lost, that with the firewall is not.
        world.write("state/state.json", "");
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        for pass in 1..=3 {
            let run = world.expect(3, "sync");
            assert!(run.stdout.contains("refused loss: target `edge`"), "pass {pass}: {}", run.stdout);
        }

        // An accepted document that is lost or damaged is said, too.
        world.feed(10, &[("AzureActiveDirectory", &strs(&all))]);
        world.expect(0, "sync");
        let document = fs::read_dir(world.path("state/publications")).unwrap().next().unwrap().unwrap().path();
        fs::write(&document, "{}").unwrap();
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        let run = world.expect(3, "sync");
        assert!(run.stderr.contains("list `entra` was last accepted with cannot be read"), "{}", run.stderr);
        admits(&world, "edge", &strs(&all));
    });
}

#[test]
fn the_state_of_a_newer_tagwall_is_not_guessed_at() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let newer = r#"{"version": 2, "something": "else"}"#;
        world.write("state/state.json", newer);
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..1])]);
        for arguments in ["sync", "sync -n", "status", "withdraw --yes"] {
            let run = world.expect(1, arguments);
            assert!(run.stderr.contains("is of version 2, this tagwall reads up to 1"), "{}", run.stderr);
            assert!(run.stderr.contains("hint: use the tagwall that wrote it"), "{}", run.stderr);
        }
        assert_eq!(fs::read_to_string(world.path("state/state.json")).unwrap(), newer);
        admits(&world, "edge", &PREFIXES);
    });
}

#[test]
fn rule_sets_that_drop_besides_and_ports_nobody_hears_are_warned_about() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        world.expect(0, "sync");
        let warns = |about: &str| {
            let [check, status] = ["check", "status"].map(|verb| world.tagwall(verb).stderr.contains(about));
            assert_eq!(check, status, "check and status differ about {about:?}");
            check
        };
        assert!(warns("nothing listens on tcp port 8443"));
        let listener = world.host.inside(|| TcpListener::bind("[::]:8443").unwrap());
        assert!(!warns("nothing listens"));
        drop(listener);
        assert!(!warns("chain input of table inet filter drops on input"));
        world.host.nft("table inet filter { chain input { type filter hook input priority 5; policy drop; }; }");
        assert!(warns("chain input of table inet filter drops on input"));
        world.host.nft("add chain inet filter input { policy accept; }");
        assert!(!warns("drops on input"));
        world.host.nft("table ip f { chain out { type filter hook output priority 5; policy drop; }; }");
        assert!(!warns("drops on"), "a chain of another hook does not bear on the port");
    });
}

#[test]
fn without_privilege_it_is_said_what_is_needed() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let mut command = Command::new("setpriv");
        world.prepare(&mut command);
        command.args(["--bounding-set=-all", "--inh-caps=-all", TAGWALL, "sync", "-n", "-c", "tagwall.toml"]);
        let run = world.finish(&mut command);
        assert_eq!(run.status, 1, "{}", world.telling(&run));
        assert!(
            run.stdout.replace("\n      ", " ").contains("even listing nftables needs CAP_NET_ADMIN"),
            "{}",
            run.stdout
        );
    });
}

#[test]
fn a_connection_that_stands_is_cut_or_kept_as_configured() {
    with_namespaces(|| {
        let packets = Packets::new(&["192.0.2.7"]);
        let world = &packets.world;
        let goes_on = |established: &str| {
            world.config(&EDGE.replace("nftables = {}", &format!("nftables = {{ established = \"{established}\" }}")));
            world.feed(10, &[("AzureActiveDirectory", &["192.0.2.0/25", "198.51.100.0/24"])]);
            world.expect(0, "sync --override older-publication --reason test");
            let listener = world.host.inside(|| TcpListener::bind("10.77.0.1:8443").unwrap());
            let mut client = packets.outside.inside(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let socket = tokio::net::TcpSocket::new_v4().unwrap();
                    socket.bind("192.0.2.7:0".parse().unwrap()).unwrap();
                    let stream = socket.connect("10.77.0.1:8443".parse().unwrap()).await.unwrap();
                    let stream = stream.into_std().unwrap();
                    stream.set_nonblocking(false).unwrap();
                    stream
                })
            });
            let (mut server, _) = listener.accept().unwrap();
            exchange(&mut client, &mut server).expect("an admitted connection carries nothing");
            world.feed(11, &[("AzureActiveDirectory", &["198.51.100.0/24"])]);
            world.expect(0, "sync");
            let went = exchange(&mut client, &mut server).is_ok();
            assert!(!packets.connects("192.0.2.7", 8443), "a new connection is refused either way");
            went
        };
        assert!(!goes_on("cut"));
        assert!(goes_on("keep"));
    });
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    server.set_read_timeout(Some(GIVEN_UP))?;
    client.write_all(b"?")?;
    server.read_exact(&mut [0])
}
