//! Clients of AWS: one for each account, role, region and endpoint, shared by all targets that name it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::SharedCredentialsProvider;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{ManagedPrefixList, SecurityGroupRule};
use tagwall_provider::{Cause, IpNet, ProviderError};
use tokio::sync::{OnceCell, Semaphore};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::failure::Failure;
use crate::gather::Gather;
use crate::lists;
use crate::requests::{Counted, Requests};

/// How often a call is tried: with `standard` back-off this lasts about half a minute of sustained throttling.
const ATTEMPTS: u32 = 8;
/// How many calls to one account and region are under way at a time, since AWS throttles each.
const CALLS_AT_A_TIME: usize = 4;
/// After this long it is told that a call is still under way.
const SILENCE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
const CALL_TIMEOUT: Duration = Duration::from_secs(150);

/// Where and as whom AWS is called: what makes two clients one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// The region of the firewall (`eu-west-1`).
    pub region: String,
    /// A profile of the shared configuration files. Without one the SDK's chain goes through environment, default
    /// profile, web identity, container and instance.
    pub profile: Option<String>,
    /// The role to work as, assumed with the credentials of profile or chain.
    pub role: Option<Role>,
    /// The address of EC2, where it is another than AWS's own: a VPC endpoint or an emulator. STS is not asked there;
    /// `AWS_ENDPOINT_URL_STS` is for that.
    pub endpoint: Option<String>,
}

impl fmt::Display for Account {
    /// As `eu-west-1 (profile prod, role arn:…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.profile.as_ref().map(|profile| format!("profile {profile}"));
        let role = self.role.as_ref().map(|role| format!("role {}", role.arn));
        let more: Vec<String> = profile.into_iter().chain(role).collect();
        f.write_str(&self.region)?;
        if more.is_empty() { Ok(()) } else { write!(f, " ({})", more.join(", ")) }
    }
}

/// A role to work as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role {
    /// `arn:aws:iam::123456789012:role/…`.
    pub arn: String,
    /// What the role's trust policy asks for, where it belongs to somebody else.
    pub external_id: Option<String>,
    /// What CloudTrail shows; `tagwall` by default.
    pub session_name: Option<String>,
}

/// Who AWS takes us for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the account.
    pub account: String,
    /// The user or the assumed role.
    pub arn: String,
}

/// How long reads may lag behind writes. More than two minutes have been reported; what is not seen by then is left to
/// the verification, and to the next pass.
const PATIENCE: Duration = Duration::from_mins(2);

/// All clients, each made when it is first used. Clones share them.
#[derive(Clone)]
pub struct Clients {
    made: Arc<Mutex<BTreeMap<Account, Arc<OnceCell<Connection>>>>>,
    patience: Duration,
    counted: Counted,
}

impl Default for Clients {
    fn default() -> Self {
        Self { made: Arc::default(), patience: PATIENCE, counted: Counted::default() }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    /// How long to wait for a read that shows what was written; two minutes by default.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How much AWS was asked since these clients were made, over all accounts and regions. It only grows.
    pub fn requests(&self) -> Requests {
        self.counted.requests()
    }

    /// Asks STS who we are: that there are credentials, that they are good, and that the role can be assumed.
    ///
    /// # Errors
    /// [`ProviderError::Denied`] without credentials, or where they are expired or refused;
    /// [`ProviderError::Transient`] where STS cannot be reached.
    pub async fn identity(&self, account: &Account) -> Result<Identity, ProviderError> {
        let connection = self.connection(account).await?;
        let asked = connection.call("sts:GetCallerIdentity", connection.sts.get_caller_identity().send()).await?;
        let text = |text: Option<String>| text.unwrap_or_default();
        Ok(Identity { account: text(asked.account), arn: text(asked.arn) })
    }

    pub(crate) async fn connection(&self, account: &Account) -> Result<Connection, ProviderError> {
        let cell = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry(account.clone()).or_default())
        };
        cell.get_or_try_init(|| Connection::new(account, self.patience, &self.counted)).await.cloned()
    }
}

/// Entries of a prefix list with their descriptions.
pub(crate) type Entries = Arc<[(IpNet, Option<String>)]>;

/// A client and the bound of what it has under way.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) ec2: aws_sdk_ec2::Client,
    /// Region, profile and role, to be told.
    pub(crate) place: Arc<str>,
    pub(crate) patience: Duration,
    sts: aws_sdk_sts::Client,
    calls: Arc<Semaphore>,
    /// Reads of rules by group, and by the owner's mark: targets of one account and region ask for them together.
    pub(crate) by_group: Arc<Gather<Vec<SecurityGroupRule>>>,
    pub(crate) by_mark: Arc<Gather<Vec<SecurityGroupRule>>>,
    /// The entries of prefix lists of others, by id, of the version that was read last. A version never changes, so none
    /// of these is ever out of date.
    entries: Arc<Mutex<BTreeMap<String, (i64, Entries)>>>,
}

impl Connection {
    async fn new(account: &Account, patience: Duration, counted: &Counted) -> Result<Self, ProviderError> {
        if account.region.trim().is_empty() {
            let cause = Cause::new("no region is named").hint("set `region`: a security group is of one region");
            return Err(ProviderError::rejected(cause));
        }
        let config = configure(account).with_subscriber(NoSubscriber::default()).await;
        let mut ec2 = aws_sdk_ec2::config::Builder::from(&config).interceptor(counted.clone());
        if let Some(endpoint) = &account.endpoint {
            ec2 = ec2.endpoint_url(endpoint);
        }
        let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(counted.clone()).build();
        Ok(Self {
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            place: account.to_string().into(),
            patience,
            sts: aws_sdk_sts::Client::from_conf(sts),
            calls: Arc::new(Semaphore::new(CALLS_AT_A_TIME)),
            by_group: Arc::default(),
            by_mark: Arc::default(),
            entries: Arc::default(),
        })
    }

    /// What stands in a prefix list of others, with descriptions; none where it has no version to know it by, as Amazon's
    /// own have not.
    ///
    /// # Errors
    /// As [`tagwall_provider::Provider::observe`].
    pub(crate) async fn entries(&self, list: &ManagedPrefixList) -> Result<Option<Entries>, ProviderError> {
        let version = list.version().filter(|_| !lists::read::is_amazons(list));
        let (Some(id), Some(version)) = (list.prefix_list_id(), version) else { return Ok(None) };
        let known = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some((_, entries)) = known.filter(|(read, _)| *read == version) {
            return Ok(Some(entries));
        }
        let entries = Entries::from(lists::read::entries(self, id, version).await?);
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id.to_owned(), (version, Arc::clone(&entries)));
        Ok(Some(entries))
    }

    /// Makes one call, the SDK's retries included.
    ///
    /// What the SDK logs is dropped, whatever level is asked for: at TRACE it shows headers and bodies, and among them
    /// credentials.
    pub(crate) async fn call<T, E>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // It is never closed.
        let _permit = self.calls.acquire().await;
        tracing::trace!(action, place = %self.place, "calling AWS");
        let mut call = Box::pin(call.with_subscriber(NoSubscriber::default()));
        let answered = if let Ok(answered) = tokio::time::timeout(SILENCE, call.as_mut()).await {
            answered
        } else {
            tracing::info!(
                target: "tagwall_aws",
                "{action} in {} is not done after {} s: AWS is slow or throttles; tried again for up to {} s",
                self.place,
                SILENCE.as_secs(),
                CALL_TIMEOUT.as_secs()
            );
            call.await
        };
        answered.map_err(|error| {
            let failure = Failure::of(action, &self.place, &error);
            tracing::debug!(action, place = %self.place, code = failure.code(), error = %failure.error, "AWS did not do it");
            failure
        })
    }
}

async fn configure(account: &Account) -> SdkConfig {
    let time_outs = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT);
    let (version, region) = (BehaviorVersion::v2026_01_12(), Region::new(account.region.clone()));
    let mut loader = aws_config::defaults(version)
        .region(region.clone())
        // Not `adaptive`: after two throttles it paused a quiet client for twenty seconds.
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(time_outs.build());
    if let Some(profile) = &account.profile {
        let settings = ProviderConfig::without_region().with_region(Some(region)).with_behavior_version(Some(version));
        let credentials = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile).build();
        // The chain would take what the environment holds before a profile that is named: another account, perhaps.
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    let config = loader.load().await;
    let Some(role) = &account.role else { return config };
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name(role.session_name.as_deref().unwrap_or("tagwall"))
        .configure(&config);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    config.into_builder().credentials_provider(provider).build()
}
