//! Calls of Resource Manager: one pipeline for each account, shared by all who ask as it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::http::headers::{CONTENT_TYPE, HeaderName, Headers, IF_MATCH, RETRY_AFTER};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, RetryOptions, Transport,
};
use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use url::Url;

use crate::credential::{Environment, Renewable, first_line};
use crate::error::Fault;
use crate::retry::{Pace, Tries};
use crate::tally::{Budgets, Remaining, Requests, Tally};
use crate::transport::{NoAnswer, causes, transport};
use crate::{Account, ArmError, identity};

/// Clients, one for each account, made when they are first asked for. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pace: Pace,
    environment: Environment,
    tally: Arc<Tally>,
    made: tokio::sync::Mutex<BTreeMap<Account, Arc<Client>>>,
}

impl Clients {
    /// Clients with a pace and an environment of their own.
    pub fn new(pace: Pace, environment: Environment) -> Self {
        let (tally, made) = Default::default();
        Self(Arc::new(Shared { pace, environment, tally, made }))
    }

    /// The client of an account.
    ///
    /// # Errors
    /// Where the account's settings cannot work or there is no credential. It is tried anew the next time.
    pub async fn client(&self, account: &Account) -> Result<Arc<Client>, ArmError> {
        let mut made = self.0.made.lock().await;
        if let Some(client) = made.get(account) {
            return Ok(Arc::clone(client));
        }
        let (environment, tally) = (self.0.environment.clone(), &self.0.tally);
        let client = Arc::new(Client::new(account, self.0.pace, environment, tally).await?);
        made.insert(account.clone(), Arc::clone(&client));
        Ok(client)
    }

    /// Gets a token, and says whose it is.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn check(&self, account: &Account) -> Result<String, ArmError> {
        self.client(account).await?.who().await
    }

    /// How many calls ARM lets each account make before it slows it down, as its last answers said.
    pub async fn remaining(&self) -> Vec<(Account, Remaining)> {
        let made = self.0.made.lock().await;
        made.iter().map(|(account, client)| (account.clone(), client.remaining())).collect()
    }

    /// What was asked of Resource Manager so far, by all accounts.
    pub fn requests(&self) -> Requests {
        self.0.tally.requests()
    }
}

/// What a write builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing is there yet.
    Absent,
    /// This version is there.
    Is(&'a str),
    /// Whatever is there.
    Any,
}

/// How many writes of one account are under way at once. ARM refills a subscription's bucket of 200 with 10 a second.
const SIDE_BY_SIDE: usize = 10;

/// Calls as one account.
#[derive(Debug)]
pub struct Client {
    pub(crate) endpoint: Url,
    pub(crate) pace: Pace,
    scope: String,
    pipeline: Pipeline,
    credential: Arc<Renewable>,
    writing: Semaphore,
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    tally: Arc<Tally>,
    budgets: Arc<Budgets>,
}

/// An answer that says yes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Client {
    async fn new(
        account: &Account,
        pace: Pace,
        environment: Environment,
        tally: &Arc<Tally>,
    ) -> Result<Self, ArmError> {
        let endpoint = account.endpoint()?;
        let transport = transport(account.ca_file.as_deref())?;
        let credential = Arc::new(Renewable::new(account, environment, transport.clone()).await?);
        let scope = format!("{}/.default", endpoint.as_str().trim_end_matches('/'));
        let pipeline = pipeline(transport, Arc::clone(&credential), &scope);
        let (writing, locks) = (Semaphore::new(SIDE_BY_SIDE), Mutex::default());
        let (tally, budgets) = (Arc::clone(tally), tally.account());
        Ok(Self { endpoint, pace, scope, pipeline, credential, writing, locks, tally, budgets })
    }

    /// Reads a resource. `path` begins with `/subscriptions/`.
    ///
    /// # Errors
    /// [`ArmError`]; what is transient has been tried again already.
    pub async fn get(&self, path: &str, api_version: &str) -> Result<Value, ArmError> {
        let url = self.url(path, api_version)?;
        let answer = self.call(Method::Get, &url, None, Condition::Any).await?;
        answer.json(&shown(Method::Get, &url))
    }

    /// Reads an address that ARM named, verbatim.
    ///
    /// # Errors
    /// As [`Client::get`], and [`ArmError::Astray`] where it is not ARM's own.
    pub async fn get_url(&self, url: &Url) -> Result<Value, ArmError> {
        self.call(Method::Get, url, None, Condition::Any).await?.json(&shown(Method::Get, url))
    }

    /// Makes or replaces a resource, and waits until ARM has done it.
    ///
    /// # Errors
    /// As [`Client::get`], and [`ArmError::Operation`] where it came to nothing.
    pub async fn put(
        &self,
        path: &str,
        api_version: &str,
        body: &Value,
        condition: Condition<'_>,
    ) -> Result<(), ArmError> {
        self.write(Method::Put, path, api_version, Some(body), condition).await
    }

    /// Deletes a resource, and waits until ARM has done it. What is not there is deleted already.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(&self, path: &str, api_version: &str, condition: Condition<'_>) -> Result<(), ArmError> {
        self.write(Method::Delete, path, api_version, None, condition).await
    }

    async fn write(
        &self,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
        condition: Condition<'_>,
    ) -> Result<(), ArmError> {
        // Never closed.
        let _turn = self.writing.acquire().await.ok();
        let url = self.url(path, api_version)?;
        let answer = match self.call(method, &url, body, condition).await {
            Err(ArmError::Status { status: 404, .. }) if method == Method::Delete => return Ok(()),
            answered => answered?,
        };
        self.finish(method, &url, answer).await
    }

    /// Keeps everybody else of this process from writing to a resource. ARM refuses two operations at once.
    pub async fn lock(&self, resource: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(resource.to_ascii_lowercase()).or_default())
        };
        lock.lock_owned().await
    }

    /// Waits as long as between two looks at an operation.
    pub async fn pause(&self) {
        tokio::time::sleep(self.pace.poll).await;
    }

    /// How many calls ARM lets us make before it slows us down, as its last answers said.
    pub fn remaining(&self) -> Remaining {
        self.budgets.remaining()
    }

    /// Whose token it is.
    async fn who(&self) -> Result<String, ArmError> {
        use azure_core::credentials::TokenCredential as _;
        let mut tries = Tries::new(self.pace);
        loop {
            match self.credential.get_token(&[&self.scope], None).await {
                Ok(token) => return Ok(identity::who(token.token.secret(), self.credential.name())),
                Err(error) => tries.after(self.unanswered(&error)).await?,
            }
        }
    }

    pub(crate) fn url(&self, path: &str, api_version: &str) -> Result<Url, ArmError> {
        let text = format!("{}{path}", self.endpoint.as_str().trim_end_matches('/'));
        let unfit = |error: url::ParseError| ArmError::Settings { what: format!("`{path}` is no resource: {error}") };
        let mut url = Url::parse(&text).map_err(unfit)?;
        url.query_pairs_mut().append_pair("api-version", api_version);
        Ok(url)
    }

    /// Asks until there is an answer that says yes, or one that is final.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        condition: Condition<'_>,
    ) -> Result<Answer, ArmError> {
        let request = shown(method, url);
        if url.origin() != self.endpoint.origin() {
            return Err(ArmError::Astray { request, host: url.host_str().unwrap_or_default().to_owned() });
        }
        let (mut tries, mut renewed, mut again) = (Tries::new(self.pace), false, false);
        loop {
            self.tally.count(std::mem::replace(&mut again, true));
            match self.once(method, url, body, condition).await {
                Ok(answer) => return Ok(answer),
                // What the credential holds for good may have been taken back, or the clocks differ: once, at once.
                Err(ArmError::Status { status: 401, .. }) if !renewed => {
                    renewed = true;
                    self.credential.renew().await?;
                }
                Err(error) => tries.after(error).await?,
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        condition: Condition<'_>,
    ) -> Result<Answer, ArmError> {
        let mut request = Request::new(url.clone(), method);
        request.insert_header(HeaderName::from_static("accept"), "application/json");
        if let Some(body) = body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(body.to_string());
        }
        match condition {
            Condition::Absent => request.insert_header(HeaderName::from_static("if-none-match"), "*"),
            Condition::Is(etag) if !etag.is_empty() => request.insert_header(IF_MATCH, etag.to_owned()),
            Condition::Is(_) | Condition::Any => {}
        }
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let answer = self.pipeline.send(&Context::new(), &mut request, Some(options)).await;
        let (status, headers, body) = answer.map_err(|error| self.unanswered(&error))?.deconstruct();
        self.budgets.note(&headers);
        let answer = Answer { status: status.into(), headers, body: body.to_vec() };
        if status.is_success() {
            return Ok(answer);
        }
        Err(ArmError::Status {
            request: shown(method, url),
            status: answer.status,
            fault: Fault::read(&answer.body),
            retry_after: answer.retry_after(),
        })
    }

    /// Why the pipeline gave no answer: no connection, or no token.
    fn unanswered(&self, error: &azure_core::Error) -> ArmError {
        let chain = || causes(error);
        if let Some(none) = chain().find_map(|cause| cause.downcast_ref::<NoAnswer>()) {
            let (host, source) = (none.host.clone(), none.told().into());
            return if none.distrusted { ArmError::Tls { host, source } } else { ArmError::Network { host, source } };
        }
        // The innermost that tells more than that it failed.
        let refused = chain().find_map(|cause| {
            let cause: &azure_core::Error = cause.downcast_ref()?;
            cause.http_status().map(|status| (u16::from(status), cause.to_string()))
        });
        let (transient, what) = match refused {
            Some((status, text)) => (matches!(status, 408 | 429 | 500..), text),
            None => (false, chain().last().map_or_else(String::new, ToString::to_string)),
        };
        let what = format!("{} gave none: {}", self.credential.name(), first_line(&what));
        ArmError::Credential { what, transient }
    }
}

fn pipeline(transport: Transport, credential: Arc<Renewable>, scope: &str) -> Pipeline {
    let bearer: Arc<dyn Policy> = Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope]));
    let options = ClientOptions {
        transport: Some(transport),
        // There is one layer that tries again, and it lies above: this one would try an untrusted certificate again, and
        // knows nothing of 409.
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    Pipeline::new(Some("tagwall"), option_env!("CARGO_PKG_VERSION"), options, Vec::new(), vec![bearer], None)
}

/// A request in words, without its query: signatures stand there.
pub(crate) fn shown(method: Method, url: &Url) -> String {
    format!("{} {}", method.as_str(), url.path())
}

impl Answer {
    pub(crate) fn json(&self, request: &str) -> Result<Value, ArmError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!("{error}, in {} bytes", self.body.len());
            ArmError::Unreadable { request: request.to_owned(), what }
        })
    }

    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get_optional_str(&HeaderName::from_static(name))
    }

    /// In seconds or as a date.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get_optional_str(&RETRY_AFTER)?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = azure_core::time::parse_rfc7231(text).ok()?;
        Some(Duration::try_from(until - azure_core::time::OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO))
    }
}
