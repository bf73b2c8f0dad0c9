use super::*;

fn state() -> State {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let sha256 = Digest([7; 32]);
    let mut state = State::default();
    state.accepted.insert("public/download".to_owned(), Accepted { change_number: 5, sha256, first_seen: now });
    state.lists.insert("entra".to_owned(), ListRecord { sha256, tags: Vec::new(), dropped: Vec::new() });
    let record = TargetRecord {
        last_attempt: Some(now),
        last_verified: None,
        withdrawn: Some(now),
        claimed: true,
        lists: vec!["entra".to_owned()],
        unmarked: None,
        ..TargetRecord::default()
    };
    state.targets.insert("edge".to_owned(), record);
    state
}

/// Who goes by the host's configuration goes by its state: one's own would know of no decision and no rule.
#[test]
fn the_hosts_configuration_has_the_hosts_state() {
    let home = || Some(PathBuf::from("/srv/joe/.local/state"));
    assert_eq!(StateDir::place(true, home()), Path::new("/var/lib/tagwall"));
    assert_eq!(StateDir::place(false, home()), Path::new("/srv/joe/.local/state/tagwall"));
    assert_eq!(StateDir::place(false, None), Path::new("/var/lib/tagwall"));
}

#[test]
fn what_is_saved_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = StateDir::new(dir.path().join("deep/er"));
    assert_eq!(state_dir.load().unwrap().state, State::default());
    state_dir.save(&state()).unwrap();
    let loaded = state_dir.load().unwrap();
    assert_eq!(loaded.state, state());
    assert_eq!(loaded.warning, None);
}

#[test]
fn a_damaged_state_is_said_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = StateDir::new(dir.path().to_owned());
    state_dir.save(&state()).unwrap();
    let whole = std::fs::read(dir.path().join("state.json")).unwrap();
    for length in 0..whole.len() - 2 {
        std::fs::write(dir.path().join("state.json"), &whole[..length]).unwrap();
        let loaded = state_dir.load().unwrap();
        assert_eq!(loaded.state, State::default(), "cut at {length}");
        assert!(loaded.warning.unwrap().contains("state.json"));
    }
}

#[test]
fn a_newer_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state.json"), r#"{ "version": 2, "lists": 7 }"#).unwrap();
    let error = StateDir::new(dir.path().to_owned()).load().unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 2, .. }), "{error}");
}

#[test]
fn one_pass_at_a_time_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = StateDir::new(dir.path().to_owned());
    let lock = state_dir.lock().unwrap();
    let error = state_dir.lock().unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(lock);
    state_dir.lock().unwrap();
}

#[test]
fn the_audit_file_only_grows() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = StateDir::new(dir.path().to_owned());
    state_dir.audit(&serde_json::json!({ "event": "one" })).unwrap();
    state_dir.audit(&serde_json::json!({ "event": "two\nlines" })).unwrap();
    let text = std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
    assert_eq!(text, "{\"event\":\"one\"}\n{\"event\":\"two\\nlines\"}\n");
}
