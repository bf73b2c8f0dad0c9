//! The one-shot as people and timers run it: `sync --dry-run` of AzureActiveDirectory on the newest real publication
//! against a live nftables, as a whole process, beside a process that does nothing but read the same file.
//!
//! Both take turns in one run, so the ratio of their medians means something where the times alone do not.
//! `./dev bench` runs this in a network namespace; on its own it would write to this machine's firewall, so it refuses.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a benchmark talks and may panic")]

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::sys::resource::{UsageWho, getrusage};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// How much longer than the bare parse the one-shot may take.
const TARGET_RATIO: f64 = 1.6;
/// How many MB of memory the one-shot may hold at its peak.
const TARGET_PEAK: f64 = 20.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bare-parse") => return bare_parse(Path::new(&arguments[1])),
        Some("measure-peak") => return measure_peak(&arguments[1..]),
        _ => {}
    }
    if std::env::var_os("TAGWALL_BENCH_NAMESPACE").is_none() {
        eprintln!("run this by `./dev bench`: it writes to the firewall of the namespace that it is in");
        return;
    }
    let rounds = if arguments.iter().any(|argument| argument == "--quick") { 15 } else { 60 };
    let scratch = tempfile::tempdir().unwrap();
    let Some([before, newest]) = newest_publications(scratch.path()) else { return };
    let size = std::fs::metadata(&newest).unwrap().len();
    println!(
        "one-shot on {} ({size} bytes), medians of {rounds} runs of each\n",
        newest.file_name().unwrap().display()
    );

    let this = std::env::current_exe().unwrap();
    let state = scratch.path().join("state");
    let parse = words(&this, &["bare-parse".as_ref(), &newest]);
    let dry_run = one_shot(&newest, &state, &["sync", "--dry-run"]);
    let time = |name: &str| {
        let (bare, ours) = alternate(rounds, &parse, &dry_run);
        row(name, &ours, &bare);
        bare
    };

    time("dry run, nothing there yet");
    run(&one_shot(&before, &state, &["sync", "--defaults"]), &[0]);
    time("dry run, another one accepted");
    run(&one_shot(&newest, &state, &["sync", "--defaults"]), &[0]);
    let bare = time("dry run, in sync");
    println!("{:32} {:8.1} ms", "bare parse", median(&bare).as_secs_f64() * 1e3);

    println!();
    let peak = |name: &str, command: &[String]| println!("{name:32} {:8.1} MB at its peak", peak_of(&this, command));
    peak("dry run, in sync", &dry_run);
    peak("bare parse", &parse);
    println!("\ntargets: at most {TARGET_RATIO} x bare parse, under {TARGET_PEAK} MB");
}

fn words(program: &Path, arguments: &[&Path]) -> Vec<String> {
    [program].iter().chain(arguments).map(|word| word.display().to_string()).collect()
}

fn one_shot(feed: &Path, state: &Path, verb: &[&str]) -> Vec<String> {
    let tagwall = Path::new(env!("CARGO_BIN_EXE_tagwall"));
    let mut command = words(tagwall, &["-q".as_ref(), "--feed".as_ref(), feed, "--state-dir".as_ref(), state]);
    command.extend(verb.iter().map(|word| (*word).to_owned()));
    command
}

fn row(name: &str, times: &[Duration], peer: &[Duration]) {
    let (time, peer) = (median(times), median(peer));
    let ratio = time.as_secs_f64() / peer.as_secs_f64();
    println!("{name:32} {:8.1} ms  {ratio:5.2} x bare parse", time.as_secs_f64() * 1e3);
}

/// Runs a peer and a dry run by turns and answers the times of each.
fn alternate(rounds: usize, peer: &[String], dry_run: &[String]) -> (Vec<Duration>, Vec<Duration>) {
    let turn = || (run(peer, &[0]), run(dry_run, &[0, 2]));
    // Once for the page cache.
    turn();
    (0..rounds).map(|_| turn()).unzip()
}

fn run(command: &[String], statuses: &[i32]) -> Duration {
    let began = Instant::now();
    let done = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = began.elapsed();
    let status = done.unwrap().code().unwrap();
    assert!(statuses.contains(&status), "exit status {status}: {}", command.join(" "));
    took
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// The most memory that a command holds, in MB. The kernel tells the greatest of all children: so by a process of its
/// own that has but one.
fn peak_of(this: &Path, command: &[String]) -> f64 {
    let output = Command::new(this).arg("measure-peak").args(command).output().unwrap();
    let kilobytes: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    kilobytes * 1024.0 / 1e6
}

fn measure_peak(command: &[String]) {
    let done = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(done.unwrap().code().is_some());
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss());
}

/// One line of the manifest of real publications.
#[derive(Deserialize)]
struct Entry {
    file: String,
    cloud: String,
    date: String,
}

/// The newest two of the real publications, the older one first, unpacked. They lie beside the checkout, not in it.
fn newest_publications(scratch: &Path) -> Option<[PathBuf; 2]> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("TAGWALL_DATA").map_or_else(beside, PathBuf::from);
    let archive = data.join("service-tags.tar.zst");
    let Ok(manifest) = std::fs::read(data.join("service-tags-manifest.json")) else {
        println!("SKIPPED: the one-shot, since there is no real data at `{}`; set TAGWALL_DATA", data.display());
        return None;
    };
    let mut entries: Vec<Entry> = serde_json::from_slice(&manifest).unwrap();
    entries.retain(|entry| entry.cloud == "Public");
    entries.sort_by(|a, b| a.date.cmp(&b.date));
    let newest = [&entries[entries.len() - 2], &entries[entries.len() - 1]];
    let mut tar = Command::new("tar");
    tar.arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(scratch).arg("--wildcards");
    tar.args(newest.map(|entry| format!("*{}", entry.file)));
    assert!(tar.status().unwrap().success(), "cannot unpack `{}`", archive.display());
    Some(newest.map(|entry| scratch.join(&entry.file)))
}

/// The least that can be done with a publication by crates that everybody has: every prefix parsed and checked to be
/// canonical, the bytes hashed.
fn bare_parse(path: &Path) {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        values: Vec<Tag<'a>>,
    }
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(borrow)]
        properties: Properties<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Properties<'a> {
        #[serde(borrow)]
        address_prefixes: Vec<Cow<'a, str>>,
    }
    let bytes = std::fs::read(path).unwrap();
    let document: Document<'_> = serde_json::from_slice(&bytes).unwrap();
    let mut count = 0;
    for text in document.values.iter().flat_map(|tag| &tag.properties.address_prefixes) {
        let prefix: IpNet = text.parse().unwrap();
        assert_eq!(prefix.addr(), prefix.network(), "{text}");
        count += 1;
    }
    println!("{count} prefixes, {:x?}", Sha256::digest(&bytes));
}
