//! When passes are made.

use jiff::SignedDuration;
use tokio::time::sleep;

use super::fake::{Comes, HOUR, MINUTE, Script, beside};
use crate::daemon::{Ended, Event};

/// When fetches began, by the time of day, with the day of the month.
fn fetches(log: &[String]) -> Vec<&str> {
    log.iter().filter_map(|line| line.strip_suffix(":00 fetch")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_day_of_the_schedule() {
    let script = Script::new("23 */6 * * *");
    let ended = beside(&script, None, |daemon| async move {
        sleep(24 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["01 00:00", "01 00:23", "01 06:23", "01 12:23", "01 18:23"]);
        let status = daemon.status.borrow().clone();
        assert_eq!((status.iteration, status.next), (5, Some("2026-01-02T00:23:00Z".parse().unwrap())));
        let last = status.last.unwrap();
        assert_eq!((last.reason.name(), last.report.count("in-sync")), ("tick", 1));
        daemon.send(Event::Stop);
    });
    assert_eq!(ended.await, Ended::AtRest);
}

#[tokio::test(start_paused = true)]
async fn a_missed_tick_runs_once() {
    let script = Script::new("0 * * * *");
    // The pass of 01:00 takes until 05:30.
    let test = beside(&script, None, |daemon| async move {
        sleep(MINUTE).await;
        daemon.script.pass_takes.set(4 * HOUR + 30 * MINUTE);
        sleep(HOUR).await;
        daemon.script.pass_takes.set(MINUTE);
        sleep(5 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["01 00:00", "01 01:00", "01 05:30", "01 06:00"]);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_slept_for_days_makes_one_pass_soon_after() {
    let script = Script::new("0 3 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(HOUR).await;
        daemon.script.step_clock(SignedDuration::from_hours(75));
        sleep(6 * MINUTE).await;
        // 01:00 and 75 hours, and at most a slice.
        assert_eq!(fetches(&daemon.script.happened()), ["01 00:00", "04 04:05"]);
        sleep(23 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["05 03:00"]);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn a_small_step_back_runs_no_tick_again_and_a_great_one_begins_anew() {
    let script = Script::new("0 3,4,12 * * *");
    let test = beside(&script, None, |daemon| async move {
        sleep(4 * HOUR + MINUTE).await;
        assert_eq!(fetches(&daemon.script.happened()), ["01 00:00", "01 03:00", "01 04:00"]);
        daemon.script.step_clock(-SignedDuration::from_hours(2));
        sleep(9 * HOUR).await;
        // 11:01 by the clock: neither 03:00 nor 04:00 ran again.
        assert_eq!(fetches(&daemon.script.happened()), [""; 0]);
        sleep(2 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["01 12:00"]);
        // A clock that was a year ahead: 13:01 of the year before.
        daemon.script.step_clock(-SignedDuration::from_hours(24 * 365));
        sleep(24 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["02 03:00", "02 04:00", "02 12:00"]);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_ever_more_slowly_until_it_succeeds() {
    let script = Script::new("0 12 * * *");
    script.whole.borrow_mut().extend([Comes::Transient; 9]);
    let test = beside(&script, None, |daemon| async move {
        sleep(11 * HOUR).await;
        let log = daemon.script.happened();
        let times: Vec<&str> = log.iter().filter_map(|line| line.strip_suffix(" fetch")).collect();
        assert_eq!(
            times,
            // 30 s, 1 min, 2, 4, 8, 16, 30, 30 and 30 after the one before.
            [
                "01 00:00:00",
                "01 00:00:30",
                "01 00:01:30",
                "01 00:03:30",
                "01 00:07:30",
                "01 00:15:30",
                "01 00:31:30",
                "01 01:01:30",
                "01 01:31:30",
                "01 02:01:30",
            ]
        );
        // It begins anew after a success, and gives way to the schedule.
        daemon.script.whole.borrow_mut().extend([Comes::Transient, Comes::InSync]);
        sleep(2 * HOUR).await;
        let log = daemon.script.happened();
        let times: Vec<&str> = log.iter().filter_map(|line| line.strip_suffix(" fetch")).collect();
        assert_eq!(times, ["01 12:00:00", "01 12:00:30"]);
        daemon.send(Event::Stop);
    });
    test.await;
}

#[tokio::test(start_paused = true)]
async fn what_lasts_waits_for_the_schedule() {
    let script = Script::new("0 12 * * *");
    script.whole.borrow_mut().push_back(Comes::Lasting);
    let test = beside(&script, None, |daemon| async move {
        sleep(13 * HOUR).await;
        assert_eq!(fetches(&daemon.script.happened()), ["01 00:00", "01 12:00"]);
        daemon.send(Event::Stop);
    });
    test.await;
}
