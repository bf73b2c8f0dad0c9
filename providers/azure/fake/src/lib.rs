//! A stateful stand-in for Azure Resource Manager's network security groups, over TLS with its own authority, for
//! tests.
//!
//! **It is not Azure.** It encodes a reading of Microsoft's documentation and API description, of recorded exchanges
//! (Kubernetes' cloud provider 2025, the SDKs for .NET, Java and Ruby 2016 to 2020) and of messages that people quoted
//! in issue trackers. Nothing of it was compared with the living service, and it is never the only witness: `witness/`
//! runs Microsoft's validator, the recordings and Microsoft's Python client against it.
//!
//! | seen in a recording | quoted by people who met it | a guess: rely on the class, never on the text |
//! |---|---|---|
//! | 201 and 200 with `Azure-AsyncOperation`, 202 with `Location`, 204 at its end | codes and texts of 400 for priority, address prefix, port, unsupported value, overlapping prefixes, missing parameters, 1,000 rules, 4,000 prefixes | codes of 400 for protocol, access, direction, description, and for singular beside plural |
//! | ETags: of the group and all its rules one, a new one at the end of an operation | 409 `AnotherOperationInProgress`, 429 `RetryableError` | **If-Match on a single rule** (a switch, off), `If-None-Match` |
//! | 412 for If-Match on the group | 401 `ExpiredAuthenticationToken` | what a failed operation leaves behind, ETag of a PUT that changes nothing |
//! | 404 of group and resource group | which families and tags a rule takes | which singular fields count towards 4,000, reads that lag |
//! | names of the throttling headers | sizes of the token buckets | bodies of 429 from the buckets, 404 of a rule and of a missing parent, what `Microsoft.Authorization/permissions` answers |
//!
//! Each request runs in one step: the log ([`FakeArm::exchanges`]) has the order in which things took effect. Where
//! the environment names a folder in `FAKE_ARM_DUMP`, every fake leaves its whole log there when it is dropped, for
//! Microsoft's validator.

mod address;
mod answer;
mod api_version;
mod authority;
mod behaviour;
mod body;
mod call;
mod clock;
mod control;
mod demands;
mod edit;
mod exchange;
mod fault;
mod group;
mod identity;
mod network;
mod operation;
mod render;
mod requests;
mod route;
mod rule;
mod saved;
mod server;
mod service_tags;
mod throttle;
mod validate;
mod world;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use behaviour::{Behaviour, Bucket, Buckets};
pub use edit::Edit;
pub use exchange::Exchange;
pub use fault::{Fault, FaultKind};
pub use network::{Network, NsgName, Snapshot};
pub use rule::Rule;
pub use service_tags::from_download;

use world::World;

/// Names the folder for dumps.
const DUMP: &str = "FAKE_ARM_DUMP";

/// How a fake is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How it behaves at first.
    pub behaviour: Behaviour,
    /// Whether `/_control/` answers, for those who are not in this process.
    pub control: bool,
}

/// A running fake. It listens on a free port of 127.0.0.1 and stops when dropped.
#[derive(Debug)]
pub struct FakeArm {
    world: Shared,
    ca: String,
    server: server::Server,
}

/// The state that server and tests share.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// A test that panics while it holds the lock has shown itself; the others go on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeArm {
    /// Starts one, listening before this returns.
    ///
    /// # Panics
    /// Where no port of the loopback is to be had.
    pub fn start(options: Options) -> Self {
        let authority = authority::Authority::new();
        let world = Shared(Arc::new(Mutex::new(World::new(options.behaviour))));
        let server = server::Server::start(authority.tls(), world.clone(), options.control);
        {
            let mut world = world.lock();
            world.port = server.port();
            world.archive = std::env::var_os(DUMP).map(|_| Vec::new());
        }
        Self { world, ca: authority.pem, server }
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The certificate to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// What `AZURE_AUTHORITY_HOST` is to be: tokens are given under `/{tenant}/oauth2/v2.0/token`.
    pub fn authority(&self) -> String {
        self.url()
    }

    /// What `IDENTITY_ENDPOINT` is to be, in the clear as on App Service; `/metadata/identity/oauth2/token` on the same
    /// port answers as a virtual machine's metadata service does.
    pub fn identity_endpoint(&self) -> String {
        format!("http://localhost:{}/msi/token", self.port())
    }

    /// A bearer token that is good for `lifetime`.
    pub fn token(&self, lifetime: Duration) -> String {
        self.world.lock().issue_token(lifetime, None)
    }

    /// Makes or replaces a group, with its resource group, as somebody else would have. No operation is under way after.
    ///
    /// # Panics
    /// If Azure would refuse the rules.
    pub fn put_nsg(&self, subscription: &str, resource_group: &str, name: &str, rules: Vec<Rule>) {
        self.edit(|network| network.put_nsg(&NsgName::new(subscription, resource_group, name), rules));
    }

    /// The group as a GET would show it, `Null` if there is none.
    pub fn nsg(&self, subscription: &str, resource_group: &str, name: &str) -> Value {
        self.world.lock().network.nsg(&NsgName::new(subscription, resource_group, name))
    }

    /// Every state that a group was in, oldest first: what a check of "at every instant" walks through.
    pub fn states(&self, subscription: &str, resource_group: &str, name: &str) -> Vec<Snapshot> {
        self.world.lock().network.states(&NsgName::new(subscription, resource_group, name))
    }

    /// A third party's edit. It asks nobody and is done at once.
    pub fn edit<T>(&self, edit: impl FnOnce(&mut Network) -> T) -> T {
        edit(&mut self.world.lock().network)
    }

    /// What the Discovery API answers, for every location: a document as `serviceTags` gives it, or made by
    /// [`from_download`].
    pub fn put_service_tags(&self, document: Value) {
        self.edit(|network| network.put_service_tags(document));
    }

    /// Adds a fault. All that match a call are applied to it.
    pub fn fault(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// How many faults have not run out yet: a test that means to have met its fault asserts on zero.
    pub fn faults_left(&self) -> usize {
        self.world.lock().faults.left()
    }

    /// Every exchange so far, in the order of their effects, without secrets.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.world.lock().exchanges.clone()
    }

    /// Empties the log.
    pub fn clear_exchanges(&self) {
        self.world.lock().exchanges.clear();
    }

    /// How it behaves now.
    pub fn behaviour(&self) -> Behaviour {
        self.world.lock().behaviour().clone()
    }

    /// Behaves otherwise from now on.
    pub fn set(&self, behaviour: Behaviour) {
        self.world.lock().set(behaviour);
    }

    /// Moves the clock, by which tokens expire and buckets fill.
    pub fn advance(&self, time: Duration) {
        self.world.lock().clock.advance(time);
    }

    /// All NSGs and the service tags, as [`FakeArm::load`] takes them.
    pub fn state(&self) -> Value {
        self.world.lock().network.save()
    }

    /// Puts what [`FakeArm::state`] gave.
    ///
    /// # Panics
    /// If it is not of that form.
    pub fn load(&self, state: Value) {
        self.edit(|network| network.load(state));
    }
}

impl Drop for FakeArm {
    fn drop(&mut self) {
        let Some(archive) = self.world.lock().archive.take().filter(|archive| !archive.is_empty()) else { return };
        let Some(folder) = std::env::var_os(DUMP) else { return };
        let file = Path::new(&folder).join(format!("{}-{}.json", std::process::id(), self.port()));
        let dump = serde_json::to_vec(&archive).expect("a log is JSON");
        std::fs::write(&file, dump).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
