//! Namespaces, the `nft` program, and short hands for the provider.

use std::io::Write;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};
use tagwall_provider::{AddressRange, Applied, Desired, IpNet, OwnerMark, PrefixSet, Provider, Steps};

const INSIDE: &str = "TAGWALL_TEST_INSIDE";

/// Runs a test in a new network namespace, on a thread of its own, which the namespace ends with.
///
/// Without root the whole test is run again, as root of a user namespace (a process of several threads cannot
/// enter one). Where that is forbidden it is skipped; in CI that is a failure.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        return in_user_namespace();
    }
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            run("ip", &["link", "set", "lo", "up"]);
            test();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn in_user_namespace() {
    assert!(std::env::var_os(INSIDE).is_none(), "inside the user namespace this must be root");
    let allowed = Command::new("unshare").args(["-Urn", "true"]).status().is_ok_and(|status| status.success());
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    if !allowed {
        return skip(&format!("{name} needs root or user namespaces, and has neither"));
    }
    let program = std::env::current_exe().unwrap();
    let again = Command::new("unshare")
        .args(["-Urn", "--"])
        .arg(program)
        .args([name.as_str(), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(again.success(), "{name} failed in a user namespace");
}

/// Says loudly that a test is skipped. In CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI may skip nothing: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Whether this is root of the first user namespace: elsewhere large transactions do not fit.
pub(crate) fn is_first_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().eq(["0", "0", "4294967295"])
}

/// Runs a program in the namespace of this thread and answers what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {complaint}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Feeds a script to `nft -f`.
pub(crate) fn nft(script: &str) {
    assert!(try_nft(script), "nft refused:\n{script}");
}

/// The same, and whether nft took it.
pub(crate) fn try_nft(script: &str) -> bool {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

/// What `nft list …` prints; nothing where there is no such thing.
pub(crate) fn list(what: &str) -> String {
    let words = what.split(' ');
    let output = Command::new("nft").arg("-y").arg("list").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The ruleset without the counters' figures.
pub(crate) fn ruleset() -> String {
    without_counts(&run("nft", &["-s", "list", "ruleset"]))
}

pub(crate) fn without_counts(listing: &str) -> String {
    let mut words = Vec::new();
    for line in listing.lines() {
        let mut line = line.to_owned();
        if let Some(at) = line.find("counter packets ") {
            let rest: Vec<&str> = line[at..].split(' ').skip(5).collect();
            line = format!("{}counter {}", &line[..at], rest.join(" "));
        }
        words.push(line.trim_end().to_owned());
    }
    words.join("\n")
}

/// The elements of a set as nft lists them, one range each, or none where there is no such set.
pub(crate) fn elements(set: &str) -> Vec<AddressRange> {
    let words = set.split(' ');
    let output = Command::new("nft").args(["-j", "list", "set"]).args(words).output().unwrap();
    let Ok(listing) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
    let set = listing["nftables"].as_array().unwrap().iter().find_map(|object| object.get("set")).unwrap();
    let elements = set.get("elem").and_then(Value::as_array).cloned().unwrap_or_default();
    elements.iter().map(element).collect()
}

fn element(value: &Value) -> AddressRange {
    let address = |value: &Value| value.as_str().unwrap().parse().unwrap();
    if let Some(prefix) = value.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64().unwrap()).unwrap();
        return IpNet::new(address(&prefix["addr"]), length).unwrap().into();
    }
    if let Some(range) = value.get("range") {
        return AddressRange::new(address(&range[0]), address(&range[1])).unwrap();
    }
    if let Some(element) = value.get("elem") {
        return self::element(&element["val"]);
    }
    AddressRange::new(address(value), address(value)).unwrap()
}

/// What the sets of an enforcing target admit, by nft.
pub(crate) fn admitted(target: &str) -> PrefixSet {
    let sets = ["v4", "v6"].map(|family| elements(&format!("inet tagwall {target}-{family}")));
    sets.into_iter().flatten().collect()
}

/// A set of prefixes from a text.
pub(crate) fn prefixes(text: &str) -> PrefixSet {
    text.split_whitespace().map(|prefix| prefix.parse::<IpNet>().unwrap()).collect()
}

/// The settings of an enforcing target `edge` of owner `test` on TCP 8443.
pub(crate) fn settings() -> Settings {
    target("edge")
}

/// The same with another name.
pub(crate) fn target(name: &str) -> Settings {
    Settings {
        mark: OwnerMark::new("test", name).unwrap(),
        siblings: vec!["edge".to_owned(), "other".to_owned()],
        ports: vec![8443],
        protocol: Protocol::Tcp,
        mode: Mode::Enforce { hook: Hook::Input, established: Established::Cut, priority: None },
    }
}

pub(crate) fn edge() -> Nftables {
    Nftables::new(settings()).unwrap()
}

/// Waits for a future on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// One pass: observe, place, apply.
pub(crate) fn pass(provider: &Nftables, desired: &PrefixSet) -> (Steps, Applied) {
    let observed = wait(provider.observe()).unwrap();
    let steps = provider.place(&observed, &Desired::listed(desired.clone())).unwrap();
    let applied = wait(provider.apply(&observed.revision, &steps)).unwrap();
    (steps, applied)
}

/// Another network namespace, with a thread that lives in it and runs what it is given.
pub(crate) struct Namespace {
    id: i32,
    path: std::fs::File,
    alive: Option<std::sync::mpsc::Sender<()>>,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let (ready, made) = std::sync::mpsc::channel();
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            run("ip", &["link", "set", "lo", "up"]);
            ready
                .send((nix::unistd::gettid().as_raw(), std::fs::File::open("/proc/thread-self/ns/net").unwrap()))
                .unwrap();
            // Until the namespace is dropped: `ip` finds it by this thread's id.
            let _ = ended.recv();
        });
        let (id, path) = made.recv().unwrap();
        Self { id, path, alive: Some(alive) }
    }

    /// What `ip … netns` takes.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    /// Runs something inside, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| match self.spawn(scope, inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Starts something inside.
    pub(crate) fn spawn<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        inside: impl FnOnce() -> T + Send + 'scope,
    ) -> std::thread::ScopedJoinHandle<'scope, T> {
        let path = self.path.try_clone().unwrap();
        scope.spawn(move || {
            nix::sched::setns(path, CloneFlags::CLONE_NEWNET).unwrap();
            inside()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.alive.take());
    }
}
