//! That no secret of a mirror's address is told: not in results, errors, logs, or files that others may read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tagwall::source::{Kind, LastGood, Settings, Source};

use crate::support::TAGWALL;
use crate::support::feed::{Feed, Reply};
use crate::support::feed_document::{document_of, small};

const SECRET: &str = "c2VjcmV0";
const DOCUMENT: &str = "/ServiceTags_Public_20250609.json?sig=c2VjcmV0&x=y";

/// Everything that a command with this source prints with the loudest log.
fn all_output(source: &str, verb: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tagwall.toml");
    std::fs::write(&path, format!("[lists.x]\ntags = [\"Storage\"]\n[source]\nattempts = 1\n{source}")).unwrap();
    let mut command = Command::new(TAGWALL);
    command.args(["-vv", "--state-dir"]).arg(folder.path().join("state")).arg("-c").arg(path);
    command.args(verb.split(' ')).env("TAGWALL_LOG", "trace");
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("TRACE") || !text.contains("127.0.0.1"), "the log is not loud: {text}");
    text
}

#[track_caller]
fn check(text: &str, says: &str) {
    assert!(text.contains(says), "it does not say `{says}`: {text}");
    assert!(!text.contains(SECRET), "it tells the secret: {text}");
}

#[test]
fn nothing_printed_or_logged_tells_a_secret() {
    let feed = Feed::plain();
    let source = format!("kind = \"url\"\nurl = \"{}\"\n", feed.url(DOCUMENT));
    let shown = "/ServiceTags_Public_20250609.json?…";
    let elsewhere = format!("https://evil.example/x?{SECRET}");
    for (reply, says) in [
        (Reply::ok(small()), "203.0.113.0/24"),
        (Reply::status(403), shown),
        (Reply::status(500), shown),
        (Reply::nothing(), shown),
        (Reply::cut(small(), 99), shown),
        (Reply::ok("<html>"), shown),
        (Reply::ok(document_of("China", 1, &[("Storage", &[])])), shown),
        (Reply::redirect(&elsewhere), "https://evil.example/x?…"),
        (Reply::redirect(DOCUMENT), shown),
        (Reply::endless(vec![b' '; 1 << 16]), shown),
    ] {
        feed.reset();
        feed.on(DOCUMENT, reply);
        check(&all_output(&source, "prefixes x"), says);
        check(&all_output(&source, "prefixes x --format json"), says);
        // The server was told.
        assert!(feed.paths().iter().any(|path| path.contains(SECRET)), "{:?}", feed.paths());
    }
    feed.reset();
    feed.on(DOCUMENT, Reply::ok(small()));
    check(&all_output(&source, "tags --format json"), shown);
    check(&all_output(&source, "check --no-environment"), "is valid");
}

#[test]
fn no_complaint_about_a_configuration_tells_a_secret() {
    let check = |line: &str, says: &str| check(&all_output(&format!("kind = \"url\"\n{line}\n"), "check"), says);
    check("url = \"https://user:c2VjcmV0@mirror.example/x\"", "https://mirror.example/x is not on a pinned host");
    check("url = \"http://mirror.example/x?c2VjcmV0\"", "http://mirror.example/x?… is not on a pinned host");
    check("url = \"https://[/x?c2VjcmV0\"", "`source.url` is no URL");
    check("url = \"https://mirror.example/x?c2VjcmV0", "https://mirror.example/x?…");
    check("adress = \"https://u:c2VjcmV0@mirror.example/x?c2VjcmV0\"", "https://mirror.example/x?…");
}

#[tokio::test]
async fn what_is_stored_of_a_secret_only_its_owner_may_read() {
    let modes = async |document: &str| {
        let (feed, folder) = (Feed::start(), tempfile::tempdir().unwrap());
        let last_good = LastGood::open(folder.path());
        feed.on(document, Reply::ok(small()));
        let settings = Settings { attempts: 1, ..feed.settings(Kind::Url(feed.url(document))) };
        let source = Source::new(settings.clone()).unwrap();
        let fetched = source.fetch(None).await.unwrap();
        last_good.store(&fetched).unwrap();
        let (record, _) = last_good.newest(&settings).unwrap().unwrap();
        assert_eq!((record.url, &record.origin), (Some(feed.url(document)), &fetched.publication.origin));
        assert!(!record.origin.contains(SECRET), "{}", record.origin);
        // It serves for the next request.
        feed.reset();
        feed.on(document, Reply::status(500));
        source.fetch(Some(&last_good)).await.unwrap();
        files(folder.path())
    };
    let secret = modes(DOCUMENT).await;
    assert_eq!(secret.iter().filter(|(text, _)| text.contains(SECRET)).count(), 1);
    assert!(secret.iter().all(|(text, mode)| !text.contains(SECRET) || mode.trailing_zeros() >= 6), "{secret:?}");
    let public = modes("/ServiceTags_Public_20250609.json").await;
    assert!(public.iter().all(|(_, mode)| *mode == public[0].1) && public.len() == 2);
}

/// Every file below a folder: its text and mode.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mode = path.metadata().unwrap().permissions().mode();
            found.push((std::fs::read_to_string(&path).unwrap(), mode));
        }
    }
    found
}
