use jiff::civil::date;

use super::*;

const PATH: &str = "/download/7/1/d/71d86715-5596-4529-9b13-da13a5de5b63";

fn find(page: &str) -> Result<Link, String> {
    let pins = Pins::new(&["www.microsoft.com".to_owned(), "download.microsoft.com".to_owned()]);
    newest_link(&page.replace("HOST", "download.microsoft.com"), Cloud::Public, &pins, date(2025, 6, 12))
}

/// Finds that file on a page.
#[track_caller]
fn check(page: &str, file: &str) {
    let link = find(page).unwrap();
    assert_eq!(link.url.as_str(), format!("https://download.microsoft.com{file}"));
    assert_eq!(Some(link.date), date_in(file));
}

/// Finds nothing on a page, and says what came near.
#[track_caller]
fn check_none(page: &str, seen: &str) {
    assert_eq!(find(page).map(|link| link.url), Err(seen.to_owned()), "{page}");
}

/// A page with one link is as good as its link.
#[track_caller]
fn check_refused(address: &str) {
    check_none(
        &format!("<a href=\"{address}\">"),
        &format!(", only one that may not be followed: `{}`", shown(&without_secrets(address))),
    );
}

#[test]
fn every_known_form_is_understood() {
    let newest = format!("{PATH}/ServiceTags_Public_20250609.json");
    check(include_str!("../../../tests/fixtures/pages/link.html"), &newest);
    check(include_str!("../../../tests/fixtures/pages/details-json.html"), &newest);
    check(include_str!("../../../tests/fixtures/pages/confirmation.html"), &newest);
    let several = include_str!("../../../tests/fixtures/pages/several.html");
    check(several, "/download/7/1/D/71D86715-5596-4529-9B13-DA13A5DE5B63/SERVICETAGS_PUBLIC_20250609.JSON");
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    for around in [
        "<a href=\"X\">",
        "<a href='X'>",
        "<a href=X>",
        "<a href=X />",
        "(X)",
        "[X]",
        "\"url\":\"X\"",
        "`X`",
        "X",
        "ö X ö",
        "{{X}}",
        "<!-- --> X",
        "window.location='X';",
        "&quot;X&quot;",
        "a?redirect=X",
    ] {
        check(
            &around.replace('X', "https://HOST/a/ServiceTags_Public_20250609.json"),
            "/a/ServiceTags_Public_20250609.json",
        );
    }
    check("<a href=\"//HOST/a/ServiceTags_Public_20250609.json\">", "/a/ServiceTags_Public_20250609.json");
    check(
        "<a href=\"HTTPS://Download.Microsoft.COM:443/a/ServiceTags_Public_20250609.json\">",
        "/a/ServiceTags_Public_20250609.json",
    );
}

#[test]
fn the_greatest_date_wins_whatever_the_order() {
    let link = |day: u32| format!("<a href='https://HOST/a/ServiceTags_Public_202506{day:02}.json'>");
    for days in [[2, 9], [9, 2]] {
        check(&days.map(link).concat(), "/a/ServiceTags_Public_20250609.json");
    }
    // A week ahead is a week ahead; a slip of the pen would hide every later document.
    check(&[9, 19].map(link).concat(), "/a/ServiceTags_Public_20250619.json");
    check(&[9, 20].map(link).concat(), "/a/ServiceTags_Public_20250609.json");
}

#[test]
fn nothing_leads_astray() {
    check_refused("http://download.microsoft.com/a/ServiceTags_Public_20250609.json");
    check_refused("https://evil.example/a/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com@evil.example/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com:443@evil.example/ServiceTags_Public_20250609.json");
    check_refused("https://user:word@download.microsoft.com/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com.evil.example/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com:8443/ServiceTags_Public_20250609.json");
    check_refused("https:\\\\evil.example\\ServiceTags/ServiceTags_Public_20250609.json");
    check_refused("https://evil.example\\@download.microsoft.com/ServiceTags_Public_20250609.json");
    check_refused("javascript:go/ServiceTags_Public_20250609.json");
    check_refused("data:text/json/ServiceTags_Public_20250609.json");
    check_refused("ftp://download.microsoft.com/ServiceTags_Public_20250609.json");
    check_refused("/download/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com/a/../b/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com/a/%2e%2e/ServiceTags_Public_20250609.json");
    check_refused("https://download.microsoft.com/a/ServiceTags_Public_20260609.json");
    check_refused("https://dоwnload.microsoft.com/a/ServiceTags_Public_20250609.json");
}

#[test]
fn names_that_look_alike_are_other_files() {
    for name in [
        "ServiceTags_Public_20250609.json.exe",
        "ServiceTags_Public_20250609.jsonp",
        "ServiceTags_Public_2025069.json",
        "ServiceTags_Public_202506090.json",
        "ServiceTags_Public_20251301.json",
        "ServiceTags_Public_20250230.json",
        "ServiceTags_Public.json",
        "ServiceTags_PublicPreview_20250609.json",
        "MyServiceTags_Public_20250609.json",
        "ServiceTags_AzureGovernment_20250609.json",
        "ServiceTags_China_20250609.json",
        "ServiceTags_Public_20250609.json/x",
        "ServiceTags_Public_20250609",
        "ServiceTags_Public-20250609.json",
        "x?ServiceTags_Public_20250609.json",
        "x#/ServiceTags_Public_20250609.json",
    ] {
        let address = format!("https://download.microsoft.com/a/{name}");
        check_none(&format!("<a href=\"{address}\">"), &format!(", only other files: `{}`", without_secrets(&address)));
    }
}

#[test]
fn comments_are_not_looked_at() {
    let link = "https://HOST/a/ServiceTags_Public_20250609.json";
    check_none(&format!("<!-- {link} -->"), "");
    check_none(&format!("a <!-- b --> c <!-- {link}\n--> d"), "");
    check(&format!("<script>if (a<!--b) go('{link}')</script>"), "/a/ServiceTags_Public_20250609.json");
}

#[test]
fn pages_without_links_say_nothing() {
    check_none("", "");
    check_none("<html><title>We'll be right back</title></html>", "");
    check_none("&", "");
    check_none("&#;&#x;&#x110000;&amp", "");
    check_none("\\u\\u00\\uD800\\uzzzz\\", "");
}

/// Each of these is slow where a step is done again for each piece.
#[test]
fn hostile_pages_are_read_in_one_go() {
    let size = 1 << 20;
    for piece in ["&", "&é", "<!--", "\\", "ServiceTags_", "ServiceTags_Public_20250609.json", "<!-- -->", "é", "/"] {
        assert!(find(&piece.repeat(size / piece.len())).is_err());
    }
}

#[test]
fn dates_stand_in_names() {
    let check = |name: &str, expect: Option<Date>| assert_eq!(date_in(name), expect, "{name}");
    check("ServiceTags_Public_20250609.json", Some(date(2025, 6, 9)));
    check("ServiceTags_Public_20250609_cn359.json", Some(date(2025, 6, 9)));
    check("ServiceTags_Public_20250526e_cn357.json", Some(date(2025, 5, 26)));
    check("tags_2025_20250609", Some(date(2025, 6, 9)));
    check("20250609.json", None);
    check("ServiceTags_Public_202506091.json", None);
    check("ServiceTags_Public_20251399.json", None);
    check("feed.json", None);
    check("x_2025060é", None);
}

#[test]
fn another_date_changes_the_name_alone() {
    let known = Url::parse(&format!("https://download.microsoft.com{PATH}/ServiceTags_Public_20250609.json")).unwrap();
    let expect = known.as_str().replace("20250609", "20250616");
    assert_eq!(with_date(&known, date(2025, 6, 16)).unwrap().as_str(), expect);
    assert_eq!(with_date(&Url::parse("https://download.microsoft.com/feed.json").unwrap(), date(2025, 6, 16)), None);
}
