//! A state directory that fails: a kill and a full disk at each call that writes to it, by the calls themselves.
//!
//! A run is traced once to find those calls, whatever files there are; then once for each call and each kind of
//! failure, with the failure put into that call. What must hold afterwards is the same every time: a full disk stops
//! no enforcement, a kill leaves the old rules or the new ones, and the next start enforces and repairs.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use super::daemon::Daemon;
use super::fraction;
use crate::support::{Addresses, TAGWALL, World, many, strs, with_namespaces};

/// The calls by which anything is written, made, moved or locked.
const WRITING: &str = "openat,creat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,\
                       mkdirat,unlink,unlinkat,truncate,ftruncate,fallocate,chmod,fchmod,fchmodat,chown,fchown,\
                       fchownat,utimensat,flock";

/// A call to be failed: the so-manieth of its name that the first thread makes, on this file where its name is the
/// same in every run.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    path: Option<String>,
    number: usize,
    /// Its line in the trace, to be shown.
    line: String,
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There is no room.
    Full,
    /// The process is killed before it is made.
    Killed,
}

/// Where a pass from one publication to the next can fail.
struct Scene {
    world: World,
    documents: [Vec<String>; 2],
    /// The state that the pass begins with; none for a first one.
    begins_with: Option<tempfile::TempDir>,
}

impl Scene {
    /// Before the first pass, or with one publication enforced.
    fn new(first: bool) -> Self {
        let all = many(40);
        // So many more that no limit is touched, with some in both.
        let documents = [all[2..].to_vec(), [&all[..34], &all[36..]].concat()];
        let world = World::edge(&strs(&documents[0]));
        let begins_with = (!first).then(|| {
            world.expect(0, "sync");
            let kept = tempfile::tempdir().unwrap();
            copy(&world.path("state"), kept.path());
            kept
        });
        Self { world, documents, begins_with }
    }

    fn publish(&self, which: usize) {
        let number = 10 + u64::try_from(which).unwrap();
        self.world.feed(number, &[("AzureActiveDirectory", &strs(&self.documents[which]))]);
    }

    fn enforces(&self, which: usize) -> bool {
        self.world.admitted("edge") == Addresses::of(strs(&self.documents[which]))
    }

    /// Everything as it was before the pass that is to fail, and the next publication in place.
    fn begin(&self) {
        let state = self.world.path("state");
        let _ = fs::remove_dir_all(&state);
        self.world.host.run("nft", &["flush", "ruleset"]);
        if let Some(kept) = &self.begins_with {
            self.publish(0);
            self.world.expect(0, "sync");
            fs::remove_dir_all(&state).unwrap();
            copy(kept.path(), &state);
        }
        self.publish(1);
    }

    /// What every failure must leave.
    fn check_after(&self, failure: Failure, what: &str) {
        let world = &self.world;
        let old = if self.begins_with.is_some() { self.enforces(0) } else { world.ruleset().is_empty() };
        assert!(self.enforces(1) || failure == Failure::Killed && old, "{what}: {}", world.ruleset());
        self.check_status(what);
        self.check_restore(what);
        let sync = world.tagwall("sync");
        assert_eq!(sync.status, 0, "{what}: the next pass: {}", world.telling(&sync));
        assert!(self.enforces(1), "{what}: the next pass left {}", world.ruleset());
        let clean = world.tagwall("sync -n");
        assert_eq!((clean.status, clean.stderr.as_str()), (0, ""), "{what}: {}", world.telling(&clean));
    }

    /// What is there can be read. What it says of the publication may be of the one before: that is what could be kept.
    fn check_status(&self, what: &str) {
        let status = self.world.tagwall("status");
        let nothing_yet = self.begins_with.is_none() && status.stdout.contains("no publication is known yet");
        assert!(matches!(status.status, 0 | 2 | 3) || nothing_yet, "{what}: {}", self.world.telling(&status));
    }

    /// A boot at this moment: what was enforced comes back, without a feed.
    fn check_restore(&self, what: &str) {
        let world = &self.world;
        if self.begins_with.is_none() || world.tagwall("restore --help").status != 0 {
            return;
        }
        world.host.run("nft", &["flush", "ruleset"]);
        fs::rename(world.path("feed.json"), world.path("no-feed.json")).unwrap();
        let restore = world.tagwall("restore");
        assert_eq!(restore.status, 0, "{what}: {}", world.telling(&restore));
        assert!(self.enforces(0) || self.enforces(1), "{what}: restored {}", world.ruleset());
        fs::rename(world.path("no-feed.json"), world.path("feed.json")).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-aT").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// The program under strace, which is told these words besides. The process that is started is the program.
///
/// Of a run that is to fail only the first thread is traced: strace counts each thread's calls for itself, and those
/// of others, which wake each other by writing, are not to fail.
fn traced(world: &World, strace: &[String], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    world.prepare(&mut command);
    command.args(["-D", "-qq", "-y", "-s", "64", "-e", "signal=none", "-e", &format!("trace={WRITING}"), "-o"]);
    command
        .arg(world.path("trace"))
        .args(if strace.is_empty() { &["-f"][..] } else { &[] })
        .args(strace)
        .arg(TAGWALL)
        .args(["-c", "tagwall.toml"])
        .args(arguments);
    command
}

/// The injection of a failure into a call.
fn injected(call: &Call, failure: Failure) -> Vec<String> {
    let kind = match failure {
        Failure::Full => "error=ENOSPC",
        Failure::Killed => "signal=KILL",
    };
    let mut words = vec!["-e".to_owned(), format!("inject={}:{kind}:when={}", call.name, call.number)];
    // Calls on other files are then neither counted nor failed.
    words.extend(call.path.iter().flat_map(|path| ["-P".to_owned(), path.clone()]));
    words
}

/// The calls of a trace that write to the state directory, each with its number among those of its name.
fn calls(world: &World) -> Vec<Call> {
    let (trace, state) = (trace(world), world.path("state").display().to_string());
    let first = trace.split_whitespace().next().unwrap_or_default().to_owned();
    let mut counts = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        // With `-f` each line begins with the thread's number.
        let (thread, call) = line.split_once(' ').unwrap();
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if thread != first {
            assert!(!writes(call, &state), "a thread writes to the state directory: {line}");
            continue;
        }
        let path = call.find(&state).map(|start| {
            let path = &call[start..];
            path[..path.find(['"', '>']).unwrap_or(path.len())].to_owned()
        });
        let mut count = |path: Option<String>| {
            *counts.entry((name.to_owned(), path)).and_modify(|count| *count += 1).or_insert(1_usize)
        };
        let among_all = count(None);
        let Some(path) = path else { continue };
        let on_it = count(Some(path.clone()));
        if writes(call, &state) {
            let (path, number) = if path.contains(".unfinished-") { (None, among_all) } else { (Some(path), on_it) };
            calls.push(Call { name: name.to_owned(), path, number, line: call.to_owned() });
        }
    }
    calls
}

/// Whether a line is about the state directory, and about more than reading it.
fn writes(call: &str, state: &str) -> bool {
    let reads = call.contains("O_RDONLY") && !call.contains("O_CREAT");
    call.contains(state) && !reads
}

/// What strace has written, once it has ended: it goes by itself, some moments after the program.
fn trace(world: &World) -> String {
    let path = world.path("trace");
    let mut text = String::new();
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let now = fs::read_to_string(&path).unwrap();
        if now == text && !now.is_empty() {
            break;
        }
        text = now;
    }
    text
}

/// Fails every call of what `run` does, and checks what each leaves. `run` is given what strace is to be told
/// besides, and the failure that is meant to come of it. So many calls are passed over between two.
fn fail_each(
    scene: &Scene,
    step: usize,
    is_meant: impl Fn(&Call) -> bool,
    run: impl Fn(&[String], Option<Failure>) -> ExitStatus,
) {
    scene.begin();
    run(&[], None);
    let mut calls = calls(&scene.world);
    calls.retain(is_meant);
    assert!(calls.len() > 8, "too few calls to be true: {calls:?}");
    let names: std::collections::BTreeSet<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    assert!(["fsync", "write"].iter().all(|name| names.contains(name)), "{names:?}");
    let (mut failed, mut missed) = (0, Vec::new());
    for (call, failure) in calls.iter().step_by(step).flat_map(|call| [(call, Failure::Full), (call, Failure::Killed)])
    {
        scene.begin();
        let status = run(&injected(call, failure), Some(failure));
        let what = format!("{failure:?} at call {} of {}", call.number, call.line);
        let hit = match failure {
            Failure::Full => {
                trace(&scene.world).lines().any(|line| line.contains("INJECTED") && line.contains("state"))
            }
            Failure::Killed => status.signal() == Some(9),
        };
        if hit {
            failed += 1;
        } else {
            missed.push(what.clone());
        }
        scene.check_after(failure, &what);
    }
    eprintln!("{failed} failures put into {} calls ({names:?}); missed: {missed:?}", calls.len().div_ceil(step));
    // Calls that threads make at their own pace may shift a number now and then.
    assert!(missed.len() * 10 <= failed, "{missed:?}");
}

fn sync_fails_at_each(scene: &Scene, step: usize) {
    fail_each(
        scene,
        step,
        |_| true,
        |strace, failure| {
            let mut command = traced(&scene.world, strace, &["sync"]);
            let mut child = scene.world.spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
            let mut said = String::new();
            std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
            let status = child.wait().unwrap();
            match failure {
                Some(Failure::Killed) => assert!(status.signal() == Some(9) || status.success(), "{said}"),
                _ => assert!(status.success(), "{strace:?}: {said}"),
            }
            assert!(!said.contains("panicked"), "{said}");
            status
        },
    );
}

#[test]
fn a_one_shot_at_each_call() {
    with_namespaces(|| sync_fails_at_each(&Scene::new(false), 1));
}

#[test]
fn a_first_one_shot_at_each_call() {
    with_namespaces(|| sync_fails_at_each(&Scene::new(true), fraction(3, 1)));
}

#[test]
fn the_daemon_at_each_call() {
    with_namespaces(|| {
        let scene = Scene::new(false);
        // Its first thread also wakes others by writing, at its own pace: what cannot be told from that by a name is
        // left to the one-shot.
        fail_each(
            &scene,
            fraction(3, 1),
            // It takes the lock for its two passes; a third time is a look at drift, which not every run has.
            |call| call.path.as_ref().is_some_and(|path| !path.ends_with("/lock") || call.number <= 2),
            |strace, failure| {
                // Its first pass and one more, each with a publication of its own.
                scene.publish(0);
                let mut daemon = Daemon::spawn(&scene.world, &mut traced(&scene.world, strace, &["run"]));
                if daemon.lives_to_say("pass 1 (start") {
                    scene.publish(1);
                    daemon.signal(Signal::SIGHUP);
                    // What drift there was may have had this pass made.
                    if daemon.lives_to_say("change number 11") {
                        daemon.signal(Signal::SIGTERM);
                    }
                }
                scene.publish(1);
                let status = daemon.ended();
                assert!(
                    status.success() || failure == Some(Failure::Killed) && status.signal() == Some(9),
                    "{status:?}"
                );
                if status.success() {
                    assert!(scene.enforces(1), "{strace:?}: {}", scene.world.ruleset());
                }
                status
            },
        );
    });
}

/// A file system of the test's own in place of the state directory. This thread and those it starts see it.
fn mounted(world: &World, options: &str) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let state = world.path("state");
    fs::create_dir_all(&state).unwrap();
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

#[test]
fn a_disk_with_ever_less_room() {
    with_namespaces(|| {
        let scene = Scene::new(true);
        let world = &scene.world;
        mounted(world, "size=256k,mode=755");
        world.expect(0, "sync");
        let mut warned = 0;
        // In pages: a tmpfs gives no less.
        for room in (0..24).rev() {
            // The next publication each time, so that there is something to be written.
            let next = room % 2;
            world.feed(100 - room as u64, &[("AzureActiveDirectory", &strs(&scene.documents[next]))]);
            let filler = fill(&world.path("state/filler"), room);
            let run = world.expect(0, "sync");
            warned += usize::from(run.stderr.contains("No space left on device"));
            assert!(scene.enforces(next), "{room} pages: {}", world.ruleset());
            scene.check_status(&format!("{room} pages"));
            fs::remove_file(filler).unwrap();
            world.expect(0, "sync");
            let clean = world.expect(0, "sync -n");
            assert_eq!(clean.stderr, "", "{room} pages");
        }
        eprintln!("{warned} of 24 passes said that the disk was full");
        assert!(warned > 2, "the disk was never full");
        assert!(warned < 24, "there was never room enough");
    });
}

/// Fills the disk, all but so many pages.
fn fill(path: &Path, room: usize) -> std::path::PathBuf {
    let free = Command::new("stat").args(["-f", "-c", "%a"]).arg(path.parent().unwrap()).output().unwrap();
    let pages: usize = String::from_utf8(free.stdout).unwrap().trim().parse().unwrap();
    fs::write(path, vec![0; pages.saturating_sub(room) * 4096]).unwrap();
    path.to_owned()
}

/// Waits, and has nothing to show for it.
fn pause_a_little() -> bool {
    std::thread::sleep(std::time::Duration::from_millis(50));
    false
}

#[test]
fn a_disk_that_becomes_read_only_under_the_daemon() {
    with_namespaces(|| {
        let scene = Scene::new(true);
        let world = &scene.world;
        mounted(world, "size=1m,mode=755");
        let remount =
            |flags| mount(None::<&str>, &world.path("state"), None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>);
        scene.publish(0);
        let mut daemon = Daemon::start(world);
        daemon.says("pass 1 (start");
        // Refused while a file is open for writing: a look at drift may still hold the lock.
        let read_only = || (0..100).any(|_| remount(MsFlags::MS_RDONLY).is_ok() || pause_a_little());
        assert!(read_only(), "it stays busy");
        scene.publish(1);
        daemon.signal(Signal::SIGHUP);
        daemon.says("Read-only file system");
        let line = daemon.pass();
        assert!(line.contains("change number 11"), "{line}");
        assert!(scene.enforces(1));
        world.host.run("nft", &["flush", "ruleset"]);
        daemon.says("rules made anew");
        assert!(scene.enforces(1));
        remount(MsFlags::empty()).unwrap();
        daemon.pass();
        drop(daemon);
        let clean = world.expect(0, "sync -n");
        assert_eq!(clean.stderr, "");
        assert!(world.expect(0, "sync").stdout.contains("in sync"));
    });
}
