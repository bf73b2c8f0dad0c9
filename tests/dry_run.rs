//! A dry run writes nothing: every system call of it is looked at.
//!
//! The same look at a real pass finds each kind of writing, so that it would be found in a dry run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{EDGE, TAGWALL, World, many, skip, strs, with_namespaces};

/// What a command did that leaves something behind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    /// Calls that make, change or remove files.
    files: BTreeSet<String>,
    /// Messages to nf_tables that are no questions.
    firewall: BTreeSet<String>,
}

/// Runs a command under strace, and reads what it did.
fn traced(world: &World, arguments: &str) -> (i32, Written) {
    let log = world.path("trace");
    let mut command = Command::new("strace");
    world.prepare(&mut command);
    command.args(["-f", "-qq", "-yy", "-s", "65536", "-e", "signal=none", "-o"]).arg(&log).arg(TAGWALL);
    command.args(arguments.split(' ')).args(["-c", "tagwall.toml"]);
    let run = world.finish(&mut command);
    let trace = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let reads_firewall = !["prefixes", "clients"].iter().any(|verb| arguments.starts_with(verb));
    let whole = trace.contains("execve(") && trace.contains("NFT_MSG_GETGEN") == reads_firewall;
    assert!(whole && trace.contains("exit_group("), "this is no trace of tagwall {arguments}:\n{trace}");
    (run.status, written(&trace))
}

/// Calls that make, change or remove files by themselves.
const WRITERS: [&str; 24] = [
    "creat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "truncate",
    "ftruncate",
    "fallocate",
    "chmod",
    "fchmod",
    "fchmodat",
    "utimensat",
    "setxattr",
    "flock",
];

/// Reads a trace. Calls that another thread interrupts stand on two lines, of which the first has the arguments.
fn written(trace: &str) -> Written {
    let mut written = Written::default();
    for line in trace.lines() {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let Some((name, rest)) = call.split_once('(') else { continue };
        let opens = matches!(name, "open" | "openat" | "openat2");
        let for_writing =
            ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| rest.contains(flag));
        let harmless = ["\"/dev/null\"", "\"/dev/tty\""].iter().any(|device| rest.contains(device));
        if WRITERS.contains(&name) || (opens && for_writing && !harmless) {
            written.files.insert(name.to_owned());
        }
        if name.starts_with("send") && rest.contains("<NETLINK:[NETFILTER") {
            let mut types = rest.match_indices("nlmsg_type=").map(|(at, key)| {
                let text = &rest[at + key.len()..];
                text.split([',', '}']).next().unwrap_or_default()
            });
            // What strace does not take apart may be anything; it takes apart every plain question.
            let asks = rest.contains("nlmsg_type=") && types.all(|name| name.contains("NFT_MSG_GET"));
            if !asks {
                written.firewall.insert(call.chars().take(120).collect());
            }
        }
    }
    written
}

/// The ruleset with handles, and the generation that `nft monitor` would tell of the next change.
fn ruleset(world: &World) -> Value {
    serde_json::from_str(&world.host.run("nft", &["-j", "-a", "list", "ruleset"])).unwrap()
}

/// Every file of a directory, with its times and bytes.
fn files(dir: &Path) -> Vec<(String, std::time::SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if metadata.is_dir() {
                open.push(path.clone());
            }
            let bytes = fs::read(&path).unwrap_or_default();
            found.push((path.display().to_string(), metadata.modified().unwrap(), bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_dry_run_writes_nothing_and_a_real_pass_does() {
    with_namespaces(|| {
        if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
            return skip("a dry run cannot be watched: strace is missing, or forbidden here");
        }
        let all = many(32);
        let world = World::edge(&strs(&all));
        let writes_nothing = |arguments: &str, status: i32| {
            let before = (ruleset(&world), files(&world.path(".")));
            let (found, written) = traced(&world, arguments);
            assert_eq!(found, status, "{arguments}");
            assert_eq!(written, Written::default(), "{arguments}");
            assert_eq!((ruleset(&world), files(&world.path("."))).0, before.0, "{arguments} changed the ruleset");
            let after: Vec<_> =
                files(&world.path(".")).into_iter().filter(|(name, ..)| !name.ends_with("/.")).collect();
            assert_eq!(names(&after), names(&before.1), "{arguments} made or removed files");
            assert!(same(&after, &before.1), "{arguments} changed a file");
        };
        writes_nothing("sync --dry-run", 2);
        writes_nothing("sync --dry-run --format json", 2);
        writes_nothing("check", 0);
        writes_nothing("plan --format github", 2);
        writes_nothing("observe", 0);
        writes_nothing("explain 192.0.2.1", 0);
        writes_nothing("clients tagwall.toml", 0);
        writes_nothing("withdraw -n", 0);
        writes_nothing("prefixes entra", 0);
        assert!(!world.path("state").exists());

        // The control: the same look finds every kind of writing in a real pass.
        let (status, written) = traced(&world, "sync");
        assert_eq!(status, 0);
        for call in ["openat", "mkdir", "flock"] {
            assert!(written.files.contains(call), "a pass that does not {call}: {written:?}");
        }
        assert!(written.files.iter().any(|call| call.starts_with("rename")), "{written:?}");
        assert_eq!(written.firewall.len(), 1, "a change is one call: {written:?}");
        assert!(world.path("state/state.json").exists());

        writes_nothing("sync --dry-run", 0);
        writes_nothing("status", 0);
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[1..]))]);
        writes_nothing("sync --dry-run", 2);
        writes_nothing("sync --dry-run --override loss --reason because", 2);
        world.host.nft("insert rule inet tagwall edge-ports accept");
        writes_nothing("sync --dry-run", 2);
        world.feed(12, &[("AzureActiveDirectory", &strs(&all[16..]))]);
        writes_nothing("sync --dry-run", 3);
        world.feed(12, &[("AzureActiveDirectory", &strs(&all))]);
        world.config(&EDGE.replace("targets.edge", "targets.front"));
        writes_nothing("sync --dry-run", 2);
    });
}

type Files = [(String, std::time::SystemTime, Vec<u8>)];

fn names(files: &Files) -> Vec<&str> {
    files.iter().map(|(name, ..)| name.as_str()).collect()
}

fn same(one: &Files, other: &Files) -> bool {
    one.iter().zip(other).all(|(a, b)| a == b)
}

#[test]
fn the_reader_of_traces_finds_what_it_should() {
    let check = |line: &str, files: &[&str], firewall: usize| {
        let found = written(line);
        assert_eq!(found.files.iter().map(String::as_str).collect::<Vec<_>>(), files, "{line}");
        assert_eq!(found.firewall.len(), firewall, "{line}");
    };
    check("1  openat(AT_FDCWD, \"/x\", O_RDONLY|O_CLOEXEC) = 3", &[], 0);
    check("1  openat(AT_FDCWD, \"/dev/null\", O_RDWR) = 3", &[], 0);
    check("1  openat(AT_FDCWD, \"/x\", O_WRONLY|O_CREAT, 0666 <unfinished ...>", &["openat"], 0);
    check("12 renameat(AT_FDCWD, \"a\", AT_FDCWD, \"b\") = 0", &["renameat"], 0);
    check("12 mkdir(\"/x\", 0777) = -1 EEXIST (File exists)", &["mkdir"], 0);
    let sent = |what: &str| format!("1  sendto(9<NETLINK:[NETFILTER:77]>, [{what}], 20, 0, NULL, 0) = 20");
    let message = |kind: &str| format!("{{nlmsg_len=20, nlmsg_type={kind}, nlmsg_flags=NLM_F_REQUEST}}");
    let [get, delete] =
        ["NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_GETGEN", "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_DELRULE"].map(message);
    check(&sent(&get), &[], 0);
    check(&sent(&format!("{get}, {get}")), &[], 0);
    check(&sent(&delete), &[], 1);
    check(&sent(&format!("{get}, {delete}")), &[], 1);
    check(&sent(&message("NFNL_MSG_BATCH_BEGIN")), &[], 1);
    check("1  sendmsg(9<NETLINK:[NETFILTER:77]>, {msg_iov=[{iov_base=\"\\34\\0\\0\"}]}, 0) = 20", &[], 1);
    check("1  sendto(9<TCP:[127.0.0.1:1]>, \"GET / HTTP/1.1\", 14, 0, NULL, 0) = 14", &[], 0);
}
