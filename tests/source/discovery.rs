//! Azure's own API: pages, who may ask, and that it is a series of its own.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tagwall::source::{Account, Discovery, Fetched, Freshness, Kind, LastGood, Settings, Source, SourceError, parse};
use tagwall_arm::{Clients, CredentialKind, Environment, Pace, Requests};
use tagwall_fake_arm::{Behaviour, FakeArm, Fault, FaultKind, Options, from_download};

use super::chain;
use crate::support::data;
use crate::support::feed_document::{document, document_of, small};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const READ: &str = "Microsoft.Network/locations/serviceTags/read";

/// A stand-in that has the small document, and a folder to keep it in.
struct Bench {
    arm: FakeArm,
    folder: tempfile::TempDir,
    last_good: LastGood,
    clients: Clients,
}

impl Bench {
    fn new() -> Self {
        let (arm, folder) = (FakeArm::start(Options::default()), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("ca.pem"), arm.ca_pem()).unwrap();
        let last_good = LastGood::open(folder.path().join("state"));
        let bench = Self { arm, folder, last_good, clients: clients(Duration::from_millis(200)) };
        bench.publish(&small(), 1);
        bench
    }

    /// The stand-in answers with what the API would make of this document, so many tags a page.
    fn publish(&self, document: &str, page: usize) {
        self.answer(from_download(&serde_json::from_str(document).unwrap()), page);
    }

    fn answer(&self, answer: Value, page: usize) {
        self.arm.put_service_tags(answer);
        self.arm.set(Behaviour { tags_page_size: page, ..self.arm.behaviour() });
    }

    fn settings(&self) -> Settings {
        let account = Account {
            credential: CredentialKind::Environment,
            endpoint: Some(self.arm.url()),
            authority: Some(self.arm.authority()),
            ca_file: Some(self.folder.path().join("ca.pem")),
            ..Account::default()
        };
        let from = Discovery { subscription: SUBSCRIPTION.to_owned(), location: "westeurope".to_owned(), account };
        Settings { kind: Kind::Discovery(Box::new(from)), ..Settings::default() }
    }

    fn source(&self, settings: Settings) -> Source {
        Source::new(settings).unwrap().asking_by(&self.clients)
    }

    async fn fetch(&self) -> Result<Fetched, SourceError> {
        self.source(self.settings()).fetch(Some(&self.last_good)).await
    }

    async fn store(&self) {
        self.last_good.store(&self.fetch().await.unwrap()).unwrap();
    }

    fn asked(&self) -> usize {
        self.arm.exchanges().iter().filter(|exchange| exchange.path.ends_with("/serviceTags")).count()
    }

    fn file(&self, document: &str) -> Settings {
        let path: PathBuf = self.folder.path().join("feed.json");
        std::fs::write(&path, document).unwrap();
        Settings { kind: Kind::File(path), ..Settings::default() }
    }
}

/// Clients that have a secret, and this patience with trouble that may pass.
fn clients(patience: Duration) -> Clients {
    let [first, longest, poll] = [1, 20, 1].map(Duration::from_millis);
    let pace = Pace { first, longest, patience, poll, operation: patience };
    Clients::new(pace, Environment::of(|_| Some("value".to_owned())))
}

fn status(status: u16, code: &str) -> FaultKind {
    FaultKind::status(status, code, "as somebody said", None)
}

#[tokio::test]
async fn all_pages_are_one_publication() {
    let bench = Bench::new();
    let mut hashes = Vec::new();
    for (page, asked) in [(1, 3), (2, 2), (200, 1)] {
        bench.arm.clear_exchanges();
        bench.publish(&small(), page);
        let fetched = bench.fetch().await.unwrap();
        assert_eq!((bench.asked(), fetched.freshness), (asked, Freshness::Fresh));
        let file = parse(small().as_bytes(), "file", None).unwrap();
        assert_eq!(fetched.publication.change_number, file.change_number);
        assert_eq!(fetched.publication.unknown_fields, 0);
        for (tag, of_file) in fetched.publication.tags.iter().zip(&file.tags) {
            assert_eq!((&tag.name, &tag.region, tag.change_number), (&of_file.name, &of_file.region, 1));
            assert_eq!((&tag.v4, &tag.v6), (&of_file.v4, &of_file.v6));
        }
        assert_eq!(fetched.publication.origin, "the Service Tag Discovery API in westeurope");
        hashes.push(fetched.publication.sha256);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "how it is paged is no part of the list");
}

/// The largest list there is, in pages, has each prefix of Microsoft's own file.
#[tokio::test]
async fn a_real_publication_is_read_whole() {
    let Some(path) = data::of_cloud("Public").and_then(|files| files.last().cloned()) else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let bench = Bench::new();
    bench.publish(&text, 500);
    let (fetched, file) = (bench.fetch().await.unwrap(), parse(text.as_bytes(), "file", None).unwrap());
    assert!(bench.asked() > 5 && fetched.publication.tags.len() == file.tags.len());
    for tag in &fetched.publication.tags {
        let of_file = file.tag(&tag.name).unwrap();
        let sorted = |tag: &tagwall::source::Tag| {
            let (mut v4, mut v6) = (tag.v4.clone(), tag.v6.clone());
            v4.sort_unstable();
            v6.sort_unstable();
            (v4, v6)
        };
        assert_eq!(sorted(tag), sorted(of_file), "{}", tag.name);
    }
}

/// What a failing fetch is called, whether the last good list stands in for it, and what is said.
async fn check(fault: impl Fn(&Bench), class: &str, bridged: bool, says: &str) {
    let bench = Bench::new();
    fault(&bench);
    let error = bench.fetch().await.expect_err(says);
    let told = format!("{} hint: {}", chain(&error), error.hint().unwrap_or_default());
    assert!(told.contains(says), "{told}");
    assert_eq!((error.class(), error.may_be_bridged()), (class, bridged), "{told}");

    let bench = Bench::new();
    bench.store().await;
    fault(&bench);
    match bench.fetch().await {
        Ok(fetched) => {
            assert!(bridged, "{says} was bridged");
            assert!(matches!(fetched.freshness, Freshness::LastGood { .. }), "{:?}", fetched.freshness);
            assert_eq!(fetched.publication.tags.len(), 3);
            let said = |warning: &String| warning.starts_with("the Service Tag Discovery API gave no list: ");
            assert!(fetched.warnings.iter().any(said), "{:?}", fetched.warnings);
        }
        Err(error) => assert!(!bridged, "{says} was not bridged: {error}"),
    }
}

#[tokio::test]
async fn trouble_is_bridged_as_the_downloads_is() {
    let always =
        |kind: FaultKind| move |bench: &Bench| bench.arm.fault(Fault::new("GET", "serviceTags", kind.clone()).always());
    check(always(status(500, "InternalServerError")), "status", true, "answered with 500").await;
    check(always(status(404, "SubscriptionNotFound")), "status", true, "are `subscription` and `location` right").await;
    check(always(FaultKind::CutBefore), "network", true, "no answer from `localhost`").await;
    // In the middle of a page, and between two pages.
    check(always(FaultKind::CutMiddle), "network", true, "no answer from `localhost`").await;
    let second = |bench: &Bench| bench.arm.fault(Fault::new("GET", "serviceTags", status(503, "X")).nth(2).always());
    check(second, "status", true, "answered with 503").await;
    let forbidden = |bench: &Bench| {
        bench
            .arm
            .set(Behaviour { allowed_actions: Some(vec!["*/securityRules/read".to_owned()]), ..bench.arm.behaviour() });
    };
    check(forbidden, "status", true, READ).await;
}

#[tokio::test]
async fn what_is_no_list_or_nobody_we_know_is_not_bridged() {
    let always =
        |kind: FaultKind| move |bench: &Bench| bench.arm.fault(Fault::new("GET", "serviceTags", kind.clone()).always());
    check(always(FaultKind::Html(200)), "document", false, "something else").await;
    let elsewhere = FaultKind::NextPage("https://management.azure.com.example.org/page".to_owned());
    check(
        always(elsewhere),
        "forbidden",
        false,
        "an address at `management.azure.com.example.org`, which gets no token",
    )
    .await;
    check(always(FaultKind::NextPage("nonsense".to_owned())), "document", false, "the next page's address is none")
        .await;
    let first = |bench: &Bench| {
        let path =
            format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/westeurope/serviceTags");
        let next = format!("{}{path}?api-version=2024-03-01", bench.arm.url());
        bench.arm.fault(Fault::new("GET", "serviceTags", FaultKind::NextPage(next)).always());
    };
    check(first, "document", false, "go round in a circle").await;
    let with = |change: fn(&mut Value)| {
        move |bench: &Bench| {
            let mut answer = from_download(&serde_json::from_str(&small()).unwrap());
            change(&mut answer);
            bench.answer(answer, 2);
        }
    };
    let prefix = with(|answer| answer["values"][1]["properties"]["addressPrefixes"][0] = json!("203.0.113.1/24"));
    check(prefix, "document", false, "tag `Storage`: prefix `203.0.113.1/24` has bits set below its length").await;
    // A tag on two pages.
    let twice = with(|answer| {
        let again = answer["values"][0].clone();
        answer["values"].as_array_mut().unwrap().push(again);
    });
    check(twice, "document", false, "the name `AzureActiveDirectory` is there twice").await;
    check(with(|answer| answer["changeNumber"] = json!("x")), "document", false, "a change number as a text of digits")
        .await;
    check(with(|answer| answer["cloud"] = json!("China")), "wrong-cloud", false, "is the publication of cloud `China`")
        .await;
    let secret = |bench: &Bench| {
        bench.arm.set(Behaviour { client_secret: Some("another".to_owned()), ..bench.arm.behaviour() });
        bench.arm.fault(Fault::new("GET", "", FaultKind::ExpireTokens).always());
    };
    check(secret, "credential", false, "`credential` says where to get one").await;
}

/// The host is held against ours before there is a token to send.
#[tokio::test]
async fn nothing_is_asked_of_another_host() {
    let (bench, other) = (Bench::new(), Bench::new());
    let next = format!("https://127.0.0.1:{}/subscriptions/x/serviceTags", other.arm.port());
    bench.arm.fault(Fault::new("GET", "serviceTags", FaultKind::NextPage(next)));
    bench.fetch().await.unwrap_err();
    assert!(other.arm.exchanges().is_empty(), "it was asked");
    // The control: a next page at home is asked for.
    assert_eq!(bench.asked(), 1);
    bench.fetch().await.unwrap();
    assert_eq!(bench.asked(), 4);
}

#[tokio::test]
async fn a_throttled_page_is_asked_for_again() {
    let bench = Bench { clients: clients(Duration::from_mins(1)), ..Bench::new() };
    bench.arm.fault(Fault::new("GET", "serviceTags", FaultKind::throttled(Some(0))).nth(2).times(2));
    assert_eq!(bench.fetch().await.unwrap().freshness, Freshness::Fresh);
    let Requests { calls, retries, .. } = bench.clients.requests();
    assert_eq!((calls, retries, bench.arm.faults_left()), (5, 2, 0));
}

/// File and API count each for itself, so neither stands in for the other; two files do.
#[tokio::test]
async fn no_list_of_another_series_stands_in() {
    let bench = Bench::new();
    let file = Source::new(bench.file(&small())).unwrap();
    bench.last_good.store(&file.fetch(None).await.unwrap()).unwrap();
    bench.arm.fault(Fault::new("GET", "serviceTags", status(500, "X")).always());
    assert_eq!(bench.fetch().await.unwrap_err().class(), "status");
    assert!(Source::remembered(&bench.settings(), &bench.last_good).unwrap().is_none());

    let bench = Bench::new();
    bench.store().await;
    let closed: url::Url = "http://127.0.0.1:1/x.json".parse().unwrap();
    let mirror = Settings { kind: Kind::Url(closed), attempts: 1, ..Settings::default() };
    let source = Source::new(mirror).unwrap();
    assert_eq!(source.fetch(Some(&bench.last_good)).await.unwrap_err().class(), "network");
    // The control: a file's does.
    bench.last_good.store(&Source::new(bench.file(&small())).unwrap().fetch(None).await.unwrap()).unwrap();
    let fetched = source.fetch(Some(&bench.last_good)).await.unwrap();
    assert!(matches!(fetched.freshness, Freshness::LastGood { .. }));
    assert!(Source::remembered(&bench.settings(), &bench.last_good).unwrap().is_some());
}

/// What there is to compare with is fetched beside, and its trouble is no trouble of ours.
#[tokio::test]
async fn another_source_is_fetched_only_to_compare() {
    let bench = Bench::new();
    let compare = Some(Box::new(bench.file(&document(9, &[("Storage", &["203.0.113.0/24"])]))));
    let source = bench.source(Settings { compare, ..bench.settings() });
    assert!(source.fetch(None).await.unwrap().compared.is_none());
    let compared = source.fetch_and_compare(None).await.unwrap().compared.unwrap();
    assert_eq!((compared.kind, compared.publication.unwrap().change_number), ("file", 9));

    let china = Some(Box::new(bench.file(&document_of("China", 9, &[("Storage", &["203.0.113.0/24"])]))));
    let fetched = bench.source(Settings { compare: china, ..bench.settings() }).fetch_and_compare(None).await.unwrap();
    assert_eq!(fetched.publication.tags.len(), 3);
    assert!(fetched.compared.unwrap().trouble().unwrap().contains("is the publication of cloud `China`"));

    // The other way round; and where the source itself has nothing, nor is there anything to compare.
    let compare = Some(Box::new(bench.settings()));
    let file = bench.source(Settings { compare, ..bench.file(&small()) });
    assert_eq!(file.fetch_and_compare(None).await.unwrap().compared.unwrap().publication.unwrap().tags.len(), 3);
    bench.arm.fault(Fault::new("GET", "serviceTags", status(403, "AuthorizationFailed")).always());
    let compared = file.fetch_and_compare(None).await.unwrap().compared.unwrap();
    assert!(compared.trouble().unwrap().contains("AuthorizationFailed"), "{compared:?}");
    std::fs::remove_file(bench.folder.path().join("feed.json")).unwrap();
    assert_eq!(file.fetch_and_compare(None).await.unwrap_err().class(), "read");
}

#[tokio::test]
async fn a_check_says_who_asked_and_whether_they_may() {
    let bench = Bench::new();
    let told = bench.source(bench.settings()).check().await.unwrap();
    assert!(told[0].starts_with("asked as ") && told[0].ends_with("by a client secret of the environment"), "{told:?}");
    assert_eq!(told[1], format!("{READ} is allowed: 3 tags, change number 376"));
    bench.arm.set(Behaviour { allowed_actions: Some(Vec::new()), ..bench.arm.behaviour() });
    let error = bench.source(bench.settings()).check().await.unwrap_err();
    assert!(chain(&error).contains(READ) && error.hint().unwrap().contains("Reader"), "{}", chain(&error));
    // Nothing is asked for other kinds.
    assert!(bench.source(bench.file("no document")).check().await.unwrap().is_empty());
}
