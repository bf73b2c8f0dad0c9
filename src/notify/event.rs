//! One thing that is told.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::telling::raw::Subject;
use crate::status::Status;

/// One thing that is told: what `webhook` and `command` receive as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The version of this format.
    pub schema: u32,
    /// `change`, `drift`, `refusal`, `failure`, `staleness`, `recovery` or `test`.
    pub event: &'static str,
    /// Whether it was told before and still stands.
    pub again: bool,
    /// When it was found.
    pub at: Timestamp,
    /// Since when it has stood.
    pub since: Option<Timestamp>,
    /// Whose firewalls.
    pub owner: String,
    /// A target, `publication`, `source` or `configuration`.
    pub about: String,
    /// In one line.
    pub title: String,
    /// What to know and to do, a line each.
    pub text: Vec<String>,
    /// By which publication.
    pub publication: Option<Publication>,
}

/// The publication that was gone by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// The cloud it describes.
    pub cloud: &'static str,
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The date in its file name.
    pub date: Option<String>,
}

impl Event {
    /// Something about this status.
    pub(super) fn new(status: &Status, event: &'static str, about: &str, title: String) -> Self {
        let publication = status.publication.as_ref().map(|publication| Publication {
            cloud: publication.cloud,
            change_number: publication.change_number,
            date: publication.date.map(|date| date.to_string()),
        });
        Self {
            schema: 1,
            event,
            again: false,
            at: status.at,
            since: None,
            owner: status.owner.clone(),
            about: about.to_owned(),
            title,
            text: Vec::new(),
            publication,
        }
    }

    /// One that says nothing but that the receiver is reached.
    pub fn test(owner: &str, now: Timestamp) -> Self {
        Self {
            schema: 1,
            event: "test",
            again: false,
            at: now,
            since: None,
            owner: owner.to_owned(),
            about: "configuration".to_owned(),
            title: "a test: notifications of tagwall arrive here".to_owned(),
            text: Vec::new(),
            publication: None,
        }
    }
}

impl Subject {
    /// Its name in the configuration and in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Drift => "drift",
            Self::Refusal => "refusal",
            Self::Failure => "failure",
            Self::Staleness => "staleness",
            Self::Recovery => "recovery",
        }
    }
}
