//! The program, and its control paths.

use std::path::Path;
use std::process::{Child, Command};

use reqwest::Certificate;
use serde_json::{Value, json};

use crate::support::{GROUP, body, rule_path};

/// A running program. It is killed when dropped.
struct Program {
    child: Child,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    url: String,
}

impl Program {
    fn start(folder: tempfile::TempDir) -> Self {
        let at = |name: &str| folder.path().join(name);
        let _ = std::fs::remove_file(at("port"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-arm"))
            .args(["--ca-out".as_ref(), at("ca.pem").as_os_str(), "--port-file".as_ref(), at("port").as_os_str()])
            .args(["--state".as_ref(), at("state.json").as_os_str(), "--control".as_ref()])
            .spawn()
            .unwrap();
        while !at("port").exists() {
            assert_eq!(child.try_wait().unwrap(), None, "it stopped before it listened");
            std::thread::yield_now();
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let roots = Certificate::from_pem_bundle(read(&at("ca.pem")).as_bytes()).unwrap();
        let url = format!("https://localhost:{}", read(&at("port")));
        let http = reqwest::Client::builder().tls_certs_only(roots).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { child, folder, runtime, http, url }
    }

    fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url)).bearer_auth(token);
        let request = request.header("content-type", "application/json").body(body.to_string());
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
        })
    }

    #[track_caller]
    fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, body) = self.call(method, &format!("/_control/{path}"), "", body);
        assert_eq!(status, 200, "{body}");
        body
    }

    fn stop(mut self) -> tempfile::TempDir {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(stopped.success());
        assert!(self.child.wait().unwrap().success());
        let folder = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.folder, folder)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_is_controlled_and_keeps_its_state() {
    let nsg = json!({"subscription": "sub", "resource_group": "net", "name": "hub"});
    let program = Program::start(tempfile::tempdir().unwrap());
    program.control("PUT", "state", &json!({"nsgs": [nsg]}));
    let token = program.control("POST", "token?seconds=60", &json!({}))["access_token"].as_str().unwrap().to_owned();
    let version = "?api-version=2024-03-01";
    let put = |priority| program.call("PUT", &format!("{}{version}", rule_path("ours")), &token, &body(priority));

    program.control("PUT", "behaviour", &json!({"polls": 0}));
    assert_eq!(program.control("GET", "behaviour", &json!({}))["polls"], json!(0));
    let kind = json!({"status": {"status": 429, "code": "TooManyRequests", "retry_after": 3}});
    program.control("POST", "fault", &json!({"method": "PUT", "kind": kind}));
    program.control("POST", "fault", &json!({"method": "PUT", "nth": 2, "kind": "cut-after"}));
    assert_eq!(put(200).0, 429);
    assert_eq!(program.control("GET", "faults", &json!({})), json!({"left": 1}));
    program.control("DELETE", "faults", &json!({}));
    assert_eq!(put(200).0, 201);

    let rule = json!({"name": "theirs", "properties": body(300)["properties"]});
    program.control("POST", "edit", &json!({"put-rule": {"nsg": nsg, "rule": rule}}));
    let shown = program.call("GET", &format!("{GROUP}{version}"), &token, &Value::Null).1;
    assert_eq!(shown["properties"]["securityRules"].as_array().unwrap().len(), 2);
    let states = program.control("GET", "states?subscription=sub&resource_group=net&name=hub", &json!({}));
    assert_eq!(states.as_array().unwrap().last().unwrap()["rules"].as_array().unwrap().len(), 2);
    let log = program.control("GET", "exchanges", &json!({}));
    let statuses: Vec<i64> = log.as_array().unwrap().iter().map(|one| one["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [429, 201, 200]);
    program.control("DELETE", "exchanges", &json!({}));
    assert_eq!(program.control("GET", "exchanges", &json!({})), json!([]));
    program.control("POST", "advance?seconds=61", &json!({}));
    assert_eq!(put(201).0, 401);

    let program = Program::start(program.stop());
    let state = program.control("GET", "state", &json!({}));
    assert_eq!(state["nsgs"][0]["rules"].as_array().unwrap().len(), 2);
}

#[test]
fn mistakes_of_the_control_are_told() {
    let program = Program::start(tempfile::tempdir().unwrap());
    for (method, path, body) in [
        ("GET", "nothing", json!({})),
        ("POST", "fault", json!({"kind": "no-such-fault"})),
        ("POST", "edit", json!({"no-such-edit": {}})),
        ("PUT", "behaviour", json!({"no_such_switch": true})),
        ("POST", "advance", json!({})),
    ] {
        let (status, answer) = program.call(method, &format!("/_control/{path}"), "", &body);
        assert_eq!(status, 400, "{path}: {answer}");
    }
}

#[test]
fn without_the_switch_there_is_no_control() {
    let rig = crate::support::Rig::new();
    rig.get("/_control/state").expect_error(404, "InvalidResourceType");
}
