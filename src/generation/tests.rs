use super::*;
use crate::fixture::{config, set};

fn list(listed: &[&str]) -> Arc<EnforcedList> {
    let since = "2026-01-05T00:00:00Z".parse().unwrap();
    let dropped = vec![Dropped { prefixes: set(&["203.0.113.0/25"]), since, publications: 0 }];
    Arc::new(EnforcedList { listed: set(listed), dropped, extra: set(&["2001:db8::/48"]) })
}

/// Lists by name.
type Lists<'a> = &'a [(&'a str, Arc<EnforcedList>)];

fn generation(number: u64, targets: &[(&str, Lists<'_>)]) -> Generation {
    let enforced = |lists: Lists<'_>| Enforced {
        lists: lists.iter().map(|(name, list)| ((*name).to_owned(), Arc::clone(list))).collect(),
        left: set(&["198.51.100.0/24"]),
        publication: Some(Named { change_number: 7, date: None, sha256: crate::source::digest(b"x") }),
    };
    Generation {
        number,
        owner: "test".to_owned(),
        time: "2026-01-05T00:00:00Z".parse().unwrap(),
        cause: "sync".to_owned(),
        targets: targets.iter().map(|(name, lists)| ((*name).to_owned(), enforced(lists))).collect(),
    }
}

fn opened() -> (tempfile::TempDir, Generations) {
    let dir = tempfile::tempdir().unwrap();
    let generations = Generations::open(dir.path());
    (dir, generations)
}

#[test]
fn what_is_written_is_read() {
    let (dir, generations) = opened();
    assert_eq!((generations.read(1).unwrap(), generations.numbers().unwrap()), (None, Vec::new()));
    let (one, other) = (list(&["192.0.2.0/24"]), list(&["192.0.2.0/25"]));
    // Two targets at one list, a third at another version of it.
    let shared = [("a", Arc::clone(&one))];
    let written = generation(1, &[("x", &shared), ("y", &shared), ("z", &[("a", other), ("b", one)])]);
    generations.write(&written).unwrap();
    assert_eq!(generations.read(1).unwrap(), Some(written));
    let text = fs::read_to_string(dir.path().join("generations/1.json")).unwrap();
    assert_eq!(text.matches("192.0.2.0/24").count(), 2, "a list that is shared stands there twice: {text}");
}

#[test]
fn what_cannot_be_read_is_said_and_an_older_one_stands_in() {
    let (dir, generations) = opened();
    let lists = [("a", list(&["192.0.2.0/24"]))];
    for number in 1..=3 {
        generations.write(&generation(number, &[("x", &lists)])).unwrap();
    }
    let found = |recorded, warnings: &mut Vec<String>| {
        generations.enforced("test", "x", recorded, warnings).map(|(number, _)| number)
    };
    let mut warnings = Vec::new();
    assert_eq!((found(None, &mut warnings), found(Some(2), &mut warnings)), (Some(3), Some(2)));
    assert_eq!(generations.enforced("test", "y", None, &mut warnings), None);
    assert_eq!(generations.enforced("other", "x", None, &mut warnings), None);
    assert_eq!(warnings, Vec::<String>::new());
    // Cut off, of a newer version, with a list that is not there, and no JSON at all.
    let path = dir.path().join("generations/3.json");
    let good = fs::read_to_string(&path).unwrap();
    let newer = good.replace("\"version\":1", "\"version\":99");
    let lacking = good.replace("\"lists\":[0]", "\"lists\":[7]");
    for damaged in [&good[..good.len() / 2], &newer, &lacking, ""] {
        assert_ne!(damaged, good);
        fs::write(&path, damaged).unwrap();
        let mut warnings = Vec::new();
        assert_eq!(found(Some(3), &mut warnings), Some(2), "{damaged}");
        assert!(warnings[0].contains("3.json") && warnings[0].contains("stands in"), "{warnings:?}");
        fs::remove_file(&path).unwrap();
        assert_eq!(found(Some(3), &mut warnings), Some(2));
        assert!(warnings[1].contains("generation 3 of target `x` is gone"), "{warnings:?}");
    }
}

#[test]
fn old_ones_go_and_used_ones_stay() {
    let (_dir, generations) = opened();
    for number in 1..=9 {
        generations.write(&generation(number, &[])).unwrap();
    }
    generations.retain(3, &[2, 8]).unwrap();
    assert_eq!(generations.numbers().unwrap(), [2, 7, 8, 9]);
}

/// What a target of these lists is kept at, by such a configuration, a day after it was enforced.
fn kept(enforced: &Enforced, lists: &str, target: &str) -> PrefixSet {
    let config = config(&format!("{lists}\n[targets.x]\n{target}\nnftables = {{}}"));
    let now = "2026-01-06T00:00:00Z".parse().unwrap();
    let target = &config.targets[0];
    enforced.today(target, &config, now).desired(target.policy).prefixes()
}

#[test]
fn the_operators_own_is_taken_from_today() {
    let lists = [("a", list(&["192.0.2.0/24"])), ("gone", list(&["198.51.100.0/24"]))];
    let mut enforced = generation(1, &[("x", &lists)]).targets.remove("x").unwrap();
    enforced.left = set(&["198.51.100.0/25"]);
    let all = |list: &str| {
        let list = format!("[lists.a]\ntags = [\"A\"]\nremoval-grace = \"7d\"\n{list}");
        kept(&enforced, &list, "lists = [\"a\"]")
    };
    assert_eq!(all(""), set(&["192.0.2.0/24", "203.0.113.0/25"]));
    assert_eq!(all("extra = [\"203.0.113.128/25\"]"), set(&["192.0.2.0/24", "203.0.113.0/24"]));
    assert_eq!(all("exclude = [\"192.0.2.0/25\"]"), set(&["192.0.2.128/25", "203.0.113.0/25"]));
    assert_eq!(all("families = [\"ipv6\"]\nextra = [\"2001:db8::/64\"]"), set(&["2001:db8::/64"]));
    // What a grace period held goes when it is over, and where there is none today.
    let short = "[lists.a]\ntags = [\"A\"]\nremoval-grace = \"1d\"";
    assert_eq!(kept(&enforced, short, "lists = [\"a\"]"), set(&["192.0.2.0/24"]));
    assert_eq!(kept(&enforced, "[lists.a]\ntags = [\"A\"]", "lists = [\"a\"]"), set(&["192.0.2.0/24"]));
    // What was left because nothing may be removed stays under that policy alone, but for what is excluded.
    let tag = "[lists.a]\ntags = [\"A\"]\nexclude = [\"198.51.100.0/26\"]";
    let add_only = "lists = [\"a\"]\npolicy = \"add-only\"";
    assert_eq!(kept(&enforced, tag, add_only), set(&["192.0.2.0/24", "198.51.100.64/26"]));
}

#[test]
fn a_list_that_was_renamed_takes_nothing_away() {
    let lists = [("a", list(&["192.0.2.0/24"])), ("b", list(&["198.51.100.0/25"]))];
    let mut enforced = generation(1, &[("x", &lists)]).targets.remove("x").unwrap();
    enforced.left = PrefixSet::new();
    let text = "[lists.a]\ntags = [\"A\"]\n[lists.c]\ntags = [\"B\"]\nextra = [\"203.0.113.0/24\"]";
    let all = enforced.all().union(&set(&["203.0.113.0/24"]));
    assert_eq!(kept(&enforced, text, "lists = [\"a\", \"c\"]"), all);
    assert_eq!(kept(&enforced, text, "lists = [\"c\"]"), all);
    // Negative control: one that the operator took out of the target goes.
    assert_eq!(kept(&enforced, text, "lists = [\"a\"]"), set(&["192.0.2.0/24"]));
}
