//! What a daemon costs that has nothing to do.

use std::time::Duration;

use super::daemon::Daemon;
use super::site::{Real, Site};
use crate::support::{World, with_namespaces};

/// How many fetches it has behind it.
const FETCHES: usize = 100;

/// Prints figures, for so many seconds as `TAGWALL_IDLE` says: `scripts/idle.sh` runs it with a release. In a test run
/// of two seconds it asserts no more than that an idle daemon sleeps.
#[test]
fn an_idle_daemon_sleeps() {
    with_namespaces(|| {
        let Some(publications) = Real::newest(5) else { return };
        let asked = std::env::var("TAGWALL_IDLE").ok().map(|seconds| seconds.parse().unwrap());
        let (seconds, fetches) = asked.map_or((2, 3), |seconds| (seconds, FETCHES));
        let world = World::empty();
        let site = Site::of(&world);
        site.publish(publications[0].numbered(1000));
        let mut daemon = Daemon::start(&world);
        daemon.says("pass 1 (start");
        for fetch in 1..fetches {
            site.publish(publications[fetch % publications.len()].numbered(1000 + fetch));
            daemon.pass();
        }
        // Its own last change may still be told to it, and the threads that read files end after ten seconds.
        std::thread::sleep(Duration::from_secs(if asked.is_some() { 15 } else { 2 }));
        let before = daemon.figures();
        std::thread::sleep(Duration::from_secs(seconds));
        let after = daemon.figures();
        let an_hour = |count: u64| count as f64 * 3600.0 / seconds as f64;
        println!(
            "idle for {seconds} s after {fetches} fetches over TLS: {:.1} MB anonymous, {} threads, {} descriptors; \
             an hour of it: {:.2} s of processor, {:.0} wake-ups",
            after.anonymous as f64 * 1024.0 / 1e6,
            after.threads,
            after.descriptors,
            an_hour(after.ticks - before.ticks) / 100.0,
            // Those of threads that end are gone with them.
            an_hour(after.sleeps.saturating_sub(before.sleeps)),
        );
        assert!(after.ticks - before.ticks < 20 * seconds, "it is busy: {before:?}, {after:?}");
    });
}
