use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;

/// Central European time by its rule, so that no test hangs on the system's time zone files.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn schedule(line: &str, zone: TimeZone) -> Schedule {
    Schedule::new(line, Duration::ZERO, zone, "test").unwrap_or_else(|problem| panic!("{line} {problem}"))
}

/// The first few times after an instant, all in UTC.
#[track_caller]
fn check(line: &str, zone: TimeZone, after: &str, expect: &[&str]) {
    let schedule = schedule(line, zone);
    let mut now: Timestamp = after.parse().unwrap();
    for expect in expect {
        let next = schedule.next_after(now).unwrap();
        assert_eq!(next, expect.parse().unwrap(), "`{line}` after {now}");
        now = next;
    }
}

#[track_caller]
fn refused(line: &str, expect: &str) {
    let problem = Schedule::new(line, Duration::ZERO, TimeZone::UTC, "test").expect_err(line);
    assert!(problem.contains(expect), "{line}: {problem:?} does not say {expect:?}");
}

#[test]
fn lines_mean_what_crontab_says() {
    let check = |line, after, expect: &[&str]| check(line, TimeZone::UTC, after, expect);
    check("23 */6 * * *", "2026-01-05T00:23:00Z", &["2026-01-05T06:23:00Z", "2026-01-05T12:23:00Z"]);
    check("0 4 * * 0", "2026-01-05T00:00:00Z", &["2026-01-11T04:00:00Z", "2026-01-18T04:00:00Z"]);
    check("0 4 * * 7", "2026-01-05T00:00:00Z", &["2026-01-11T04:00:00Z", "2026-01-18T04:00:00Z"]);
    check("0 4 * * 1", "2026-01-05T05:00:00Z", &["2026-01-12T04:00:00Z"]);
    check("0 4 * * Mon-FRI", "2026-01-09T05:00:00Z", &["2026-01-12T04:00:00Z"]);
    check("0 4 * * 5-7", "2026-01-09T05:00:00Z", &["2026-01-10T04:00:00Z", "2026-01-11T04:00:00Z"]);
    check("05 04 * feb,dec *", "2026-03-01T00:00:00Z", &["2026-12-01T04:05:00Z"]);
    check("10-50/20,5 * * * *", "2026-01-05T00:05:00Z", &["2026-01-05T00:10:00Z", "2026-01-05T00:30:00Z"]);
    check("  0\t4 * *   * ", "2026-01-05T05:00:00Z", &["2026-01-06T04:00:00Z"]);
    // Either of two fixed days is enough.
    check("0 0 13 * 5", "2026-01-05T00:00:00Z", &["2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"]);
}

#[test]
fn ends_of_months_and_leap_years() {
    let check = |line, after, expect: &[&str]| check(line, TimeZone::UTC, after, expect);
    check("0 0 31 * *", "2026-01-31T00:00:00Z", &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"]);
    check("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    check("0 0 29 2 *", "2097-01-01T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    check("59 23 31 12 *", "2026-12-31T23:58:59.999Z", &["2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"]);
    check("* * * * *", "2026-12-31T23:59:00.5Z", &["2027-01-01T00:00:00Z"]);
}

#[test]
fn when_clocks_are_put_forward_the_missing_hour_runs_at_its_end() {
    // 2026-03-29: 02:00 CET (01:00 UTC) becomes 03:00 CEST.
    let check = |line, after, expect: &[&str]| check(line, berlin(), after, expect);
    check("30 2 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    check("30 3 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"]);
    check("30 * * * *", "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    check("23 */6 * * *", "2026-03-28T23:23:00Z", &["2026-03-29T04:23:00Z", "2026-03-29T10:23:00Z"]);
}

#[test]
fn when_clocks_are_put_back_a_fixed_hour_runs_once_and_every_hour_twice() {
    // 2026-10-25: 03:00 CEST (01:00 UTC) becomes 02:00 CET.
    let check = |line, after, expect: &[&str]| check(line, berlin(), after, expect);
    check("30 2 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    check("30 * * * *", "2026-10-25T00:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    check("30 3 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T02:30:00Z", "2026-10-26T02:30:00Z"]);
}

#[test]
fn what_is_no_crontab_line_is_refused_with_what_to_write() {
    refused("", "has 0 fields");
    refused("0 0 0 3 * * 1", "has 7 fields");
    refused("0 0 3 * * 1", "no seconds, no years");
    refused("@daily", "write five fields");
    refused("@every 5m", "write five fields");
    refused("60 * * * *", "`60` is not 0 to 59");
    refused("* 24 * * *", "`24` is not 0 to 23");
    refused("* * 0 * *", "`0` is not 1 to 31");
    refused("* * L * *", "`L` is not 1 to 31");
    refused("* * 15W * *", "`15W` is not 1 to 31");
    refused("* * ? * *", "`?` is not 1 to 31");
    refused("* * * 13 *", "`13` is not 1 to 12 or jan to dec");
    refused("* * * * 8", "`8` is not 0 to 7 or sun to sat");
    refused("* * * * 1#2", "`1#2` is not 0 to 7");
    refused("* * * * +1", "`+1` is not 0 to 7");
    refused("* * * * monday", "`monday` is not");
    refused("* * * * fri-mon", "runs backwards");
    refused("5/15 * * * *", "write `5-59/15`");
    refused("/15 * * * *", "`` is not 0 to 59");
    refused("*/0 * * * *", "from 1 to 59");
    refused("*/90 * * * *", "from 1 to 59");
    refused("1, * * * *", "`` is not 0 to 59");
    refused("1- * * * *", "`` is not 0 to 59");
    refused("* * 31 2,4 *", "a day that never comes");
    refused("* * */2 * 1", "some crons take both, some either");
    refused("* * 1 * */2", "some crons take both, some either");
    refused("* * 1,*/9 * 1", "some crons take both, some either");
    // Negative control: alone, each of them is the same everywhere.
    schedule("* * */2 * *", TimeZone::UTC);
    schedule("* * * * */2", TimeZone::UTC);
}

#[test]
fn a_tick_is_put_off_by_its_own_part_of_the_jitter() {
    let jitter = Duration::from_mins(10);
    let of = |owner: &str| Schedule::new("0 * * * *", jitter, TimeZone::UTC, owner).unwrap();
    let mut parts = std::collections::BTreeSet::new();
    for owner in ["one", "two"] {
        let mut now: Timestamp = "2026-01-05T00:30:00Z".parse().unwrap();
        for _ in 0..100 {
            let next = of(owner).next_after(now).unwrap();
            let part = next.as_second() % 3600;
            assert!((0..=600).contains(&part), "{next} is before its tick or too long after it");
            parts.insert(part);
            // Whoever asks again before it is due, after a restart too, is told the same.
            assert_eq!(of(owner).next_after(now + Duration::from_mins(10)), Some(next));
            assert_eq!(of(owner).next_after(next - Duration::from_nanos(1)), Some(next));
            now = next;
        }
    }
    assert!(parts.len() > 100, "200 ticks of two owners share {} delays", parts.len());
}

#[test]
fn jitter_longer_than_the_interval_loses_no_tick() {
    let schedule = Schedule::new("* * * * *", Duration::from_mins(10), TimeZone::UTC, "test").unwrap();
    let (start, end) = ("2026-01-05T00:00:00Z".parse().unwrap(), "2026-01-06T00:00:00Z".parse::<Timestamp>().unwrap());
    let (mut now, mut count): (Timestamp, _) = (start, 0);
    while let Some(next) = schedule.next_after(now).filter(|next| *next < end) {
        assert!(next > now);
        (now, count) = (next, count + 1);
    }
    // Ticks of one second fall together now and then.
    assert!((1200..=1450).contains(&count), "{count} passes for 1440 ticks");
}

/// A field with the minutes, hours or days it stands for, by a rule of its own.
fn field(first: u8, last: u8) -> impl Strategy<Value = (String, Vec<u8>)> {
    let values = move |from: u8, to: u8, step: u8| (from..=to).step_by(step.into()).collect::<Vec<u8>>();
    prop_oneof![
        2 => Just(("*".to_owned(), values(first, last, 1))),
        1 => (1..=(last - first)).prop_map(move |step| (format!("*/{step}"), values(first, last, step))),
        2 => (first..=last).prop_map(|value| (value.to_string(), vec![value])),
        2 => (first..=last, first..=last, 1..=(last - first)).prop_map(move |(a, b, step)| {
            let (from, to) = (a.min(b), a.max(b));
            (format!("{from}-{to}/{step}"), values(from, to, step))
        }),
        1 => (first..=last, first..=last).prop_map(|(a, b)| (format!("{a},{b}"), vec![a, b])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Against a search minute by minute that knows nothing of the parser.
    #[test]
    fn the_next_tick_is_the_first_minute_that_matches(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 7),
        start in 0_i64..200_000_000,
    ) {
        let line = [&minute, &hour, &day, &month, &weekday].map(|(text, _)| text.as_str()).join(" ");
        let Ok(schedule) = Schedule::new(&line, Duration::ZERO, TimeZone::UTC, "test") else { return Ok(()) };
        let start = Timestamp::from_second(1_700_000_000 + start).unwrap();
        let weekdays: Vec<u8> = weekday.1.iter().map(|value| value % 7).collect();
        let matches = |time: DateTime| {
            let has = |values: &[u8], value: i8| values.iter().any(|known| i16::from(*known) == i16::from(value));
            let (on_day, on_weekday) = (has(&day.1, time.day()), has(&weekdays, time.weekday().to_sunday_zero_offset()));
            let on = match (day.0.as_str(), weekday.0.as_str()) {
                ("*", "*") => true,
                ("*", _) => on_weekday,
                (_, "*") => on_day,
                _ => on_day || on_weekday,
            };
            on && has(&month.1, time.month()) && has(&hour.1, time.hour()) && has(&minute.1, time.minute())
        };
        // A month and a bit is enough for most lines; where it is not, nothing in it may be found either.
        let minutes = (start.as_second().div_euclid(60) + 1..).take(40 * 24 * 60);
        let mut times = minutes.map(|minute| Timestamp::from_second(minute * 60).unwrap());
        let first = times.find(|time| matches(time.to_zoned(TimeZone::UTC).datetime()));
        let next = schedule.next_after(start).unwrap();
        match first {
            Some(first) => prop_assert_eq!(next, first, "{} after {}", line, start),
            None => prop_assert!(next.duration_since(start).as_hours() >= 40 * 24, "{} after {}: {}", line, start, next),
        }
    }
}
