//! Random groups, rules and wishes: what has to hold in all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use tagwall_azure::Settings;
use tagwall_provider::{Desired, IpNet, Limit, PerFamily, PrefixSet};

use super::world::{self, DESTINATIONS, NAMES, OURS, World, go, plan, rule, try_pass, wanted};

/// An aligned block of the world.
fn block(v4: bool) -> impl Strategy<Value = IpNet> {
    (0_u8..64, 0_u8..=5).prop_map(move |(at, host_bits)| {
        let at = at >> host_bits << host_bits;
        let text = if v4 {
            format!("192.0.2.{at}/{}", 32 - host_bits)
        } else {
            format!("2001:db8::{at:x}/{}", 128 - host_bits)
        };
        text.parse().unwrap()
    })
}

fn wish() -> impl Strategy<Value = Desired> {
    let blocks = (prop::collection::vec(block(true), 0..9), prop::collection::vec(block(false), 0..6));
    let prefixes = blocks.prop_map(|(v4, v6)| Desired::listed(v4.into_iter().chain(v6).collect::<PrefixSet>()));
    prop_oneof![6 => prefixes, 1 => Just(Desired::ServiceTag("ExampleService".to_owned()))]
}

/// What somebody did to one of our rules.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Priority(u16),
    Property(&'static str, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let properties = vec![
        ("access", "Deny"),
        ("access", "Allow"),
        ("protocol", "*"),
        ("destinationPortRange", "8000-9000"),
        ("destinationPortRange", "22"),
        ("destinationAddressPrefix", "198.51.100.9"),
        ("destinationAddressPrefix", "198.51.100.1"),
        ("destinationAddressPrefix", "VirtualNetwork"),
        ("provisioningState", "Failed"),
        ("direction", "Outbound"),
    ];
    prop_oneof![
        8 => Just(Damage::None),
        2 => (180_u16..230).prop_map(Damage::Priority),
        2 => prop::sample::select(properties).prop_map(|(key, value)| Damage::Property(key, value)),
    ]
}

/// One of our rules: which, whom it names, what is wrong with it.
fn ours() -> impl Strategy<Value = Value> {
    let chunk = (any::<bool>(), 1_u16..=3).prop_flat_map(|(v4, number)| {
        let texts = prop::collection::btree_set(block(v4).prop_map(|prefix| prefix.to_string()), 1..5);
        (Just((v4, number)), texts, damage())
    });
    let chunk = chunk.prop_map(|((v4, number), texts, damage)| {
        let end = match number {
            1 => String::new(),
            number => format!("-{number}"),
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let nominal = 200 + 2 * (number - 1) + u16::from(!v4);
        damaged(&format!("{}{end}", if v4 { "v4" } else { "v6" }), nominal, "Allow", &texts, damage)
    });
    let other = |end: &'static str, at: u16, access: &'static str, source: &'static str| {
        damage().prop_map(move |damage| damaged(end, at, access, &[source], damage))
    };
    // The priorities are those of two rules to a family.
    prop_oneof![
        6 => chunk,
        1 => other("tag-v4", 205, "Allow", "ExampleService"),
        1 => other("deny-v6", 212, "Deny", "*"),
        1 => other("tag", 204, "Allow", "ExampleService"),
        1 => other("v4", 200, "Allow", "*"),
        1 => other("probes", 207, "Allow", "AzureLoadBalancer"),
        2 => other("deny", 210, "Deny", "*"),
    ]
}

fn damaged(end: &str, nominal: u16, access: &str, sources: &[&str], damage: Damage) -> Value {
    let mark = ("description", json!(OURS));
    let name = format!("{NAMES}{end}");
    match damage {
        Damage::None => rule(&name, nominal, access, sources, &[mark]),
        Damage::Priority(priority) => rule(&name, priority, access, sources, &[mark]),
        Damage::Property(key, value) => rule(&name, nominal, access, sources, &[mark, (key, json!(value))]),
    }
}

/// Somebody else's.
fn theirs() -> impl Strategy<Value = Value> {
    let who = prop::sample::select(vec!["office", "tagwall:core/web", "tagwall:edge/mail", OURS, ""]);
    let name = prop_oneof![9 => (0..99).prop_map(|number| format!("rule-{number}")), 1 => Just(format!("{NAMES}v4"))];
    let source =
        prop::sample::select(vec!["192.0.2.0/27", "2001:db8::10/124", "*", "VirtualNetwork", "AzureLoadBalancer"]);
    let change = prop::sample::select(vec![
        ("", ""),
        ("protocol", "*"),
        ("destinationPortRange", "1-65535"),
        ("direction", "Outbound"),
    ]);
    let place =
        (prop_oneof![100_u16..200, 200_u16..213, 213_u16..400], prop_oneof![3 => Just("Allow"), 1 => Just("Deny")]);
    (who, name, place, source, change).prop_map(|(who, name, (priority, access), source, (key, value))| {
        let mut change = vec![("description", json!(who))];
        if !key.is_empty() {
            change.push((key, json!(value)));
        }
        // What has both our name and our mark is ours.
        let name = if who == OURS { name.replace(NAMES, "copy-") } else { name };
        rule(&name, priority, access, &[source], &change)
    })
}

prop_compose! {
    fn worlds()(ours in prop::collection::vec(ours(), 0..6), theirs in prop::collection::vec(theirs(), 0..4), most in 12_usize..40) -> World {
        let mut world = World::new();
        world.most = (most, 14);
        for rule in ours.into_iter().chain(theirs) {
            world.put(rule);
        }
        world
    }
}

fn settings_of(world: &World, (deny, probes, two, named): Switches) -> Settings {
    let (most_prefixes, most_rules) = world.most;
    // Two rules to a family, or one.
    let largest_rule = if two { most_prefixes.div_ceil(2) } else { most_prefixes };
    let [v4, v6] = DESTINATIONS.map(|own| named.then(|| own.to_owned()));
    Settings {
        destination: PerFamily { v4, v6 },
        deny,
        admit_probes: probes,
        largest_rule,
        most_prefixes,
        most_rules,
        ..world::settings()
    }
}

/// Whether the target closes, admits probes, has two rules to a family, names its destinations.
type Switches = (bool, bool, bool, bool);

fn switches() -> impl Strategy<Value = Switches> {
    (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.3))
}

/// Where a target has its rules, and which ports it opens.
fn place() -> impl Strategy<Value = (u16, &'static [u16])> {
    let priority = prop_oneof![4 => Just(200_u16), 1 => Just(201), 1 => Just(204), 1 => Just(195), 1 => Just(225)];
    (priority, prop::sample::select(vec![&[8443_u16][..], &[8443], &[8443, 9443]]))
}

/// Whether somebody else stands where ours would, or behind what closes.
fn is_in_the_way(world: &World) -> bool {
    world.foreign().iter().any(|rule| {
        let priority = rule["properties"]["priority"].as_u64().unwrap();
        rule["name"].as_str().unwrap().starts_with(NAMES) || priority >= 200
    })
}

/// Whether all that stands and all that is wished for is more than the group takes.
fn is_tight(world: &World, desired: &Desired) -> bool {
    let all: usize = world
        .rules
        .iter()
        .map(|rule| rule["properties"]["sourceAddressPrefixes"].as_array().unwrap().len().max(1))
        .sum();
    // A rule may be full before the group is, and a prefix that is cut up stays together.
    all + 2 * desired.prefixes().prefixes().count() > world.most.0 || world.rules.len() + 6 > world.most.1
}

fn stands_among(world: &World, settings: &Settings) -> bool {
    let priority = |rule: &Value| u16::try_from(rule["properties"]["priority"].as_u64().unwrap()).unwrap();
    world.foreign().iter().any(|rule| settings.block().contains(&priority(rule)))
}

/// Whether somebody moved one of our rules about, or stands between one of another configuration and its place.
fn has_moved(world: &World, settings: &Settings) -> bool {
    let priority = |rule: &Value| rule["properties"]["priority"].as_u64().unwrap();
    let between = stands_among(world, settings);
    let two =
        [("v4-2", 202), ("v6-2", 203), ("tag", 204), ("tag-v4", 205), ("probes", 207), ("deny", 210), ("deny-v6", 212)];
    let one =
        [("v4", 200), ("v6", 201), ("tag", 202), ("tag-v4", 203), ("probes", 205), ("deny", 208), ("deny-v6", 210)];
    let of_one = settings.largest_rule == settings.most_prefixes;
    let is_at_home = |rule: &Value| {
        let standing = (&rule["name"].as_str().unwrap()[NAMES.len()..], priority(rule));
        rule["properties"]["direction"] == "Inbound"
            && (one.contains(&standing) && (of_one || one[..2].contains(&standing) || !between)
                || two.contains(&standing) && (!of_one || !between))
    };
    world.rules.iter().any(|rule| World::is_ours(rule) && !is_at_home(rule))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    /// From anything to anything and on: never a gap, never over a limit, nothing foreign touched, and it converges.
    #[test]
    fn any_world_is_brought_to_any_wish(world in worlds(), switches in switches(), wishes in prop::collection::vec(wish(), 1..4)) {
        let mut world = world;
        let settings = settings_of(&world, switches);
        // Somebody else's rule among ours decides by where a rule of ours stands.
        if has_moved(&world, &settings) && stands_among(&world, &settings) {
            return Ok(());
        }
        for desired in &wishes {
            let before = world.clone();
            match try_pass(&mut world, &settings, desired) {
                Ok(Ok(pass)) => {
                    let rules: BTreeSet<&str> = pass.writes.iter().map(|write| &*write.name).collect();
                    // It may wait at another priority, take in before it lets go, and come to be as it shall.
                    prop_assert!(pass.writes.len() <= 3 * rules.len(), "{:?}", pass.writes);
                    prop_assert_eq!(pass.writes.is_empty(), pass.steps.is_empty());
                }
                Ok(Err(stuck)) => prop_assert!(false, "{stuck} in{}", before.told()),
                Err(refusal) => {
                    prop_assert!(!refusal.finding.is_empty() && !refusal.choices.is_empty());
                    prop_assert_eq!(&world.rules, &before.rules);
                    let justified = match refusal.limit {
                        Limit::NotOurs => is_in_the_way(&world),
                        Limit::Capacity => is_tight(&world, desired),
                        _ => false,
                    };
                    prop_assert!(justified, "{refusal} in{}", world.told());
                }
            }
        }
    }

    /// Nothing but the configuration changes: who was let in and is to be stays, what is closed stays closed, and there
    /// is always a way.
    #[test]
    fn any_configuration_follows_any_other(
        theirs in prop::collection::vec(theirs(), 0..3),
        most in 12_usize..40,
        passes in prop::collection::vec((switches(), place(), wish()), 2..4),
    ) {
        let mut world = World::new();
        world.most = (most, 24);
        let beside = |rule: &Value| !(190..250).contains(&rule["properties"]["priority"].as_u64().unwrap());
        for rule in theirs.into_iter().filter(beside) {
            world.put(rule);
        }
        for (switches, (priority, ports), desired) in &passes {
            let ports = ports.iter().copied().map(tagwall_azure::Ports::one).collect();
            let settings = Settings { priority: *priority, ports, ..settings_of(&world, *switches) };
            match try_pass(&mut world, &settings, desired) {
                Ok(Ok(_)) => {}
                Ok(Err(stuck)) => prop_assert!(false, "{stuck} in{}", world.told()),
                Err(refusal) => {
                    let justified = match refusal.limit {
                        Limit::NotOurs => is_in_the_way(&world),
                        Limit::Capacity => is_tight(&world, desired),
                        _ => false,
                    };
                    prop_assert!(justified, "{refusal} in{}", world.told());
                }
            }
        }
    }

    /// Killed between any two requests: who was admitted and is wanted stays, and the next pass ends the work.
    #[test]
    fn a_pass_that_dies_anywhere_is_finished_by_the_next(world in worlds(), switches in switches(), desired in wish(), made in 0_usize..6) {
        let mut world = world;
        let settings = settings_of(&world, switches);
        let Ok((_, goal)) = plan(&world, &settings, &desired) else { return Ok(()) };
        if has_moved(&world, &settings) {
            return Ok(());
        }
        go(&mut world, &settings, &goal, &wanted(&desired), made).unwrap();
        let next = try_pass(&mut world, &settings, &desired);
        prop_assert!(matches!(next, Ok(Ok(_))), "what fitted before fits now: {:?}", next);
    }

    /// Two at once on what both read: every request is made on what stands there then, and nobody is kept out meanwhile.
    #[test]
    fn two_at_once_leave_no_gap(world in worlds(), switches in switches(), wishes in [wish(), wish()], order in prop::collection::vec(any::<bool>(), 10)) {
        let mut world = world;
        let settings = settings_of(&world, switches);
        // Somebody else's rule among ours decides by where a prefix stands.
        if has_moved(&world, &settings) || is_in_the_way(&world) {
            return Ok(());
        }
        let goals = wishes.each_ref().map(|desired| plan(&world, &settings, desired).map(|(_, goal)| goal));
        let [Ok(one), Ok(two)] = goals else { return Ok(()) };
        let both: BTreeSet<u8> = wanted(&wishes[0]).intersection(&wanted(&wishes[1])).copied().collect();
        let (let_in, foreign) = (world.all_let_in(), world.foreign());
        for first in order {
            let goal = if first { &one } else { &two };
            let Ok(Some(write)) = goal.next(&settings, &world.group()) else { continue };
            prop_assert_eq!(world.make(&write), Ok(()));
            let now = world.all_let_in();
            prop_assert!(let_in.intersection(&both).all(|number| now.contains(number)), "{write:?}");
        }
        prop_assert_eq!(world.foreign(), foreign);
        let last = try_pass(&mut world, &settings, &wishes[0]);
        prop_assert!(!matches!(last, Ok(Err(_))), "{last:?}");
    }

    /// What is there stays where it is: one prefix more is one request, and a wish that only adds removes nothing.
    #[test]
    fn an_insert_writes_one_rule(desired in wish(), v4 in any::<bool>(), at in 0_u8..64, two in any::<bool>()) {
        let mut world = World::new();
        world.most = (40, 20);
        let settings = settings_of(&world, (false, false, two, false));
        if matches!(desired, Desired::ServiceTag(_)) {
            return Ok(());
        }
        world::pass(&mut world, &settings, &desired).unwrap();
        let more: PrefixSet = [IpNet::from(world::address(if v4 { at } else { at + 64 }))].into_iter().collect();
        let both = Desired::listed(desired.prefixes().union(&more));
        let pass = world::pass(&mut world, &settings, &both).unwrap();
        prop_assert!(pass.writes.len() <= 1, "{:?}", pass.writes);
    }
}

/// The model would notice: what removes before it adds opens a gap, what ignores the limit is refused, and so is what is
/// not of one family.
#[test]
fn the_model_notices_gaps_and_limits() {
    let mut world = World::new();
    world.most = (2, 20);
    assert!(world.put(rule("tagwall-edge-web-v4", 200, "Allow", &["192.0.2.1/32"], &[("description", json!(OURS))])));
    assert!(world.lets_in(Some(1)) && !world.lets_in(Some(2)));
    assert!(!world.put(rule("too-many", 210, "Allow", &["192.0.2.2/32", "192.0.2.3/32"], &[])));
    assert!(!world.put(rule("priority", 200, "Allow", &["*"], &[])));
    assert!(!world.put(rule("mixed", 210, "Allow", &["192.0.2.2/32", "2001:db8::/32"], &[])));
    assert!(!world.put(rule("listed", 210, "Allow", &["192.0.2.2/32", "Internet"], &[])));
    assert!(world.put(rule("before", 150, "Deny", &["192.0.2.0/30"], &[])), "it is the second prefix");
    assert!(!world.lets_in(Some(1)), "the rule before decides");
    assert!(world.lets_in(None), "a default rule admits probes");
    assert!(world.put(rule("end", 300, "Deny", &["*"], &[])) && !world.lets_in(None));
}

/// What an older configuration left holds the priority that one of two rules of a tag is to have: nothing that only it
/// names goes before both have come.
#[test]
fn what_is_left_over_holds_up_nothing() {
    let mut world = World::new();
    world.most = (12, 14);
    for (end, priority, prefix) in [("v6-3", 205, "2001:db8::/128"), ("v6", 201, "2001:db8::/126")] {
        let name = format!("{NAMES}{end}");
        assert!(world.put(rule(&name, priority, "Allow", &[prefix], &[("description", json!(OURS))])));
    }
    let settings = settings_of(&world, (false, false, true, true));
    let (_, goal) = plan(&world, &settings, &Desired::ServiceTag("ExampleService".to_owned())).unwrap();
    let mut writes = Vec::new();
    while let Some(write) = goal.next(&settings, &world.group()).unwrap() {
        world.make(&write).unwrap();
        let priority = write.body.as_ref().map_or(0, |body| body["properties"]["priority"].as_u64().unwrap());
        writes.push((write.name[NAMES.len()..].to_owned(), priority));
    }
    // What it names, another does as well: it may go first.
    let expected = [("tag-v6", 206), ("v6-3", 0), ("tag-v4", 205), ("v6", 0)];
    assert_eq!(writes, expected.map(|(name, priority)| (name.to_owned(), priority)));
}

/// What was done by hand to the rules of both families at once is mended, whatever those did meanwhile.
#[test]
fn what_is_damaged_in_both_families_is_mended() {
    type Hand = fn(&mut Value);
    let network: Hand = |rule| rule["properties"]["destinationAddressPrefix"] = json!("VirtualNetwork");
    let to_the_front: Hand = |rule| {
        rule["properties"]["destinationAddressPrefix"] = json!("VirtualNetwork");
        let priority = rule["properties"]["priority"].as_u64().unwrap();
        rule["properties"]["priority"] = json!(priority - 12);
    };
    let exchange: Hand = |rule| {
        let other = usize::from(rule["properties"]["destinationAddressPrefix"] == DESTINATIONS[0]);
        rule["properties"]["destinationAddressPrefix"] = json!(DESTINATIONS[other]);
    };
    let tag = Desired::ServiceTag("ExampleService".to_owned());
    let prefixes =
        Desired::listed(["192.0.2.0/27", "2001:db8::/127"].iter().map(|text| text.parse::<IpNet>().unwrap()).collect());
    for (kind, hand) in [
        ("-deny-", network),
        ("-deny-", to_the_front),
        ("-deny-", exchange),
        ("-probes-", network),
        ("-v", network),
        ("-tag-", network),
        ("-", network),
    ] {
        for desired in [&prefixes, &tag] {
            let mut world = World::new();
            let settings = settings_of(&world, (true, true, false, true));
            world::pass(&mut world, &settings, desired).unwrap();
            for rule in &mut world.rules {
                if rule["name"].as_str().unwrap().contains(kind) {
                    hand(rule);
                }
            }
            let mended = try_pass(&mut world, &settings, desired);
            assert!(matches!(mended, Ok(Ok(_))), "{kind} {mended:?}{}", world.told());
            world::check_reached(&world, &settings, desired);
        }
    }
}
