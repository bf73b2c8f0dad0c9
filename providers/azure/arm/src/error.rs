//! How asking Azure fails. The variant and the code say what it is; nobody reads the text for it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What ARM says went wrong: its code, its words, and what lies beneath.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// `AuthorizationFailed`; empty where the answer was none of ARM's.
    pub code: String,
    /// In words; the beginning of the body where it was none of ARM's.
    pub message: String,
    /// Codes and words beneath.
    pub details: Vec<(String, String)>,
}

impl Fault {
    /// Whether this is the code, at the top or beneath.
    pub fn is(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code) || self.details.iter().any(|(detail, _)| detail.eq_ignore_ascii_case(code))
    }

    /// Reads `{"error": {"code", "message", "details"}}`, and the same without the cover.
    pub(crate) fn read(body: &[u8]) -> Self {
        const SHOWN: usize = 300;
        let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let error = if value["error"].is_object() { &value["error"] } else { &value };
        let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().trim().to_owned();
        let details = error["details"].as_array().into_iter().flatten();
        let mut fault = Self {
            code: text(error, "code"),
            message: text(error, "message"),
            details: details.map(|detail| (text(detail, "code"), text(detail, "message"))).collect(),
        };
        if fault.code.is_empty() && fault.message.is_empty() {
            fault.message = String::from_utf8_lossy(body).trim().chars().take(SHOWN).collect();
        }
        fault
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |code: &str, message: &str| match (code, message) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        f.write_str(&one(&self.code, &self.message))?;
        for (code, message) in &self.details {
            write!(f, "; {}", one(code, message))?;
        }
        Ok(())
    }
}

/// How asking Azure fails.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// What the configuration says cannot work.
    #[error("{what}")]
    Settings {
        /// What.
        what: String,
    },
    /// The file of certificate authorities cannot be used.
    #[error("cannot use the certificates in `{path}`")]
    CaFile {
        /// Which.
        path: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no credential, or nobody gives a token for it.
    #[error("no token for Azure: {what}")]
    Credential {
        /// What was tried, and the answer.
        what: String,
        /// Whether the answer was that it may work later.
        transient: bool,
    },
    /// The other side's certificate is not to be trusted.
    #[error("`{host}` is not who it should be")]
    Tls {
        /// Who.
        host: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No answer.
    #[error("no answer from `{host}`")]
    Network {
        /// Of whom.
        host: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer that says no.
    #[error("{request} was answered with {status}: {fault}")]
    Status {
        /// What was asked, without what may be secret in it.
        request: String,
        /// The HTTP status.
        status: u16,
        /// What ARM says.
        fault: Fault,
        /// How long ARM wants us to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be read.
    #[error("{request} was answered with something else: {what}")]
    Unreadable {
        /// What was asked.
        request: String,
        /// What came.
        what: String,
    },
    /// An operation that was begun and came to nothing.
    #[error("{request} was begun, and ended as {state}: {fault}")]
    Operation {
        /// What was asked.
        request: String,
        /// `Failed`, `Canceled`.
        state: String,
        /// What ARM says.
        fault: Fault,
    },
    /// An operation that was begun and has not ended.
    #[error("{request} was begun, and has not ended after {} s", waited.as_secs())]
    Unended {
        /// What was asked.
        request: String,
        /// How long we waited.
        waited: Duration,
    },
    /// ARM names an address of somebody else, where our token must not go.
    #[error("{request} was answered with an address at `{host}`, which gets no token")]
    Astray {
        /// What was asked.
        request: String,
        /// Where to.
        host: String,
    },
}

/// Another operation runs on the same object: the one conflict that goes away by itself.
pub(crate) const ANOTHER_OPERATION: &str = "AnotherOperationInProgress";

impl ArmError {
    /// Whether it may work when tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Unended { .. } => true,
            Self::Credential { transient, .. } => *transient,
            Self::Status { status: 409, fault, .. } => fault.is(ANOTHER_OPERATION),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Operation { fault, .. } => {
                [ANOTHER_OPERATION, "RetryableError", "InternalServerError", "Throttled", "ServerBusy"]
                    .iter()
                    .any(|code| fault.is(code))
            }
            _ => false,
        }
    }

    /// The status of the answer, where there was one that said no.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What ARM says, where it says something.
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Status { fault, .. } | Self::Operation { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, body: &str) -> ArmError {
        ArmError::Status { request: "GET x".to_owned(), status, fault: Fault::read(body.as_bytes()), retry_after: None }
    }

    #[test]
    fn only_what_goes_away_by_itself_is_transient() {
        let check = |code: u16, body: &str, expected: bool| {
            assert_eq!(status(code, body).is_transient(), expected, "{code} {body}");
        };
        for code in [408, 429, 500, 502, 503, 504] {
            check(code, "", true);
        }
        for code in [400, 401, 403, 404, 412, 501] {
            check(code, "", false);
        }
        check(409, r#"{"error":{"code":"AnotherOperationInProgress","message":"m"}}"#, true);
        check(409, r#"{"error":{"code":"X","message":"m","details":[{"code":"AnotherOperationInProgress"}]}}"#, true);
        check(409, r#"{"error":{"code":"ScopeLocked","message":"AnotherOperationInProgress"}}"#, false);
        check(409, "", false);
    }

    #[test]
    fn faults_are_shown_with_what_lies_beneath() {
        let check =
            |body: &str, expected: &str| assert_eq!(Fault::read(body.as_bytes()).to_string(), expected, "{body}");
        check(r#"{"error":{"code":"A","message":"b","details":[{"code":"C","message":"d"}]}}"#, "A: b; C: d");
        check(r#"{"code":"A","message":"b"}"#, "A: b");
        check(r#"{"error":{"code":"A"}}"#, "A");
        check("<html>Bad Gateway</html>", "<html>Bad Gateway</html>");
        check("", "");
    }
}
