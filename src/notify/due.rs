//! What a receiver has to be told next. Pure: no clock, no input or output.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::told::{Told, ToldTrouble};
use super::trouble::{Trouble, is_known, troubles};
use crate::config::Receiver;
use crate::config::telling::raw::Subject;
use crate::status::{Change, Status};

/// How often it is said at most that somebody else changes a target, where `repeat` says never.
const DRIFT_REPEAT: Duration = Duration::from_hours(24);

/// What is remembered of a receiver for as long as the process lives.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Since when what was not told yet has stood.
    first_seen: BTreeMap<String, (String, Timestamp)>,
    /// Up to which change it was told.
    changes: u64,
    /// Changes that were forgotten before they could be told.
    dropped: u64,
    /// Whether nobody looks again soon: what may be over in a minute is told at once then.
    at_once: bool,
}

/// What is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// What to tell, and what follows once it is told.
    pub next: Option<(Event, After)>,
    /// What was told, without what needs no word any more.
    pub told: Told,
    /// How much there is to tell.
    pub pending: usize,
    /// Changes that were forgotten before they could be told.
    pub dropped: u64,
    /// When to look again though nothing happens.
    pub wake: Option<Timestamp>,
}

/// What follows once something is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// This trouble was told.
    Trouble(String, ToldTrouble),
    /// This trouble is over.
    Over(String),
    /// Changes up to this one were told.
    Change(u64),
    /// Changes up to this one were told, and that somebody else changes the target.
    Drift(u64, String, Timestamp),
}

impl After {
    /// What was told, with this.
    pub fn apply(self, mut told: Told, session: &mut Session) -> Told {
        match self {
            Self::Trouble(key, trouble) => drop(told.troubles.insert(key, trouble)),
            Self::Over(key) => drop(told.troubles.remove(&key)),
            Self::Change(number) => session.changes = number,
            Self::Drift(number, target, at) => {
                session.changes = number;
                told.drift.insert(target, at);
            }
        }
        told
    }
}

impl Session {
    #[cfg(test)]
    pub(super) const fn dropped_for_tests(&self) -> u64 {
        self.dropped
    }

    /// For a pass that no other follows.
    pub fn of_one_pass() -> Self {
        Self { at_once: true, ..Self::default() }
    }

    /// For a receiver that came later: it is not told the past.
    pub fn from_now(status: &Status) -> Self {
        let changes = status.changes.last().map_or(0, |change| change.number);
        Self { changes, ..Self::default() }
    }
}

/// What is due to a receiver.
pub fn due(told: &Told, session: &mut Session, receiver: &Receiver, status: &Status, now: Timestamp) -> Due {
    let standing = troubles(status);
    let mut all = Vec::new();
    let (mut wake, mut told) = (None, told.clone());
    let mut later = |moment: Timestamp| wake = Some(wake.map_or(moment, |wake: Timestamp| wake.min(moment)));

    let over: Vec<String> = told.troubles.keys().filter(|key| is_over(key, &standing, status)).cloned().collect();
    for key in over {
        let was = &told.troubles[&key];
        if receiver.on.contains(&Subject::Recovery) && was.is_of(&receiver.on) {
            all.push((recovery(status, was), After::Over(key)));
        } else {
            told.troubles.remove(&key);
        }
    }
    session.first_seen.retain(|key, _| standing.iter().any(|trouble| trouble.key == *key));
    for trouble in standing.iter().filter(|trouble| receiver.on.contains(&trouble.subject)) {
        let seen = session.first_seen.entry(trouble.key.clone());
        let seen = seen.or_insert_with(|| (trouble.fingerprint.clone(), now));
        if seen.0 != trouble.fingerprint {
            *seen = (trouble.fingerprint.clone(), now);
        }
        let before = told.troubles.get(&trouble.key).filter(|before| before.fingerprint == trouble.fingerprint);
        let since = before.map_or(seen.1, |before| before.since);
        let moment = match before {
            None if session.at_once => Some(now),
            None => Some(after(since, trouble.patience)),
            // Told in what is the future by now: the clock was put back.
            Some(before) if before.told > now => Some(now),
            Some(before) => receiver.repeat.map(|repeat| after(before.told, repeat)),
        };
        match moment {
            Some(moment) if moment <= now => all.push(telling(status, trouble, since, before.is_some(), now)),
            Some(moment) => later(moment),
            None => {}
        }
    }
    all.extend(changes(&told, session, receiver, status, now));
    let pending = all.len();
    let next = all.into_iter().next();
    Due { next, told, pending, dropped: session.dropped, wake }
}

fn is_over(key: &str, standing: &[Trouble], status: &Status) -> bool {
    is_known(key, status) && !standing.iter().any(|trouble| trouble.key == *key)
}

fn telling(status: &Status, trouble: &Trouble, since: Timestamp, again: bool, now: Timestamp) -> (Event, After) {
    let event = Event {
        again,
        since: Some(since),
        text: trouble.text.clone(),
        ..Event::new(status, trouble.subject.name(), &trouble.about, trouble.title.clone())
    };
    let told = ToldTrouble {
        subject: trouble.subject.name().to_owned(),
        about: trouble.about.clone(),
        fingerprint: trouble.fingerprint.clone(),
        title: trouble.title.clone(),
        since,
        told: now,
    };
    (event, After::Trouble(trouble.key.clone(), told))
}

fn recovery(status: &Status, was: &ToldTrouble) -> Event {
    Event {
        since: Some(was.since),
        text: vec![format!("it stood since {:.0}", was.since)],
        ..Event::new(status, Subject::Recovery.name(), &was.about, format!("over: {}", was.title))
    }
}

/// Changes that were not told yet. What is not to be told counts as told.
fn changes(
    told: &Told,
    session: &mut Session,
    receiver: &Receiver,
    status: &Status,
    now: Timestamp,
) -> Vec<(Event, After)> {
    if let Some(oldest) = status.changes.first()
        && oldest.number > session.changes + 1
    {
        session.dropped += oldest.number - session.changes - 1;
        session.changes = oldest.number - 1;
    }
    let mut due = Vec::new();
    let mut drifted: BTreeMap<&str, Timestamp> = told.drift.iter().map(|(target, at)| (target.as_str(), *at)).collect();
    for change in status.changes.iter().filter(|change| change.number > session.changes) {
        let subject = if change.heal { Subject::Drift } else { Subject::Change };
        if !receiver.on.contains(&subject) {
            continue;
        }
        if change.heal {
            let repeat = receiver.repeat.unwrap_or(DRIFT_REPEAT);
            let last = drifted.get(change.target.as_str());
            if last.is_some_and(|last| *last <= now && after(*last, repeat) > now) {
                continue;
            }
            drifted.insert(&change.target, now);
            due.push((drift(status, change), After::Drift(change.number, change.target.clone(), now)));
        } else {
            due.push((changed(status, change), After::Change(change.number)));
        }
    }
    if due.is_empty() {
        session.changes = status.changes.last().map_or(session.changes, |change| change.number);
    }
    due
}

fn changed(status: &Status, change: &Change) -> Event {
    let rules = if change.rules > 0 { ", rules made anew" } else { "" };
    let title = format!("`{}` changed: +{} -{} entries{rules}", change.target, change.added, change.removed);
    let by = change.change_number.map(|number| format!("by change number {number}"));
    let event = Event::new(status, Subject::Change.name(), &change.target, title);
    Event { at: change.at, text: by.into_iter().collect(), ..event }
}

fn drift(status: &Status, change: &Change) -> Event {
    let title = format!("`{}` was changed by somebody else and put back", change.target);
    let text = vec![format!("+{} -{} entries, {} rules", change.added, change.removed, change.rules)];
    let event = Event::new(status, Subject::Drift.name(), &change.target, title);
    Event { at: change.at, text, ..event }
}

fn after(moment: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    moment.checked_add(span).unwrap_or(Timestamp::MAX)
}
