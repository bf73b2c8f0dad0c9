//! Passes that take as long and come out as a test says, and a clock that it steps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tagwall_provider::{Applied, Desired, Observed, PrefixSet, Skeleton, Steps};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::daemon::{Clock, Ended, Event, Loop, Notifier, Passes, Reason, Status};
use crate::plan::Plan;
use crate::reconcile::{Options, Purpose};
use crate::report::{Class, Failure, Outcome, Report, TargetReport};
use crate::schedule::Schedule;

pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// How a scripted pass comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    InSync,
    Changed,
    Transient,
    Lasting,
}

/// One test's script, and what came of it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) fetch_takes: Cell<Duration>,
    pub(super) lock_takes: Cell<Duration>,
    pub(super) pass_takes: Cell<Duration>,
    /// How the next whole passes come out; in sync where nothing is said.
    pub(super) whole: RefCell<VecDeque<Comes>>,
    /// How every pass for drift comes out.
    pub(super) mended: Cell<Comes>,
    pub(super) reload_fails: Cell<bool>,
    /// What happened, with the time of day.
    pub(super) log: RefCell<Vec<String>>,
    /// What the service manager was told, with the time of day.
    pub(super) told: RefCell<Vec<String>>,
    schedule: RefCell<Schedule>,
    drift: RefCell<Option<mpsc::UnboundedSender<()>>>,
    base: Timestamp,
    start: Instant,
    step: Cell<SignedDuration>,
}

/// A running daemon, as a test holds it.
pub(super) struct Daemon {
    pub(super) script: Rc<Script>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) status: watch::Receiver<Status>,
}

/// The clock of a script.
#[derive(Debug)]
struct FakeClock(Rc<Script>);

/// Its passes.
struct FakePasses {
    script: Rc<Script>,
    schedule: Schedule,
}

impl Script {
    /// Passes that take no time; the first of January 2026, midnight.
    pub(super) fn new(line: &str) -> Rc<Self> {
        Rc::new(Self {
            fetch_takes: Cell::default(),
            lock_takes: Cell::default(),
            pass_takes: Cell::default(),
            whole: RefCell::default(),
            mended: Cell::new(Comes::Changed),
            reload_fails: Cell::default(),
            log: RefCell::default(),
            told: RefCell::default(),
            schedule: RefCell::new(schedule(line)),
            drift: RefCell::default(),
            base: "2026-01-01T00:00:00Z".parse().unwrap(),
            start: Instant::now(),
            step: Cell::default(),
        })
    }

    pub(super) fn step_clock(&self, by: SignedDuration) {
        self.step.set(self.step.get() + by);
    }

    pub(super) fn schedule(&self, line: &str) {
        *self.schedule.borrow_mut() = schedule(line);
    }

    fn now(&self) -> Timestamp {
        self.base + self.start.elapsed() + self.step.get()
    }

    pub(super) fn note(&self, what: &str) {
        let line = format!("{} {what}", self.now().strftime("%d %H:%M:%S"));
        self.log.borrow_mut().push(line);
    }

    /// What happened since this was last asked.
    pub(super) fn happened(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.borrow_mut())
    }
}

fn schedule(line: &str) -> Schedule {
    Schedule::new(line, Duration::ZERO, TimeZone::UTC, "test").unwrap()
}

/// Runs a daemon of this script beside a test, to its end.
pub(super) async fn beside<F: Future<Output = ()>>(
    script: &Rc<Script>,
    watchdog: Option<Duration>,
    test: impl FnOnce(Daemon) -> F,
) -> Ended {
    let told = Rc::clone(script);
    let send = move |states: &[sd_notify::NotifyState<'_>]| {
        for state in states {
            let line = format!("{} {state}", told.now().strftime("%H:%M:%S"));
            if !line.contains("MONOTONIC_USEC=") && !line.contains("STATUS=") {
                told.told.borrow_mut().push(line);
            }
        }
    };
    let (events, receiver) = mpsc::unbounded_channel();
    let passes = FakePasses { script: Rc::clone(script), schedule: script.schedule.borrow().clone() };
    let passes = Loop::new(passes, FakeClock(Rc::clone(script)), Notifier::new(Box::new(send), watchdog));
    let daemon = Daemon { script: Rc::clone(script), events, status: passes.status() };
    let (ended, ()) = tokio::join!(passes.run(receive(receiver)), test(daemon));
    ended
}

fn receive<T: Send + 'static>(receiver: mpsc::UnboundedReceiver<T>) -> BoxStream<'static, T> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

impl Daemon {
    pub(super) fn send(&self, event: Event) {
        self.events.send(event).unwrap();
    }

    /// A firewall says that something changed.
    pub(super) fn drift(&self) {
        self.script.drift.borrow().as_ref().unwrap().send(()).unwrap();
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Passes for FakePasses {
    type Arrival = ();
    type Lock = ();
    type Done = (Comes, &'static str);

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn fetch(&self) -> LocalBoxFuture<'static, ()> {
        let script = Rc::clone(&self.script);
        Box::pin(async move {
            script.note("fetch");
            sleep(script.fetch_takes.get()).await;
        })
    }

    fn lock(&self) -> LocalBoxFuture<'static, ()> {
        let script = Rc::clone(&self.script);
        Box::pin(async move { sleep(script.lock_takes.get()).await })
    }

    fn pass(&self, (): (), (): (), _: Reason) -> LocalBoxFuture<'static, Self::Done> {
        let script = Rc::clone(&self.script);
        Box::pin(async move {
            script.note("pass");
            sleep(script.pass_takes.get()).await;
            (script.whole.borrow_mut().pop_front().unwrap_or(Comes::InSync), "passed")
        })
    }

    fn mend(&self, (): ()) -> LocalBoxFuture<'static, Self::Done> {
        let script = Rc::clone(&self.script);
        Box::pin(async move {
            script.note("mend");
            sleep(script.pass_takes.get()).await;
            (script.mended.get(), "mended")
        })
    }

    fn settle(&mut self, (comes, what): Self::Done) -> Box<Report> {
        self.script.note(what);
        Box::new(report(comes))
    }

    fn reload(&mut self) -> Result<(), Failure> {
        if self.script.reload_fails.get() {
            return Err(failure(Class::Rejected));
        }
        self.schedule = self.script.schedule.borrow().clone();
        Ok(())
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.script.drift.borrow_mut() = Some(sender);
        receive(receiver)
    }
}

fn failure(class: Class) -> Failure {
    Failure { message: "scripted".to_owned(), hint: None, class }
}

fn report(comes: Comes) -> Report {
    let plan = || {
        Box::new(Plan {
            observed: Observed::new(Vec::new(), Skeleton::Intact, ""),
            before: PrefixSet::new(),
            desired: Desired::listed(PrefixSet::new()),
            after: PrefixSet::new(),
            left: PrefixSet::new(),
            steps: Steps::default(),
        })
    };
    let outcome = match comes {
        Comes::InSync => Outcome::InSync(plan()),
        Comes::Changed => Outcome::Applied(plan(), Applied::default()),
        Comes::Transient => Outcome::Failed(failure(Class::Transient)),
        Comes::Lasting => Outcome::Failed(failure(Class::Rejected)),
    };
    let mut report = Report::new(&Options::new(Purpose::Enforce, Timestamp::UNIX_EPOCH), None);
    report.targets.push(TargetReport::new(&Config::defaults().targets[0], outcome));
    report
}
