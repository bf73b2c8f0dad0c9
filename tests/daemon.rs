//! The daemon as a process: signals, the service manager's socket, the lock, and what it leaves behind.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Addresses, EDGE, World, assert_same, with_namespaces};

const PREFIXES: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];
/// Long enough for any machine: nothing here measures time.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon of a world, with the socket that it takes for the service manager's.
struct Daemon<'a> {
    world: &'a World,
    child: Child,
    told: Receiver<String>,
}

impl<'a> Daemon<'a> {
    /// Starts one, with this much time between two words for the watchdog, in microseconds.
    fn start(world: &'a World, watchdog: Option<u32>) -> Self {
        let path = world.path("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, told) = mpsc::channel();
        // The queue of such a socket is short, and whoever writes to a full one waits: it has to be read all the time.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut command = world.command("run");
        command.env("NOTIFY_SOCKET", &path).stderr(File::create(world.path("log")).unwrap());
        if let Some(time) = watchdog {
            command.env("WATCHDOG_USEC", time.to_string());
        }
        Self { child: world.spawn(&mut command), world, told }
    }

    /// Starts one and waits until it says that it is ready.
    fn ready(world: &'a World) -> Self {
        let daemon = Self::start(world, None);
        daemon.hears("READY=1");
        daemon
    }

    /// Waits until the service manager is told something, and answers the whole message.
    #[track_caller]
    fn hears(&self, what: &str) -> String {
        let said = std::iter::from_fn(|| self.told.recv_timeout(PATIENCE).ok()).find(|said| said.contains(what));
        said.unwrap_or_else(|| panic!("`{what}` was not said; the log:\n{}", self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.world.path("log")).unwrap()
    }

    /// Waits until something is so.
    #[track_caller]
    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "{what} never came about; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn says(&self, what: &str) {
        self.until(what, || self.log().contains(what));
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end and answers the exit status, none where a signal ended it.
    fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn admits(world: &World, prefixes: &[&str]) -> bool {
    world.admitted("edge") == Addresses::of(prefixes.iter().copied())
}

#[test]
fn it_enforces_is_ready_and_leaves_the_rules_when_it_stops() {
    with_namespaces(|| {
        for stop in [Signal::SIGTERM, Signal::SIGINT] {
            let world = World::edge(&PREFIXES);
            let daemon = Daemon::ready(&world);
            assert_same(&world.admitted("edge"), &Addresses::of(PREFIXES), "edge");
            let status = daemon.hears("STATUS=");
            assert!(status.contains("edge changed: +3 -0") && status.contains("change number 10"), "{status}");
            assert!(status.contains("next pass at 20"), "{status}");
            let rules = world.ruleset();
            daemon.signal(stop);
            daemon.hears("STOPPING=1");
            daemon.says("the rules stay");
            assert_eq!(daemon.ended(), Some(0));
            assert_eq!(world.ruleset(), rules);
            world.expect(0, "sync --dry-run");
        }
    });
}

#[test]
fn it_is_ready_although_the_first_pass_failed() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        fs::remove_file(world.path("feed.json")).unwrap();
        let daemon = Daemon::ready(&world);
        daemon.says("edge failed");
        assert_eq!(world.ruleset(), "");
        // The feed comes, and with it the next pass.
        world.feed(10, &[("AzureActiveDirectory", &PREFIXES)]);
        daemon.signal(Signal::SIGHUP);
        daemon.until("a pass", || admits(&world, &PREFIXES));
    });
}

#[test]
fn without_a_configuration_that_can_be_used_it_does_not_start() {
    with_namespaces(|| {
        let world = World::empty();
        world.config("[schedule]\ncron = \"@daily\"");
        let run = world.expect(1, "run");
        assert!(run.stderr.contains("`schedule.cron` has `@daily`: write five fields"), "{}", run.stderr);
        let world = World::empty();
        let run = world.expect(1, "run");
        assert!(run.stderr.contains("there is no configuration"), "{}", run.stderr);
    });
}

#[test]
fn a_reload_takes_what_is_good_and_keeps_the_old_where_it_is_not() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let daemon = Daemon::ready(&world);
        world.config(&EDGE.replace("nftables", "ports = [9443]\nnftables"));
        daemon.signal(Signal::SIGHUP);
        let reloading = daemon.hears("RELOADING=1");
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        daemon.hears("READY=1");
        daemon.until("the new port", || world.ruleset().contains("9443"));
        assert!(!world.ruleset().contains("8443"));

        world.config(&EDGE.replace("nftables", "port = [7443]\nnftables"));
        daemon.signal(Signal::SIGHUP);
        daemon.hears("READY=1");
        daemon.says("unknown field `port`");
        daemon.says("the old configuration stays in use");
        daemon.hears("the configuration on disk cannot be used");
        // It goes on with the old one.
        world.host.run("nft", &["flush", "ruleset"]);
        daemon.signal(Signal::SIGHUP);
        daemon.until("healing", || world.ruleset().contains("9443"));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended(), Some(0));
    });
}

#[test]
fn a_killed_daemon_leaves_rules_and_no_lock() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let daemon = Daemon::ready(&world);
        let rules = world.ruleset();
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.ended(), None);
        assert_eq!(world.ruleset(), rules);
        assert!(world.expect(0, "sync").stdout.contains("in sync"));
        let daemon = Daemon::ready(&world);
        daemon.says("edge in sync");
    });
}

#[test]
fn other_commands_work_beside_it_and_it_goes_by_what_they_did() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let daemon = Daemon::ready(&world);
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..2])]);
        world.expect(3, "sync");
        world.expect(0, "sync --override loss --reason test");
        assert!(admits(&world, &PREFIXES[..2]));
        // What the others write wakes it as well: its passes are told apart by their reason, not by their number.
        let reloaded = |times: usize| {
            daemon.signal(Signal::SIGHUP);
            daemon.until("reload", || daemon.log().matches("(reload").count() == times);
        };
        reloaded(1);
        assert!(admits(&world, &PREFIXES[..2]));

        world.expect(0, "withdraw --yes");
        reloaded(2);
        daemon.says("target `edge` is withdrawn and left alone");
        assert!(!world.ruleset().contains("8443"), "a withdrawn target was enforced");
        world.expect(0, "sync");
        world.host.run("nft", &["flush", "ruleset"]);
        daemon.signal(Signal::SIGHUP);
        daemon.until("healing", || admits(&world, &PREFIXES[..2]));
    });
}

#[test]
fn it_waits_for_the_lock_and_says_for_whom() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        fs::create_dir(world.path("state")).unwrap();
        fs::write(world.path("state/lock"), "process 4711 since noon\n").unwrap();
        let lock = File::open(world.path("state/lock")).unwrap();
        lock.lock().unwrap();
        let daemon = Daemon::start(&world, None);
        daemon.says("process 4711 since noon");
        daemon.hears("waiting for another process");
        assert_eq!(world.ruleset(), "");
        drop(lock);
        daemon.hears("READY=1");
        assert!(admits(&world, &PREFIXES));
        // Waiting is no pass: a signal ends it at once.
        let lock = File::open(world.path("state/lock")).unwrap();
        lock.lock().unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.hears("waiting for another process");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended(), Some(0));
    });
}

#[test]
fn the_watchdog_hears_of_it() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let daemon = Daemon::start(&world, Some(200_000));
        for _ in 0..5 {
            daemon.hears("WATCHDOG=1");
        }
    });
}
