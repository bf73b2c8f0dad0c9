//! What the daemon tells of itself: over HTTP, in a file, to receivers.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::feed::{Feed, Reply};
use crate::support::{EDGE, World, with_namespaces};

const PREFIXES: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];
const SECRET: &str = "/services/T0/B0/s3cr3t";
/// Long enough for any machine: nothing here measures time.
const PATIENCE: Duration = Duration::from_mins(2);
const AT: &str = "127.0.0.1:9408";

/// A daemon that says everything it can in its log.
struct Daemon<'a> {
    world: &'a World,
    child: Child,
}

impl<'a> Daemon<'a> {
    fn start(world: &'a World) -> Self {
        let mut command = world.command("run");
        let log = OpenOptions::new().create(true).append(true).open(world.path("log")).unwrap();
        Self { world, child: world.spawn(command.env("TAGWALL_LOG", "trace").stderr(log)) }
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < end, "{what} never came about; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.world.path("log")).unwrap()
    }

    fn reload(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// Status and body of an answer; none where nobody answers.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = self.world.host.inside(|| {
            let mut stream = TcpStream::connect(AT).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn answers(&self, path: &str, status: u16) -> String {
        let what = format!("{path} with {status}");
        self.until(&what, || self.get(path).filter(|(found, _)| *found == status).map(|(_, body)| body))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn world(more: &str) -> World {
    let world = World::edge(&PREFIXES);
    world.config(&format!("{EDGE}{more}"));
    world
}

#[test]
fn it_answers_over_http_and_says_when_its_loop_is_stuck() {
    with_namespaces(|| {
        let world = world(&format!("[metrics]\nlisten = \"{AT}\"\n"));
        let daemon = Daemon::start(&world);
        assert_eq!(daemon.answers("/readyz", 200), "ok\n");
        assert_eq!(daemon.answers("/healthz", 200), "ok\n");
        let status: Value = serde_json::from_str(&daemon.answers("/status", 200)).unwrap();
        let edge = &status["targets"][0];
        assert_eq!(
            (&edge["name"], &edge["in_sync"], &edge["outcome"]),
            (&"edge".into(), &true.into(), &"applied".into())
        );
        assert_eq!(edge["read"]["enforced"]["ipv4"]["addresses"], "384");
        assert_eq!(edge["read"]["enforced"], edge["read"]["desired"]);
        assert_eq!(status["publication"]["change_number"], 10);
        let metrics = daemon.answers("/metrics", 200);
        for line in [
            "tagwall_ready 1.0",
            "tagwall_target_in_sync{target=\"edge\"} 1.0",
            "tagwall_target_enforced_prefixes{target=\"edge\",family=\"ipv4\"} 2",
            "tagwall_target_enforced_addresses{target=\"edge\",family=\"ipv6\"} 1.20892581961462",
            "tagwall_passes_total{reason=\"start\",outcome=\"ok\"} 1",
            "tagwall_publication_change_number{cloud=\"public\"} 10",
        ] {
            assert!(metrics.lines().any(|found| found.starts_with(line)), "{line} is not in\n{metrics}");
        }

        // What the daemon alone knows, `status` asks it for.
        let run = world.expect(0, "status");
        assert!(run.stdout.contains("daemon: idle, running since"), "{}", world.telling(&run));
        let told = world.expect(0, "status --format json").json();
        assert_eq!(told["daemon"]["targets"][0]["name"], "edge");

        // Taken away by another process: told at once, without a pass.
        world.expect(0, "withdraw --yes");
        assert!(daemon.answers("/readyz", 503).contains("`edge` is withdrawn"));
        world.expect(0, "sync");

        // A state that cannot be read to its end keeps the loop, and nothing else.
        let state = world.path("state/state.json");
        let kept = fs::read(&state).unwrap();
        fs::remove_file(&state).unwrap();
        assert!(Command::new("mkfifo").arg(&state).status().unwrap().success());
        daemon.reload();
        assert!(daemon.answers("/healthz", 503).contains("has not turned"));
        fs::write(world.path("state/state.json.kept"), &kept).unwrap();
        // Whoever reads the pipe now gets the end, and the next one a file.
        let pipe = OpenOptions::new().write(true).open(&state).unwrap();
        fs::rename(world.path("state/state.json.kept"), &state).unwrap();
        drop(pipe);
        assert_eq!(daemon.answers("/healthz", 200), "ok\n");
        daemon.stop();
    });
}

#[test]
fn a_place_in_use_is_an_error_at_the_start_and_keeps_the_old_one_at_a_reload() {
    with_namespaces(|| {
        let world = world(&format!("[metrics]\nlisten = \"{AT}\"\n"));
        let daemon = Daemon::start(&world);
        daemon.answers("/readyz", 200);
        let run = world.expect(1, "run");
        assert!(run.stderr.contains("cannot listen on http://127.0.0.1:9408"), "{}", run.stderr);
        assert!(run.stderr.contains("give `metrics.listen` another place"), "{}", run.stderr);

        let path = world.path("metrics.sock");
        fs::write(&path, "somebody's").unwrap();
        let socket = format!("{EDGE}[metrics]\nlisten = \"unix:{}\"\nsocket-mode = \"0600\"\n", path.display());
        world.config(&socket);
        daemon.reload();
        daemon.until("a complaint", || daemon.log().contains("what was served before stays").then_some(()));
        daemon.answers("/metrics", 200);
        fs::remove_file(&path).unwrap();
        daemon.reload();
        daemon.until("the socket", || UnixStream::connect(&path).ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        daemon.until("the end of the old place", || daemon.get("/metrics").is_none().then_some(()));
        daemon.stop();
        assert!(!path.exists());
    });
}

#[test]
fn one_pass_writes_its_metrics_for_the_collector_of_text_files() {
    with_namespaces(|| {
        let world = world("");
        fs::create_dir(world.path("textfile")).unwrap();
        world.expect(0, "sync --metrics-file textfile/tagwall.prom");
        let path = world.path("textfile/tagwall.prom");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(world.path("textfile")).unwrap().count(), 1, "something is left over");
        assert!(text.contains("\ntagwall_target_in_sync{target=\"edge\"} 1.0\n"), "{text}");
        assert!(text.contains("\ntagwall_target_last_success_timestamp_seconds{target=\"edge\"} "), "{text}");
        // Its counters would begin anew with each pass.
        assert!(!text.contains("_total"), "{text}");
        let run = world.expect(0, "sync --metrics-file absent/tagwall.prom");
        assert!(run.stderr.contains("no metrics were written to `absent/tagwall.prom`"), "{}", run.stderr);
        world.expect(64, "sync --dry-run --metrics-file x.prom");
    });
}

/// What a receiver was told so far: event and subject of each.
fn told(feed: &Feed) -> Vec<String> {
    let event = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap();
        format!("{} {}", event["event"].as_str().unwrap(), event["about"].as_str().unwrap())
    };
    feed.requests().iter().map(|request| event(&request.body)).collect()
}

#[test]
fn receivers_are_told_once_across_restarts_and_a_dead_one_delays_nothing() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        // The kernel takes connections for the dead one, and nobody ever answers.
        let (alive, dead) = world.host.inside(|| (Feed::plain(), TcpListener::bind("127.0.0.1:0").unwrap()));
        alive.on(SECRET, Reply::status(202));
        let of_dead = format!("http://{}{SECRET}", dead.local_addr().unwrap());
        for (name, url) in [("alive", alive.url(SECRET).to_string()), ("dead", of_dead)] {
            let file = world.write(name, &url);
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let receivers = "[notify.alive]\nkind = \"webhook\"\nurl-file = \"alive\"\n\
                         [notify.dead]\nkind = \"webhook\"\nurl-file = \"dead\"\ntimeout = \"5m\"\n";
        world.config(&format!("{EDGE}{receivers}[metrics]\nlisten = \"{AT}\"\n"));

        let daemon = Daemon::start(&world);
        daemon.until("the change", || (told(&alive) == ["change edge"]).then_some(()));
        // All but one prefix are gone: refused.
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..1])]);
        daemon.reload();
        daemon.until("the refusal", || (told(&alive) == ["change edge", "refusal edge"]).then_some(()));
        // The dead one still keeps its first delivery, and passes were made all the while.
        let status: Value = serde_json::from_str(&daemon.answers("/status", 200)).unwrap();
        let receivers = status["receivers"].as_array().unwrap();
        let told_dead = receivers.iter().find(|receiver| receiver["name"] == "dead").unwrap();
        assert_eq!((&told_dead["sent"], &told_dead["failed"]), (&0.into(), &0.into()), "{told_dead}");
        daemon.reload();
        daemon.until("another pass", || {
            daemon.answers("/metrics", 200).contains("reason=\"reload\",outcome=\"refused\"} 2").then_some(())
        });
        // Deliveries are logged, at a level that shows only where everything is asked for.
        assert!(daemon.log().contains("DEBUG"), "it was not asked for everything:\n{}", daemon.log());
        daemon.stop();

        let daemon = Daemon::start(&world);
        daemon.until("the refusal", || daemon.answers("/readyz", 503).contains("refused").then_some(()));
        // The end is told, and so whatever would have been told twice was told before it.
        world.feed(12, &[("AzureActiveDirectory", &PREFIXES)]);
        daemon.reload();
        daemon.until("the end", || told(&alive).contains(&"recovery edge".to_owned()).then_some(()));
        assert_eq!(told(&alive), ["change edge", "refusal edge", "recovery edge"]);
        let log = daemon.log();
        assert!(!log.contains("s3cr3t"), "the log tells an address:\n{log}");
        assert!(!daemon.answers("/status", 200).contains("s3cr3t"));
        daemon.stop();
    });
}

#[test]
fn passes_of_cron_tell_once_what_they_show() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let feed = world.host.inside(Feed::plain);
        feed.on(SECRET, Reply::status(202));
        let secret = world.write("url", feed.url(SECRET).as_str());
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        world.config(&format!("{EDGE}[notify.ops]\nkind = \"webhook\"\nurl-file = \"url\"\n"));
        // Nobody is told unasked: where a daemon runs, it tells.
        world.expect(0, "sync");
        assert!(feed.requests().is_empty(), "{:?}", told(&feed));
        world.feed(11, &[("AzureActiveDirectory", &PREFIXES[..1])]);
        world.expect(3, "sync --notify");
        assert_eq!(told(&feed), ["refusal edge"]);
        world.expect(3, "sync --notify");
        assert_eq!(told(&feed), ["refusal edge"], "told again");
        world.feed(12, &[("AzureActiveDirectory", &[&PREFIXES[..], &["203.0.113.0/28"]].concat())]);
        feed.only_on(SECRET, Reply::status(500));
        let run = world.expect(0, "sync --notify");
        assert!(run.stderr.contains("`ops` was not told: the receiver answered with status 500"), "{}", run.stderr);
        assert!(!run.stderr.contains("s3cr3t"), "{}", run.stderr);
        // The end of trouble is still told by a later pass; a change that was missed is the past.
        feed.only_on(SECRET, Reply::status(202));
        world.expect(0, "sync --notify");
        assert_eq!(told(&feed), ["refusal edge", "recovery edge", "recovery edge"]);
        world.expect(64, "sync --dry-run --notify");
    });
}

#[test]
fn check_tells_where_and_whom_and_sends_a_test() {
    with_namespaces(|| {
        let world = World::edge(&PREFIXES);
        let feed = world.host.inside(Feed::plain);
        feed.on(SECRET, Reply::ok("ok")).on("/gone", Reply::status(404));
        let secret = world.write("url", feed.url(SECRET).as_str());
        let text = format!("{EDGE}[metrics]\nlisten = \"{AT}\"\n[notify.ops]\nkind = \"slack\"\nurl-file = \"url\"\n");
        world.config(&text);
        let run = world.expect(0, "check");
        assert!(run.stdout.contains("metrics and status on http://127.0.0.1:9408"), "{}", run.stdout);
        assert!(run.stdout.contains("ops is told of change, drift, refusal"), "{}", run.stdout);
        assert!(run.stderr.contains("everybody can read"), "{}", run.stderr);
        assert!(feed.requests().is_empty(), "`check` alone told somebody");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let run = world.expect(0, "check --notify");
        assert!(run.stderr.contains("`ops` was told") && !run.stderr.contains("everybody"), "{}", run.stderr);
        let message: Value = serde_json::from_slice(&feed.requests()[0].body).unwrap();
        assert!(message["text"].as_str().unwrap().contains("a test"), "{message}");
        fs::write(&secret, feed.url("/gone").as_str()).unwrap();
        let run = world.expect(1, "check --notify");
        assert!(run.stderr.contains("`ops`: the receiver answered with status 404"), "{}", run.stderr);
        assert!(!run.stderr.contains("/gone"), "{}", run.stderr);
    });
}

#[test]
fn the_log_is_for_people_or_for_programs() {
    with_namespaces(|| {
        let lines = |format: &str| {
            let world = world(&format!("[log]\nformat = \"{format}\"\n"));
            let daemon = Daemon::start(&world);
            let log = daemon.until("a pass", || Some(daemon.log()).filter(|log| log.contains("pass 1 (start")));
            daemon.stop();
            log.lines().find(|line| line.contains("pass 1 (start")).unwrap().to_owned()
        };
        let text = lines("text");
        assert!(text.contains(": pass 1 (start, ") && !text.contains("pass.reason"), "{text}");
        let json: Value = serde_json::from_str(&lines("json")).unwrap();
        assert_eq!((&json["pass.reason"], &json["level"]), (&"start".into(), &"INFO".into()));
        assert!(json["message"].as_str().unwrap().starts_with("pass 1 (start"), "{json}");
    });
}
