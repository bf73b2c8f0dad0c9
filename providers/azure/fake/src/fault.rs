//! Faults: what goes wrong, and at which call.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::edit::Edit;

/// Something that goes wrong at the n-th call of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `GET`, `PUT`, …; empty means any.
    #[serde(default)]
    pub method: String,
    /// What path and query contain, in any case; empty means any call below `/subscriptions/`.
    #[serde(default)]
    pub path: String,
    /// The first such call that it is applied to, counted from 1 since the fault was added.
    #[serde(default = "one")]
    pub nth: usize,
    /// How many such calls in a row.
    #[serde(default = "one")]
    pub times: usize,
    /// What goes wrong.
    pub kind: FaultKind,
}

fn one() -> usize {
    1
}

impl Fault {
    /// At the first call.
    pub fn new(method: &str, path: &str, kind: FaultKind) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), nth: 1, times: 1, kind }
    }

    /// At the n-th call instead, counted from 1.
    #[must_use]
    pub fn nth(self, nth: usize) -> Self {
        Self { nth, ..self }
    }

    /// At so many calls in a row.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// At all calls from there on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn matches(&self, call: &Call) -> bool {
        let whole = format!("{}?{}", call.path, call.query).to_lowercase();
        let wanted = if self.path.is_empty() { "/subscriptions/" } else { &self.path };
        (self.method.is_empty() || self.method.eq_ignore_ascii_case(&call.method))
            && whole.contains(&wanted.to_lowercase())
    }
}

/// What goes wrong. In JSON: `"cut-before"`, `{"delay": 50}`, `{"status": {"status": 429, "code": "…"}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing is done, and this is answered.
    Status {
        /// HTTP.
        status: u16,
        /// Of the error; empty for an answer without a body.
        #[serde(default)]
        code: String,
        /// Of the error.
        #[serde(default)]
        message: String,
        /// Code and message of the error's only detail.
        #[serde(default)]
        detail: Option<(String, String)>,
        /// In seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Nothing is done, and a page of HTML is answered, as gateways do.
    Html(u16),
    /// The connection is cut before anything is done.
    CutBefore,
    /// It is done, and the connection is cut in place of an answer.
    CutAfter,
    /// It is done, and the connection is cut in the middle of the answer's body.
    CutMiddle,
    /// No answer ever comes, and nothing is done.
    HangBefore,
    /// No answer ever comes, but it is done.
    HangAfter,
    /// Milliseconds before it is done.
    Delay(u64),
    /// Milliseconds before the answer, when it is done.
    DelayAnswer(u64),
    /// All tokens given so far expire.
    ExpireTokens,
    /// The operation that this call begins fails.
    FailOperation {
        /// Of its error.
        code: String,
        /// Of its error.
        message: String,
        /// Whether what was asked for stays.
        applied: bool,
    },
    /// The operation that this call begins is so often in progress.
    Polls(u32),
    /// The answer does not name the operation that began.
    NoOperationHeaders,
    /// The answer names an operation on this host: `https://other.example`.
    OperationHost(String),
    /// The page of a list of service tags names this address as the next one's.
    NextPage(String),
    /// A third party's edit, just before.
    Before(Edit),
    /// A third party's edit, just after.
    After(Edit),
    /// A read shows what was there so many states ago.
    Stale(usize),
}

impl FaultKind {
    /// 409 while another operation is under way, as quoted in 2026.
    pub fn another_operation() -> Self {
        let message = "Another operation on this or dependent resource is in progress.";
        Self::status(409, "AnotherOperationInProgress", message, None)
    }

    /// 429 while another operation is under way, as quoted in 2024.
    pub fn retryable(retry_after: Option<u64>) -> Self {
        Self::Status {
            status: 429,
            code: "RetryableError".to_owned(),
            message: "A retryable error occurred.".to_owned(),
            detail: Some((
                "RetryableErrorDueToAnotherOperation".to_owned(),
                "Operation PutNetworkSecurityGroupOperation is updating resource. The call can be retried in 14 seconds."
                    .to_owned(),
            )),
            retry_after,
        }
    }

    /// 429 of the subscription.
    pub fn throttled(retry_after: Option<u64>) -> Self {
        let message = "Number of requests for subscription and operation exceeded the backend storage limit.";
        Self::status(429, "SubscriptionRequestsThrottled", message, retry_after)
    }

    /// 412 as for an old ETag.
    pub fn precondition_failed() -> Self {
        let detail = (
            "PreconditionFailedEtagMismatch".to_owned(),
            "Etag provided in if-match header does not match.".to_owned(),
        );
        let Self::Status { status, code, message, retry_after, .. } =
            Self::status(412, "PreconditionFailed", "Precondition failed.", None)
        else {
            unreachable!("a status was made")
        };
        Self::Status { status, code, message, detail: Some(detail), retry_after }
    }

    /// 500.
    pub fn internal() -> Self {
        Self::status(500, "InternalServerError", "An error occurred.", None)
    }

    /// 503.
    pub fn unavailable(retry_after: Option<u64>) -> Self {
        Self::status(503, "ServiceUnavailable", "The service is unavailable.", retry_after)
    }

    /// Any other error.
    pub fn status(status: u16, code: &str, message: &str, retry_after: Option<u64>) -> Self {
        Self::Status { status, code: code.to_owned(), message: message.to_owned(), detail: None, retry_after }
    }

    /// What is answered in place of doing it.
    pub(crate) fn answer(&self) -> Option<Answer> {
        match self {
            Self::Status { status, code, .. } if code.is_empty() => Some(Answer::nothing(*status)),
            Self::Status { status, code, message, detail, retry_after } => {
                let mut answer = Answer::error(*status, code, message.as_str()).retry_after(*retry_after);
                if let (Some((code, message)), Content::Json(body)) = (detail, &mut answer.body) {
                    body["error"]["details"] = json!([{"code": code, "message": message}]);
                }
                Some(answer)
            }
            Self::Html(status) => Some(Answer::html(*status, "<html><body><h1>Gateway</h1></body></html>")),
            _ => None,
        }
    }

    fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
            // An edit that is a closure.
            _ => "edit".to_owned(),
        }
    }
}

/// The faults that are to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, usize)>);

impl Faults {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that have not been applied as often as they are to be; the endless ones do not count.
    pub(crate) fn left(&self) -> usize {
        let open = |(fault, seen): &&(Fault, usize)| {
            fault.times != usize::MAX && *seen < fault.nth.saturating_sub(1).saturating_add(fault.times)
        };
        self.0.iter().filter(open).count()
    }

    /// Those that strike this call.
    pub(crate) fn strike(&mut self, call: &Call) -> Vec<FaultKind> {
        let mut struck = Vec::new();
        for (fault, seen) in &mut self.0 {
            if fault.matches(call) {
                *seen += 1;
                let last = fault.nth.saturating_add(fault.times.saturating_sub(1));
                if (fault.nth..=last).contains(seen) {
                    struck.push(fault.kind.clone());
                }
            }
        }
        struck
    }
}

/// Their names, for the log.
pub(crate) fn names(faults: &[FaultKind]) -> Vec<String> {
    faults.iter().map(FaultKind::name).collect()
}
