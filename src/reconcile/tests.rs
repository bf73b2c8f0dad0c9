use std::path::PathBuf;

use tagwall_provider::testing::memory::{Failure as Fault, MemoryFirewall, MemoryProvider};
use tagwall_provider::{Applied, Desired, Observed, Orphan, OwnerMark, PrefixSet, ProviderError, Revision, Steps};

use super::*;
use crate::config::Policy;
use crate::exit::ExitStatus;
use crate::fixture::{config, document, set};
use crate::report::json;

/// A world: a document on disk, a configuration and a firewall in memory for every target.
struct World {
    dir: tempfile::TempDir,
    config: Config,
    firewall: MemoryFirewall,
    state: State,
    options: Options,
}

const ONE: &str = "[lists.a]\ntags = [\"Alpha\"]\n[targets.one]\nlists = [\"a\"]\nnftables = {}";
const TWO: &str = "[lists.a]\ntags = [\"Alpha\"]\n[lists.b]\ntags = [\"Beta\"]\n\
                   [targets.one]\nlists = [\"a\"]\nnftables = {}\n[targets.two]\nlists = [\"b\"]\nports = [1]\nnftables = {}";

impl World {
    fn new(text: &str, tags: &[(&str, &[&str])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(text);
        config.source.kind = crate::source::Kind::File(dir.path().join("ServiceTags_Public_20260105.json"));
        let now = "2026-01-10T00:00:00Z".parse().unwrap();
        let options = Options::new(Purpose::Enforce, now);
        let world = Self { dir, config, firewall: MemoryFirewall::new(), state: State::default(), options };
        world.publish(1, tags);
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ServiceTags_Public_20260105.json")
    }

    fn state_dir(&self) -> StateDir {
        StateDir::new(self.dir.path().to_owned())
    }

    fn publish(&self, change_number: u64, tags: &[(&str, &[&str])]) {
        std::fs::write(self.path(), document(change_number, tags)).unwrap();
    }

    fn mark(target: &str) -> OwnerMark {
        OwnerMark::new("test", target).unwrap()
    }

    fn admitted(&self, target: &str) -> PrefixSet {
        self.firewall.admitted(&Self::mark(target))
    }

    async fn pass(&self) -> Report {
        let names: Vec<&str> = self.config.targets.iter().map(|target| target.name.as_str()).collect();
        self.pass_of(&names).await.report
    }

    async fn pass_of(&self, names: &[&str]) -> Pass {
        let kept: Vec<Kept<'_>> = self
            .config
            .targets
            .iter()
            .filter(|target| names.contains(&target.name.as_str()))
            .map(|target| {
                let provider = MemoryProvider::new(&self.firewall, target.mark.clone(), &[target.name.as_str()]);
                Kept { target, provider: Ok(Box::new(provider)) }
            })
            .collect();
        let source = Source::new(self.config.source.clone()).unwrap();
        let (dir, recent) = (self.state_dir(), BTreeMap::new());
        let memory = Memory { dir: &dir, state: &self.state, recent: &recent };
        pass(&self.config, &source, memory, &kept, &self.options).await
    }
}

fn outcomes(report: &Report) -> Vec<&'static str> {
    report.targets.iter().map(|target| target.outcome.name()).collect()
}

fn limits(report: &Report, target: usize) -> Vec<Limit> {
    match &report.targets[target].outcome {
        Outcome::Refused { refusals, .. } => refusals.iter().map(|refusal| refusal.limit).collect(),
        outcome => panic!("not refused: {outcome:?}"),
    }
}

#[tokio::test]
async fn a_pass_applies_and_a_second_one_finds_nothing_to_do() {
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24", "2001:db8::/48"])]);
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["applied"], ExitStatus::Done));
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24", "2001:db8::/48"]));
    let writes = world.firewall.writes();
    let report = world.pass().await;
    assert_eq!((outcomes(&report), world.firewall.writes()), (vec!["in-sync"], writes));
}

#[tokio::test]
async fn a_dry_run_and_the_policy_observe_change_nothing() {
    let mut world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    world.options.purpose = Purpose::DryRun;
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["planned"], ExitStatus::Pending));
    world.options.purpose = Purpose::Enforce;
    world.config.targets[0].policy = Policy::Observe;
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["planned"], ExitStatus::Done));
    assert_eq!((world.admitted("one"), world.firewall.writes()), (PrefixSet::new(), 0));
    // Negative control: without either it writes.
    world.config.targets[0].policy = Policy::Sync;
    world.pass().await;
    assert!(world.firewall.writes() > 0);
}

#[tokio::test]
async fn a_target_that_is_refused_or_fails_stops_no_other() {
    let world = World::new(TWO, &[("Beta", &["198.51.100.0/24"])]);
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["refused", "applied"], ExitStatus::Refused));
    assert_eq!(limits(&report, 0), [Limit::MissingTag]);
    assert_eq!(world.admitted("two"), set(&["198.51.100.0/24"]));

    let world = World::new(TWO, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/24"])]);
    world.firewall.fail_read(1, Fault::Rejected);
    let report = world.pass().await;
    let mut sorted = outcomes(&report);
    sorted.sort_unstable();
    assert_eq!((sorted, report.exit_status()), (vec!["applied", "failed"], ExitStatus::Failed));
}

#[tokio::test]
async fn a_list_is_accepted_only_when_all_its_targets_were_in_the_pass() {
    let text = "[lists.a]\ntags = [\"Alpha\"]\n[targets.one]\nlists = [\"a\"]\nnftables = {}\n\
                [targets.two]\nlists = [\"a\"]\nports = [1]\nnftables = {}";
    let world = World::new(text, &[("Alpha", &["192.0.2.0/24"])]);
    assert_eq!(world.pass_of(&["one"]).await.accepted, [""; 0]);
    assert_eq!(world.pass_of(&["one", "two"]).await.accepted, ["a"]);
}

#[tokio::test]
async fn a_step_that_was_made_already_is_not_refused() {
    let many: Vec<String> = (0..64).map(|index| format!("198.51.100.{}/32", index * 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut world = World::new(ONE, &[("Alpha", &many)]);
    let before = world.pass_of(&["one"]).await.fetched.unwrap();
    world.state_dir().last_good().store(&before).unwrap();
    let sha256 = before.publication.sha256;
    world
        .state
        .lists
        .insert("a".to_owned(), crate::state::ListRecord { sha256, tags: Vec::new(), dropped: Vec::new() });
    world.publish(2, &[("Alpha", &many[..32])]);
    assert_eq!(limits(&world.pass().await, 0), [Limit::Loss]);
    world.options.overrides = vec![Limit::Loss];
    assert_eq!(outcomes(&world.pass().await), ["applied"]);
    // The same state, the same publication, no override: the loss is behind us.
    world.options.overrides = Vec::new();
    assert_eq!(outcomes(&world.pass().await), ["in-sync"]);
}

#[tokio::test]
async fn a_conflict_is_read_and_planned_again() {
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    world.firewall.fail_write(1, Fault::Conflict);
    let report = world.pass().await;
    assert_eq!(outcomes(&report), ["applied"]);
    assert_eq!(world.admitted("one"), set(&["192.0.2.0/24"]));
}

#[tokio::test]
async fn what_was_done_before_a_conflict_is_told_as_done() {
    // The answer of the write is lost: it was made, and the next attempt finds nothing left to do.
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    world.firewall.fail_read(2, Fault::Conflict);
    let report = world.pass().await;
    assert_eq!(outcomes(&report), ["applied"]);
    assert_eq!(report.targets[0].plan().unwrap().after, set(&["192.0.2.0/24"]));
}

/// What is told is what was done, in however many rounds.
#[tokio::test]
async fn what_several_rounds_did_adds_up() {
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"])]);
    let applied = |report: &Report| match &report.targets[0].outcome {
        Outcome::Applied(_, applied) => (applied.added, applied.removed),
        outcome => panic!("{outcome:?}"),
    };
    // In the middle of a round: the skeleton and an entry are written.
    world.firewall.fail_write(3, Fault::Conflict);
    let report = world.pass().await;
    assert_eq!((report.targets[0].conflicts, applied(&report)), (1, (3, 0)));
    // The whole of a round is counted, too, where it is only read back too late.
    world.publish(2, &[("Alpha", &["192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24", "2001:db8::/48"])]);
    world.firewall.fail_read(2, Fault::Conflict);
    assert_eq!(applied(&world.pass().await), (1, 0));
}

#[tokio::test]
async fn conflicts_without_end_are_given_up() {
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    for call in 1..100 {
        world.firewall.fail_write(call, Fault::Conflict);
    }
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["failed"], ExitStatus::Failed));
}

#[tokio::test]
async fn without_an_accepted_publication_changes_are_measured_against_the_target() {
    let many: Vec<String> = (0..64).map(|index| format!("198.51.100.{}/32", index * 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut world = World::new(ONE, &[("Alpha", &many)]);
    world.pass().await;
    world.publish(2, &[("Alpha", &many[..32])]);
    let report = world.pass().await;
    assert_eq!(limits(&report, 0), [Limit::Loss]);
    assert!(report.targets[0].plan().is_some(), "a refusal shows what it holds back");
    assert_eq!(world.admitted("one").prefixes().count(), 64);
    // The override lets it through, and is told.
    world.options.overrides = vec![Limit::Loss];
    let report = world.pass().await;
    assert_eq!(outcomes(&report), ["applied"]);
    assert_eq!(report.overridden.len(), 1, "{report:?}");
    assert_eq!(world.admitted("one").prefixes().count(), 32);
}

#[tokio::test]
async fn one_refused_list_holds_its_target_alone() {
    let text = "[lists.a]\ntags = [\"Alpha\"]\n[lists.b]\ntags = [\"Gone\"]\n\
                [targets.both]\nlists = [\"a\", \"b\"]\nnftables = {}\n[targets.one]\nlists = [\"a\"]\nports = [1]\nnftables = {}";
    let world = World::new(text, &[("Alpha", &["192.0.2.0/24"])]);
    let report = world.pass().await;
    assert_eq!(outcomes(&report), ["refused", "applied"]);
    assert_eq!(world.admitted("both"), PrefixSet::new());
}

#[tokio::test]
async fn special_space_is_refused_unless_the_operator_lets_it_through() {
    let mut world = World::new(ONE, &[("Alpha", &["10.0.0.0/24", "192.0.2.0/24"])]);
    let report = world.pass().await;
    assert_eq!(limits(&report, 0), [Limit::SpecialSpace]);
    world.options.overrides = vec![Limit::SpecialSpace];
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.overridden.len()), (vec!["applied"], 1));
}

#[tokio::test]
async fn no_publication_touches_no_target() {
    let world = World::new(TWO, &[]);
    std::fs::write(world.path(), b"<html><title>Gateway Timeout</title></html>").unwrap();
    let report = world.pass().await;
    assert_eq!((outcomes(&report), report.exit_status()), (vec!["failed", "failed"], ExitStatus::Failed));
    assert_eq!(world.firewall.writes(), 0);
    assert!(json::Report::from(&report).targets[0].error.as_ref().unwrap().message.contains("HTML"), "{report:?}");
}

#[tokio::test]
async fn the_operators_own_connection_is_not_cut_unasked() {
    let mut world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    let session = |client: &str, port| Some(OwnSession { client: client.parse().unwrap(), port });
    world.options.own_session = session("203.0.113.9", 8443);
    let report = world.pass().await;
    assert_eq!((limits(&report, 0), world.firewall.writes()), (vec![Limit::OwnSession], 0));
    // Negative controls: another port, a client that stays admitted, loopback.
    for (client, port) in [("203.0.113.9", 22), ("192.0.2.9", 8443), ("127.0.0.1", 8443)] {
        let mut world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
        world.options.own_session = session(client, port);
        assert_eq!(outcomes(&world.pass().await), ["applied"], "{client} {port}");
    }
}

/// A provider that says it did what it did not.
#[derive(Debug)]
struct Liar(MemoryProvider);

#[async_trait::async_trait]
impl Provider for Liar {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        self.0.observe().await
    }
    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        self.0.place(observed, desired)
    }
    async fn apply(&self, _: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        Ok(Applied { added: steps.entries.len() as u64, ..Default::default() })
    }
    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        self.0.withdraw().await
    }
    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        self.0.remove_orphans(orphans).await
    }
}

#[tokio::test]
async fn success_is_what_a_later_read_shows() {
    let world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    let target = &world.config.targets[0];
    let liar = Liar(MemoryProvider::new(&world.firewall, target.mark.clone(), &["one"]));
    let kept = [Kept { target, provider: Ok(Box::new(liar)) }];
    let source = Source::new(world.config.source.clone()).unwrap();
    let (dir, recent) = (world.state_dir(), BTreeMap::new());
    let memory = Memory { dir: &dir, state: &world.state, recent: &recent };
    let report = pass(&world.config, &source, memory, &kept, &world.options).await.report;
    assert_eq!(outcomes(&report), ["failed"]);
    let told = json::Report::from(&report);
    let message = &told.targets[0].error.as_ref().unwrap().message;
    assert!(message.contains("does not admit 192.0.2.0/24"), "{message}");
}

/// A provider that never answers.
#[derive(Debug)]
struct Silent(MemoryProvider);

#[async_trait::async_trait]
impl Provider for Silent {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        std::future::pending().await
    }
    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        self.0.place(observed, desired)
    }
    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        self.0.apply(base, steps).await
    }
    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        self.0.withdraw().await
    }
    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        self.0.remove_orphans(orphans).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_delays_no_other_and_is_given_up() {
    let world = World::new(TWO, &[("Alpha", &["192.0.2.0/24"]), ("Beta", &["198.51.100.0/24"])]);
    let memory_provider = |place: usize| {
        let target = &world.config.targets[place];
        MemoryProvider::new(&world.firewall, target.mark.clone(), &[target.name.as_str()])
    };
    let [one, two] = [0, 1].map(|place| &world.config.targets[place]);
    let kept = [
        Kept { target: one, provider: Ok(Box::new(Silent(memory_provider(0)))) },
        Kept { target: two, provider: Ok(Box::new(memory_provider(1))) },
    ];
    let (dir, recent) = (world.state_dir(), BTreeMap::new());
    let memory = Memory { dir: &dir, state: &world.state, recent: &recent };
    let source = Source::new(world.config.source.clone()).unwrap();
    let running = pass(&world.config, &source, memory, &kept, &world.options);
    let applied = async {
        while world.admitted("two").is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::Instant::now()
    };
    let began = tokio::time::Instant::now();
    let (done, applied) = tokio::join!(running, applied);
    assert!(applied - began < Duration::from_secs(10), "the one waited for the other");
    assert_eq!(outcomes(&done.report), ["failed", "applied"]);
    assert!(done.report.may_improve());
}

#[tokio::test]
async fn an_old_publication_is_warned_about() {
    let mut world = World::new(ONE, &[("Alpha", &["192.0.2.0/24"])]);
    assert_eq!(world.pass().await.warnings, [""; 0]);
    world.options.now = "2026-01-26T00:00:01Z".parse().unwrap();
    let report = world.pass().await;
    assert!(report.warnings[0].contains("21 days old"), "{:?}", report.warnings);
    assert_eq!(report.exit_status(), ExitStatus::Done);
}

#[tokio::test]
async fn what_was_not_agreed_to_is_not_done() {
    let tags = [("Alpha", &["192.0.2.0/24"][..])];
    let agreed = async |world: &mut World| {
        world.options.purpose = Purpose::DryRun;
        let report = world.pass().await;
        world.options.purpose = Purpose::Enforce;
        let plan = report.targets[0].plan().unwrap().clone();
        world.options.agreed = Some(Arc::new(BTreeMap::from([("one".to_owned(), plan)])));
    };
    let mut world = World::new(ONE, &tags);
    agreed(&mut world).await;
    let report = world.pass().await;
    assert_eq!(outcomes(&report), ["applied"]);
    // What is done already is not done twice.
    let report = world.pass().await;
    assert_eq!(limits(&report, 0), [Limit::StalePlan]);
    assert!(report.targets[0].fallback.is_none());

    // Something moved between the look and the change: another list, or the firewall.
    let mut world = World::new(ONE, &tags);
    agreed(&mut world).await;
    world.publish(2, &[("Alpha", &["192.0.2.0/25"])]);
    let report = world.pass().await;
    assert_eq!((limits(&report, 0), world.firewall.writes()), (vec![Limit::StalePlan], 0));
    let provider = MemoryProvider::new(&world.firewall, World::mark("one"), &["one"]);
    world.publish(1, &tags);
    let observed = provider.observe().await.unwrap();
    let steps = provider.place(&observed, &Desired::listed(set(&["198.51.100.0/24"]))).unwrap();
    provider.apply(&observed.revision, &steps).await.unwrap();
    let report = world.pass().await;
    assert!(limits(&report, 0).contains(&Limit::StalePlan));
    assert_eq!(world.admitted("one"), set(&["198.51.100.0/24"]));

    // A target that nobody spoke of.
    let mut world = World::new(ONE, &tags);
    world.options.agreed = Some(Arc::default());
    let report = world.pass().await;
    assert_eq!((limits(&report, 0), world.firewall.writes()), (vec![Limit::StalePlan], 0));
    // The control: without an agreement it is done.
    world.options.agreed = None;
    assert_eq!(outcomes(&world.pass().await), ["applied"]);
}
