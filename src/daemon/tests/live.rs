//! The real passes, over firewalls in memory and a publication in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{OwnerMark, PrefixSet, Provider};

use crate::daemon::{Live, Load, MakeProvider, Passes, Settled, Setup};
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
        let path = dir.path().to_owned();
        write_config(&path, TWO);
        publish(&path, 1, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/24"])]);
        let load: Load = Box::new(move || {
            let text = std::fs::read_to_string(path.join("config")).unwrap();
            if text == "broken" {
                return Err(Failure { message: text, hint: None, class: Class::Rejected });
            }
            let mut config = config(&text);
            config.source.kind = Kind::File(path.join("ServiceTags_Public_20260105.json"));
            Ok(Setup { config, state_dir: StateDir::new(path.join("state")) })
        });
        let wall = firewall.clone();
        let make: MakeProvider = Arc::new(move |target, _, _| {
            Ok(Box::new(MemoryProvider::new(&wall, target.mark.clone(), &[&target.name])) as Box<dyn Provider>)
        });
        Self { dir, live: Live::new(load, make).unwrap(), firewall }
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
        told(self.live.pass(lock, arrival).await, &mut self.live)
    }

    async fn mend(&mut self) -> Settled {
        let lock = self.live.lock().await;
        let done = self.live.mend(lock).await;
        self.live.settle(done)
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

fn write_config(dir: &std::path::Path, text: &str) {
    std::fs::write(dir.join("config"), text).unwrap();
}

fn publish(dir: &std::path::Path, change_number: u64, tags: &[(&str, &[&str])]) {
    let path: PathBuf = dir.join("ServiceTags_Public_20260105.json");
    std::fs::write(path, document(change_number, tags)).unwrap();
}

fn told(done: <Live as Passes>::Done, live: &mut Live) -> Report {
    match live.settle(done) {
        Settled::Told(report) => *report,
        Settled::Outdated => panic!("a whole pass is never out of date"),
    }
}

fn outcomes(report: &Report) -> BTreeMap<&str, &'static str> {
    report.targets.iter().map(|told| (told.target.name.as_str(), told.outcome.name())).collect()
}

#[track_caller]
fn mended(settled: &Settled, expect: &[(&str, &str)]) {
    let Settled::Told(report) = settled else { panic!("it was out of date") };
    let outcomes: Vec<(&str, &str)> = outcomes(report).into_iter().collect();
    assert_eq!(outcomes, expect);
}

#[tokio::test]
async fn drift_is_mended_without_the_source() {
    let mut world = World::new();
    assert!(!world.live.can_mend());
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
    assert!(matches!(world.mend().await, Settled::Outdated));
    world.pass().await;
    mended(&world.mend().await, &[("two", "in-sync")]);
    // Its list goes on being accepted: or its change would one day be measured against a publication of long ago.
    world.publish(2, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/25"])]);
    let report = world.pass().await;
    assert_eq!(outcomes(&report).into_iter().collect::<Vec<_>>(), [("two", "applied")]);
    assert!(report.warnings.iter().any(|warning| warning.contains("`one` is withdrawn")), "{:?}", report.warnings);
    let state = world.state_dir().load().unwrap().state;
    assert!(state.is_withdrawn("one"));
    assert_eq!(state.lists["a"], state.lists["b"]);
    assert!(world.admitted("one").is_empty());
}

#[tokio::test]
async fn where_another_process_made_a_pass_memory_is_out_of_date() {
    let mut world = World::new();
    world.pass().await;
    // What `sync --target one` leaves behind, whatever it did.
    let mut state = world.state_dir().load().unwrap().state;
    state.targets.get_mut("one").unwrap().last_attempt = Some(jiff::Timestamp::now());
    world.state_dir().save(&state).unwrap();
    world.flush("one");
    assert!(matches!(world.mend().await, Settled::Outdated));
    assert!(world.admitted("one").is_empty());
    // Negative control: after a pass of its own it is up to date.
    world.pass().await;
    world.flush("one");
    mended(&world.mend().await, &[("one", "applied"), ("two", "in-sync")]);
}

#[tokio::test]
async fn a_reload_forgets_what_it_changed_and_keeps_the_rest() {
    let mut world = World::new();
    world.pass().await;
    world.flush("one");
    world.flush("two");
    world.config(&TWO.replace("\"Beta\"]", "\"Beta\", \"Gamma\"]"));
    world.live.reload().unwrap();
    mended(&world.mend().await, &[("one", "applied")]);
    world.config(&TWO.replace("[targets.one]", "[targets.other]"));
    world.live.reload().unwrap();
    assert!(!world.live.can_mend());
}

#[tokio::test]
async fn a_pass_that_began_before_a_reload_leaves_nothing_of_the_old_configuration() {
    let mut world = World::new();
    let (arrival, lock) = (world.live.fetch().await, world.live.lock().await);
    let pass = world.live.pass(lock, arrival);
    world.config(&TWO.replace("ports = [1]", "ports = [2]"));
    world.live.reload().unwrap();
    told(pass.await, &mut world.live);
    world.flush("one");
    world.flush("two");
    mended(&world.mend().await, &[("one", "applied")]);
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
    told(world.live.pass(lock, arrival).await, &mut world.live);
    world.state_dir().lock().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_given_up_fails_the_pass_for_now() {
    let mut world = World::new();
    let _held = world.state_dir().lock().unwrap();
    let (arrival, lock) = (world.live.fetch().await, world.live.lock().await);
    let report = told(world.live.pass(lock, arrival).await, &mut world.live);
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
