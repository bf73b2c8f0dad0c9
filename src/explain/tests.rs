use tagwall_provider::{Admits, Entry, PerFamily, PrefixSet, Room, Slot};

use super::*;
use crate::fixture::{config, publication, set};

const CONFIG: &str = "[lists.a]\ntags = [\"Alpha\"]\nextra = [\"203.0.113.0/25\"]\nexclude = [\"192.0.2.7\"]\n\
                      [lists.b]\ntags = [\"Beta\"]\nfamilies = [\"ipv4\"]\n\
                      [targets.edge]\nlists = [\"a\", \"b\"]\nnftables = {}";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_wants_an_address_in() {
    let (config, state) = (config(CONFIG), State::default());
    let publication = publication(
        1,
        &[
            ("Alpha", &["192.0.2.0/24", "2001:db8::/48"]),
            ("Beta", &["192.0.2.0/25", "2001:db8::/48"]),
            ("Other", &["192.0.2.0/28"]),
        ],
    );
    let check = |text: &str, expect: &[&str]| {
        let wanted = wanted(address(text), &config.targets[0], &config, &state, Some(&publication));
        assert_eq!(wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), expect, "{text}");
    };
    check(
        "192.0.2.1",
        &["wanted by list a: tag Alpha has 192.0.2.0/24", "wanted by list b: tag Beta has 192.0.2.0/25"],
    );
    check("192.0.2.200", &["wanted by list a: tag Alpha has 192.0.2.0/24"]);
    // One list excludes it, the other does not.
    check("192.0.2.7", &["wanted by list b: tag Beta has 192.0.2.0/25"]);
    check("203.0.113.9", &["wanted by list a: its `extra` has it"]);
    // Of list b only IPv4 is taken.
    check("2001:db8::1", &["wanted by list a: tag Alpha has 2001:db8::/48"]);
    check("198.51.100.1", &[]);

    let names = |text: &str| {
        let tags = tags(address(text), &publication);
        tags.iter().map(|holds| format!("{} {}", holds.tag, holds.prefix)).collect::<Vec<_>>()
    };
    assert_eq!(names("192.0.2.1"), ["Other 192.0.2.0/28", "Beta 192.0.2.0/25", "Alpha 192.0.2.0/24"]);
    assert_eq!(names("203.0.113.9"), [""; 0]);
}

#[test]
fn what_is_taken_in_to_save_prefixes_is_wanted_by_no_list() {
    let text = "[lists.a]\ntags = [\"Alpha\"]\nlimits.special = [\"documentation\"]\n[targets.t]\nlists = [\"a\"]\n\
                widen = { v4 = 1, most-extra = \"50 %\" }\n\
                aws-security-groups = { region = \"eu-west-1\", groups = [\"sg-1\"] }";
    let (config, state) = (config(text), State::default());
    let publication = publication(1, &[("Alpha", &["192.0.2.0/25", "192.0.2.128/26"])]);
    let check = |text: &str, expect: &[&str]| {
        let wanted = wanted(address(text), &config.targets[0], &config, &state, Some(&publication));
        assert_eq!(wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), expect, "{text}");
    };
    check("192.0.2.129", &["wanted by list a: tag Alpha has 192.0.2.128/26"]);
    check("192.0.2.200", &["wanted by none of its lists: `widen` takes it in to save prefixes"]);
    check("198.51.100.1", &[]);
}

#[test]
fn what_a_firewall_makes_of_an_address() {
    let config = config(CONFIG);
    let entries = |set: PrefixSet| {
        let entry = |prefix: IpNet| Entry { admits: Admits::Range(prefix.into()), slot: Slot(0), id: None };
        set.prefixes().map(entry).collect::<Vec<_>>()
    };
    let published = publication(1, &[("Alpha", &["198.51.100.0/24"])]);
    let seen = |skeleton| {
        let mut observed = Observed::new(entries(set(&["192.0.2.0/25", "2001:db8::/48"])), skeleton, "");
        observed.rooms =
            vec![Room { slot: Slot(0), name: "one".to_owned(), free: PerFamily::default(), taken: Vec::new() }];
        let admits = ForeignEffect::Admits(set(&["192.0.2.0/28"]));
        observed.foreign = vec![
            Foreign { description: "theirs".to_owned(), effect: admits },
            Foreign { description: "a wall".to_owned(), effect: ForeignEffect::Blocks },
        ];
        observed
    };
    let told = |text: &str, observed: &Observed, answer| {
        OfTarget::new(address(text), &config.targets[0], Vec::new(), Some(&published), Ok((observed, answer)))
    };
    let intact = seen(Skeleton::Intact);
    let of = told("192.0.2.1", &intact, Answer::NotAsked);
    assert_eq!(
        (of.verdict, of.entries[0].entry.as_str(), of.entries[0].within.as_str()),
        (Verdict::Blocked, "192.0.2.0/25", "one")
    );
    assert_eq!((of.foreign, of.asked), (vec!["theirs".to_owned(), "a wall".to_owned()], None));
    let of = told("192.0.2.128", &intact, Answer::Outside);
    assert_eq!((of.verdict, of.asked), (Verdict::NotAdmitted, Some(false)));
    assert_eq!(of.foreign, ["a wall"]);
    let mut open = seen(Skeleton::Intact);
    open.foreign.retain(|foreign| foreign.effect != ForeignEffect::Blocks);
    assert_eq!(told("192.0.2.1", &open, Answer::NotAsked).verdict, Verdict::Admitted);
    open.entries.clear();
    assert_eq!(told("192.0.2.1", &open, Answer::Outside).verdict, Verdict::AdmittedByOthers);
    assert_eq!(told("192.0.2.128", &open, Answer::Outside).verdict, Verdict::NotAdmitted);
    let of = told("127.0.0.1", &intact, Answer::Outside);
    assert_eq!((of.verdict, of.entries.len()), (Verdict::Admitted, 0));
    // An IPv4 address lies in no IPv6 range, whatever its number.
    assert_eq!(told("::192.0.2.1", &intact, Answer::Outside).verdict, Verdict::NotAdmitted);
    // A service tag by name holds what the publication says that it does.
    // Of one that it does not know it cannot say, nor of a network that somebody's rule names.
    let unknown = Entry { admits: Admits::ServiceTag("Internet".into()), slot: Slot(0), id: None };
    let mut native = Observed::new(vec![unknown], Skeleton::Intact, "");
    let by_a_network = ForeignEffect::Admits(PrefixSet::new());
    native.foreign = vec![Foreign { description: "admits VirtualNetwork".to_owned(), effect: by_a_network }];
    let of = told("198.51.100.7", &native, Answer::NotAsked);
    assert_eq!((of.verdict, of.drift.len(), of.foreign.len()), (Verdict::Unsure, 1, 1));
    let by_name = Entry { admits: Admits::ServiceTag("alpha".into()), slot: Slot(0), id: None };
    let native = Observed::new(vec![by_name], Skeleton::Intact, "");
    assert_eq!(told("198.51.100.7", &native, Answer::NotAsked).entries[0].entry, "alpha");
    assert_eq!(told("192.0.2.1", &native, Answer::NotAsked).verdict, Verdict::NotAdmitted);
    assert_eq!(told("192.0.2.1", &seen(Skeleton::Absent), Answer::NotAsked).verdict, Verdict::NotEnforced);
    let of = told("192.0.2.1", &seen(Skeleton::Drifted(vec!["odd".to_owned()])), Answer::NotAsked);
    assert_eq!((of.verdict, of.drift), (Verdict::Unsure, vec!["odd".to_owned()]));
    let failure = Failure { message: "no".to_owned(), hint: None, class: crate::report::Class::Denied };
    let of = OfTarget::new(address("192.0.2.1"), &config.targets[0], Vec::new(), None, Err(&failure));
    assert_eq!((of.verdict, of.error.as_deref()), (Verdict::Unknown, Some("no")));
}
