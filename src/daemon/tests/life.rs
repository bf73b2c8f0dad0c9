//! Start, reload, stop, and what the service manager hears.

use std::time::Duration;

use tokio::time::sleep;

use super::fake::{Comes, HOUR, MINUTE, Script, beside};
use crate::daemon::{Ended, Event, Phase};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn it_is_ready_after_the_first_pass_however_that_came_out() {
    let script = Script::new("0 12 * * *");
    script.fetch_takes.set(20 * SECOND);
    script.pass_takes.set(10 * SECOND);
    script.whole.borrow_mut().push_back(Comes::Lasting);
    let test = beside(&script, None, |daemon| async move {
        sleep(29 * SECOND).await;
        assert_eq!(*daemon.script.told.borrow(), [""; 0]);
        assert!(matches!(daemon.status.borrow().phase, Phase::Enforcing { .. }));
        sleep(2 * SECOND).await;
        assert_eq!(*daemon.script.told.borrow(), ["00:00:30 READY=1"]);
        assert_eq!(daemon.status.borrow().phase, Phase::Idle);
        sleep(SECOND).await;
        daemon.send(Event::Stop);
        sleep(SECOND).await;
        assert_eq!(*daemon.script.told.borrow(), ["00:00:30 READY=1", "00:00:32 STOPPING=1"]);
    });
    assert_eq!(test.await, Ended::AtRest);
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_hears_of_the_loop_while_a_pass_goes_on() {
    let script = Script::new("0 12 * * *");
    script.pass_takes.set(HOUR);
    let test = beside(&script, Some(10 * SECOND), |daemon| async move {
        sleep(59 * MINUTE).await;
        // None but these: the first pass is not over.
        let told = daemon.script.told.borrow().clone();
        assert!(told.iter().all(|line| line.ends_with(" WATCHDOG=1")), "{told:?}");
        assert_eq!((told[0].as_str(), told[1].as_str()), ("00:00:00 WATCHDOG=1", "00:00:10 WATCHDOG=1"));
        assert!((59 * 6..=59 * 6 + 1).contains(&told.len()), "{}", told.len());
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn idle_it_wakes_only_for_its_slices() {
    let script = Script::new("0 12 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(11 * HOUR).await;
        assert_eq!(daemon.status.borrow().iteration, 1);
        assert_eq!(daemon.script.happened().len(), 3);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_enforced_and_for_nothing_else() {
    // Fetching: at once.
    let script = Script::new("0 12 * * *");
    script.fetch_takes.set(HOUR);
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.send(Event::Stop);
    });
    assert_eq!(test.await, Ended::AtRest);
    assert_eq!(script.happened(), ["01 00:00:00 fetch"]);

    // Waiting for another process: at once.
    let script = Script::new("0 12 * * *");
    script.lock_takes.set(HOUR);
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        assert!(matches!(daemon.status.borrow().phase, Phase::Waiting { .. }));
        daemon.send(Event::Stop);
    });
    assert_eq!(test.await, Ended::AtRest);
    assert_eq!(script.happened(), ["01 00:00:00 fetch"]);

    // Enforcing: when it is done, and nothing new is begun.
    let script = Script::new("* * * * *");
    script.pass_takes.set(HOUR);
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.send(Event::Stop);
        daemon.drift();
        daemon.send(Event::Reload);
    });
    assert_eq!(test.await, Ended::AtRest);
    assert_eq!(script.happened(), ["01 00:00:00 fetch", "01 00:00:00 pass", "01 01:00:00 passed"]);

    // A second signal does not wait.
    let script = Script::new("0 12 * * *");
    script.pass_takes.set(HOUR);
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.send(Event::Stop);
        daemon.send(Event::Stop);
    });
    assert_eq!(test.await, Ended::Cut);
    assert_eq!(script.happened(), ["01 00:00:00 fetch", "01 00:00:00 pass"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_the_new_schedule_and_makes_a_pass() {
    let script = Script::new("0 12 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.script.happened();
        daemon.script.schedule("0 6 * * *");
        daemon.send(Event::Reload);
        sleep(MINUTE).await;
        assert_eq!(daemon.script.happened()[0], "01 00:01:00 fetch");
        assert_eq!(daemon.status.borrow().next, Some("2026-01-01T06:00:00Z".parse().unwrap()));
        let told = ["00:00:00 READY=1", "00:01:00 RELOADING=1", "00:01:00 READY=1"];
        assert_eq!(*daemon.script.told.borrow(), told);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_keeps_the_old_configuration_and_says_so() {
    let script = Script::new("0 12 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.script.happened();
        daemon.script.schedule("0 6 * * *");
        daemon.script.reload_fails.set(true);
        daemon.send(Event::Reload);
        sleep(MINUTE).await;
        assert_eq!(daemon.status.borrow().next, Some("2026-01-01T12:00:00Z".parse().unwrap()));
        assert!(daemon.status.borrow().reload_failure.is_some());
        // The pass is made all the same.
        assert_eq!(daemon.script.happened()[0], "01 00:01:00 fetch");
        daemon.script.reload_fails.set(false);
        daemon.send(Event::Reload);
        sleep(MINUTE).await;
        assert!(daemon.status.borrow().reload_failure.is_none());
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_drops_a_fetch_for_the_old_configuration_but_no_pass() {
    let script = Script::new("0 12 * * *");
    script.fetch_takes.set(10 * SECOND);
    script.pass_takes.set(10 * SECOND);
    let test = beside(&script, None, |daemon| async move {
        sleep(5 * SECOND).await;
        daemon.send(Event::Reload);
        sleep(12 * SECOND).await;
        daemon.send(Event::Reload);
        sleep(MINUTE).await;
        let expect = [
            "01 00:00:00 fetch",
            "01 00:00:05 fetch",
            "01 00:00:15 pass",
            "01 00:00:25 passed",
            "01 00:00:25 fetch",
            "01 00:00:35 pass",
            "01 00:00:45 passed",
        ];
        assert_eq!(daemon.script.happened(), expect);
        daemon.send(Event::Stop);
    });
    test.await;
}
