//! Passes while others rewrite the firewall all the time.
//!
//! Each pass succeeds or fails cleanly; what others wrote stays; and once they rest, one pass puts everything right.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Addresses, EDGE, World, assert_same, old_and_new, strs, with_namespaces};

/// Somebody else, who commits these lines of `nft` in turn until told to stop.
struct Writer<'a> {
    name: &'static str,
    line: Box<dyn Fn(usize) -> String + Sync + 'a>,
}

const THEIRS: &str = "table inet tagwall {
    comment \"made by tagwall, do not edit\"
    set hers { type ipv4_addr; flags interval; comment \"tagwall:hers/edge\"; }
    chain hers { comment \"tagwall:hers/edge\"; ip saddr @hers drop; }
}
table ip busy { set addresses { type ipv4_addr; flags interval; }; chain c { ip saddr @addresses accept; }; }";

/// Runs passes while the writers write, and answers with which exit statuses the passes ended.
fn passes_beside(world: &World, writers: &[Writer<'_>], passes: usize, documents: &[Vec<&str>]) -> Vec<i32> {
    let stop = AtomicBool::new(false);
    let commits: Vec<AtomicUsize> = writers.iter().map(|_| AtomicUsize::new(0)).collect();
    let mut statuses = Vec::new();
    std::thread::scope(|scope| {
        for (writer, count) in writers.iter().zip(&commits) {
            let stop = &stop;
            scope.spawn(move || world.host.inside(|| write_on(writer, stop, count)));
        }
        // Whatever fails below, the writers are told to stop.
        let _stop = Stop(&stop);
        for pass in 0..passes {
            world.feed(
                10 + u64::try_from(pass).unwrap(),
                &[("AzureActiveDirectory", &documents[pass % documents.len()])],
            );
            let run = world.tagwall("sync");
            if run.status != 0 {
                assert_eq!(run.status, 1, "{}", world.telling(&run));
                assert!(run.stdout.contains("failed: ") && run.stdout.contains("hint: "), "{}", world.telling(&run));
            }
            assert!(!run.stderr.contains("panic"), "{}", run.stderr);
            statuses.push(run.status);
        }
    });
    let counts: Vec<String> = writers
        .iter()
        .zip(&commits)
        .map(|(writer, count)| format!("{} {}", count.load(Ordering::Relaxed), writer.name))
        .collect();
    eprintln!("{} passes, {} done, beside commits: {}", passes, done(&statuses), counts.join(", "));
    assert!(commits.iter().all(|count| count.load(Ordering::Relaxed) > passes), "a writer rested: {counts:?}");
    statuses
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn done(statuses: &[i32]) -> usize {
    statuses.iter().filter(|status| **status == 0).count()
}

/// Writes for as long as nobody says stop. One process takes line after line: a commit or more in a millisecond.
fn write_on(writer: &Writer<'_>, stop: &AtomicBool, count: &AtomicUsize) {
    let mut nft = Command::new("nft");
    // What it complains about is its own affair: a stranger's element may be there already, or gone.
    let mut child = nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = child.stdin.take().unwrap();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        writeln!(lines, "{}", (writer.line)(turn)).unwrap();
        count.fetch_add(1, Ordering::Relaxed);
    }
    drop(lines);
    child.wait().unwrap();
}

/// How many passes; with `TAGWALL_SOAK` ten times as many.
fn passes(count: usize) -> usize {
    if std::env::var_os("TAGWALL_SOAK").is_some() { 10 * count } else { count }
}

fn world(prefixes: &[&str]) -> World {
    let world = World::empty();
    world.config(&EDGE.replace("]\n[targets", "]\nlimits = { loss = \"100%\", growth = \"1000%\" }\n[targets"));
    world.host.nft(THEIRS);
    world.feed(1, &[("AzureActiveDirectory", prefixes)]);
    world.expect(0, "sync");
    world
}

/// Elements of a set, so many that writing them takes a while, others in each turn.
fn rewrite(table: &str, set: &str, turn: usize) -> String {
    let elements: Vec<String> = (0..200).map(|number| format!("10.{}.{number}.0/24", turn % 200)).collect();
    format!("flush set {table} {set}; add element {table} {set} {{ {} }}", elements.join(", "))
}

#[test]
fn others_that_rewrite_other_tables_and_sets_delay_passes_and_stop_none() {
    with_namespaces(|| {
        let documents = old_and_new();
        let documents = documents.each_ref().map(|prefixes| strs(prefixes));
        let world = world(&documents[0]);
        let writers = [
            Writer { name: "to another table", line: Box::new(|turn| rewrite("ip busy", "addresses", turn)) },
            Writer { name: "to a sibling set", line: Box::new(|turn| rewrite("inet tagwall", "hers", turn)) },
            Writer {
                name: "that make and remove tables",
                line: Box::new(|_| {
                    "add table ip fleeting; add chain ip fleeting c; delete table ip fleeting".to_owned()
                }),
            },
        ];
        let count = passes(60);
        let statuses = passes_beside(&world, &writers, count, &documents);
        assert_eq!(done(&statuses), count, "a busy host stopped a pass");
        let last = &documents[(count - 1) % 2];
        assert_same(&world.admitted("edge"), &Addresses::of(last.iter().copied()), "after the last pass");
        assert_foreign_rules_stand(&world);
        world.expect(0, "sync -n");
    });
}

#[test]
fn somebody_who_changes_our_own_set_and_chains_is_undone() {
    with_namespaces(|| {
        let documents = old_and_new();
        let documents = documents.each_ref().map(|prefixes| strs(prefixes));
        let world = world(&documents[0]);
        let stranger = "203.0.113.248/29";
        let writers = [
            Writer {
                name: "to our set",
                line: Box::new(move |turn| {
                    let verb = if turn % 2 == 0 { "add" } else { "delete" };
                    format!("{verb} element inet tagwall edge-v4 {{ {stranger} }}")
                }),
            },
            Writer { name: "that empty our set", line: Box::new(|_| "flush set inet tagwall edge-v6".to_owned()) },
            Writer {
                name: "to our chain",
                line: Box::new(|_| "insert rule inet tagwall edge-ports tcp dport 22 accept".to_owned()),
            },
            Writer { name: "to another table", line: Box::new(|turn| rewrite("ip busy", "addresses", turn)) },
        ];
        passes_beside(&world, &writers, passes(40), &documents);
        assert_foreign_rules_stand(&world);
        // They rest: one pass is enough.
        world.expect(0, "sync");
        let last = &documents[(passes(40) - 1) % 2];
        assert_same(&world.admitted("edge"), &Addresses::of(last.iter().copied()), "after they rest");
        assert!(!world.ruleset().contains("dport 22"));
        world.expect(0, "sync -n");
        assert_foreign_rules_stand(&world);
    });
}

/// What they wrote last stands as they wrote it: all of it, and nothing else.
fn assert_foreign_rules_stand(world: &World) {
    let ruleset = world.ruleset();
    for rule in ["ip saddr @hers drop", "ip saddr @addresses accept", "comment \"tagwall:hers/edge\""] {
        assert!(ruleset.contains(rule), "{rule} is gone:\n{ruleset}");
    }
    assert!(!ruleset.contains("fleeting"));
    for set in ["ip busy addresses", "inet tagwall hers"] {
        let found = Addresses::of_set(&world.host, set).unwrap();
        let whole = |turn: usize| {
            let prefixes: Vec<String> = (0..200).map(|number| format!("10.{turn}.{number}.0/24")).collect();
            Addresses::of(prefixes.iter().map(String::as_str)) == found
        };
        assert!(found == Addresses::default() || (0..200).any(whole), "{set} is torn:\n{found}");
    }
}
