//! The provider.

use std::net::IpAddr;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use tagwall_provider::{Answer, Applied, Desired, Observed, Orphan, Provider, ProviderError, Refusal, Revision, Steps};

use crate::layout::Layout;
use crate::place;
use crate::settings::{Settings, SettingsError};
use crate::worker::{Request, Thread, Worker};

/// One nftables target: ports of this host (of this network namespace) kept open to a set of addresses.
#[derive(Debug)]
pub struct Nftables {
    layout: Layout,
    worker: Worker,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The settings make no target.
    #[error("the settings of nftables target `{target}` are wrong")]
    Settings {
        /// The target.
        target: String,
        /// What is wrong.
        source: SettingsError,
    },
    /// The thread that talks to the kernel could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Nftables {
    /// Makes a provider for the network namespace of the calling thread. Touches nothing yet.
    ///
    /// # Errors
    /// [`CreateError`]
    pub fn new(settings: Settings) -> Result<Self, CreateError> {
        Self::start(Thread {
            settings,
            #[cfg(feature = "testing")]
            faults: crate::testing::Faults::default(),
        })
    }

    /// The same, with transactions that fail where they are told to.
    ///
    /// # Errors
    /// [`CreateError`]
    #[cfg(feature = "testing")]
    pub fn with_faults(settings: Settings, faults: crate::testing::Faults) -> Result<Self, CreateError> {
        Self::start(Thread { settings, faults })
    }

    fn start(thread: Thread) -> Result<Self, CreateError> {
        let wrong = |source| CreateError::Settings { target: thread.settings.mark.target().to_owned(), source };
        thread.settings.check().map_err(wrong)?;
        let layout = Layout::new(&thread.settings);
        Ok(Self { layout, worker: Worker::start(thread).map_err(CreateError::Thread)? })
    }
}

#[async_trait]
impl Provider for Nftables {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        self.worker.ask(Request::Observe).await
    }

    async fn look_up(&self, address: IpAddr) -> Result<Answer, ProviderError> {
        self.worker.ask(|reply| Request::LookUp { address, reply }).await
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        place::place(&self.layout, observed, desired)
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        let (base, steps) = (base.clone(), steps.clone());
        self.worker.ask(|reply| Request::Apply { base, steps, reply }).await
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        self.worker.ask(Request::Withdraw).await
    }

    fn watch(&self) -> Option<BoxStream<'static, ()>> {
        Some(Box::pin(self.worker.watch()?))
    }

    fn last_disturber(&self) -> Option<String> {
        self.worker.disturber.last()
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let orphans = orphans.to_vec();
        self.worker.ask(|reply| Request::RemoveOrphans { orphans, reply }).await
    }
}
