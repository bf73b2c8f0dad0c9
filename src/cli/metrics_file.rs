//! `sync --metrics-file`: how things stand after a pass, for node_exporter's collector of text files.

use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;

use super::context::Context;
use crate::report::{Failure, Report};
use crate::status::tally::{Ended, Tally};
use crate::status::{Facts, Status, metrics};

/// Writes the file. What cannot be written is a warning: the firewalls are as the report says.
pub(super) fn write(path: &Path, context: &Context, report: &Report, begun: Instant) -> Option<String> {
    let mut tally = Tally::default();
    let seconds = begun.elapsed().as_secs_f64();
    tally.take(&Ended { iteration: 1, reason: "sync", whole: true, seconds, report });
    // As the pass left it.
    let state = context.state_dir.load().map(|loaded| loaded.state).unwrap_or_default();
    let status = Status::new(Facts {
        config: &context.config,
        state: &state,
        tally: &tally,
        daemon: None,
        receivers: Vec::new(),
        now: Timestamp::now(),
    });
    let told =
        |error| format!("no metrics were written to `{}`: {}", path.display(), Failure::of(&error, None).message);
    metrics::write(&status, path).err().map(told)
}
