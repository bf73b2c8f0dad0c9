//! How things stand: one value, drawn as JSON, as metrics, as two answers to probes, and looked at for what to tell.
//!
//! ```text
//! passes ─▶ Tally ─┐
//! state on disk ───┼▶ Status ─▶ /status │ /metrics, *.prom │ /healthz, /readyz │ notifications
//! configuration ───┘
//! ```
//!
//! It is put together whenever somebody asks, from what the last passes showed and from the state as it is on disk at
//! that moment: what another process did (`withdraw`, `sync`) shows at once. Nothing here asks a firewall.

pub mod metrics;
pub mod tally;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use tagwall_provider::{AddressCount, PerFamily};

use crate::config::{Config, Policy, Target};
use crate::report::json;
use crate::source::{Cloud, Freshness};
use crate::state::State;
use crate::targets::Requests;
pub use tally::Change;
use tally::{Counts, Tally};

/// Microsoft uses no new range before a week has passed since it was published: this long may pass between two looks
/// at the source before somebody who is listed may be kept out.
const WEEK_SECONDS: i64 = 7 * 24 * 60 * 60;

/// How things stand.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of this format.
    pub schema: u32,
    /// The version of tagwall.
    pub version: &'static str,
    /// Whose marks it writes.
    pub owner: String,
    /// When this was put together.
    pub at: Timestamp,
    /// Why not everything that should be enforced is known to be; empty where it is.
    pub not_ready: Vec<String>,
    /// The daemon; none where one pass was all.
    pub daemon: Option<Daemon>,
    /// The last whole pass.
    pub last_pass: Option<LastPass>,
    /// The publication that was last gone by.
    pub publication: Option<Publication>,
    /// Every configured target.
    pub targets: Vec<TargetStatus>,
    /// What the last whole pass warned of.
    pub warnings: Vec<String>,
    /// The last changes, oldest first.
    pub changes: Vec<Change>,
    /// Who is told, and how that went.
    pub receivers: Vec<Receiver>,
    /// What the clouds were asked since the daemon started.
    pub requests: Vec<Requests>,
    /// Passes by reason and outcome, fetches by result: for metrics.
    #[serde(skip)]
    pub totals: Totals,
}

/// The daemon.
#[derive(Clone, Debug, Serialize)]
pub struct Daemon {
    /// Since when it runs.
    pub started: Timestamp,
    /// `idle`, `fetching`, `waiting`, `enforcing` or `stopping`.
    pub doing: &'static str,
    /// Since when it does that.
    pub since: Option<Timestamp>,
    /// Passes begun.
    pub passes: u64,
    /// When the schedule asks for the next one.
    pub next_pass: Option<Timestamp>,
    /// Why the configuration on disk is not the one in use.
    pub reload_failure: Option<String>,
}

/// The last whole pass.
#[derive(Clone, Debug, Serialize)]
pub struct LastPass {
    /// Its number in this process.
    pub iteration: u64,
    /// Why it was made.
    pub reason: &'static str,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Its worst outcome: `ok`, `refused` or `failed`.
    pub outcome: &'static str,
    /// Why the source had nothing newer, where it failed.
    pub source_failure: Option<String>,
}

/// The publication that was last gone by.
#[derive(Clone, Debug, Serialize)]
pub struct Publication {
    /// The cloud it describes.
    pub cloud: &'static str,
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The date in its file name.
    pub date: Option<Date>,
    /// That date, or when it was first seen.
    pub since: Timestamp,
    /// How long ago that was.
    pub age_seconds: i64,
    /// The hash of its bytes.
    pub sha256: String,
    /// Where it came from.
    pub origin: String,
    /// `fresh`, `not-modified` or `last-good`, in the last pass.
    pub freshness: &'static str,
    /// When the source last said that this is its newest.
    pub confirmed: Option<Timestamp>,
    /// How much is left of the week since then that Microsoft lets pass before it uses new ranges; below zero where
    /// it is over.
    pub seconds_left: Option<i64>,
    /// Whether it is older than `stale`.
    pub stale: bool,
}

/// A target.
#[derive(Clone, Debug, Serialize)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: &'static str,
    /// What it is, in words.
    pub object: String,
    /// `sync`, `add-only` or `observe`.
    pub policy: &'static str,
    /// The lists whose union it admits.
    pub lists: Vec<String>,
    /// Its protocol.
    pub protocol: &'static str,
    /// Its ports.
    pub ports: Vec<u16>,
    /// How it came out of the last pass that looked at it.
    pub outcome: Option<&'static str>,
    /// Whether the last pass left it as it should be.
    pub in_sync: bool,
    /// Whether, where the last pass did not, at least what it was last enforced with still is.
    pub keeps: bool,
    /// What was decided about it.
    #[serde(flatten)]
    pub standing: Standing,
    /// When a pass last looked at it.
    pub last_attempt: Option<Timestamp>,
    /// When one last saw that it is as it should be.
    pub last_success: Option<Timestamp>,
    /// What the last read showed.
    pub read: Option<Reading>,
    /// Why nothing was changed.
    pub refusals: Vec<json::Refusal>,
    /// Why it could not be read or changed.
    pub error: Option<Failure>,
    /// What was counted since the daemon started.
    pub counts: CountsJson,
}

/// What was decided about a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Since when its rules are taken away on purpose.
    pub withdrawn: Option<Timestamp>,
    /// Since when it is not to be written.
    pub paused: Option<Timestamp>,
    /// Since when it is to stay at its generation.
    pub pinned: Option<Timestamp>,
    /// Since when it is held at its generation, because a change was not confirmed.
    pub held: Option<Timestamp>,
    /// The generation that it was last seen right with.
    pub generation: Option<u64>,
}

/// What a read of a target showed.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// When.
    pub at: Timestamp,
    /// What it should admit.
    pub desired: Sizes,
    /// How many addresses of that are on no list, and come in only to save prefixes.
    pub widened: json::DecimalPerFamily,
    /// What it admits.
    pub enforced: Sizes,
    /// Whether the rules around the entries are as they should be.
    pub in_place: bool,
    /// Entries and rules that would have to change.
    pub drift: u64,
    /// Prefixes that are admitted and no longer desired.
    pub pending_removals: u64,
    /// What its rules counted since they were last written, where the firewall counts.
    pub traffic: Option<Traffic>,
}

/// What the rules of a target counted since they were last written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Traffic {
    /// Admitted because of an entry, IPv4.
    pub admitted_ipv4: Counted,
    /// Admitted because of an entry, IPv6.
    pub admitted_ipv6: Counted,
    /// Let go on because its connection stood already.
    pub established: Counted,
    /// Dropped.
    pub dropped: Counted,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How much is admitted of each family.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sizes {
    /// IPv4.
    pub ipv4: Size,
    /// IPv6.
    pub ipv6: Size,
}

/// How much is admitted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// In prefixes, as few as will do.
    pub prefixes: usize,
    /// In addresses, as a decimal number.
    #[serde(serialize_with = "as_text")]
    pub addresses: AddressCount,
}

/// Why something could not be done.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The chain of errors.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// `transient`, `denied`, `conflict` or `rejected`.
    pub class: &'static str,
}

/// What was counted of a target since the daemon started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CountsJson {
    /// Passes that changed it.
    pub changes: u64,
    /// Those of them that undid what somebody else did.
    pub heals: u64,
    /// Reads made again because it moved meanwhile.
    pub conflicts: u64,
    /// Passes that failed, by class.
    pub failures: std::collections::BTreeMap<&'static str, u64>,
    /// Passes that were refused, by limit.
    pub refusals: std::collections::BTreeMap<&'static str, u64>,
}

/// Somebody who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Notifications that it took.
    pub sent: u64,
    /// Deliveries that failed; each is tried again.
    pub failed: u64,
    /// Changes that were never told, because too many waited.
    pub dropped: u64,
    /// What waits to be told.
    pub pending: usize,
    /// Why the last delivery failed, if it did.
    pub last_failure: Option<String>,
}

/// What is counted of passes.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By reason and outcome.
    pub passes: Vec<(&'static str, &'static str, u64)>,
    /// Their time, in seconds.
    pub pass_seconds: f64,
    /// Fetches by result.
    pub fetches: Vec<(&'static str, u64)>,
}

/// What a status is put together from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The configuration in use.
    pub config: &'a Config,
    /// The state on disk.
    pub state: &'a State,
    /// What passes have shown.
    pub tally: &'a Tally,
    /// The daemon, where there is one.
    pub daemon: Option<Daemon>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// What the clouds were asked.
    pub requests: Vec<Requests>,
    /// The time.
    pub now: Timestamp,
}

impl Status {
    /// Puts it together.
    pub fn new(facts: Facts<'_>) -> Self {
        let Facts { config, state, tally, now, .. } = facts;
        let targets: Vec<_> = config.targets.iter().map(|target| TargetStatus::new(target, state, tally)).collect();
        let last = tally.last.as_ref();
        let mut not_ready: Vec<String> = targets.iter().filter_map(TargetStatus::not_ready).collect();
        if last.is_none() {
            not_ready.insert(0, "the first pass has not ended".to_owned());
        }
        Self {
            schema: 1,
            version: env!("CARGO_PKG_VERSION"),
            owner: config.owner.clone(),
            at: now,
            not_ready,
            daemon: facts.daemon,
            last_pass: last.map(LastPass::from),
            publication: Publication::new(config, tally, now),
            targets,
            warnings: last.map(|last| last.warnings.clone()).unwrap_or_default(),
            changes: tally.changes.iter().cloned().collect(),
            receivers: facts.receivers,
            requests: facts.requests,
            totals: Totals {
                passes: tally.passes.iter().map(|((reason, outcome), count)| (*reason, *outcome, *count)).collect(),
                pass_seconds: tally.pass_seconds,
                fetches: tally.fetches.iter().map(|(result, count)| (*result, *count)).collect(),
            },
        }
    }
}

impl TargetStatus {
    fn new(target: &Target, state: &State, tally: &Tally) -> Self {
        let (record, seen) = (state.targets.get(&target.name), tally.targets.get(&target.name));
        let standing = Standing {
            withdrawn: record.and_then(|record| record.withdrawn),
            paused: state.paused(&target.name).map(|decision| decision.since),
            pinned: record.and_then(|record| record.pinned.as_ref()).map(|pin| pin.decision.since),
            held: record.and_then(|record| record.unconfirmed.as_ref()).map(|taken_back| taken_back.since),
            generation: record.and_then(|record| record.generation),
        };
        let seen_at = seen.and_then(tally::Seen::looked_at);
        let verdict = seen.and_then(tally::Seen::verdict);
        Self {
            name: target.name.clone(),
            provider: target.backend.provider(),
            object: target.backend.object(),
            policy: target.policy.name(),
            lists: target.lists.clone(),
            protocol: target.protocol.name(),
            ports: target.ports.clone(),
            outcome: verdict.map(|verdict| verdict.outcome),
            in_sync: seen.is_some_and(tally::Seen::is_right) && standing.withdrawn.is_none(),
            keeps: verdict.is_some_and(|verdict| verdict.keeps) && standing.withdrawn.is_none(),
            standing,
            // Another process may have made a pass since, and this one one that could not be written down.
            last_attempt: record.and_then(|record| record.last_attempt).max(seen_at),
            last_success: record.and_then(|record| record.last_verified).max(seen.and_then(|seen| seen.right_at)),
            read: seen.and_then(|seen| seen.read.as_ref()).map(Reading::from),
            refusals: verdict
                .map(|verdict| verdict.refusals.iter().map(json::Refusal::from).collect())
                .unwrap_or_default(),
            error: verdict.and_then(|verdict| verdict.failure.as_ref()).map(|failure| Failure {
                message: failure.message.clone(),
                hint: failure.hint.clone(),
                class: tally::class_name(failure.class),
            }),
            counts: seen.map(|seen| CountsJson::from(&seen.counts)).unwrap_or_default(),
        }
    }

    /// Why it is not known to be enforced as it should be. One that is only observed need not be.
    fn not_ready(&self) -> Option<String> {
        let name = &self.name;
        if self.policy == Policy::Observe.name() {
            return None;
        }
        if self.standing.withdrawn.is_some() {
            return Some(format!("target `{name}` is withdrawn"));
        }
        match self.outcome {
            _ if self.in_sync => None,
            None => Some(format!("target `{name}` was not looked at yet")),
            Some(outcome) => Some(format!("target `{name}` {outcome} in the last pass")),
        }
    }
}

impl Publication {
    fn new(config: &Config, tally: &Tally, now: Timestamp) -> Option<Self> {
        let published = tally.publication.as_ref()?;
        let age_seconds = now.duration_since(published.since).as_secs();
        Some(Self {
            cloud: cloud_name(published.cloud),
            change_number: published.change_number,
            date: published.date,
            since: published.since,
            age_seconds,
            sha256: published.sha256.to_string(),
            origin: published.origin.clone(),
            freshness: match published.freshness {
                Freshness::Fresh => "fresh",
                Freshness::NotModified => "not-modified",
                Freshness::LastGood { .. } => "last-good",
            },
            confirmed: tally.confirmed,
            seconds_left: tally.confirmed.map(|confirmed| WEEK_SECONDS - now.duration_since(confirmed).as_secs()),
            stale: u64::try_from(age_seconds).is_ok_and(|age| age >= config.stale.as_secs()),
        })
    }
}

const fn cloud_name(cloud: Cloud) -> &'static str {
    cloud.name()
}

impl From<&tally::LastPass> for LastPass {
    fn from(last: &tally::LastPass) -> Self {
        Self {
            iteration: last.iteration,
            reason: last.reason,
            started: last.started,
            seconds: last.seconds,
            outcome: last.outcome,
            source_failure: last.source_failure.clone(),
        }
    }
}

impl From<&tally::Reading> for Reading {
    fn from(read: &tally::Reading) -> Self {
        Self {
            at: read.at,
            desired: read.desired.into(),
            widened: read.widened.into(),
            enforced: read.enforced.into(),
            in_place: read.in_place,
            drift: read.drift,
            pending_removals: read.pending_removals,
            traffic: read.counters.map(|counters| Traffic {
                admitted_ipv4: counters.admitted.v4.into(),
                admitted_ipv6: counters.admitted.v6.into(),
                established: counters.established.into(),
                dropped: counters.dropped.into(),
            }),
        }
    }
}

impl From<tagwall_provider::Traffic> for Counted {
    fn from(traffic: tagwall_provider::Traffic) -> Self {
        Self { packets: traffic.packets, bytes: traffic.bytes }
    }
}

impl From<PerFamily<tally::Size>> for Sizes {
    fn from(sizes: PerFamily<tally::Size>) -> Self {
        let size = |size: tally::Size| Size { prefixes: size.prefixes, addresses: size.addresses };
        Self { ipv4: size(sizes.v4), ipv6: size(sizes.v6) }
    }
}

impl From<&Counts> for CountsJson {
    fn from(counts: &Counts) -> Self {
        Self {
            changes: counts.changes,
            heals: counts.heals,
            conflicts: counts.conflicts,
            failures: counts.failures.clone(),
            refusals: counts.refusals.iter().map(|(limit, count)| (limit.name(), *count)).collect(),
        }
    }
}

fn as_text<S: serde::Serializer>(count: &AddressCount, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(count)
}

#[cfg(test)]
mod tests;
