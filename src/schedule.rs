//! When passes are due: crontab(5) lines, in a time zone, with jitter. Pure.
//!
//! A line means what Vixie's cron and its descendants take it for, and what they do not agree on is refused with a
//! word on what to write instead. Where clocks are put forward, what stands in the hour that never comes runs at its
//! end, once (02:30 at 03:00). Where they are put back, a line with a fixed hour runs in the first of the two equal
//! hours only, and one for every hour in both.
//!
//! The times of a schedule depend on nothing but the line, the zone and the owner: no restart moves them.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sha2::{Digest as _, Sha256};

/// The most that jitter may be.
pub const LONGEST_JITTER: Duration = Duration::from_hours(24);

/// When passes are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    line: String,
    cron: Cron,
    jitter: Duration,
    zone: TimeZone,
    owner: String,
}

impl Schedule {
    /// The schedule of a crontab line.
    ///
    /// Every tick is put off by its own part of `jitter`, so that not all hosts ask at the same second; `owner`
    /// tells hosts apart.
    ///
    /// # Errors
    /// What is wrong with the line and what to write, to stand behind the name of its key.
    pub fn new(line: &str, jitter: Duration, zone: TimeZone, owner: &str) -> Result<Self, String> {
        check(line)?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|error| format!("has `{line}`, which is no crontab line: {error}"))?;
        let schedule = Self { line: line.to_owned(), cron, jitter, zone, owner: owner.to_owned() };
        if schedule.tick_after(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)).is_none() {
            return Err(format!("has `{line}`, a day that never comes"));
        }
        Ok(schedule)
    }

    /// When the next pass is due, strictly after `now`. `None` at the end of the calendar.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        // A tick from before `now` may have been put off until after it, and past later ticks.
        let mut tick = (now - self.jitter).to_zoned(self.zone.clone());
        let mut earliest: Option<Timestamp> = None;
        while let Some(next) = self.tick_after(&tick) {
            tick = next;
            if earliest.is_some_and(|due| due <= tick.timestamp()) {
                break;
            }
            let due = tick.timestamp() + self.put_off(tick.timestamp());
            if due > now {
                earliest = Some(earliest.map_or(due, |known| known.min(due)));
            }
        }
        earliest
    }

    fn tick_after(&self, time: &Zoned) -> Option<Zoned> {
        self.cron.find_next_occurrence(time, false).ok()
    }

    /// By how much a tick is put off: whole seconds, from none to all of the jitter.
    fn put_off(&self, tick: Timestamp) -> Duration {
        // A hash that is the same in every version of tagwall.
        let hash = Sha256::new().chain_update(&self.owner).chain_update(tick.as_second().to_be_bytes()).finalize();
        let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Duration::from_secs(number % (self.jitter.as_secs() + 1))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |schedule: &Self| (schedule.line.clone(), schedule.jitter, schedule.owner.clone());
        parts(self) == parts(other) && self.zone == other.zone
    }
}

/// One field of a line.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names for its values, the first for `first`.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field {
        name: "month",
        first: 1,
        last: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { name: "day of week", first: 0, last: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// Refuses what is not crontab(5), where the parser would take it, and what crons do not agree on.
fn check(line: &str) -> Result<(), String> {
    if let Some(nickname) = line.trim().strip_prefix('@') {
        return Err(format!("has `@{nickname}`: write five fields, such as `23 */6 * * *`"));
    }
    let texts: Vec<&str> = line.split_ascii_whitespace().collect();
    if texts.len() != FIELDS.len() {
        let names = FIELDS.map(|field| field.name).join(", ");
        return Err(format!("has {} fields, a crontab line has five: {names}; no seconds, no years", texts.len()));
    }
    for (field, text) in FIELDS.iter().zip(&texts) {
        let problem = |problem| format!("has `{text}` for the {}, but {problem}", field.name);
        text.split(',').try_for_each(|item| field.check(item)).map_err(problem)?;
    }
    let stepped = |text: &str| text != "*" && text.contains('*');
    if let [_, _, day, _, weekday] = *texts
        && (stepped(day) && weekday != "*" || stepped(weekday) && day != "*")
    {
        return Err(format!(
            "has `{day}` for the day of month and `{weekday}` for the day of week: some crons take both, some either; \
             write one of them as `*`, or the days as numbers (then either is enough)"
        ));
    }
    Ok(())
}

impl Field {
    /// Checks `*`, `5`, `1-5`, and with a step `*/5` or `1-5/2`.
    fn check(&self, item: &str) -> Result<(), String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if range != "*" {
            if let Some((first, last)) = range.split_once('-') {
                if self.value(first)? > self.value(last)? {
                    return Err(format!("`{range}` runs backwards: write it as two, with a comma between"));
                }
            } else {
                self.value(range)?;
                if let Some(step) = step {
                    return Err(format!("a step needs a range: write `{range}-{}/{step}`", self.last));
                }
            }
        }
        let Some(step) = step else { return Ok(()) };
        let most = self.last - self.first;
        match number(step) {
            Some(step) if (1..=most).contains(&step) => Ok(()),
            _ => Err(format!("the step must be a number from 1 to {most}")),
        }
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = || (self.first..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        let value = number(text).filter(|value| (self.first..=self.last).contains(value));
        value.or_else(|| named().map(|(value, _)| value)).ok_or_else(|| {
            let words = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            format!("`{text}` is not {} to {}{words}", self.first, self.last)
        })
    }
}

/// Reads digits, and no sign.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
