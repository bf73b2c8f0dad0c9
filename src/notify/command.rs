//! By a program: the event as JSON on its standard input.

use std::time::Duration;

use super::{Event, NotifyError};
use crate::program::{self, ProgramError};

/// Runs it to its end, or kills it and all that it started. Nothing of the daemon's environment reaches it.
pub(super) async fn run(words: &[String], event: &Event, patience: Duration) -> Result<(), NotifyError> {
    let variables = [("TAGWALL_EVENT", event.event.to_string()), ("TAGWALL_ABOUT", event.about.clone())];
    let body = serde_json::to_vec(event).map_err(|error| NotifyError::Command(error.to_string()))?;
    program::run(words, &variables, &body, patience).await.map_err(|error| match error {
        ProgramError::Slow(patience) => NotifyError::Slow(patience),
        ProgramError::Failed(why) => NotifyError::Command(why),
    })
}
