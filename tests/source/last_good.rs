//! What is stored, what of it is believed, and when it stands in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tagwall::source::{Fetched, Freshness, Kind, LastGood, Settings, Source, SourceError};

use super::chain;
use crate::support::data;
use crate::support::feed::{Feed, Reply};
use crate::support::feed_document::{document, document_of, small};

const DOCUMENT: &str = "/ServiceTags_Public_20250609.json";

/// A feed with one document, and a folder to keep it in.
struct Bench {
    feed: Feed,
    folder: tempfile::TempDir,
    last_good: LastGood,
}

impl Bench {
    fn new() -> Self {
        let (feed, folder) = (Feed::start(), tempfile::tempdir().unwrap());
        let last_good = LastGood::open(folder.path().join("state"));
        Self { feed, folder, last_good }
    }

    /// One whose document was fetched and stored.
    async fn stored() -> Self {
        let bench = Self::new();
        bench.feed.on(DOCUMENT, Reply::ok(small()).header("ETag", "\"one\"").header("Last-Modified", "yesterday"));
        bench.last_good.store(&bench.fetch().await.unwrap()).unwrap();
        bench.feed.reset();
        bench
    }

    fn settings(&self) -> Settings {
        Settings { attempts: 1, ..self.feed.settings(Kind::Url(self.feed.url(DOCUMENT))) }
    }

    async fn fetch(&self) -> Result<Fetched, SourceError> {
        Source::new(self.settings()).unwrap().fetch(Some(&self.last_good)).await
    }

    /// Every file below the folder, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(self.folder.path())
    }

    /// The one file whose name has that in it.
    fn file(&self, part: &str) -> PathBuf {
        let mut found = self.files().into_keys().filter(|path| path.to_string_lossy().contains(part));
        let path = found.next().unwrap();
        assert_eq!(found.next(), None);
        path
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

/// Expects the stored publication in place of a new one, for that reason.
#[track_caller]
fn check_last_good(fetched: Result<Fetched, SourceError>, words: &str) {
    let fetched = fetched.unwrap();
    let Freshness::LastGood { because, fetched_at } = &fetched.freshness else { panic!("{:?}", fetched.freshness) };
    assert!(because.contains(words), "`{because}` does not say `{words}`");
    assert!(fetched.warnings.contains(because), "{:?}", fetched.warnings);
    assert_eq!(fetched.fetched_at, *fetched_at);
    assert_eq!(fetched.bytes, small().into_bytes());
    assert_eq!(fetched.publication.date, Some(jiff::civil::date(2025, 6, 9)));
}

#[tokio::test]
async fn fetching_writes_nothing() {
    let bench = Bench::new();
    bench.feed.on(DOCUMENT, Reply::ok(small())).on(DOCUMENT, Reply::status(500));
    let fetched = bench.fetch().await.unwrap();
    bench.fetch().await.unwrap_err();
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0);
    // And what there is stays as it is.
    bench.last_good.store(&fetched).unwrap();
    let before = bench.files();
    assert_eq!(before.len(), 2);
    bench.fetch().await.unwrap();
    assert_eq!(bench.files(), before);
}

#[tokio::test]
async fn what_is_stored_is_the_document_and_its_record() {
    let bench = Bench::stored().await;
    let (record, bytes) = bench.last_good.newest(&bench.settings()).unwrap().unwrap();
    assert_eq!(bytes, small().into_bytes());
    assert_eq!(bench.file(&record.sha256.to_string()).parent(), Some(&*bench.folder.path().join("state/publications")));
    assert_eq!((record.change_number, record.date), (376, Some(jiff::civil::date(2025, 6, 9))));
    assert_eq!(record.url, Some(bench.feed.url(DOCUMENT)));
    assert_eq!(record.validators.etag.as_deref(), Some("\"one\""));
    assert_eq!(record.confirmed_at, record.fetched_at);
    let on_disk: serde_json::Value =
        serde_json::from_slice(&fs::read(bench.file("last-good-public-url.json")).unwrap()).unwrap();
    assert_eq!((&on_disk["version"], &on_disk["etag"]), (&1.into(), &"\"one\"".into()));
    assert_eq!(bench.last_good.document(record.sha256).unwrap(), Some(bytes));
}

/// Stores a document and expects these tags of it to be read exactly as the strict reader reads them.
fn check_tags(path: &Path, wanted: &[&str], count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let last_good = LastGood::open(folder.path());
    let publication = tagwall::source::parse(&fs::read(path).unwrap(), "whole", None).unwrap();
    let stored = folder.path().join(format!("publications/{}.json", publication.sha256));
    fs::create_dir(folder.path().join("publications")).unwrap();
    fs::copy(path, &stored).unwrap();
    let read = || last_good.tags(publication.sha256, &wanted.iter().copied().collect());
    let is_wanted = |tag: &&tagwall::source::Tag| wanted.iter().any(|name| name.eq_ignore_ascii_case(&tag.name));
    let expect: Vec<_> = publication.tags.iter().filter(is_wanted).cloned().collect();
    assert_eq!((expect.len(), read().unwrap()), (count, Some(expect)));
    // A byte of a tag that is passed over counts like any other.
    let mut bytes = fs::read(&stored).unwrap();
    let at = bytes.windows(4).rposition(|window| window == b"/24\"").unwrap();
    bytes[at + 2] = b'5';
    fs::write(&stored, bytes).unwrap();
    assert!(chain(&read().unwrap_err()).contains("do not have the hash in its name"));
    fs::remove_file(&stored).unwrap();
    assert_eq!(read().unwrap(), None);
}

#[test]
fn tags_of_a_stored_document_are_read_as_the_whole_of_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    fs::write(&path, small()).unwrap();
    check_tags(&path, &["azureactivedirectory", "Storage.WestEurope", "Sql"], 2);
    check_tags(&path, &[], 0);
    // The properties before the name, and what tagwall does not know.
    let (_, properties) = small().split_once("\"properties\": ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (properties, rest) = properties.split_at(properties.find('}').unwrap() + 1);
    let turned = format!(
        "{{\"changeNumber\": 1, \"cloud\": \"Public\", \"new\": [], \"values\": [{{\"properties\": {properties}, \
         \"name\": \"AzureActiveDirectory\", \"id\": \"AzureActiveDirectory\"{rest}"
    );
    fs::write(&path, turned).unwrap();
    check_tags(&path, &["AzureActiveDirectory"], 1);
    check_tags(&path, &["Storage"], 1);
    let (Some(folder), Some(manifest)) = (data::publications(), data::manifest()) else { return };
    let newest = manifest.iter().filter(|real| real.cloud == "Public").max_by_key(|real| real.change_number).unwrap();
    check_tags(&folder.join(&newest.file), &["AzureActiveDirectory", "Storage.WestEurope", "AzureCloud"], 3);
}

#[tokio::test]
async fn what_the_server_calls_unchanged_is_taken_from_the_store() {
    let bench = Bench::stored().await;
    bench.feed.on(DOCUMENT, Reply::status(304));
    let fetched = bench.fetch().await.unwrap();
    assert_eq!((&fetched.freshness, &fetched.bytes), (&Freshness::NotModified, &small().into_bytes()));
    assert!(fetched.confirmed_at > fetched.fetched_at);
    let request = &bench.feed.requests()[0];
    assert_eq!(request.header("If-None-Match"), Some("\"one\""));
    assert_eq!(request.header("If-Modified-Since"), Some("yesterday"));

    // Storing it moves the time at which it was last confirmed, and nothing else.
    let (before, _) = bench.last_good.newest(&bench.settings()).unwrap().unwrap();
    bench.last_good.store(&fetched).unwrap();
    let (after, _) = bench.last_good.newest(&bench.settings()).unwrap().unwrap();
    assert!(after.confirmed_at > before.confirmed_at);
    assert_eq!((after.fetched_at, after.validators), (before.fetched_at, before.validators));
}

/// Whether the stored publication stands in for this answer, or which class of failure the fetch comes to; the words
/// are said either way. Nothing is stored or lost by it.
async fn check_answer(reply: Reply, fails: Option<&str>, words: &str) {
    let bench = Bench::stored().await;
    bench.feed.on(DOCUMENT, reply);
    let before = bench.files();
    match (bench.fetch().await, fails) {
        (fetched @ Ok(_), None) => {
            bench.last_good.store(fetched.as_ref().unwrap()).unwrap();
            check_last_good(fetched, words);
        }
        (Err(error), Some(class)) => {
            assert_eq!(error.class(), class, "{}", chain(&error));
            assert!(chain(&error).contains(words), "`{}` does not say `{words}`", chain(&error));
        }
        (fetched, _) => panic!("{words}: {fetched:?}"),
    }
    assert_eq!(bench.files(), before);
}

#[tokio::test]
async fn a_server_in_trouble_is_bridged() {
    for (reply, words) in [
        (Reply::status(500), "answered with status 500"),
        (Reply::status(404), "answered with status 404"),
        (Reply::nothing(), "no whole answer from"),
        (Reply::cut(small(), 100), "no whole answer from"),
        (Reply::redirect(DOCUMENT), "redirects in circles"),
        (Reply::ok(""), "is not a service-tag document: the document is empty"),
        (Reply::ok("<title>Error</title>"), "an HTML page came in place of the document: `Error`"),
        (Reply::ok("<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code></Error>"), "`ServerBusy`"),
        (Reply::ok(&small()[..300]), "the document breaks off after 300 bytes"),
    ] {
        check_answer(reply, None, words).await;
    }
}

#[tokio::test]
async fn what_may_be_an_attack_or_a_mistake_is_not_bridged() {
    let document = |reply, words| (reply, "document", words);
    for (reply, class, words) in [
        document(Reply::ok(document_of("Public", 377, &[("Sql", &["0.0.0.0/0"])])), "is the whole Internet"),
        document(Reply::ok(small().replace("\"platform\"", "\"plateform\"")), "missing field `platform`"),
        document(Reply::ok(small() + "x"), "the document is damaged JSON"),
        document(Reply::ok("404 page not found"), "is not JSON"),
        document(Reply::ok("\u{feff}{}"), "begins with a byte order mark"),
        (Reply::redirect("https://evil.example/"), "forbidden", "https://evil.example/ is not on a pinned host"),
        (Reply::redirect("http://localhost/"), "forbidden", "http://localhost/ is not on a pinned host"),
        (Reply::endless([0; 4096]), "too-large", "is larger than 33554432 bytes"),
        (Reply::ok(document_of("China", 377, &[("Sql", &[])])), "wrong-cloud", "cloud `China`"),
    ] {
        check_answer(reply, Some(class), words).await;
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_bridged() {
    let bench = Bench::stored().await;
    let settings = Settings { extra_ca: None, ..bench.settings() };
    let error = Source::new(settings).unwrap().fetch(Some(&bench.last_good)).await.unwrap_err();
    assert_eq!(error.class(), "tls", "{}", chain(&error));
    // The same server, known again and silent: trouble, which is bridged.
    bench.feed.on(DOCUMENT, Reply::nothing());
    check_last_good(bench.fetch().await, "no whole answer from");
}

#[tokio::test]
async fn a_file_that_is_gone_is_bad_input_and_not_bridged() {
    let bench = Bench::new();
    let path = bench.folder.path().join("ServiceTags_Public_20250609.json");
    fs::write(&path, small()).unwrap();
    let source = Source::new(Settings { kind: Kind::File(path.clone()), ..Settings::default() }).unwrap();
    bench.last_good.store(&source.fetch(None).await.unwrap()).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(source.fetch(Some(&bench.last_good)).await.unwrap_err().class(), "read");
    fs::write(&path, b"<html></html>").unwrap();
    assert_eq!(source.fetch(Some(&bench.last_good)).await.unwrap_err().class(), "document");
}

#[tokio::test]
async fn what_was_seen_too_long_ago_does_not_stand_in() {
    let bench = Bench::stored().await;
    let day = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let fetch = async |limit| {
        let settings = Settings { last_good_max_age: limit, ..bench.settings() };
        Source::new(settings).unwrap().fetch(Some(&bench.last_good)).await
    };
    let path = bench.file("last-good-public-url.json");
    let record = fs::read_to_string(&path).unwrap();
    let (line, _) = record.split_once("\"confirmed_at\"").unwrap();
    let long_ago = jiff::Timestamp::now() - day(31);
    fs::write(&path, format!("{line}\"confirmed_at\": \"{long_ago}\"\n}}")).unwrap();
    let error = fetch(day(30)).await.unwrap_err();
    assert_eq!(error.class(), "last-good-too-old");
    assert_eq!(
        chain(&error),
        format!(
            "the last good publication was seen 31 d ago, more than the 30 d allowed: {} answered with status 404",
            bench.feed.url(DOCUMENT)
        )
    );
    check_last_good(fetch(day(32)).await, "answered with status 404");
    // A clock that was set back makes nothing old.
    let later = jiff::Timestamp::now() + day(300);
    fs::write(&path, format!("{line}\"confirmed_at\": \"{later}\"\n}}")).unwrap();
    check_last_good(fetch(day(30)).await, "answered with status 404");
}

/// Spoils the store, and expects that it counts for nothing, with these words about it.
async fn check_spoiled(words: &str, spoil: impl Fn(&Bench)) {
    // Nothing stands in for a failure.
    let bench = Bench::stored().await;
    spoil(&bench);
    assert_eq!(bench.fetch().await.unwrap_err().class(), "status");
    let said = bench.last_good.newest(&bench.settings()).unwrap_err();
    assert!(chain(&said).contains(words), "`{}` does not say `{words}`", chain(&said));

    // Where the server calls it unchanged, it is fetched anew and mended.
    bench.feed.on(DOCUMENT, Reply::status(304)).on(DOCUMENT, Reply::ok(small()));
    let mut fetched = bench.fetch().await;
    if fetched.is_err() {
        // Without a record nothing was asked conditionally, and 304 was no answer.
        fetched = bench.fetch().await;
    }
    let fetched = fetched.unwrap();
    assert_eq!((&fetched.freshness, &fetched.bytes), (&Freshness::Fresh, &small().into_bytes()));
    assert!(fetched.warnings.iter().any(|warning| warning.contains(words)), "{:?}", fetched.warnings);
    bench.last_good.store(&fetched).unwrap();
    assert_eq!(bench.last_good.newest(&bench.settings()).unwrap().unwrap().1, small().into_bytes());
}

#[tokio::test]
async fn what_is_damaged_is_never_believed() {
    check_spoiled("its bytes do not have the hash in its name", |bench| {
        fs::write(bench.file("/publications/"), small().replace("203.0.113.0/24", "203.0.113.0/25")).unwrap();
    })
    .await;
    check_spoiled("its bytes do not have the hash in its name", |bench| {
        fs::write(bench.file("/publications/"), &small()[..500]).unwrap();
    })
    .await;
    check_spoiled("is gone", |bench| fs::remove_file(bench.file("/publications/")).unwrap()).await;
    check_spoiled("cannot be understood: EOF while parsing", |bench| fs::write(bench.file("last-good-"), "{").unwrap())
        .await;
    check_spoiled("cannot be understood: it is of version 2, known is 1", |bench| {
        let path = bench.file("last-good-");
        let record = fs::read_to_string(&path).unwrap();
        fs::write(&path, record.replace("\"version\": 1", "\"version\": 2")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_mirror_does_not_stand_in_for_another() {
    let bench = Bench::stored().await;
    let other = Settings { kind: Kind::Url(bench.feed.url("/other.json")), ..bench.settings() };
    assert_eq!(bench.last_good.newest(&other).unwrap(), None);
    let error = Source::new(other).unwrap().fetch(Some(&bench.last_good)).await.unwrap_err();
    assert_eq!(error.class(), "status");
}

#[tokio::test]
async fn only_what_is_named_is_retained() {
    let bench = Bench::stored().await;
    let (first, _) = bench.last_good.newest(&bench.settings()).unwrap().unwrap();
    for change_number in 377..380 {
        bench.feed.reset();
        bench.feed.on(DOCUMENT, Reply::ok(small().replace("376", &change_number.to_string())));
        bench.last_good.store(&bench.fetch().await.unwrap()).unwrap();
    }
    let state = bench.folder.path().join("state");
    fs::write(state.join("somebody-elses.json"), "x").unwrap();
    fs::write(state.join(".unfinished-Abc123"), "half").unwrap();
    fs::write(state.join("publications/.unfinished-Def456"), "half").unwrap();
    assert_eq!(bench.files().len(), 4 + 1 + 3);

    let (newest, bytes) = bench.last_good.newest(&bench.settings()).unwrap().unwrap();
    assert_eq!(newest.change_number, 379);
    bench.last_good.retain(&[first.sha256]).unwrap();
    assert_eq!(bench.files().len(), 2 + 1 + 1);
    assert_eq!(bench.last_good.newest(&bench.settings()).unwrap(), Some((newest.clone(), bytes)));
    assert!(bench.last_good.document(first.sha256).unwrap().is_some());
    bench.last_good.retain(&[]).unwrap();
    assert_eq!(bench.last_good.document(first.sha256).unwrap(), None);
    assert!(bench.last_good.document(newest.sha256).unwrap().is_some());
    LastGood::open(bench.folder.path().join("nowhere")).retain(&[]).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let bench = Bench::new();
    bench.feed.on(DOCUMENT, Reply::ok(small()));
    let fetched = bench.fetch().await.unwrap();
    fs::write(bench.folder.path().join("state"), "a file").unwrap();
    bench.last_good.store(&fetched).unwrap_err();
}

/// Stores two documents in turns until it is killed.
#[tokio::test]
#[ignore = "run by `a_killed_store_leaves_the_old_or_the_new_one`"]
async fn store_without_end() {
    let folder = PathBuf::from(std::env::var_os("TEST_FOLDER").unwrap());
    let last_good = LastGood::open(folder.join("state"));
    let path = folder.join("feed.json");
    let source = Source::new(Settings { kind: Kind::File(path.clone()), ..Settings::default() }).unwrap();
    for change_number in 0.. {
        fs::write(&path, document(change_number % 1_000_000, &[("Sql", &["192.0.2.0/24"])])).unwrap();
        last_good.store(&source.fetch(None).await.unwrap()).unwrap();
        println!("stored");
    }
}

#[test]
fn a_killed_store_leaves_the_old_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let last_good = LastGood::open(folder.path().join("state"));
    let settings = Settings { kind: Kind::File(folder.path().join("feed.json")), ..Settings::default() };
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "source::last_good::store_without_end", "--ignored", "--nocapture"])
            .env("TEST_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed at a moment of its own, some way into the work.
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let stored = std::io::BufRead::lines(output).map_while(Result::ok).filter(|line| line == "stored");
        assert_eq!(stored.take(1 + round % 3).count(), 1 + round % 3);
        std::thread::sleep(Duration::from_micros(137 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let (record, bytes) = last_good.newest(&settings).unwrap().unwrap();
        assert!(tagwall::source::parse(&bytes, "stored", None).is_ok_and(|read| read.sha256 == record.sha256));
        last_good.retain(&[]).unwrap();
        let left = files(&folder.path().join("state"));
        assert_eq!(left.len(), 2, "{:?}", left.keys());
    }
}
