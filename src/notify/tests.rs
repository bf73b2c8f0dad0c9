use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use insta::assert_snapshot;
use jiff::ToSpan as _;

use super::told::ToldTrouble;
use super::*;
use crate::config::Config;
use crate::config::telling::raw::Subject;
use crate::config::telling::{Form, Kept};
use crate::report::json;
use crate::state::State;
use crate::status::tally::Tally;
use crate::status::{Change, Facts, Failure, LastPass, Publication};

fn start() -> Timestamp {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn at(minutes: i64) -> Timestamp {
    start() + minutes.minutes()
}

/// A status of one target, after a pass that left it as it should be.
fn right(now: Timestamp) -> Status {
    let (config, state, tally) = (Config::defaults(), State::default(), Tally::default());
    let mut status = Status::new(Facts {
        config: &config,
        state: &state,
        tally: &tally,
        daemon: Some(status::Daemon {
            started: start(),
            doing: "idle",
            since: None,
            passes: 1,
            next_pass: None,
            reload_failure: None,
        }),
        receivers: Vec::new(),
        requests: Vec::new(),
        now,
    });
    status.owner = "edge-eu".to_owned();
    status.last_pass = Some(LastPass {
        iteration: 1,
        reason: "start",
        started: start(),
        seconds: 0.1,
        outcome: "ok",
        source_failure: None,
    });
    status.publication = Some(Publication {
        cloud: "public",
        change_number: 377,
        date: Some("2026-11-16".parse().unwrap()),
        since: start(),
        age_seconds: 7 * 86_400,
        sha256: "0".repeat(64),
        origin: "x".to_owned(),
        freshness: "fresh",
        confirmed: Some(start()),
        seconds_left: Some(0),
        stale: false,
    });
    status.targets[0].outcome = Some("in-sync");
    status
}

fn refused(now: Timestamp) -> Status {
    let mut status = right(now);
    status.targets[0].outcome = Some("refused");
    status.targets[0].keeps = true;
    status.targets[0].refusals = vec![json::Refusal {
        limit: "loss".to_owned(),
        finding: "IPv4: 42.5 % of the addresses would go, the limit is 10 % <&>".to_owned(),
        choices: vec!["compare with Microsoft's page".to_owned()],
        can_be_overridden: true,
    }];
    status
}

fn failed(now: Timestamp, class: &'static str) -> Status {
    let mut status = right(now);
    status.targets[0].outcome = Some("failed");
    status.targets[0].error =
        Some(Failure { message: "the kernel refused".to_owned(), hint: Some("run as root".to_owned()), class });
    status
}

fn stale(now: Timestamp) -> Status {
    let mut status = right(now);
    let publication = status.publication.as_mut().unwrap();
    (publication.stale, publication.age_seconds) = (true, 22 * 86_400);
    status
}

fn change(number: u64, heal: bool) -> Change {
    Change {
        number,
        at: start(),
        target: "default".to_owned(),
        heal,
        added: 3,
        removed: 1,
        rules: u64::from(heal),
        change_number: Some(377),
    }
}

fn receiver(channel: Channel) -> Receiver {
    let on =
        [Subject::Change, Subject::Drift, Subject::Refusal, Subject::Failure, Subject::Staleness, Subject::Recovery];
    let repeat = Some(Duration::from_hours(24));
    Receiver { name: "ops".to_owned(), channel, on: on.to_vec(), repeat, timeout: Duration::from_secs(5) }
}

fn nobody() -> Receiver {
    receiver(Channel::Command(vec!["/bin/true".to_owned()]))
}

/// Somebody who takes everything that is due.
#[derive(Default)]
struct Ear {
    told: Told,
    session: Session,
}

impl Ear {
    /// Everything that is due by a status, in a word each.
    fn hears(&mut self, receiver: &Receiver, status: &Status) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let due = due(&self.told, &mut self.session, receiver, status, status.at);
            self.told = due.told;
            let Some((event, after)) = due.next else { return heard };
            let again = if event.again { " again" } else { "" };
            heard.push(format!("{} {}{again}", event.event, event.about));
            self.told = after.apply(std::mem::take(&mut self.told), &mut self.session);
            assert!(heard.len() < 100, "it never ends: {heard:?}");
        }
    }

    /// The same after a restart: what was told is read from disk.
    fn restarted(self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Memory::load(dir.path()).set("ops", self.told);
        Self { told: Memory::load(dir.path()).of("ops"), session: Session::default() }
    }
}

#[test]
fn the_same_trouble_is_told_once_and_its_end_once() {
    let (mut ear, ops) = (Ear::default(), nobody());
    assert!(ear.hears(&ops, &right(at(0))).is_empty());
    assert_eq!(ear.hears(&ops, &refused(at(1))), ["refusal default"]);
    for minute in 2..24 * 60 {
        assert!(ear.hears(&ops, &refused(at(minute))).is_empty(), "told again after {minute} minutes");
    }
    assert_eq!(ear.hears(&ops, &refused(at(24 * 60 + 1))), ["refusal default again"]);
    assert_eq!(ear.hears(&ops, &right(at(24 * 60 + 2))), ["recovery default"]);
    assert!(ear.hears(&ops, &right(at(24 * 60 + 3))).is_empty());
    // Negative control for what is one and the same: another finding is another trouble.
    assert_eq!(ear.hears(&ops, &refused(at(3000))), ["refusal default"]);
    let mut other = refused(at(3001));
    other.targets[0].refusals[0].finding = "IPv4: 12 %".to_owned();
    assert_eq!(ear.hears(&ops, &other), ["refusal default"]);
}

#[test]
fn a_restart_tells_nothing_again_and_takes_nothing_for_over_that_was_not_looked_at() {
    let (mut ear, ops) = (Ear::default(), nobody());
    assert_eq!(ear.hears(&ops, &refused(at(0))), ["refusal default"]);
    let mut ear = ear.restarted();
    let mut fresh = right(at(1));
    fresh.targets[0].outcome = None;
    (fresh.last_pass, fresh.publication) = (None, None);
    assert!(ear.hears(&ops, &fresh).is_empty());
    assert!(ear.hears(&ops, &refused(at(2))).is_empty());
    assert_eq!(ear.hears(&ops, &right(at(3))), ["recovery default"]);
    // Negative control: without its memory it would be told again.
    assert_eq!(Ear::default().hears(&ops, &refused(at(2))), ["refusal default"]);
}

#[test]
fn failures_that_may_pass_are_told_once_they_have_stood_for_a_while() {
    let ops = nobody();
    for class in ["transient", "conflict"] {
        let mut ear = Ear::default();
        assert!(ear.hears(&ops, &failed(at(0), class)).is_empty());
        let due = due(&ear.told, &mut ear.session, &ops, &failed(at(1), class), at(1));
        assert_eq!(due.wake, Some(at(5)), "it is looked at again though nothing happens");
        assert!(ear.hears(&ops, &right(at(2))).is_empty(), "the end of what was not told");
        assert!(ear.hears(&ops, &failed(at(3), class)).is_empty());
        assert!(ear.hears(&ops, &failed(at(7), class)).is_empty(), "it was away in between");
        assert_eq!(ear.hears(&ops, &failed(at(8), class)), ["failure default"]);
    }
    for class in ["denied", "rejected"] {
        assert_eq!(Ear::default().hears(&ops, &failed(at(0), class)), ["failure default"]);
    }
}

#[test]
fn what_the_source_failed_of_is_told_once_and_not_of_each_target() {
    let (mut ear, ops) = (Ear::default(), nobody());
    let failing = |now| {
        let mut status = failed(now, "transient");
        status.last_pass.as_mut().unwrap().source_failure = Some("the kernel refused".to_owned());
        status
    };
    assert!(ear.hears(&ops, &failing(at(0))).is_empty());
    assert_eq!(ear.hears(&ops, &failing(at(5))), ["failure source"]);
    assert_eq!(ear.hears(&ops, &stale(at(6))), ["recovery source", "staleness publication"]);
    assert_eq!(ear.hears(&ops, &right(at(7))), ["recovery publication"]);
    let mut broken = right(at(8));
    broken.daemon.as_mut().unwrap().reload_failure = Some("line 3".to_owned());
    assert_eq!(ear.hears(&ops, &broken), ["failure configuration"]);
}

#[test]
fn changes_are_told_one_by_one_and_drift_once_a_day() {
    let (mut ear, ops) = (Ear::default(), nobody());
    let with = |minute, changes: &[Change]| {
        let mut status = right(at(minute));
        status.changes = changes.to_vec();
        status
    };
    let first = [change(1, false), change(2, true), change(3, true), change(4, false)];
    assert_eq!(ear.hears(&ops, &with(0, &first)), ["change default", "drift default", "change default"]);
    assert!(ear.hears(&ops, &with(1, &first)).is_empty());
    assert!(ear.hears(&ops, &with(2, &[change(4, false), change(5, true)])).is_empty());
    assert_eq!(ear.hears(&ops, &with(24 * 60, &[change(6, true)])), ["drift default"]);
    // What was forgotten meanwhile is counted.
    assert_eq!(ear.hears(&ops, &with(24 * 60, &[change(10, false)])), ["change default"]);
    assert_eq!(ear.session.dropped_for_tests(), 3);
    // Who comes later is not told the past.
    let status = with(0, &first);
    let mut late = Ear { session: Session::from_now(&status), ..Ear::default() };
    assert!(late.hears(&ops, &status).is_empty());
}

#[test]
fn a_receiver_is_told_what_it_asked_for() {
    let mut ops = nobody();
    ops.on = vec![Subject::Failure];
    let mut ear = Ear::default();
    assert!(ear.hears(&ops, &refused(at(0))).is_empty());
    assert_eq!(ear.hears(&ops, &failed(at(1), "denied")), ["failure default"]);
    assert!(ear.hears(&ops, &right(at(2))).is_empty(), "it did not ask for recovery");
    assert!(ear.told.troubles.is_empty());
    let mut silent = nobody();
    silent.repeat = None;
    let mut ear = Ear::default();
    assert_eq!(ear.hears(&silent, &stale(at(0))), ["staleness publication"]);
    assert!(ear.hears(&silent, &stale(at(100_000))).is_empty());
}

#[test]
fn what_the_operator_wants_is_no_trouble() {
    let mut paused = refused(at(0));
    paused.targets[0].refusals[0].limit = "paused".to_owned();
    assert!(Ear::default().hears(&nobody(), &paused).is_empty());
    let mut withdrawn = refused(at(0));
    withdrawn.targets[0].standing.withdrawn = Some(start());
    assert!(Ear::default().hears(&nobody(), &withdrawn).is_empty());
}

#[test]
fn a_clock_that_is_put_back_silences_nothing() {
    let (mut ear, ops) = (Ear::default(), nobody());
    assert_eq!(ear.hears(&ops, &refused(at(10_000))), ["refusal default"]);
    assert_eq!(ear.hears(&ops, &refused(at(0))), ["refusal default again"]);
    assert!(ear.hears(&ops, &refused(at(1))).is_empty());
}

#[test]
fn what_was_told_survives_damage_and_newer_versions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notified.json");
    let told = Told { drift: [("edge".to_owned(), start())].into(), ..Told::default() };
    std::fs::write(&file, "{\"version\": 1, \"recei").unwrap();
    let mut memory = Memory::load(dir.path());
    assert_eq!(memory.of("ops"), Told::default());
    memory.set("ops", told.clone());
    assert_eq!(Memory::load(dir.path()).of("ops"), told);
    let newer = "{\"version\": 2, \"somebody\": \"else's\"}";
    std::fs::write(&file, newer).unwrap();
    let mut memory = Memory::load(dir.path());
    memory.set("ops", told.clone());
    assert_eq!(memory.of("ops"), told);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), newer);
}

/// The next thing that is due by a status.
fn next(status: &Status, told: &Told) -> Event {
    due(told, &mut Session::default(), &nobody(), status, status.at).next.unwrap().0
}

/// Every kind of event.
fn every() -> Vec<Event> {
    let mut healed = right(at(0));
    healed.changes = vec![change(1, true)];
    let mut changed = right(at(0));
    changed.changes = vec![change(1, false)];
    let was = ToldTrouble {
        subject: "refusal".to_owned(),
        about: "default".to_owned(),
        fingerprint: String::new(),
        title: "`default` is refused: loss".to_owned(),
        since: start(),
        told: start(),
    };
    let told = Told { troubles: [("refusal/target/default".to_owned(), was)].into(), ..Told::default() };
    let none = Told::default();
    vec![
        next(&changed, &none),
        next(&healed, &none),
        next(&refused(at(0)), &none),
        next(&failed(at(0), "denied"), &none),
        next(&stale(at(0)), &none),
        next(&right(at(60)), &told),
        Event::test("edge-eu", start()),
    ]
}

fn golden(form: Form) -> String {
    every().iter().map(|event| form::body(form, event) + "\n").collect()
}

#[test]
fn events_for_programs() {
    assert_snapshot!(golden(Form::Webhook), @r###"
    {"about":"default","again":false,"at":"2026-11-23T06:00:00Z","event":"change","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":null,"text":["by change number 377"],"title":"`default` changed: +3 -1 entries"}
    {"about":"default","again":false,"at":"2026-11-23T06:00:00Z","event":"drift","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":null,"text":["+3 -1 entries, 1 rules"],"title":"`default` was changed by somebody else and put back"}
    {"about":"default","again":false,"at":"2026-11-23T06:00:00Z","event":"refusal","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":"2026-11-23T06:00:00Z","text":["loss: IPv4: 42.5 % of the addresses would go, the limit is 10 % <&>","compare with Microsoft's page","what it was last enforced with stays enforced"],"title":"`default` is refused: loss"}
    {"about":"default","again":false,"at":"2026-11-23T06:00:00Z","event":"failure","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":"2026-11-23T06:00:00Z","text":["the kernel refused","run as root"],"title":"`default` cannot be read or changed"}
    {"about":"publication","again":false,"at":"2026-11-23T06:00:00Z","event":"staleness","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":"2026-11-23T06:00:00Z","text":["Microsoft publishes weekly: this looks like a source that is stuck"],"title":"the publication is 22 days old"}
    {"about":"default","again":false,"at":"2026-11-23T07:00:00Z","event":"recovery","owner":"edge-eu","publication":{"change_number":377,"cloud":"public","date":"2026-11-16"},"schema":1,"since":"2026-11-23T06:00:00Z","text":["it stood since 2026-11-23T06:00:00Z"],"title":"over: `default` is refused: loss"}
    {"about":"configuration","again":false,"at":"2026-11-23T06:00:00Z","event":"test","owner":"edge-eu","publication":null,"schema":1,"since":null,"text":[],"title":"a test: notifications of tagwall arrive here"}
    "###);
}

#[test]
fn events_for_slack() {
    assert_snapshot!(golden(Form::Slack), @r###"
    {"text":"*tagwall edge-eu: `default` changed: +3 -1 entries*\nby change number 377"}
    {"text":"*tagwall edge-eu: `default` was changed by somebody else and put back*\n+3 -1 entries, 1 rules"}
    {"text":"*tagwall edge-eu: `default` is refused: loss*\nloss: IPv4: 42.5 % of the addresses would go, the limit is 10 % &lt;&amp;&gt;\ncompare with Microsoft's page\nwhat it was last enforced with stays enforced"}
    {"text":"*tagwall edge-eu: `default` cannot be read or changed*\nthe kernel refused\nrun as root"}
    {"text":"*tagwall edge-eu: the publication is 22 days old*\nMicrosoft publishes weekly: this looks like a source that is stuck"}
    {"text":"*tagwall edge-eu: over: `default` is refused: loss*\nit stood since 2026-11-23T06:00:00Z"}
    {"text":"*tagwall edge-eu: a test: notifications of tagwall arrive here*"}
    "###);
}

#[test]
fn events_for_teams() {
    assert_snapshot!(golden(Form::Teams), @r###"
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"default","size":"medium","text":"tagwall edge-eu: `default` changed: +3 -1 entries","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"by change number 377","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"warning","size":"medium","text":"tagwall edge-eu: `default` was changed by somebody else and put back","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"+3 -1 entries, 1 rules","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"attention","size":"medium","text":"tagwall edge-eu: `default` is refused: loss","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"loss: IPv4: 42.5 % of the addresses would go, the limit is 10 % <&>","type":"TextBlock","wrap":true},{"spacing":"small","text":"compare with Microsoft's page","type":"TextBlock","wrap":true},{"spacing":"small","text":"what it was last enforced with stays enforced","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"attention","size":"medium","text":"tagwall edge-eu: `default` cannot be read or changed","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"the kernel refused","type":"TextBlock","wrap":true},{"spacing":"small","text":"run as root","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"warning","size":"medium","text":"tagwall edge-eu: the publication is 22 days old","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"Microsoft publishes weekly: this looks like a source that is stuck","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"good","size":"medium","text":"tagwall edge-eu: over: `default` is refused: loss","type":"TextBlock","weight":"bolder","wrap":true},{"spacing":"small","text":"it stood since 2026-11-23T06:00:00Z","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    {"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"color":"default","size":"medium","text":"tagwall edge-eu: a test: notifications of tagwall arrive here","type":"TextBlock","weight":"bolder","wrap":true}],"type":"AdaptiveCard","version":"1.4"},"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}
    "###);
}

#[test]
fn messages_stay_within_what_receivers_take() {
    let mut event = every().remove(2);
    event.title = "é".repeat(100_000);
    event.text = vec!["x".repeat(100_000); 100];
    assert!(form::body(Form::Teams, &event).len() < 28 * 1024);
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Runs a script as a receiver.
fn shell(script: &str, patience: Duration) -> Result<(), NotifyError> {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let receiver = Receiver { timeout: patience, ..receiver(Channel::Command(words)) };
    wait(deliver(&receiver, &every()[2]))
}

const AMPLE: Duration = Duration::from_secs(30);

#[test]
fn a_program_has_the_event_on_its_standard_input_and_a_clean_environment() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display().to_string();
    shell(&format!("cat >{out}/event; env >{out}/env; pwd >{out}/pwd"), AMPLE).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let event: serde_json::Value = serde_json::from_str(&read("event")).unwrap();
    assert_eq!((&event["event"], &event["about"]), (&"refusal".into(), &"default".into()));
    let environment = read("env");
    assert!(environment.contains("TAGWALL_EVENT=refusal\n") && environment.contains("TAGWALL_ABOUT=default\n"));
    // The tests themselves run with this one.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO"), "{environment}");
    assert_eq!(read("pwd"), "/\n");
}

#[test]
fn a_program_that_fails_is_told_with_its_first_words() {
    let error = shell("echo no such list >&2; exit 3", AMPLE).unwrap_err().to_string();
    assert_eq!(error, "`/bin/sh` ended with exit status: 3: no such list");
    let error = shell("exec 1>&2; yes", Duration::from_millis(500)).unwrap_err();
    assert!(matches!(error, NotifyError::Slow(_)), "{error}");
    let error = shell("yes wrong | head -c 1000000 >&2; exit 1", AMPLE).unwrap_err().to_string();
    assert!(error.len() < 3000, "{} bytes are kept", error.len());
    let gone = receiver(Channel::Command(vec!["/nonexistent/program".to_owned()]));
    assert!(matches!(wait(deliver(&gone, &every()[0])), Err(NotifyError::Command(_))));
    assert!(problem(&gone).unwrap().contains("/nonexistent/program"));
    // One that reads nothing has not failed.
    shell("exec <&-; true", AMPLE).unwrap();
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! >{}; wait", pid.display());
    let began = Instant::now();
    let error = shell(&script, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, NotifyError::Slow(_)), "{error}");
    assert!(began.elapsed() < Duration::from_mins(15), "it was waited for");
    let sleeper = std::fs::read_to_string(pid).unwrap();
    let state = |pid: &str| std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // A zombie that nobody has reaped yet is as dead as one that is gone.
    while !state(&sleeper).is_empty() && !state(&sleeper).contains(") Z ") {
        assert!(began.elapsed() < Duration::from_mins(15), "{}", state(&sleeper));
        std::thread::yield_now();
    }
}

#[test]
fn addresses_are_kept_in_files_and_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    let ops = |path: &Path| {
        receiver(Channel::Post { form: Form::Slack, address: Kept::File(path.to_owned()), extra_ca: None })
    };
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = wait(deliver(&ops(&path), &every()[0])).unwrap_err();
        let all = format!("{error} {error:?} {:?}", problem(&ops(&path)));
        assert!(!all.contains("s3cr3t"), "{all}");
        all
    };
    assert!(told("s3cr3t").contains("holds no address"));
    assert!(told("ftp://example.com/s3cr3t").contains("holds no address"));
    // Nobody listens there.
    assert!(told("http://127.0.0.1:1/s3cr3t?s3cr3t=1\n").contains("was not reached"));
    assert!(told("http://s3cr3t@127.0.0.1:1/").contains("was not reached"));
    assert_eq!(problem(&ops(&path)), None);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(problem(&ops(&path)).unwrap().contains("everybody can read"));
    assert!(problem(&ops(&dir.path().join("absent"))).unwrap().contains("cannot read"));
}
