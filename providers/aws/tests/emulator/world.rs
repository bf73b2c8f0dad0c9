//! One target over some groups, and passes that are held against what stood between its calls.

use serde_json::Value;
use tagwall_aws::{Account, Clients, Ports, SecurityGroups, Target};
use tagwall_provider::testing::conformance::{Pass, PassError, pass};
use tagwall_provider::{Desired, OwnerMark, PrefixSet, Provider as _};

use crate::hand::{Hand, REGION, admitted, mark_of};
use crate::log::Replay;
use crate::rig::Rig;

pub(crate) const PORT: u16 = 8443;
pub(crate) const OURS: &str = "tagwall:edge/web";

/// The account of the environment, in a region.
pub(crate) fn account(region: &str) -> Account {
    Account { region: region.to_owned(), profile: None, role: None, endpoint: None }
}

pub(crate) fn mark() -> OwnerMark {
    OURS.parse().unwrap()
}

pub(crate) struct World {
    pub(crate) rig: Rig,
    pub(crate) hand: Hand,
    pub(crate) groups: Vec<String>,
    pub(crate) target: Target,
    pub(crate) clients: Clients,
}

impl World {
    pub(crate) fn new(rig: &Rig, groups: usize) -> Self {
        let hand = Hand::new(rig);
        // A name is taken once.
        let calls = rig.log().len();
        let groups = (0..groups).map(|number| hand.make_group(&format!("group-{calls}-{number}"))).collect();
        Self::of(rig, groups)
    }

    /// The target over groups that are there.
    pub(crate) fn of(rig: &Rig, groups: Vec<String>) -> Self {
        let target = Target::new(mark(), vec![Ports::tcp(PORT, PORT)]);
        Self { rig: rig.clone(), hand: Hand::new(rig), groups, target, clients: Clients::default() }
    }

    pub(crate) fn provider(&self) -> SecurityGroups {
        SecurityGroups::new(&self.clients, account(REGION), self.groups.clone(), self.target.clone())
    }

    pub(crate) fn admitted(&self) -> PrefixSet {
        admitted(&self.rig.rules(), OURS, PORT)
    }

    /// What is not ours, ids and all.
    pub(crate) fn foreign(&self) -> Vec<Value> {
        self.rig.rules().into_iter().filter(|rule| mark_of(rule) != Some(OURS)).collect()
    }

    /// A whole pass, with no gap and no surplus at any call of it.
    pub(crate) async fn pass(&self, wanted: &PrefixSet) -> Result<Pass, PassError> {
        let watch = self.watch(wanted);
        let passed = pass(&self.provider(), &Desired::listed(wanted.clone())).await;
        watch.check(self);
        passed
    }

    /// Looks at what is there now, to be held against what comes.
    pub(crate) fn watch(&self, wanted: &PrefixSet) -> Watch {
        let mut replay = Replay::default();
        replay.states(&self.rig.log(), OURS, PORT);
        let before = self.admitted();
        let (least, most) = (before.intersection(wanted), before.union(wanted));
        Watch { foreign: self.foreign(), least, most, replay }
    }

    /// A pass that has to reach what is wanted, and after which there is nothing to do.
    pub(crate) async fn reach(&self, wanted: &PrefixSet) -> Pass {
        let passed = self.pass(wanted).await.unwrap_or_else(|error| panic!("{error}: {error:?}"));
        assert_eq!(self.admitted(), *wanted);
        let provider = self.provider();
        let again = provider.place(&passed.after, &Desired::listed(wanted.clone())).unwrap();
        assert!(again.is_empty(), "there is something left to do: {again:?}");
        passed
    }
}

/// What has to hold between the calls of a pass.
pub(crate) struct Watch {
    foreign: Vec<Value>,
    least: PrefixSet,
    most: PrefixSet,
    replay: Replay,
}

impl Watch {
    /// No gap and no surplus since this was made, and nothing of anybody else's moved.
    pub(crate) fn check(mut self, world: &World) {
        let now = world.admitted();
        for state in self.replay.states(&world.rig.log(), OURS, PORT).into_iter().chain([now]) {
            let (gap, surplus) = (self.least.difference(&state), state.difference(&self.most));
            assert!(gap.is_empty() && surplus.is_empty(), "a gap of {gap}, a surplus of {surplus}");
        }
        assert_eq!(world.foreign(), self.foreign, "somebody else's rules changed");
    }
}
