//! A rig for one test, and the process that the test runs in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::log;

/// Where the rig of this process is.
const ADDRESS: &str = "TAGWALL_TEST_RIG";

/// What must stand in no log.
pub(crate) const SECRET: &str = "secret-of-the-test";
pub(crate) const TOKEN: &str = "session-token-of-the-test";

/// A test on a rig: `on_a_rig! { async fn name(rig) { … } }`.
macro_rules! on_a_rig {
    ($($(#[$meta:meta])* async fn $name:ident($rig:ident) $body:block)+) => {
        $(
            #[test]
            $(#[$meta])*
            fn $name() {
                $crate::rig::in_a_process(concat!(module_path!(), "::", stringify!($name)), |$rig| Box::pin(async move $body));
            }
        )+
    };
}

/// Runs a test once more in a process that knows of no AWS but the rig: no credentials of whoever runs it, no files of
/// his, and no address but loopback.
pub(crate) fn in_a_process(path: &str, body: impl FnOnce(Rig) -> Pin<Box<dyn Future<Output = ()>>>) {
    if let Some(address) = std::env::var_os(ADDRESS) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body(Rig { address: address.into_string().unwrap() }));
    }
    let (_, name) = path.split_once("::").unwrap();
    let server = Server::start();
    let done = child(&server.rig, name).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{said}");
    assert!(done.status.success(), "{name} failed: see above");
    log::check(&server.rig.log());
}

/// This test in another process, on the rig.
pub(crate) fn child(rig: &Rig, name: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture", "--include-ignored"]).env_clear().stdin(Stdio::null());
    for kept in ["PATH", "TMPDIR", "TAGWALL_DATA", "CI", "RUST_BACKTRACE", "LD_LIBRARY_PATH"] {
        child.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    child
        .env(ADDRESS, &rig.address)
        .env("AWS_ENDPOINT_URL", &rig.address)
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator/profiles"))
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    child
}

/// A rig that ends with this value, or with this process.
struct Server {
    process: Child,
    rig: Rig,
}

impl Server {
    fn start() -> Self {
        let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig");
        let mut process = Command::new(python(&rig))
            .arg("server.py")
            .arg("--while-stdin")
            .current_dir(&rig)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("the rig said `{line}`"));
        Self { rig: Rig { address: address.to_owned() }, process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The interpreter of the rig's environment, which `scripts/aws_rig.sh` makes.
fn python(rig: &Path) -> PathBuf {
    if let Some(given) = std::env::var_os("aws_rig_python") {
        return given.into();
    }
    let sum = Command::new("sha256sum").arg(rig.join("requirements.txt")).output().unwrap();
    let hash = String::from_utf8(sum.stdout).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join(format!("aws-rig-{}", &hash[..16]));
    assert!(
        folder.join("complete").is_file(),
        "the AWS rig is not installed in `{}`: run `./dev test aws_rig` once",
        folder.display()
    );
    folder.join("bin/python")
}

/// A running rig.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) address: String,
}

impl Rig {
    /// Sends a request and returns the body of the answer with its status.
    pub(crate) fn http(&self, path: &str, headers: &str, body: Option<&str>) -> (u16, String) {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let verb = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn control(&self, path: &str, body: Option<&Value>) -> Value {
        let text = body.map(Value::to_string);
        let (status, answer) = self.http(&format!("/_rig/{path}"), "", text.as_deref());
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn reset(&self) {
        self.control("reset", Some(&json!({})));
    }

    /// From now on one thing is otherwise: `quota`, `lag`, `settle`, `untagged`, `allow`.
    pub(crate) fn set(&self, name: &str, value: impl Into<Value>) {
        self.control("settings", Some(&json!({ name: value.into() })));
    }

    pub(crate) fn advance(&self, seconds: u32) {
        self.control("advance", Some(&json!({ "seconds": seconds })));
    }

    /// The `nth` call of an action (`writing` for any that writes), from 1, fails; with `after` it is made and its
    /// answer lost.
    pub(crate) fn fault(&self, kind: &str, action: &str, nth: usize, after: bool) {
        self.control(
            "faults",
            Some(&json!({ "kind": kind, "action": action, "nth": nth, "after": after, "seconds": 1 })),
        );
    }

    pub(crate) fn faults(&self, fault: &Value) {
        self.control("faults", Some(fault));
    }

    /// Faults that have not struck yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.control("faults", None).as_array().unwrap().len()
    }

    /// Every call so far, in order.
    pub(crate) fn log(&self) -> Vec<Value> {
        match self.control("log", None) {
            Value::Array(entries) => entries,
            other => panic!("{other}"),
        }
    }

    /// What is there now, whatever reads show: one value for each account and region.
    pub(crate) fn state(&self) -> Vec<Value> {
        match self.control("state", None) {
            Value::Array(regions) => regions,
            other => panic!("{other}"),
        }
    }

    /// All rules of all regions, each with its tags.
    pub(crate) fn rules(&self) -> Vec<Value> {
        self.state().iter().flat_map(|region| region["rules"].as_array().unwrap().clone()).collect()
    }

    /// All prefix lists of all regions.
    pub(crate) fn lists(&self) -> Vec<Value> {
        self.state().iter().flat_map(|region| region["lists"].as_array().unwrap().clone()).collect()
    }
}
