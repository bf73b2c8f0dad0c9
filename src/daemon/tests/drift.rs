//! Drift: mended at once, beside a fetch, and never in a tight loop.

use std::time::Duration;

use tokio::time::sleep;

use super::fake::{Comes, HOUR, MINUTE, Script, beside};
use crate::daemon::{Event, Reason};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn drift_is_mended_without_a_fetch() {
    let script = Script::new("0 12 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.script.happened();
        daemon.drift();
        sleep(MINUTE).await;
        assert_eq!(daemon.script.happened(), ["01 00:01:00 mend", "01 00:01:00 mended"]);
        let status = daemon.status.borrow().clone();
        assert_eq!(status.last.unwrap().reason, Reason::Start);
        assert_eq!(status.last_drift.unwrap().iteration, 2);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn drift_does_not_wait_for_a_fetch() {
    let script = Script::new("30 0 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(20 * MINUTE).await;
        daemon.script.happened();
        daemon.script.fetch_takes.set(4 * MINUTE);
        sleep(12 * MINUTE).await;
        daemon.drift();
        sleep(10 * MINUTE).await;
        let expect =
            ["01 00:30:00 fetch", "01 00:32:00 mend", "01 00:32:00 mended", "01 00:34:00 pass", "01 00:34:00 passed"];
        assert_eq!(daemon.script.happened(), expect);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn drift_while_a_pass_goes_on_is_looked_into_after_it_and_once() {
    let script = Script::new("0 12 * * *");
    script.pass_takes.set(10 * SECOND);
    let test = beside(&script, None, |daemon| async move {
        sleep(5 * SECOND).await;
        for _ in 0..50 {
            daemon.drift();
        }
        sleep(30 * SECOND).await;
        let log = daemon.script.happened();
        assert_eq!(log[2..4], ["01 00:00:10 passed", "01 00:00:10 mend"]);
        // The other words were waiting in the stream: they are one more look, no more.
        assert!(log.iter().filter(|line| line.ends_with("mend")).count() <= 3, "{log:?}");
        daemon.send(Event::Stop);
    });
    test.await;
}

/// How often drift is mended in an hour of another program that undoes it as soon as it sees it.
async fn mended_in_an_hour_of(comes: Comes) -> usize {
    let script = Script::new("0 12 * * *");
    script.mended.set(comes);
    let counted = std::rc::Rc::clone(&script);
    let test = beside(&script, None, |daemon| async move {
        let end = tokio::time::Instant::now() + HOUR;
        while tokio::time::Instant::now() < end {
            daemon.drift();
            sleep(Duration::from_millis(100)).await;
        }
        daemon.send(Event::Stop);
    });
    test.await;
    counted.happened().iter().filter(|line| line.ends_with("mend")).count()
}

#[tokio::test(start_paused = true)]
async fn two_programs_that_undo_each_other_do_not_make_a_busy_loop() {
    // Twenty at once, six while the pace slows down, and one a minute.
    let count = mended_in_an_hour_of(Comes::Changed).await;
    assert!((80..=90).contains(&count), "{count}");
    let count = mended_in_an_hour_of(Comes::Transient).await;
    assert!((60..=70).contains(&count), "{count}");
    // Negative control: where there was nothing to mend, every word is looked into.
    let count = mended_in_an_hour_of(Comes::InSync).await;
    assert!(count > 30_000, "{count}");
}

#[tokio::test(start_paused = true)]
async fn mending_that_failed_is_tried_again_without_another_word() {
    let script = Script::new("0 12 * * *");
    script.mended.set(Comes::Transient);
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.script.happened();
        daemon.drift();
        sleep(SECOND).await;
        daemon.script.mended.set(Comes::Changed);
        sleep(2 * MINUTE).await;
        let log = daemon.script.happened();
        assert!(log.iter().filter(|line| line.ends_with("mend")).count() > 1, "{log:?}");
        assert!(log.last().unwrap().ends_with("mended"));
        daemon.send(Event::Stop);
    });
    test.await;
}
