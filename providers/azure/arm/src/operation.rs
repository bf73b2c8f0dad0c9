//! Long-running operations: what ARM has begun is followed to its end.
//!
//! The address of an operation is signed, so it is asked as it came, and only where it is ARM's own. A role that may not
//! read operations (`Microsoft.Network/locations/operations/read`) is no obstacle: the resource says as well how it
//! stands.

use std::time::Duration;

use azure_core::http::Method;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::ArmError;
use crate::client::{Answer, Client, Condition, shown};
use crate::error::Fault;

/// How an operation stands.
enum State {
    Running,
    Done,
    Ended { state: String, fault: Fault },
}

/// Where to ask.
enum Witness {
    /// The operation: `Azure-AsyncOperation`, whose body says how it stands.
    Operation(Url),
    /// The operation: `Location`, whose status says whether it has ended.
    Location(Url),
    /// The resource, which says it in `provisioningState`, and is gone where it was deleted.
    Resource(Url),
}

/// Between two looks at most, unless ARM says when to look.
const SLOWEST: u32 = 8;

impl Client {
    /// Waits until what was begun has ended.
    pub(crate) async fn finish(&self, method: Method, url: &Url, answer: Answer) -> Result<(), ArmError> {
        let request = shown(method, url);
        let Some(mut witness) = self.witness(&request, url, &answer)? else { return Ok(()) };
        let (began, mut wait, mut asked) = (Instant::now(), self.pace.poll, answer.retry_after());
        loop {
            if began.elapsed() > self.pace.operation {
                return Err(ArmError::Unended { request, waited: began.elapsed() });
            }
            tokio::time::sleep(asked.unwrap_or(wait)).await;
            wait = (wait + wait / 2).min(self.pace.poll * SLOWEST);
            let (state, next) = match self.look(method, &witness).await {
                Ok(seen) => seen,
                // Not allowed to look, or forgotten already.
                Err(ArmError::Status { status: 403 | 404, .. }) if !matches!(witness, Witness::Resource(_)) => {
                    witness = Witness::Resource(url.clone());
                    continue;
                }
                Err(error) => return Err(error),
            };
            asked = next;
            match state {
                State::Running => {}
                State::Done => return Ok(()),
                State::Ended { state, fault } => return Err(ArmError::Operation { request, state, fault }),
            }
        }
    }

    /// Who can tell of what was begun; nobody has to where it has ended.
    fn witness(&self, request: &str, url: &Url, answer: &Answer) -> Result<Option<Witness>, ArmError> {
        let address = |name| answer.header(name).map(|text| self.own(request, text)).transpose();
        if let Some(operation) = address("azure-asyncoperation")? {
            return Ok(Some(Witness::Operation(operation)));
        }
        if answer.status == 202 {
            return Ok(Some(address("location")?.map_or_else(|| Witness::Resource(url.clone()), Witness::Location)));
        }
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(match of_resource(&body) {
            State::Done => None,
            State::Running | State::Ended { .. } => Some(Witness::Resource(url.clone())),
        })
    }

    /// An address that ARM named, if it is ARM's own.
    fn own(&self, request: &str, text: &str) -> Result<Url, ArmError> {
        let unreadable = |what: String| ArmError::Unreadable { request: request.to_owned(), what };
        let url = Url::parse(text).map_err(|error| unreadable(format!("the operation's address: {error}")))?;
        if url.origin() == self.endpoint.origin() {
            return Ok(url);
        }
        Err(ArmError::Astray { request: request.to_owned(), host: url.host_str().unwrap_or_default().to_owned() })
    }

    async fn look(&self, method: Method, witness: &Witness) -> Result<(State, Option<Duration>), ArmError> {
        let (Witness::Operation(url) | Witness::Location(url) | Witness::Resource(url)) = witness;
        let answer = match self.call(Method::Get, url, None, Condition::Any).await {
            Err(ArmError::Status { status: 404, .. })
                if method == Method::Delete && matches!(witness, Witness::Resource(_)) =>
            {
                return Ok((State::Done, None));
            }
            answered => answered?,
        };
        let request = shown(Method::Get, url);
        let state = match witness {
            Witness::Operation(_) => of_operation(&answer.json(&request)?),
            Witness::Location(_) if answer.status == 202 => State::Running,
            Witness::Location(_) => State::Done,
            // What is still there is not deleted yet.
            Witness::Resource(_) => match of_resource(&answer.json(&request)?) {
                State::Done if method == Method::Delete => State::Running,
                state => state,
            },
        };
        Ok((state, answer.retry_after()))
    }
}

fn of_operation(body: &Value) -> State {
    ended(body["status"].as_str().unwrap_or_default(), body)
}

fn of_resource(body: &Value) -> State {
    match body["properties"]["provisioningState"].as_str() {
        None => State::Done,
        Some(state) => ended(state, &Value::Null),
    }
}

fn ended(state: &str, body: &Value) -> State {
    let is = |word: &str| state.eq_ignore_ascii_case(word);
    if is("Succeeded") {
        State::Done
    } else if is("Failed") || is("Canceled") {
        State::Ended { state: state.to_owned(), fault: Fault::read(body.to_string().as_bytes()) }
    } else {
        State::Running
    }
}
