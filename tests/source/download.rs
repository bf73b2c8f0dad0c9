//! Microsoft's download page, in each form it is recorded to have had, and without it.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use tagwall::source::{Cloud, Fetched, Freshness, Kind, LastGood, Settings, Source, SourceError};

use super::chain;
use crate::support::data;
use crate::support::feed::{CONFIRMATION, Feed, PAGE, Reply};
use crate::support::feed_document::{document_of, small};

const FOLDER: &str = "/download/7/1/d/71d86715-5596-4529-9b13-da13a5de5b63";

const FORMS: [&str; 4] = [
    include_str!("../fixtures/pages/link.html"),
    include_str!("../fixtures/pages/several.html"),
    include_str!("../fixtures/pages/details-json.html"),
    include_str!("../fixtures/pages/confirmation.html"),
];

fn page(feed: &Feed, form: &str) -> Reply {
    Reply::ok(form.replace("HOST", &feed.host())).header("Content-Type", "text/html; charset=utf-8")
}

fn document(day: Date) -> String {
    format!("{FOLDER}/ServiceTags_Public_{}.json", day.strftime("%Y%m%d"))
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The last Mondays, the newest first.
fn mondays() -> impl Iterator<Item = Date> {
    let tomorrow = today().tomorrow().unwrap();
    std::iter::successors(Some(tomorrow), |day| day.nth_weekday(-1, Weekday::Monday).ok()).skip(1)
}

async fn fetch(feed: &Feed, last_good: Option<&LastGood>) -> Result<Fetched, SourceError> {
    Source::new(feed.settings(Kind::Download))?.fetch(last_good).await
}

#[tokio::test]
async fn every_known_form_leads_to_the_newest_document() {
    for form in FORMS {
        let feed = Feed::start();
        feed.on(PAGE, page(&feed, form));
        let newest = if form == FORMS[1] {
            "/download/7/1/D/71D86715-5596-4529-9B13-DA13A5DE5B63/SERVICETAGS_PUBLIC_20250609.JSON".to_owned()
        } else {
            document(date(2025, 6, 9))
        };
        feed.on(&newest, Reply::ok(small()));
        let fetched = fetch(&feed, None).await.unwrap();
        assert_eq!((fetched.freshness, fetched.warnings), (Freshness::Fresh, Vec::new()));
        assert_eq!(fetched.url, Some(feed.url(&newest)));
        assert_eq!(fetched.publication.date, Some(date(2025, 6, 9)));
        assert_eq!(feed.paths(), [PAGE, newest.as_str()]);
        assert!(feed.requests()[0].header("User-Agent").unwrap().starts_with("tagwall/"));
    }
}

/// A details page that is of no use, with the words that are said about it.
async fn check_confirmation(reply: Reply, words: &str) {
    let feed = Feed::start();
    feed.on(PAGE, reply).on(CONFIRMATION, page(&feed, FORMS[3])).on(&document(date(2025, 6, 9)), Reply::ok(small()));
    let fetched = fetch(&feed, None).await.unwrap();
    assert_eq!(fetched.freshness, Freshness::Fresh);
    let [warning] = &fetched.warnings[..] else { panic!("{:?}", fetched.warnings) };
    assert!(warning.contains(words), "{warning}");
}

#[tokio::test]
async fn the_confirmation_page_stands_in() {
    check_confirmation(Reply::status(404), "details.aspx?… answered with status 404").await;
    check_confirmation(Reply::status(500), "answered with status 500").await;
    check_confirmation(Reply::ok(""), "has no link to a service-tag document of public").await;
    check_confirmation(Reply::ok(vec![b' '; 5 << 20]), "is larger than 4194304 bytes").await;
    check_confirmation(Reply::redirect("https://evil.example/"), "https://evil.example/ is not on a pinned host").await;
    for (_, body) in data::feed_failures().unwrap_or_default() {
        check_confirmation(Reply::ok(body), "has no link to a service-tag document of public").await;
    }
}

/// A page that leads nowhere: nothing but the two pages is asked, and these words are said.
async fn check_astray(page: &str, words: &str) {
    let feed = Feed::start();
    let page = page.replace("HOST", &feed.host());
    feed.on(PAGE, Reply::ok(page.clone())).on(CONFIRMATION, Reply::ok(page));
    let error = fetch(&feed, None).await.unwrap_err();
    assert_eq!((error.class(), feed.paths()), ("no-link", vec![PAGE.to_owned(), CONFIRMATION.to_owned()]));
    assert!(chain(&error).contains(words), "`{}` does not say `{words}`", chain(&error));
    assert!(error.hint().unwrap().contains("--feed"));
}

#[tokio::test]
async fn hostile_pages_lead_nowhere() {
    let name = "ServiceTags_Public_20250609.json";
    check_astray("<html><title>We moved</title></html>", "details.aspx?… has no link").await;
    for address in [
        "https://evil.example/",
        "http://HOST/",
        "https://HOST@evil.example/",
        "https://HOST/a/../",
        "javascript:x/",
        "https://HOST.evil.example/",
    ] {
        check_astray(&format!("<a href='{address}{name}'>"), "only one that may not be followed: `").await;
    }
    check_astray("<a href='https://HOST/ServiceTags_China_20250609.json'>", "only other files: `https://localhost:")
        .await;
    check_astray("<a href='https://HOST/ServiceTags_Public_20250609.json.exe'>", "only other files: `").await;
    check_astray(&format!("<!-- https://HOST/{name} -->"), "no link to a service-tag document of public").await;
}

#[tokio::test]
async fn the_other_clouds_have_pages_of_their_own() {
    for (cloud, name, id) in [
        (Cloud::Public, "Public", 56519),
        (Cloud::UsGovernment, "AzureGovernment", 57063),
        (Cloud::China, "China", 57062),
    ] {
        let feed = Feed::start();
        let page = format!("/en-us/download/details.aspx?id={id}");
        let document = format!("/x/ServiceTags_{name}_20250609.json");
        let links = ["Public", "AzureGovernment", "China"]
            .map(|name| feed.url(&format!("/x/ServiceTags_{name}_20250609.json")).to_string());
        feed.on(&page, Reply::ok(links.join("\n"))).on(&document, Reply::ok(document_of(name, 1, &[("Sql", &[])])));
        let settings = Settings { cloud, page: Some(feed.url(&page)), ..feed.settings(Kind::Download) };
        assert_eq!(Source::new(settings).unwrap().fetch(None).await.unwrap().publication.cloud, cloud);
    }
}

#[tokio::test]
async fn the_wrong_document_behind_the_right_name_is_refused() {
    let feed = Feed::start();
    let folder = tempfile::tempdir().unwrap();
    let last_good = LastGood::open(folder.path());
    feed.on(PAGE, page(&feed, FORMS[0])).on(&document(date(2025, 6, 9)), Reply::ok(small()));
    last_good.store(&fetch(&feed, None).await.unwrap()).unwrap();
    feed.reset();
    let other = document_of("China", 376, &[("Sql", &["192.0.2.0/24"])]);
    feed.on(PAGE, page(&feed, FORMS[0])).on(&document(date(2025, 6, 9)), Reply::ok(other));
    let error = fetch(&feed, Some(&last_good)).await.unwrap_err();
    assert!(error.is_wrong_cloud(), "{}", chain(&error));
}

/// A feed whose document of that day was fetched and stored, and whose pages have gone since.
async fn without_pages(day: Date) -> (Feed, tempfile::TempDir, LastGood) {
    let (feed, folder) = (Feed::start(), tempfile::tempdir().unwrap());
    let last_good = LastGood::open(folder.path());
    feed.on(PAGE, Reply::ok(feed.url(&document(day)).to_string()));
    feed.on(&document(day), Reply::ok(small()).header("ETag", "\"known\""));
    last_good.store(&fetch(&feed, None).await.unwrap()).unwrap();
    feed.reset();
    (feed, folder, last_good)
}

#[tokio::test]
async fn without_pages_a_newer_document_is_found_by_its_name() {
    let days: Vec<Date> = mondays().take(4).collect();
    let (feed, _folder, last_good) = without_pages(days[3]).await;
    feed.on(&document(days[1]), Reply::ok(small().replace("376", "377")));
    let fetched = fetch(&feed, Some(&last_good)).await.unwrap();
    assert_eq!((fetched.freshness, fetched.publication.change_number), (Freshness::Fresh, 377));
    assert_eq!(fetched.publication.date, Some(days[1]));
    assert_eq!(feed.paths(), [PAGE.to_owned(), CONFIRMATION.to_owned(), document(days[0]), document(days[1])]);
    let said = fetched.warnings.join("\n");
    assert!(said.contains("details.aspx?… answered with status 404"), "{said}");
    assert!(said.contains("was found by its name alone"), "{said}");
}

#[tokio::test]
async fn without_pages_the_known_document_is_asked_for_last() {
    let days: Vec<Date> = mondays().take(3).collect();
    let (feed, _folder, last_good) = without_pages(days[2]).await;
    feed.on(&document(days[2]), Reply::status(304));
    // Not there, and a page with status 200 says so.
    feed.on(&document(days[0]), Reply::ok("<title>404 - File or directory not found.</title>"));
    let fetched = fetch(&feed, Some(&last_good)).await.unwrap();
    assert_eq!((fetched.freshness, fetched.bytes), (Freshness::NotModified, small().into_bytes()));
    let expect = [PAGE.to_owned(), CONFIRMATION.to_owned(), document(days[0]), document(days[1]), document(days[2])];
    assert_eq!(feed.paths(), expect);
    assert_eq!(feed.requests()[4].header("If-None-Match"), Some("\"known\""));
    assert_eq!(feed.requests()[2].header("If-None-Match"), None);
}

#[tokio::test]
async fn without_anything_the_last_good_one_stands() {
    let (feed, _folder, last_good) = without_pages(date(2025, 6, 9)).await;
    let fetched = fetch(&feed, Some(&last_good)).await.unwrap();
    let Freshness::LastGood { because, .. } = &fetched.freshness else { panic!("{:?}", fetched.freshness) };
    assert!(because.contains("details.aspx?… answered with status 404"), "{because}");
    assert_eq!(fetched.bytes, small().into_bytes());
    // And as many weeks as are looked for: two pages, five Mondays, the known one.
    assert_eq!(feed.paths().len(), 8);
}

#[tokio::test]
async fn a_page_that_leads_astray_is_not_gone_round_by_names() {
    let (feed, _folder, last_good) = without_pages(date(2025, 6, 9)).await;
    // The known document is there and unchanged: nothing but the page is wrong.
    feed.on(&document(date(2025, 6, 9)), Reply::status(304));
    feed.on(PAGE, Reply::redirect("https://evil.example/"));
    assert_eq!(fetch(&feed, Some(&last_good)).await.unwrap_err().class(), "forbidden");
    feed.reset();
    feed.on(&document(date(2025, 6, 9)), Reply::status(304));
    feed.on(CONFIRMATION, Reply::redirect("https://evil.example/"));
    assert_eq!(fetch(&feed, Some(&last_good)).await.unwrap_err().class(), "forbidden");
    assert_eq!(feed.paths(), [PAGE, CONFIRMATION]);
}

#[tokio::test]
async fn a_document_that_was_found_by_name_must_be_one() {
    let days: Vec<Date> = mondays().take(2).collect();
    let (feed, _folder, last_good) = without_pages(days[1]).await;
    feed.on(&document(days[0]), Reply::ok(small().replace("192.0.2.0/25", "192.0.2.1/25")));
    assert_eq!(fetch(&feed, Some(&last_good)).await.unwrap_err().class(), "document");
}

#[tokio::test]
async fn a_document_that_was_found_by_name_may_be_of_the_wrong_cloud() {
    let days: Vec<Date> = mondays().take(2).collect();
    let (feed, _folder, last_good) = without_pages(days[1]).await;
    feed.on(&document(days[0]), Reply::ok(document_of("China", 376, &[("Sql", &[])])));
    assert!(fetch(&feed, Some(&last_good)).await.unwrap_err().is_wrong_cloud());
}

#[tokio::test]
async fn an_unreachable_page_is_not_asked_twice_over() {
    let (feed, _folder, last_good) = without_pages(date(2025, 6, 9)).await;
    feed.on(PAGE, Reply::nothing());
    let fetched = fetch(&feed, Some(&last_good)).await.unwrap();
    assert!(matches!(fetched.freshness, Freshness::LastGood { .. }));
    let paths = feed.paths();
    assert_eq!(paths.iter().filter(|path| *path == PAGE).count(), 3);
    assert!(!paths.contains(&CONFIRMATION.to_owned()), "{paths:?}");
}
