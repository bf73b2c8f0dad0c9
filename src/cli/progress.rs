//! A sign of life for whoever waits at a terminal.

use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;

use super::output::Output;

/// How long something may take before it is worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Awaits something, and shows that it is under way where that takes longer than a second and stderr is a terminal.
pub(super) async fn shown<T>(output: Output, what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if output.is_quiet() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    // It draws nothing where stderr is no terminal.
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(Duration::from_millis(120));
    let done = work.await;
    bar.finish_and_clear();
    done
}
