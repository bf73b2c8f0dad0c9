use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use jiff::Timestamp;
use tokio::task::LocalSet;

use super::*;
use crate::config::{Config, Listen};
use crate::state::State;
use crate::status::Facts;
use crate::status::tally::Tally;

/// A daemon that lives or does not.
struct Daemon(bool);

impl Asked for Daemon {
    fn status(&self) -> Status {
        let (config, state, tally) = (Config::defaults(), State::default(), Tally::default());
        let now = Timestamp::UNIX_EPOCH;
        Status::new(Facts {
            config: &config,
            state: &state,
            tally: &tally,
            daemon: None,
            receivers: Vec::new(),
            requests: Vec::new(),
            now,
        })
    }

    async fn is_alive(&self, _: Duration) -> bool {
        self.0
    }
}

/// Serves there on a thread that ends with the test, and answers where that is.
fn served(listen: Listen, alive: bool) -> Listen {
    let (told, at) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let bound = Bound::new(&listen).unwrap();
            told.send(bound.at()).unwrap();
            serve(Rc::new(bound), Rc::new(Daemon(alive))).await;
        });
    });
    at.recv().unwrap()
}

fn anywhere() -> Listen {
    Listen::Address("127.0.0.1:0".parse().unwrap())
}

/// Sends this and answers all that comes back.
fn exchange(listen: &Listen, request: &str) -> String {
    let mut answer = String::new();
    match listen {
        Listen::Address(address) => {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
        Listen::Socket { path, .. } => {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
    }
    answer
}

fn get(listen: &Listen, path: &str) -> String {
    exchange(listen, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

#[test]
fn each_path_has_its_answer() {
    let listen = served(anywhere(), true);
    let check = |path: &str, status: &str, expect: &str| {
        let answer = get(&listen, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(expect), "{path}: {answer}");
    };
    check("/metrics", "200", "text/plain; version=0.0.4");
    check("/metrics", "200", "tagwall_ready 0");
    check("/status", "200", "application/json");
    check("/status", "200", "\"not_ready\": [");
    check("/healthz", "200", "ok");
    check("/readyz", "503", "the first pass has not ended\ntarget `default` was not looked at yet\n");
    check("/", "200", "/metrics");
    check("/etc/passwd", "404", "there are");
    let openmetrics = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let answer = exchange(&listen, openmetrics);
    assert!(answer.contains("content-type: application/openmetrics-text") && answer.ends_with("# EOF\n"), "{answer}");
    let answer = exchange(&listen, "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[test]
fn a_loop_that_does_not_turn_is_no_health() {
    let listen = served(anywhere(), false);
    let answer = get(&listen, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("has not turned"), "{answer}");
    // The rest is still answered.
    assert!(get(&listen, "/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn requests_that_are_none_end_the_connection_and_nothing_else() {
    let listen = served(anywhere(), true);
    for nonsense in ["\r\n\r\n\r\n", "GET\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n"] {
        let answer = exchange(&listen, nonsense);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024));
    let Listen::Address(address) = &listen else { unreachable!() };
    let mut stream = TcpStream::connect(address).unwrap();
    // It may be refused before the last byte is written.
    let _ = stream.write_all(long.as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(get(&listen, "/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_socket_has_its_mode_and_what_was_left_there_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    // Left by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = served(Listen::Socket { path: path.clone(), mode: 0o640 }, true);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(get(&listen, "/metrics").starts_with("HTTP/1.1 200"));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let refused = |listen: &Listen| Bound::new(listen).unwrap_err();
    let error = refused(&listen);
    assert!(error.hint().unwrap().contains("another program"), "{error:?}");
    assert!(get(&listen, "/metrics").starts_with("HTTP/1.1 200"), "the one that was there is gone");
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    refused(&Listen::Socket { path: file.clone(), mode: 0o600 });
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
    let error = refused(&Listen::Socket { path: dir.path().join("absent/x.sock"), mode: 0o600 });
    assert!(error.hint().unwrap().contains("RuntimeDirectory"), "{error:?}");
    let bound = Bound::new(&Listen::Socket { path: dir.path().join("own.sock"), mode: 0o600 }).unwrap();
    drop(bound);
    assert!(!dir.path().join("own.sock").exists());
}

#[test]
fn an_address_in_use_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let first = Bound::new(&anywhere()).unwrap();
    let error = Bound::new(&first.at()).unwrap_err();
    assert!(error.hint().unwrap().contains("another program"), "{error:?}");
}

#[test]
fn connections_that_say_nothing_keep_nobody_out_for_long() {
    let listen = served(anywhere(), true);
    let Listen::Address(address) = &listen else { unreachable!() };
    let silent: Vec<TcpStream> = (0..AT_ONCE).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Served as soon as they are given up.
    assert!(get(&listen, "/metrics").starts_with("HTTP/1.1 200"));
    drop(silent);
}
