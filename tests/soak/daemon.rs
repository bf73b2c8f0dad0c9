//! A daemon whose log is read as it comes, and what it costs.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{TAGWALL, World};

/// Long enough for any machine: nothing here measures time.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many lines of its log a failure shows.
const SHOWN: usize = 30;

/// The program that is run: the tests' own, or `TAGWALL_BINARY`.
pub(super) fn program() -> PathBuf {
    std::env::var_os("TAGWALL_BINARY").map_or_else(|| TAGWALL.into(), PathBuf::from)
}

/// What the service manager puts into the environment: it decides what the allocator keeps.
fn environment() -> Vec<(&'static str, &'static str)> {
    let unit = include_str!("../../packaging/systemd/tagwall.service");
    let lines = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
    lines.flat_map(|line| line.split(' ')).map(|set| set.split_once('=').unwrap()).collect()
}

/// A running daemon. It is killed when dropped.
pub(super) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
}

/// What a process costs at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Anonymous memory in KiB.
    pub(super) anonymous: u64,
    pub(super) descriptors: usize,
    pub(super) threads: u64,
    /// Processor time of all threads, in ticks of 10 ms.
    pub(super) ticks: u64,
    /// How often any thread that lives has gone to sleep of its own will.
    pub(super) sleeps: u64,
}

impl Daemon {
    /// Starts one on this world's host.
    pub(super) fn start(world: &World) -> Self {
        let mut command = Command::new(program());
        world.prepare(&mut command);
        Self::spawn(world, command.envs(environment()).args(["-c", "tagwall.toml", "run"]))
    }

    /// Starts this command, whose standard error is the log of a daemon.
    pub(super) fn spawn(world: &World, command: &mut Command) -> Self {
        let mut child = world.spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, last: VecDeque::new() }
    }

    /// The next line with these words.
    #[track_caller]
    pub(super) fn says(&mut self, words: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.keep(&line);
            if line.contains(words) {
                return line;
            }
        }
        self.silent(words)
    }

    /// Whether it says these words before it ends.
    #[track_caller]
    pub(super) fn lives_to_say(&mut self, words: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.keep(&line);
                    // Where the line itself could not be written, that is said in its place.
                    if line.contains(words) || line.contains("Unable to write an event") {
                        return true;
                    }
                }
                // The log ends with the process.
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => self.silent(words),
            }
        }
    }

    #[track_caller]
    fn silent(&mut self, words: &str) -> ! {
        panic!("`{words}` was not said; the last lines:\n{}", self.last.make_contiguous().join("\n"));
    }

    fn keep(&mut self, line: &str) {
        self.last.push_back(line.to_owned());
        if self.last.len() > SHOWN {
            self.last.pop_front();
        }
    }

    /// A pass that begins now, with the configuration read anew: the line about it.
    #[track_caller]
    pub(super) fn pass(&mut self) -> String {
        self.signal(Signal::SIGHUP);
        self.says(" (reload, ")
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it costs by now.
    pub(super) fn figures(&self) -> Figures {
        let process = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = |path: PathBuf, key: &str| -> u64 {
            // A thread may end while it is looked at.
            let text = fs::read_to_string(path.join("status")).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            value.map_or(0, |value| value.trim().trim_end_matches(" kB").parse().unwrap())
        };
        let stat = fs::read_to_string(process.join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let tasks = fs::read_dir(process.join("task")).unwrap();
        Figures {
            anonymous: status(process.clone(), "RssAnon"),
            descriptors: fs::read_dir(process.join("fd")).unwrap().count(),
            threads: status(process.clone(), "Threads"),
            // utime and stime are the fields 14 and 15, counted from the process id.
            ticks: fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap(),
            sleeps: tasks.map(|task| status(task.unwrap().path(), "voluntary_ctxt_switches")).sum(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
