//! The real passes, over firewalls in memory and a publication in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{OwnerMark, PrefixSet, Provider};

use crate::daemon::{Live, Load, MakeProvider, Passes, Reason, Setup};
use crate::fixture::{config, document, set};
use crate::report::{Class, Failure, Report};
use crate::source::Kind;
use crate::state::StateDir;

const TWO: &str = "[lists.a]\ntags = [\"Alpha\"]\n[lists.b]\ntags = [\"Beta\"]\n\
                   [targets.one]\nlists = [\"a\"]\nnftables = {}\n[targets.two]\nlists = [\"b\"]\nports = [1]\nnftables = {}";

/// A directory with a configuration, a publication and a state; a firewall in memory; the passes over it.
struct World {
    dir: tempfile::TempDir,
    firewall: MemoryFirewall,
    live: Live,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let firewall = MemoryFirewall::new();
        write_config(dir.path(), TWO);
        publish(dir.path(), 1, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/24"])]);
        let live = Live::new(load(dir.path()), make(&firewall)).unwrap();
        Self { dir, firewall, live }
    }

    fn load(&self) -> Load {
        load(self.dir.path())
    }

    fn make(&self) -> MakeProvider {
        make(&self.firewall)
    }

    fn config(&self, text: &str) {
        write_config(self.dir.path(), text);
    }

    fn publish(&self, change_number: u64, tags: &[(&str, &[&str])]) {
        publish(self.dir.path(), change_number, tags);
    }

    fn state_dir(&self) -> StateDir {
        StateDir::new(self.dir.path().join("state"))
    }

    async fn pass(&mut self) -> Report {
        let arrival = self.live.fetch().await;
        let lock = self.live.lock().await;
        told(self.live.pass(lock, arrival, Reason::Tick).await, &mut self.live)
    }

    async fn mend(&mut self) -> Report {
        let lock = self.live.lock().await;
        let done = self.live.mend(lock).await;
        *self.live.settle(done)
    }

    fn mark(target: &str) -> OwnerMark {
        OwnerMark::new("test", target).unwrap()
    }

    fn admitted(&self, target: &str) -> PrefixSet {
        self.firewall.admitted(&Self::mark(target))
    }

    /// Somebody removes what a target admits.
    fn flush(&self, target: &str) {
        for prefix in self.admitted(target).prefixes() {
            self.firewall.delete(target, prefix, Some(&Self::mark(target)));
        }
        assert!(self.admitted(target).is_empty());
    }
}

fn load(dir: &std::path::Path) -> Load {
    let path = dir.to_owned();
    Box::new(move || {
        let text = std::fs::read_to_string(path.join("config")).unwrap();
        if text == "broken" {
            return Err(Failure { message: text, hint: None, class: Class::Rejected });
        }
        let mut config = config(&text);
        config.source.kind = Kind::File(path.join("ServiceTags_Public_20260105.json"));
        Ok(Setup { config, state_dir: StateDir::new(path.join("state")) })
    })
}

fn make(firewall: &MemoryFirewall) -> MakeProvider {
    let firewall = firewall.clone();
    Arc::new(move |target, _, _| {
        Ok(Box::new(MemoryProvider::new(&firewall, target.mark.clone(), &[&target.name])) as Box<dyn Provider>)
    })
}

fn write_config(dir: &std::path::Path, text: &str) {
    std::fs::write(dir.join("config"), text).unwrap();
}

fn publish(dir: &std::path::Path, change_number: u64, tags: &[(&str, &[&str])]) {
    let path: PathBuf = dir.join("ServiceTags_Public_20260105.json");
    std::fs::write(path, document(change_number, tags)).unwrap();
}

fn told(done: <Live as Passes>::Done, live: &mut Live) -> Report {
    *live.settle(done)
}

fn outcomes(report: &Report) -> BTreeMap<&str, &'static str> {
    report.targets.iter().map(|told| (told.target.name.as_str(), told.outcome.name())).collect()
}

#[track_caller]
fn mended(report: &Report, expect: &[(&str, &str)]) {
    let outcomes: Vec<(&str, &str)> = outcomes(report).into_iter().collect();
    assert_eq!(outcomes, expect);
}

#[tokio::test]
async fn drift_is_mended_without_the_source() {
    let mut world = World::new();
    mended(&world.mend().await, &[]);
    world.pass().await;
    world.flush("one");
    std::fs::remove_file(world.dir.path().join("ServiceTags_Public_20260105.json")).unwrap();
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
    // What somebody adds is drift, too, and no loss to be judged.
    world.firewall.insert(
        "one",
        "203.0.113.0/24".parse::<tagwall_provider::IpNet>().unwrap(),
        Some(&World::mark("one")),
    );
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
}

#[tokio::test]
async fn a_target_that_a_pass_refused_is_mended_to_what_it_last_had() {
    let mut world = World::new();
    world.pass().await;
    world.publish(2, &[("Beta", &["198.51.100.0/25"])]);
    assert_eq!(outcomes(&world.pass().await)["one"], "refused");
    world.flush("one");
    world.flush("two");
    mended(&world.mend().await, &[("one", "applied"), ("two", "applied")]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
    assert_eq!(world.admitted("two"), set(&["198.51.100.0/25"]));
}

#[tokio::test]
async fn what_was_withdrawn_is_left_alone_by_every_pass() {
    let mut world = World::new();
    world.pass().await;
    world.flush("one");
    let mut state = world.state_dir().load().unwrap().state;
    state.targets.get_mut("one").unwrap().withdrawn = Some(jiff::Timestamp::now());
    world.state_dir().save(&state).unwrap();
    mended(&world.mend().await, &[("two", "in-sync")]);
    // Its list goes on being accepted: or its change would one day be measured against a publication of long ago.
    world.publish(2, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/25"])]);
    let report = world.pass().await;
    assert_eq!(outcomes(&report).into_iter().collect::<Vec<_>>(), [("two", "applied")]);
    assert!(report.warnings.iter().any(|warning| warning.contains("`one` is withdrawn")), "{:?}", report.warnings);
    let state = world.state_dir().load().unwrap().state;
    assert!(state.is_withdrawn("one"));
    assert_eq!(state.lists["a"].sha256, state.lists["b"].sha256);
    assert!(world.admitted("one").is_empty());
}

/// What `sync` leaves behind: another generation on disk, and a state that names it.
fn another_process_enforced(world: &World, prefix: &str) {
    let (dir, generations) = (world.state_dir(), world.state_dir().generations());
    let mut state = dir.load().unwrap().state;
    let mut generation = generations.read(state.generation).unwrap().unwrap();
    generation.number += 1;
    let list = generation.targets.get_mut("one").unwrap().lists.get_mut("a").unwrap();
    Arc::make_mut(list).listed = set(&[prefix]);
    generations.write(&generation).unwrap();
    state.generation = generation.number;
    state.targets.get_mut("one").unwrap().generation = Some(generation.number);
    dir.save(&state).unwrap();
}

#[tokio::test]
async fn where_another_process_made_a_pass_the_disk_is_right() {
    let mut world = World::new();
    world.pass().await;
    another_process_enforced(&world, "203.0.113.0/24");
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
    assert_eq!(world.admitted("one"), set(&["203.0.113.0/24"]));
    // Negative control: after a pass of its own its memory is.
    world.pass().await;
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_stops_no_mending() {
    let mut world = World::new();
    // In place of the directory that generations go to.
    std::fs::create_dir_all(world.state_dir().path()).unwrap();
    std::fs::write(world.state_dir().path().join("generations"), "").unwrap();
    let report = world.pass().await;
    assert!(report.warnings.iter().any(|warning| warning.contains("generation")), "{:?}", report.warnings);
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
}

#[tokio::test]
async fn the_first_mending_after_a_start_needs_no_pass_before_it() {
    let mut world = World::new();
    world.pass().await;
    world.live = Live::new(world.load(), world.make()).unwrap();
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
}

#[tokio::test]
async fn without_a_source_each_target_is_kept_as_it_was() {
    let mut world = World::new();
    world.pass().await;
    world.flush("one");
    let document = world.dir.path().join("ServiceTags_Public_20260105.json");
    std::fs::write(&document, "<html>").unwrap();
    let report = world.pass().await;
    assert_eq!(outcomes(&report).into_values().collect::<Vec<_>>(), ["failed", "failed"]);
    let kept = |target: usize| report.targets[target].fallback.as_ref().unwrap().outcome.name();
    assert_eq!((kept(0), kept(1)), ("applied", "in-sync"));
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
}

#[tokio::test]
async fn after_a_reload_mending_goes_by_the_new_configuration() {
    let mut world = World::new();
    world.pass().await;
    world.flush("one");
    world.flush("two");
    // What the operator takes out is never admitted again, and what they have dropped is no target any more.
    world.config(
        &TWO.replace("[\"Beta\"]", "[\"Beta\"]\nexclude = [\"198.51.100.0/25\"]")
            .replace("[targets.one]", "[targets.other]"),
    );
    world.live.reload().unwrap();
    mended(&world.mend().await, &[("two", "applied")]);
    assert_eq!(world.admitted("two"), set(&["198.51.100.128/25"]));
    assert!(world.admitted("one").is_empty());
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let mut world = World::new();
    world.pass().await;
    world.config("broken");
    world.live.reload().unwrap_err();
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
}

#[tokio::test]
async fn the_lock_is_held_for_a_pass_and_waited_for() {
    let mut world = World::new();
    let held = world.state_dir().lock().unwrap();
    let waiting = world.live.lock();
    let arrival = world.live.fetch().await;
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        drop(held);
    };
    let (lock, ()) = tokio::join!(waiting, release);
    assert!(world.state_dir().lock().is_err());
    told(world.live.pass(lock, arrival, Reason::Tick).await, &mut world.live);
    world.state_dir().lock().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_given_up_fails_the_pass_for_now() {
    let mut world = World::new();
    let _held = world.state_dir().lock().unwrap();
    let (arrival, lock) = (world.live.fetch().await, world.live.lock().await);
    let report = told(world.live.pass(lock, arrival, Reason::Tick).await, &mut world.live);
    assert_eq!(outcomes(&report).into_values().collect::<Vec<_>>(), ["failed", "failed"]);
    assert!(report.may_improve());
    assert_eq!(world.firewall.writes(), 0);
}

#[tokio::test]
async fn a_state_that_a_newer_version_wrote_fails_the_pass_and_is_not_overwritten() {
    let mut world = World::new();
    world.pass().await;
    let path = world.dir.path().join("state/state.json");
    std::fs::write(&path, "{\"version\": 99}").unwrap();
    let report = world.pass().await;
    assert_eq!(outcomes(&report).into_values().collect::<Vec<_>>(), ["failed", "failed"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"version\": 99}");
}
