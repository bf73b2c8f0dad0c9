use jiff::Timestamp;

use super::*;
use crate::fixture::{config, document, publication};
use crate::state::{Accepted, ListRecord};

const LIST: &str = "[lists.a]\ntags = [\"Alpha\"]";

fn state(older: &Publication, config: &Config) -> State {
    let mut state = State::default();
    let first_seen = Timestamp::UNIX_EPOCH;
    let accepted = Accepted { change_number: older.change_number, sha256: older.sha256, first_seen };
    state.accepted.insert(numbering(&config.source), accepted);
    state.lists.insert("a".to_owned(), ListRecord { sha256: older.sha256, tags: Vec::new(), dropped: Vec::new() });
    state
}

#[test]
fn a_lower_change_number_is_refused_and_an_equal_one_with_other_bytes_is_said() {
    let config = config(LIST);
    let accepted = publication(10, &[("Alpha", &["192.0.2.0/24"])]);
    let state = state(&accepted, &config);
    let judge = |publication: &Publication| judge_publication(publication, &config, &state);
    assert_eq!(judge(&accepted), Ok(None));
    assert_eq!(judge(&publication(11, &[("Alpha", &["192.0.2.0/25"])])), Ok(None));
    assert_eq!(judge(&publication(9, &[("Alpha", &["192.0.2.0/24"])])).unwrap_err().limit, Limit::OlderPublication);
    let warning = judge(&publication(10, &[("Alpha", &["192.0.2.0/25"])])).unwrap().unwrap();
    assert!(warning.contains("change number 10 stands for other bytes"), "{warning}");
}

#[test]
fn numbers_of_other_clouds_and_kinds_of_source_are_not_compared() {
    let config = config(LIST);
    let state = state(&publication(10, &[("Beta", &["198.51.100.0/24"])]), &config);
    let mut other = config.clone();
    other.source.kind = source::Kind::File("x".into());
    assert_eq!(judge_publication(&publication(9, &[("Beta", &["198.51.100.0/24"])]), &other, &state), Ok(None));
}

#[test]
fn another_cloud_is_refused() {
    let config = config(&format!("{LIST}\n[source]\ncloud = \"china\""));
    let refusal =
        judge_publication(&publication(1, &[("Beta", &["198.51.100.0/24"])]), &config, &State::default()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "wrong-cloud: the publication is of cloud `Public`, the configuration asks for `China`"
    );
}

fn stored(dir: &std::path::Path, bytes: &[u8]) -> Publication {
    let publication = source::parse(bytes, "fixture.json", None).unwrap();
    std::fs::create_dir_all(dir.join("publications")).unwrap();
    std::fs::write(dir.join(format!("publications/{}.json", publication.sha256)), bytes).unwrap();
    publication
}

#[test]
fn steps_are_measured_from_the_accepted_publication_with_todays_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let prefixes: Vec<String> = (0..32).map(|index| format!("198.51.100.{}/32", index * 2)).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let older = stored(dir.path(), &document(1, &[("Alpha", &prefixes)]));
    let newer = publication(2, &[("Alpha", &prefixes[..16])]);
    let judged = |text: &str| {
        let config = config(text);
        let mut warnings = Vec::new();
        let baselines =
            Baselines::load(&config, &newer, &LastGood::open(dir.path()), &state(&older, &config), &mut warnings);
        assert_eq!(warnings, [""; 0]);
        assert!(baselines.has("a"));
        baselines.judge(&config.lists["a"], &newer).1
    };
    assert_eq!(judged(LIST)[0].limit, Limit::Loss);
    // The operator's own exclusion of the very same addresses is no loss.
    let excluded = format!(
        "{LIST}\nexclude = [{}]",
        prefixes[16..].iter().map(|prefix| format!("\"{prefix}\"")).collect::<Vec<_>>().join(",")
    );
    assert_eq!(judged(&excluded), []);
}

#[test]
fn a_lost_or_damaged_document_is_said_and_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(LIST);
    let older = stored(dir.path(), &document(1, &[("Alpha", &["192.0.2.0/24"])]));
    let newer = publication(2, &[("Alpha", &["192.0.2.0/25"])]);
    let load = || {
        let mut warnings = Vec::new();
        let baselines =
            Baselines::load(&config, &newer, &LastGood::open(dir.path()), &state(&older, &config), &mut warnings);
        (baselines.has("a"), warnings.len())
    };
    assert_eq!(load(), (true, 0));
    let path = dir.path().join(format!("publications/{}.json", older.sha256));
    std::fs::write(&path, b"{}").unwrap();
    assert_eq!(load(), (false, 1));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(load(), (false, 1));
}
