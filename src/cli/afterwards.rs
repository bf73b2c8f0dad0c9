//! What `sync` tells of its pass beside the report: metrics for node_exporter's collector of text files, and
//! notifications. The daemon does both by itself.

use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;

use super::context::Context;
use crate::notify;
use crate::report::{Failure, Report};
use crate::status::tally::{Ended, Tally};
use crate::status::{Facts, Status, metrics};

/// How things stand after a pass.
pub(super) fn status(context: &Context, report: &Report, begun: Instant) -> Status {
    let mut tally = Tally::default();
    let seconds = begun.elapsed().as_secs_f64();
    tally.take(&Ended { iteration: 1, reason: "sync", whole: true, seconds, report });
    // As the pass left it.
    let state = context.state_dir.load().map(|loaded| loaded.state).unwrap_or_default();
    Status::new(Facts {
        config: &context.config,
        state: &state,
        tally: &tally,
        daemon: None,
        receivers: Vec::new(),
        requests: context.providers.requests(),
        now: Timestamp::now(),
    })
}

/// Writes the file. What cannot be written is a warning: the firewalls are as the report says.
pub(super) fn write(path: &Path, status: &Status) -> Option<String> {
    let told =
        |error| format!("no metrics were written to `{}`: {}", path.display(), Failure::of(&error, None).message);
    metrics::write(status, path).err().map(told)
}

/// Tells the configured receivers. Who could not be told is a warning.
pub(super) async fn tell(context: &Context, status: &Status) -> Vec<String> {
    notify::tell_once(&context.config.receivers, status, context.state_dir.path()).await
}
