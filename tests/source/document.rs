//! Reading documents.

use tagwall::source::{Cloud, Digest, DocumentError, parse};

use super::chain;
use crate::support::data;
use crate::support::feed_document::{document, document_of, small};

/// Refuses a document and says so in these words.
#[track_caller]
fn check(document: impl AsRef<[u8]>, expect: &str) {
    match parse(document.as_ref(), "test", None) {
        Ok(_) => panic!("it was read, and should have been refused: {expect}"),
        Err(error) => assert_eq!(chain(&error), expect),
    }
}

/// Reads the small document after a change to it.
#[track_caller]
fn check_read(from: &str, to: &str) {
    let changed = small().replacen(from, to, 1);
    assert_ne!(changed, small(), "`{from}` is not in the small document");
    if let Err(error) = parse(changed.as_bytes(), "test", None) {
        panic!("{}", chain(&error));
    }
}

/// Refuses the small document after a change to it.
#[track_caller]
fn check_changed(from: &str, to: &str, expect: &str) {
    let changed = small().replacen(from, to, 1);
    assert_ne!(changed, small(), "`{from}` is not in the small document");
    check(changed, expect);
}

#[test]
fn a_document_is_read() {
    let date = jiff::civil::date(2025, 6, 9);
    let publication = parse(small().as_bytes(), "here", Some(date)).unwrap();
    assert_eq!(
        (
            publication.cloud,
            publication.change_number,
            publication.date,
            &*publication.origin,
            publication.unknown_fields
        ),
        (Cloud::Public, 376, Some(date), "here", 0)
    );
    let names: Vec<&str> = publication.tags.iter().map(|tag| &*tag.name).collect();
    assert_eq!(names, ["AzureActiveDirectory", "Storage", "Storage.WestEurope"]);
    let tag = publication.tag("storage.westeurope").unwrap();
    assert_eq!((&*tag.region, &*tag.system_service, tag.change_number), ("westeurope", "Storage", 1));
    assert_eq!(tag.v4, ["203.0.113.128/25".parse().unwrap()]);
    assert_eq!(tag.v6, ["2001:db8:2:100::/56".parse().unwrap()]);
    assert_eq!(publication.tag("Storage.West"), None);
    assert_eq!(publication.near_misses("storage.westeurop"), ["Storage.WestEurope"]);
}

#[test]
fn what_real_documents_vary_in_is_tolerated() {
    check_read("\"networkFeatures\": null", "\"networkFeatures\": [\"API\", \"NSG\"]");
    check_read("\"networkFeatures\": null", "\"networkFeatures\": [\"\"]");
    check_read("\"regionId\": 0,", "");
    check_read("\"systemService\": \"Storage\"", "\"systemService\": \"\"");
    check_read("\"203.0.113.0/24\"", "");
    check_read("\"changeNumber\": 376,", "\"changeNumber\": 0,");
    check_read("\r\n", "\n");
    check_read("\"Storage\",", "\"\\u0053torage\",");
    check_read("\"203.0.113.0/24\"", "\"203.0.113.0\\/24\"");
}

#[test]
fn unknown_fields_are_counted() {
    let changed = small()
        .replacen("\"cloud\"", "\"nextLink\": {\"deep\": [1, {\"deeper\": null}]}, \"cloud\"", 1)
        .replace("\"id\"", "\"type\": \"x\", \"id\"")
        .replace("\"region\"", "\"state\": 1.5e3, \"region\"");
    assert_eq!(parse(changed.as_bytes(), "test", None).unwrap().unknown_fields, 1 + 3 + 3);
}

#[test]
fn what_was_never_seen_is_refused() {
    let prefix = |bad: &str, why: &str| {
        // The place is the end of the text.
        let byte = 375 + bad.len() - "192.0.2.0".len();
        let shown = bad.trim();
        let expect = format!("tag `AzureActiveDirectory`: prefix `{shown}` {why} (line 15, byte {byte})");
        check_changed("192.0.2.0/25", bad, &expect);
    };
    prefix("192.0.2.0", "is an address without a length");
    prefix("192.0.2.1/25", "has bits set below its length");
    prefix("0.0.0.0/0", "is the whole Internet");
    prefix("::/0", "is the whole Internet");
    prefix(" 192.0.2.0/25", "has white space in it");
    prefix("2001:DB8::/32", "is not written in the canonical way");
    prefix("2001:db8:0:0::/64", "is not written in the canonical way");
    prefix("192.0.2.0/33", "is no prefix");
    prefix("", "is no prefix");
    prefix("any", "is no prefix");
    check_changed(
        "\"192.0.2.0/25\",",
        "\"198.51.100.64/26\",",
        "tag `AzureActiveDirectory`: prefix `198.51.100.64/26` is there twice (line 16, byte 396)",
    );
    check_changed(
        "192.0.2.0/25",
        "2001:db8:1::/48",
        "tag `AzureActiveDirectory`: prefix `2001:db8:1::/48` is there twice (line 17, byte 426)",
    );
    check_changed(
        "\"id\": \"Storage\"",
        "\"id\": \"Sql\"",
        "tag `Storage`: its id is `Sql`, but the two have always been equal (line 36, byte 838)",
    );
    check_changed(
        "cloud\": \"Public",
        "cloud\": \"AzureGermany",
        "cloud `AzureGermany` is none that tagwall knows (line 3, byte 51)",
    );
    check_changed("376", "1000001", "change number 1000001 is out of all proportion (line 2, byte 27)");
    check(document(1, &[]), "the document lists no tags (line 6, byte 66)");
    let twice = document(1, &[("Storage", &["192.0.2.0/24"]), ("storage", &[])]);
    check(twice, "tag `storage`: the name `storage` is there twice, ignoring case (line 35, byte 719)");
    check_changed(
        "\"name\": \"Storage\"",
        "\"name\": \"Storage \"",
        "`Storage` is not a plausible tag name (line 23, byte 534)",
    );
    check_changed("\"name\": \"Storage\"", "\"name\": \"\"", "`` is not a plausible tag name (line 23, byte 526)");
    check_changed(
        "\"region\": \"westeurope\"",
        "\"region\": \"\\u001b[31m\"",
        "tag `Storage.WestEurope`: `[31m` is not a plausible region (line 42, byte 1005)",
    );
}

#[test]
fn another_shape_is_refused() {
    let shape = "the document has another shape than Microsoft's";
    let in_tag = format!("{shape}, in tag `AzureActiveDirectory`");
    check_changed(
        "376",
        "\"376\"",
        &format!("{shape}: invalid type: string \"376\", expected a change number at line 2 column 23"),
    );
    check_changed(
        "376",
        "-1",
        &format!("{shape}: invalid type: integer `-1`, expected a change number at line 2 column 20"),
    );
    check_changed(
        "376",
        "3.5",
        &format!("{shape}: invalid type: floating point `3.5`, expected a change number at line 2 column 21"),
    );
    check_changed(
        "376",
        "99999999999999999999",
        &format!("{shape}: invalid type: floating point `1e+20`, expected a change number at line 2 column 38"),
    );
    check_changed("\"cloud\": \"Public\",", "", &format!("{shape}: missing field `cloud` at line 54 column 1"));
    check_changed(
        "\"cloud\": \"Public\",",
        "\"cloud\": \"Public\", \"cloud\": \"Public\",",
        &format!("{shape}: duplicate field `cloud` at line 3 column 38"),
    );
    check_changed("\"platform\": \"Azure\",", "", &format!("{in_tag}: missing field `platform` at line 20 column 7"));
    check_changed(
        "\"platform\": \"Azure\"",
        "\"platform\": null",
        &format!("{in_tag}: invalid type: null, expected a platform at line 12 column 24"),
    );
    check_changed(
        "\"192.0.2.0/25\"",
        "7",
        &format!("{in_tag}: invalid type: integer `7`, expected a prefix at line 15 column 11"),
    );
    check_changed(
        "\"id\": \"AzureActiveDirectory\",",
        "",
        &format!("{in_tag}: missing field `id` at line 21 column 5"),
    );
    check("{}", &format!("{shape}: missing field `cloud` at line 1 column 2"));
    check(
        "{\"error\": {\"code\": \"AuthorizationFailed\"}}",
        &format!("{shape}: missing field `cloud` at line 1 column 42"),
    );
}

#[test]
fn what_came_instead_is_named() {
    check("", "the document is empty");
    check(" \r\n\t", "the document is empty");
    check("\u{feff}", "the document is empty");
    check("\u{feff}{}", "the document begins with a byte order mark, which Microsoft's never does");
    check(
        "<!DOCTYPE html><html><head><TITLE>\n We'll be\n right back </TITLE>",
        "an HTML page came in place of the document: `We'll be right back`",
    );
    check("<html><body>no title", "an HTML page came in place of the document");
    check(
        "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>",
        "an XML error came in place of the document: `AuthenticationFailed`",
    );
    check("<title>\u{1b}[2J</title>", "an HTML page came in place of the document: `[2J`");
    check(b"\x1f\x8b\x08\x00", "the document is compressed with gzip, not JSON text");
    check(b"\xff\xfe{\x00", "the document is UTF-16 text, not JSON text");
    check(b"\x00\x01\x02", "the document is binary data, not JSON text");
    check("[]", "the document is not JSON, it begins with `[]`");
    check("404 page not found\n", "the document is not JSON, it begins with `404 page not found`");
    check(b"{\"changeNumber\": 1, \"cloud\": \"\xff\"}", "the document is not UTF-8 at byte 30");
    check(small() + "{", "the document is damaged JSON: trailing characters at line 54 column 2");
    check("{\"changeNumber\" 1}", "the document is damaged JSON: expected `:` at line 1 column 17");
}

#[test]
fn an_older_cloud_is_not_mistaken_for_damage() {
    for (cloud, name) in [(Cloud::Public, "Public"), (Cloud::UsGovernment, "AzureGovernment"), (Cloud::China, "China")]
    {
        let read = parse(document_of(name, 1, &[("Sql", &[])]).as_bytes(), "test", None).unwrap();
        assert_eq!(read.cloud, cloud);
    }
}

/// Cuts a document and looks that it is told to break off just there.
#[track_caller]
fn check_cut(document: &[u8], at: usize) {
    match parse(&document[..at], "test", None) {
        Err(DocumentError::Truncated { bytes }) => assert_eq!(bytes, at),
        Err(DocumentError::Empty) => assert_eq!(at, 0),
        other => panic!("cut at {at}: {:?}", other.map(|publication| publication.tags.len())),
    }
}

#[test]
fn truncation_at_every_byte_is_told() {
    // A character of several bytes, so that some cuts go through it.
    let document = small().replacen("\"cloud\"", "\"notice\": \"größer ✓\", \"cloud\"", 1);
    assert!(parse(document.as_bytes(), "test", None).is_ok());
    for at in 0..document.len() {
        check_cut(document.as_bytes(), at);
    }
}

#[test]
fn truncation_of_a_real_document_is_told() {
    let (Some(folder), Some(manifest)) = (data::publications(), data::manifest()) else { return };
    let real = manifest.iter().min_by_key(|real| real.bytes).unwrap();
    let document = std::fs::read(folder.join(&real.file)).unwrap();
    // A prime step, so that cuts fall everywhere in the repeating layout.
    for at in (0..document.len()).step_by(4099).chain(document.len() - 200..document.len()) {
        check_cut(&document, at);
    }
}

#[test]
fn every_real_failure_is_named() {
    let Some(bodies) = data::feed_failures() else { return };
    assert_eq!(bodies.len(), 22);
    let mut told: Vec<String> =
        bodies.iter().map(|(_, body)| parse(body, "test", None).unwrap_err().to_string()).collect();
    told.sort();
    told.dedup();
    assert_eq!(
        told,
        [
            "an HTML page came in place of the document: `404 - File or directory not found.`",
            "an HTML page came in place of the document: `Error`",
            "an HTML page came in place of the document: `Gateway Timeout - In read`",
            "an XML error came in place of the document: `ServerBusy`",
            "the document is empty",
        ]
    );
}

#[test]
fn every_real_publication_is_read() {
    let (Some(folder), Some(manifest)) = (data::publications(), data::manifest()) else { return };
    assert_eq!(manifest.len(), 210);
    let mut counts = [0; Cloud::ALL.len()];
    let (mut tags, mut prefixes, mut empty) = (0, 0, 0);
    for real in &manifest {
        let bytes = std::fs::read(folder.join(&real.file)).unwrap();
        let publication = match parse(&bytes, &real.file.to_string_lossy(), None) {
            Ok(publication) => publication,
            Err(error) => panic!("{}: {}", real.file.display(), chain(&error)),
        };
        assert_eq!(publication.cloud.document_name(), real.cloud);
        assert_eq!(publication.change_number, real.change_number);
        assert_eq!(publication.sha256, real.sha256.parse::<Digest>().unwrap());
        assert!(real.file.to_string_lossy().contains(&format!("_{}", real.date)));
        assert_eq!(publication.unknown_fields, 0, "{}", real.file.display());
        counts[Cloud::ALL.iter().position(|cloud| *cloud == publication.cloud).unwrap()] += 1;
        tags += publication.tags.len();
        prefixes += publication.tags.iter().map(|tag| tag.v4.len() + tag.v6.len()).sum::<usize>();
        empty += publication.tags.iter().filter(|tag| tag.v4.is_empty() && tag.v6.is_empty()).count();
    }
    assert_eq!(counts, [131, 42, 37]);
    assert_eq!((tags, prefixes, empty), (328_133, 8_209_111, 50));
}
