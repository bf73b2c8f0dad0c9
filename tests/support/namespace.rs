//! Network namespaces of a test's own, and programs run inside them.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

const INSIDE: &str = "TAGWALL_TEST_INSIDE";

/// Runs a test that needs namespaces, where they can be had.
///
/// Without root the test is run once more, as root of a user namespace: a process of several threads cannot enter
/// one. Where that is forbidden the test is skipped, loudly; in CI that is a failure.
pub(crate) fn with_namespaces(test: impl FnOnce()) {
    if nix::unistd::geteuid().is_root() {
        return test();
    }
    assert!(std::env::var_os(INSIDE).is_none(), "inside the user namespace this must be root");
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let allowed = Command::new("unshare").args(["-Urn", "true"]).status().is_ok_and(|status| status.success());
    if !allowed {
        return skip(&format!("{name} needs root or user namespaces, and has neither"));
    }
    let program = std::env::current_exe().unwrap();
    let again = Command::new("unshare")
        .args(["-Urn", "--"])
        .arg(program)
        .args([name.as_str(), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(again.unwrap().success(), "{name} failed in a user namespace");
}

/// Says that something was not tested, and how many times by now. Fails in CI.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI may skip nothing: {why}");
    // `./dev test` looks for this word, tells each line and counts them.
    eprintln!("SKIPPED: {why}");
}

/// Whether this is root of the first user namespace: elsewhere large transactions do not fit a socket.
pub(crate) fn is_first_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().eq(["0", "0", "4294967295"])
}

/// A network namespace. It is gone when this is dropped and the last process in it has ended.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let new = Self(std::thread::spawn(make).join().unwrap());
        new.run("ip", &["link", "set", "lo", "up"]);
        new
    }

    /// Does something on a thread inside. What it spawns is inside, too.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a command inside.
    pub(crate) fn output(&self, command: &mut Command) -> Output {
        self.inside(|| command.output().unwrap())
    }

    /// Runs a program inside and answers what it wrote.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(Command::new(program).args(arguments));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Feeds a script to `nft -f`.
    pub(crate) fn nft(&self, script: &str) {
        assert!(self.try_nft(&["-f", "-"], script), "nft refused:\n{script}");
    }

    /// The same with other arguments, and whether nft took it.
    pub(crate) fn try_nft(&self, arguments: &[&str], script: &str) -> bool {
        use std::io::Write as _;
        self.inside(|| {
            let mut child = Command::new("nft").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            child.wait().unwrap().success()
        })
    }

    /// Joins two namespaces by a pair of interfaces `veth`: this end has 10.77.0.1 and fd77::1.
    pub(crate) fn join(&self, other: &Self) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.run("ip", &["link", "add", "veth", "type", "veth", "peer", "name", "veth", "netns", &there]);
        for (end, number) in [(self, 1), (other, 2)] {
            end.address(&format!("10.77.0.{number}/24"));
            end.address(&format!("fd77::{number}/64"));
            end.run("ip", &["link", "set", "veth", "up"]);
        }
    }

    /// Gives `veth` a further address, usable at once.
    pub(crate) fn address(&self, address: &str) {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.run("ip", &[&["address", "add", address, "dev", "veth"], nodad].concat());
    }
}
