//! The loop: when passes are made.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use jiff::Timestamp;
use tagwall_provider::Limit;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::pace::{Backoff, Mending};
use super::{Clock, Event, Finished, Notifier, Phase, Pulse, Reason, Status, line};
use crate::report::{Failure, Outcome, Report};
use crate::schedule::Schedule;
use crate::status::tally::Tally;

/// The longest wait without a look at the clock.
const SLICE: Duration = Duration::from_mins(5);
/// A step of the clock back by less than this runs no tick again, as with cron.
const STEP_BACK: Duration = Duration::from_hours(3);
/// How many words of drift are passed over at once: a firewall that never falls silent keeps nobody waiting.
const MOST_WORDS: usize = 4096;
/// The first and the longest wait before a pass is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(30));

/// What the loop runs. The futures own what they need: the configuration may be replaced while one is under way.
pub trait Passes {
    /// A publication, or why there is none.
    type Arrival;
    /// The right to enforce, given up when dropped.
    type Lock;
    /// What a pass came to.
    type Done;

    /// When passes are due.
    fn schedule(&self) -> &Schedule;
    /// Fetches. Dropped halfway it leaves nothing behind.
    fn fetch(&self) -> LocalBoxFuture<'static, Self::Arrival>;
    /// Waits for the lock. Dropped halfway it leaves nothing behind.
    fn lock(&self) -> LocalBoxFuture<'static, Self::Lock>;
    /// The second half of a pass: enforces what was fetched.
    fn pass(&self, lock: Self::Lock, arrival: Self::Arrival, reason: Reason) -> LocalBoxFuture<'static, Self::Done>;
    /// A pass from what is remembered.
    fn mend(&self, lock: Self::Lock) -> LocalBoxFuture<'static, Self::Done>;
    /// Takes in what a pass came to.
    fn settle(&mut self, done: Self::Done) -> Box<Report>;
    /// Reads the configuration anew.
    ///
    /// # Errors
    /// Why the old one stays.
    fn reload(&mut self) -> Result<(), Failure>;
    /// What the firewalls say of themselves: an item whenever something changed that may be ours.
    fn watch(&self) -> BoxStream<'static, ()>;
    /// Which program last changed what is ours, where a firewall tells.
    fn disturber(&self) -> Option<String> {
        None
    }
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Between passes.
    AtRest,
    /// In the middle of one, by a second signal.
    Cut,
}

/// What is being enforced.
enum Stage<P: Passes> {
    Idle,
    Locking(LocalBoxFuture<'static, P::Lock>, Timestamp),
    Enforcing(LocalBoxFuture<'static, P::Done>, Begun),
}

/// A pass that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    iteration: u64,
    reason: Reason,
    /// Whether it goes by a publication, not by what is remembered.
    whole: bool,
    since: Timestamp,
    at: Instant,
}

/// What has happened.
enum Happened<P: Passes> {
    Event(Event),
    Enforced(P::Done),
    Locked(P::Lock),
    Arrived(P::Arrival),
    /// It is time to look at the clocks.
    Awake,
}

/// The loop that makes passes.
#[expect(missing_debug_implementations, reason = "it is made of futures")]
pub struct Loop<P: Passes, C> {
    passes: P,
    clock: C,
    notifier: Notifier,
    status: watch::Sender<Status>,
    drift: BoxStream<'static, ()>,
    pulse: Arc<Pulse>,
    /// A whole pass is to be made, and why.
    wanted: Option<Reason>,
    /// Something changed that no pass has looked at since.
    drifted: bool,
    fetching: Option<(LocalBoxFuture<'static, P::Arrival>, Begun)>,
    arrived: Option<(P::Arrival, Begun)>,
    stage: Stage<P>,
    /// The next tick, and the time of day when that was worked out.
    due: Option<Timestamp>,
    reckoned: Timestamp,
    retry_at: Option<Instant>,
    backoff: Backoff,
    mending: Mending,
    /// Until when looks that found nothing rest.
    rest_until: Option<Instant>,
    ready: bool,
    stopping: bool,
}

impl<P: Passes, C: Clock> Loop<P, C> {
    /// A loop that begins with a pass.
    pub fn new(passes: P, clock: C, notifier: Notifier) -> Self {
        let now = clock.now();
        let due = passes.schedule().next_after(now);
        let status = Status {
            iteration: 0,
            phase: Phase::Idle,
            last: None,
            last_drift: None,
            next: due,
            reload_failure: None,
            started: now,
            tally: Tally::default(),
        };
        Self {
            drift: watched(&passes),
            pulse: Arc::default(),
            passes,
            clock,
            notifier,
            status: watch::Sender::new(status),
            wanted: Some(Reason::Start),
            drifted: false,
            fetching: None,
            arrived: None,
            stage: Stage::Idle,
            due,
            reckoned: now,
            retry_at: None,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            mending: Mending::default(),
            rest_until: None,
            ready: false,
            stopping: false,
        }
    }

    /// What the daemon is doing, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// How others feel whether it lives.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Makes passes until a [`Event::Stop`].
    pub async fn run(mut self, events: impl Stream<Item = Event> + Unpin) -> Ended {
        let mut events = events.fuse();
        loop {
            self.pulse.beat();
            let wake = self.look_at_clocks();
            self.begin();
            self.tell();
            if self.stopping && matches!(self.stage, Stage::Idle) {
                return Ended::AtRest;
            }
            match self.happens(&mut events, wake).await {
                Happened::Event(Event::Stop) if self.stopping => return Ended::Cut,
                Happened::Event(_) if self.stopping => {}
                Happened::Event(event) => self.take(event),
                Happened::Arrived(arrival) => self.arrived = self.fetching.take().map(|(_, begun)| (arrival, begun)),
                Happened::Locked(lock) => self.enforce(lock),
                Happened::Enforced(done) => self.finish(done),
                Happened::Awake => {}
            }
        }
    }

    /// Waits for whatever comes first.
    async fn happens(&mut self, events: &mut (impl Stream<Item = Event> + Unpin), wake: Instant) -> Happened<P> {
        let (mut locking, mut enforcing) = (None, None);
        match &mut self.stage {
            Stage::Idle => {}
            Stage::Locking(lock, _) => locking = Some(lock),
            Stage::Enforcing(done, _) => enforcing = Some(done),
        }
        let fetching = self.fetching.as_mut().map(|(arrival, _)| arrival);
        // Every future that is polled here lives on in `self`, or loses nothing when dropped: streams and a timer.
        tokio::select! {
            biased;
            Some(event) = events.next() => Happened::Event(event),
            done = if_any(enforcing) => Happened::Enforced(done),
            lock = if_any(locking) => Happened::Locked(lock),
            arrival = if_any(fetching) => Happened::Arrived(arrival),
            // One word of drift is enough until it is looked into.
            Some(()) = self.drift.next(), if !self.drifted => Happened::Event(Event::Drift),
            () = self.pulse.asked() => Happened::Awake,
            () = sleep_until(wake) => Happened::Awake,
        }
    }

    /// Sees what is due, and until when there is nothing to see.
    fn look_at_clocks(&mut self) -> Instant {
        let (now, instant) = (self.clock.now(), Instant::now());
        if self.due.is_some_and(|due| due <= now) {
            self.reckon(now);
            self.take(Event::Tick);
        } else if now + STEP_BACK < self.reckoned {
            tracing::info!("the clock was put back");
            self.reckon(now);
        }
        if self.retry_at.is_some_and(|moment| moment <= instant) {
            self.take(Event::Retry);
        }
        let until_due = self.due.and_then(|due| Duration::try_from(due.duration_since(now)).ok());
        let mut wake = instant + until_due.map_or(SLICE, |wait| wait.min(SLICE));
        let mending = self.mend_at().filter(|moment| self.drifted && *moment > instant);
        for moment in [self.notifier.alive(instant), self.retry_at, mending].into_iter().flatten() {
            wake = wake.min(moment);
        }
        wake
    }

    fn reckon(&mut self, now: Timestamp) {
        self.due = self.passes.schedule().next_after(now);
        self.reckoned = now;
    }

    /// Takes an event for what it asks for.
    fn take(&mut self, event: Event) {
        match event {
            Event::Tick => self.want(Reason::Tick),
            Event::Retry => self.want(Reason::Retry),
            Event::Drift => self.drifted = true,
            Event::Reload => self.reload(),
            Event::Stop => {
                tracing::info!("stopping; the rules stay");
                self.notifier.stopping();
                self.stopping = true;
                (self.wanted, self.drifted, self.fetching, self.arrived) = (None, false, None, None);
                if matches!(self.stage, Stage::Locking(..)) {
                    self.stage = Stage::Idle;
                }
            }
        }
    }

    fn want(&mut self, reason: Reason) {
        self.retry_at = None;
        self.wanted.get_or_insert(reason);
    }

    fn reload(&mut self) {
        if self.ready {
            self.notifier.reloading();
        }
        let failure = match self.passes.reload() {
            Ok(()) => {
                tracing::info!("the configuration was read anew");
                self.reckon(self.clock.now());
                self.drift = watched(&self.passes);
                // What is on its way is of the old one.
                (self.fetching, self.arrived) = (None, None);
                None
            }
            Err(failure) => {
                tracing::error!("{}; the old configuration stays in use", failure.message);
                Some(failure)
            }
        };
        self.status.send_modify(|status| status.reload_failure = failure);
        if self.ready {
            self.notifier.ready();
        }
        self.want(Reason::Reload);
    }

    /// Begins whatever is wanted and not under way.
    fn begin(&mut self) {
        if self.stopping {
            return;
        }
        let passing = matches!(&self.stage, Stage::Enforcing(_, begun) if begun.whole);
        if self.fetching.is_none()
            && self.arrived.is_none()
            && !passing
            && let Some(reason) = self.wanted.take()
        {
            let begun = self.begun(reason, true);
            self.fetching = Some((self.passes.fetch(), begun));
        }
        let may_mend = self.mend_at().is_none_or(|moment| moment <= Instant::now());
        let to_mend = self.drifted && may_mend;
        if matches!(self.stage, Stage::Idle) && (self.arrived.is_some() || to_mend) {
            self.stage = Stage::Locking(self.passes.lock(), self.clock.now());
        }
    }

    /// The earliest moment for the next look at drift.
    fn mend_at(&self) -> Option<Instant> {
        self.mending.not_before().max(self.rest_until)
    }

    fn begun(&self, reason: Reason, whole: bool) -> Begun {
        let mut iteration = 0;
        self.status.send_if_modified(|status| {
            status.iteration += 1;
            iteration = status.iteration;
            false
        });
        Begun { iteration, reason, whole, since: self.clock.now(), at: Instant::now() }
    }

    /// Enforces what has arrived, or what is remembered.
    fn enforce(&mut self, lock: P::Lock) {
        // Either looks at everything, so what was said until now is served.
        self.drifted = false;
        let mut words = 0..MOST_WORDS;
        while words.next().is_some() && self.drift.next().now_or_never().flatten().is_some() {}
        self.stage = match self.arrived.take() {
            Some((arrival, begun)) => Stage::Enforcing(self.passes.pass(lock, arrival, begun.reason), begun),
            None => Stage::Enforcing(self.passes.mend(lock), self.begun(Reason::Drift, false)),
        };
    }

    /// Takes in what a pass came to.
    fn finish(&mut self, done: P::Done) {
        let Stage::Enforcing(_, begun) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        let report = self.passes.settle(done);
        let elapsed = begun.at.elapsed();
        let finished = Finished {
            iteration: begun.iteration,
            reason: begun.reason,
            started: begun.since,
            elapsed,
            report: Arc::from(report),
        };
        self.log(&finished);
        if begun.whole {
            self.pace_passes(&finished.report);
        } else {
            self.pace_mending(&finished.report, elapsed);
        }
        self.status.send_modify(|status| {
            status.tally.take(&finished.ended(begun.whole));
            let last = if begun.whole { &mut status.last } else { &mut status.last_drift };
            *last = Some(finished);
        });
    }

    /// One line about a pass, and what it warns of that the one before did not.
    fn log(&self, finished: &Finished) {
        let line = line::pass(finished);
        let report = &finished.report;
        let drift = finished.reason == Reason::Drift;
        let is_trouble = |outcome: &Outcome| match outcome {
            // Somebody works on the firewall while all writing is stopped: that is no news.
            Outcome::Refused { refusals, .. } => {
                !drift || refusals.iter().any(|refusal| refusal.limit != Limit::Paused)
            }
            Outcome::Failed(_) => true,
            _ => false,
        };
        let mut outcomes = report.targets.iter().map(|target| &target.outcome).chain(&report.outcome_without_targets);
        // The same in words for people and in fields for programs: text shows the words alone.
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    pass.iteration = finished.iteration,
                    pass.reason = finished.reason.name(),
                    pass.seconds = finished.elapsed.as_secs_f64(),
                    pass.exit_status = report.exit_status().code(),
                    "{line}"
                )
            };
        }
        if outcomes.any(is_trouble) {
            say!(warn);
        } else if finished.reason == Reason::Drift && report.count("applied") == 0 {
            say!(debug);
        } else {
            say!(info);
        }
        let status = self.status.borrow();
        let known = status.last.as_ref().map(|last| last.report.warnings.as_slice()).unwrap_or_default();
        for warning in report.warnings.iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }

    fn pace_passes(&mut self, report: &Report) {
        if report.may_improve() {
            let wait = self.backoff.wait();
            tracing::info!("trying again in {} s", wait.as_secs());
            self.retry_at = Some(Instant::now() + wait);
        } else {
            self.backoff.reset();
            self.retry_at = None;
        }
        if !self.ready {
            self.ready = true;
            self.notifier.ready();
        }
    }

    fn pace_mending(&mut self, report: &Report, elapsed: Duration) {
        let now = Instant::now();
        if report.may_improve() {
            // It is tried again without another word from the firewall.
            self.drifted = true;
            let wait = self.mending.failed(now);
            tracing::info!("looking again in {} s", wait.as_secs());
        } else if report.count("applied") == 0 {
            // Where others write all the time, looking takes a fifth of the time at most.
            self.rest_until = Some(now + elapsed * 4);
        } else {
            let who = self.passes.disturber().unwrap_or_else(|| "another program".to_owned());
            match self.mending.mended(now) {
                None => tracing::info!("{who} had changed what tagwall enforces"),
                Some(wait) => tracing::warn!(
                    "{who} keeps changing what tagwall enforces: mended again, the next time not before {} s",
                    wait.as_secs()
                ),
            }
        }
    }

    /// Says what is being done, where that changed.
    fn tell(&mut self) {
        let phase = match &self.stage {
            _ if self.stopping => Phase::Stopping,
            Stage::Enforcing(_, begun) => Phase::Enforcing { reason: begun.reason, since: begun.since },
            Stage::Locking(_, since) => Phase::Waiting { since: *since },
            Stage::Idle => match &self.fetching {
                Some((_, begun)) => Phase::Fetching { reason: begun.reason, since: begun.since },
                None => Phase::Idle,
            },
        };
        let due = self.due;
        self.status.send_if_modified(|status| {
            let changed = (status.phase, status.next) != (phase, due);
            (status.phase, status.next) = (phase, due);
            changed
        });
        let line = line::status(&self.status.borrow());
        self.notifier.status(line);
    }
}

/// Waits for a future, for ever where there is none.
async fn if_any<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// What the firewalls say, without end: that one has nothing to say is no end of the others.
fn watched(passes: &impl Passes) -> BoxStream<'static, ()> {
    passes.watch().chain(stream::pending()).boxed()
}
