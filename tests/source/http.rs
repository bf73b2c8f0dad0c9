//! Requests: who is asked, for how much, how often, for how long.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tagwall::source::{Cloud, Fetched, Freshness, Kind, Settings, Source, SourceError};
use url::Url;

use super::chain;
use crate::support::data;
use crate::support::feed::{Feed, Reply};
use crate::support::feed_document::{document_of, small};
use crate::support::feed_proxy::Proxy;

const DOCUMENT: &str = "/feeds/ServiceTags_Public_20250609.json";

fn mirror(feed: &Feed) -> Settings {
    feed.settings(Kind::Url(feed.url(DOCUMENT)))
}

async fn fetch(settings: Settings) -> Result<Fetched, SourceError> {
    Source::new(settings)?.fetch(None).await
}

/// Fetches from a mirror that answers this way, and expects that class and those words.
#[track_caller]
fn check(reply: Reply, class: &str, words: &str) -> Feed {
    check_with(reply, |_| {}, class, words)
}

#[track_caller]
fn check_with(reply: Reply, change: impl FnOnce(&mut Settings), class: &str, words: &str) -> Feed {
    let feed = Feed::start();
    feed.on(DOCUMENT, reply);
    let mut settings = mirror(&feed);
    change(&mut settings);
    let error = block(fetch(settings)).map(|fetched| fetched.publication).unwrap_err();
    let (said, url) = (chain(&error), feed.url(DOCUMENT));
    assert_eq!(error.class(), class, "{said}");
    assert!(said.contains(&words.replace("URL", url.as_str())), "`{said}` does not say `{words}`");
    feed
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_mirror_is_asked() {
    let feed = Feed::start();
    feed.on(
        DOCUMENT,
        Reply::ok(small()).header("ETag", "\"one\"").header("Last-Modified", "Mon, 09 Jun 2025 08:00:00 GMT"),
    );
    let fetched = fetch(mirror(&feed)).await.unwrap();
    assert_eq!(fetched.freshness, Freshness::Fresh);
    assert_eq!(fetched.bytes, small().into_bytes());
    assert_eq!(fetched.publication.date, Some(jiff::civil::date(2025, 6, 9)));
    assert_eq!(fetched.publication.origin, feed.url(DOCUMENT).as_str());
    assert_eq!(fetched.validators.etag.as_deref(), Some("\"one\""));
    assert_eq!(fetched.validators.last_modified.as_deref(), Some("Mon, 09 Jun 2025 08:00:00 GMT"));
    assert_eq!(fetched.warnings, [""; 0]);
    let [request] = &feed.requests()[..] else { panic!("{:?}", feed.paths()) };
    let agent = request.header("User-Agent").unwrap();
    assert!(agent.starts_with("tagwall/") && agent.contains("(+https://"), "{agent}");
    assert_eq!(request.header("If-None-Match"), None);
}

#[tokio::test]
async fn the_user_agent_is_configurable() {
    let feed = Feed::start();
    feed.on(DOCUMENT, Reply::ok(small()));
    fetch(Settings { user_agent: "curl/8.5.0".to_owned(), ..mirror(&feed) }).await.unwrap();
    assert_eq!(feed.requests()[0].header("User-Agent"), Some("curl/8.5.0"));
}

#[tokio::test]
async fn compressed_answers_are_read() {
    let feed = Feed::start();
    feed.on(DOCUMENT, Reply::ok(gzip(small().as_bytes())).header("Content-Encoding", "gzip"));
    assert_eq!(fetch(mirror(&feed)).await.unwrap().bytes, small().into_bytes());
    assert!(feed.requests()[0].header("Accept-Encoding").unwrap().contains("gzip"));
}

#[tokio::test]
async fn plain_http_serves_on_the_loopback_alone() {
    let feed = Feed::plain();
    feed.on(DOCUMENT, Reply::ok(small()));
    assert_eq!(fetch(mirror(&feed)).await.unwrap().freshness, Freshness::Fresh);
    let elsewhere = Url::parse("http://mirror.example/feed.json").unwrap();
    let error = fetch(Settings { kind: Kind::Url(elsewhere), ..Settings::default() }).await.unwrap_err();
    assert_eq!(chain(&error), "http://mirror.example/feed.json is not on a pinned host over https");
    // The download page is never plain.
    let error = fetch(feed.settings(Kind::Download)).await.unwrap_err();
    assert_eq!(error.class(), "forbidden");
}

#[tokio::test]
async fn redirects_stay_on_pinned_hosts() {
    let feed = Feed::start();
    feed.on("/moved.json", Reply::ok(small()));
    feed.on(DOCUMENT, Reply::redirect("/moved.json"));
    assert_eq!(fetch(mirror(&feed)).await.unwrap().freshness, Freshness::Fresh);
    assert_eq!(feed.paths(), [DOCUMENT, "/moved.json"]);

    // The same server under another name, so that what follows could succeed.
    let elsewhere = format!("https://{}/moved.json", feed.other_host());
    feed.reset();
    feed.on("/moved.json", Reply::ok(small()));
    feed.on(DOCUMENT, Reply::redirect(&elsewhere));
    let error = fetch(mirror(&feed)).await.unwrap_err();
    assert_eq!(chain(&error), format!("{elsewhere} is not on a pinned host over https"));
    assert_eq!(feed.paths(), [DOCUMENT]);
    let hosts = vec![feed.other_host()];
    assert_eq!(fetch(Settings { hosts, ..mirror(&feed) }).await.unwrap().freshness, Freshness::Fresh);
}

#[test]
fn redirects_to_anything_else_are_refused() {
    let plain = Feed::plain();
    plain.on("/feed.json", Reply::ok(small()));
    for to in [plain.url("/feed.json").as_str(), "https://user@localhost/", "ftp://localhost/x"] {
        let feed = check(Reply::redirect(to), "forbidden", "is not on a pinned host over https");
        assert_eq!(feed.paths(), [DOCUMENT], "{to}");
    }
    // Not even an address to the HTTP library.
    let feed = check(Reply::redirect("file:///etc/passwd"), "status", "URL answered with status 302");
    assert_eq!(feed.paths(), [DOCUMENT]);
    assert_eq!(plain.paths(), [""; 0]);
    let feed = check(Reply::redirect(DOCUMENT), "forbidden", "URL redirects in circles or too often");
    assert_eq!(feed.paths().len(), 6);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_trusted() {
    let (feed, other) = (Feed::start(), Feed::start());
    feed.on(DOCUMENT, Reply::ok(small()));
    for extra_ca in [None, Some(other.ca())] {
        let error = fetch(Settings { extra_ca, ..mirror(&feed) }).await.unwrap_err();
        assert_eq!(error.class(), "tls", "{}", chain(&error));
        assert!(!error.is_transient());
        assert!(error.hint().unwrap().contains("extra-ca"));
    }
    assert_eq!(feed.paths(), [""; 0]);
}

#[tokio::test]
async fn a_bad_file_of_certificates_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |name: &str, content: Option<&str>, words: &str| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = Source::new(Settings { extra_ca: Some(path.clone()), ..Settings::default() }).unwrap_err();
        assert!(
            chain(&error).starts_with(&format!("cannot use the certificates in `{}`: ", path.display())),
            "{}",
            chain(&error)
        );
        assert!(chain(&error).contains(words), "{}", chain(&error));
        assert!(error.hint().is_some());
    };
    check("missing.pem", None, "No such file").await;
    check("empty.pem", Some(""), "there is no certificate in it").await;
    check("text.pem", Some("not PEM at all"), "there is no certificate in it").await;
    check("broken.pem", Some("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"), "certificate").await;
    let agent = Source::new(Settings { user_agent: "two\nlines".to_owned(), ..Settings::default() }).unwrap_err();
    assert!(chain(&agent).contains("`user-agent`"), "{}", chain(&agent));
    check("nonsense.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "").await;
}

#[test]
fn failures_that_may_pass_are_tried_again() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let feed = check(Reply::status(status), "status", &format!("URL answered with status {status}"));
        assert_eq!(feed.paths().len(), 3, "{status}");
    }
    for status in [400, 401, 403, 404, 410, 204, 206, 304] {
        let feed = check(Reply::status(status), "status", &format!("URL answered with status {status}"));
        assert_eq!(feed.paths().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn one_good_answer_is_enough() {
    let feed = Feed::start();
    for reply in [Reply::status(503), Reply::cut(small(), 99), Reply::ok(small())] {
        feed.on(DOCUMENT, reply);
    }
    assert_eq!(fetch(mirror(&feed)).await.unwrap().freshness, Freshness::Fresh);
    assert_eq!(feed.paths().len(), 3);
}

#[test]
fn retry_after_is_honoured() {
    for wait in ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        for status in [429, 503] {
            let feed = check(Reply::status(status).header("Retry-After", wait), "status", "answered with status");
            assert_eq!(feed.paths().len(), 1, "a server that asks for an hour is not asked again");
        }
    }
    let feed = Feed::start();
    feed.on(DOCUMENT, Reply::status(503).header("Retry-After", "1"));
    feed.on(DOCUMENT, Reply::ok(small()));
    let start = Instant::now();
    block(fetch(mirror(&feed))).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "asked again too early");
}

#[test]
fn half_answers_are_no_answers() {
    let document = small();
    for after in [0, 1, document.len() / 2, document.len() - 1] {
        let feed = check(Reply::cut(document.clone(), after), "network", "no whole answer from URL: ");
        assert_eq!(feed.paths().len(), 3);
    }
    check(Reply::nothing(), "network", "no whole answer from URL: ");
    let damaged = &gzip(document.as_bytes())[..99];
    check(Reply::ok(damaged).header("Content-Encoding", "gzip"), "network", "no whole answer from URL: ");
    // Cut before its end and sent as if whole, as a broken cache does.
    let feed = check(Reply::ok(&document.as_bytes()[..700]), "document", "the document breaks off after 700 bytes");
    assert_eq!(feed.paths().len(), 3);
}

#[test]
fn silence_and_slowness_are_bounded() {
    let read_timeout = |settings: &mut Settings| settings.read_timeout = Duration::from_millis(100);
    check_with(Reply::stall(small(), 300), read_timeout, "network", "no whole answer from URL: ");
    // Never silent for long and never done: only the total ends it.
    let total_timeout = |settings: &mut Settings| settings.total_timeout = Duration::from_millis(500);
    let drip = Reply::drip(vec![b' '; 1 << 20], Duration::from_millis(10));
    check_with(drip, total_timeout, "network", "fetching took longer than 0.5 s");
}

#[tokio::test]
async fn a_server_that_never_speaks_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/feed.json", listener.local_addr().unwrap())).unwrap();
    let connect_timeout = Duration::from_millis(100);
    let error = fetch(Settings { kind: Kind::Url(url), connect_timeout, attempts: 1, ..Settings::default() })
        .await
        .unwrap_err();
    assert_eq!(error.class(), "network", "{}", chain(&error));
}

#[tokio::test]
async fn nobody_there_is_told() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/feed.json")).unwrap();
    let error = fetch(Settings { kind: Kind::Url(url), attempts: 1, ..Settings::default() }).await.unwrap_err();
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
    assert!(error.hint().unwrap().contains("HTTPS_PROXY"));
}

#[test]
fn answers_without_a_reasonable_end_are_cut_off() {
    let limited = |settings: &mut Settings| settings.max_bytes = 100_000;
    let words = "URL is larger than 100000 bytes";
    check_with(Reply::ok(vec![b' '; 100_001]), limited, "too-large", words);
    check_with(Reply::endless(vec![b' '; 1000]), limited, "too-large", words);
    let bomb = gzip(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 20_000);
    let feed = check_with(Reply::ok(bomb).header("Content-Encoding", "gzip"), limited, "too-large", words);
    assert_eq!(feed.paths().len(), 1);
    // Exactly the limit is within it.
    check_with(Reply::ok(vec![b' '; 100_000]), limited, "document", "the document is empty");
}

#[test]
fn another_cloud_is_an_error_of_its_own() {
    let check = |document: String, found: &str| {
        let words = format!("URL is the publication of cloud `{found}`, not of `China`");
        let feed = check_with(Reply::ok(document), |settings| settings.cloud = Cloud::China, "wrong-cloud", &words);
        assert_eq!(feed.paths().len(), 1);
    };
    check(small(), "Public");
    check(document_of("AzureGermany", 1, &[("Sql", &[])]), "AzureGermany");
}

#[test]
fn every_real_failure_is_tried_again_and_told() {
    let Some(bodies) = data::feed_failures() else { return };
    for (name, body) in bodies {
        let feed = check(Reply::ok(body), "document", "URL is not a service-tag document: ");
        assert_eq!(feed.paths().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ServiceTags_Public_20250609.json");
    std::fs::write(&path, small()).unwrap();
    let file = |path: &Path| Settings { kind: Kind::File(path.to_owned()), ..Settings::default() };
    let fetched = fetch(file(&path)).await.unwrap();
    assert_eq!((fetched.freshness, fetched.url, fetched.bytes), (Freshness::Fresh, None, small().into_bytes()));
    assert_eq!(fetched.publication.date, Some(jiff::civil::date(2025, 6, 9)));
    assert_eq!(fetched.publication.origin, path.display().to_string());

    let said = async |settings| chain(&fetch(settings).await.unwrap_err());
    let missing = folder.path().join("missing.json");
    assert_eq!(
        said(file(&missing)).await,
        format!("cannot read `{}`: No such file or directory (os error 2)", missing.display())
    );
    assert!(said(file(folder.path())).await.starts_with("cannot read"));
    let max_bytes = small().len() as u64;
    let limited = |max_bytes| Settings { max_bytes, ..file(&path) };
    assert!(fetch(limited(max_bytes)).await.is_ok());
    assert!(said(limited(max_bytes - 1)).await.ends_with(&format!("is larger than {} bytes", max_bytes - 1)));
    let china = Settings { cloud: Cloud::China, ..file(&path) };
    assert!(fetch(china).await.unwrap_err().is_wrong_cloud());
    // Endless, and with no size to be seen before.
    assert!(said(Settings { max_bytes, ..file(Path::new("/dev/zero")) }).await.contains("is larger than"));
}

/// Runs in a process of its own, as the environment belongs to the whole process.
#[tokio::test]
#[ignore = "run by `the_proxy_of_the_environment_is_used`"]
async fn fetch_in_the_environment() {
    let kind = Kind::Url(std::env::var("TEST_FEED").unwrap().parse().unwrap());
    let extra_ca = Some(std::env::var_os("TEST_CA").unwrap().into());
    fetch(Settings { kind, extra_ca, attempts: 1, ..Settings::default() }).await.unwrap();
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    let (feed, proxy) = (Feed::start(), Proxy::start().await);
    feed.on(DOCUMENT, Reply::ok(small()));
    let run = async |variables: &[(&str, String)]| {
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "source::http::fetch_in_the_environment", "--ignored", "--nocapture"]);
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(variable);
        }
        command.env("TEST_FEED", feed.url(DOCUMENT).as_str()).env("TEST_CA", feed.ca());
        let output = command.envs(variables.iter().cloned()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        proxy.asked().len()
    };
    let address = ("HTTPS_PROXY", format!("http://{}", proxy.address));
    assert_eq!(run(&[]).await, 0);
    assert_eq!(run(std::slice::from_ref(&address)).await, 1);
    assert_eq!(proxy.asked(), [format!("CONNECT {} HTTP/1.1", feed.host())]);
    assert_eq!(run(&[address, ("NO_PROXY", "localhost".to_owned())]).await, 1);
    assert_eq!(feed.paths().len(), 3);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
