//! The pages of an answer as one document of the shape that Microsoft's file has, so that one reader judges both.
//!
//! Numbers are texts there, a tag has no platform, and nobody promises an order. The document has them as the file has,
//! tags and prefixes sorted: equal lists are equal bytes, however they were paged. What a tag says is not judged here;
//! fields that are not known stay as names, to be counted.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::source::DocumentError;

/// Fields of a page, and of a tag's properties, that are known and of no use here.
const OF_PAGE: [&str; 4] = ["name", "id", "type", "nextLink"];
const OF_PROPERTIES: [&str; 4] = ["platform", "networkFeatures", "regionId", "state"];

/// Makes one document of all pages, which are of one change number.
///
/// # Errors
/// Where a page has another shape, or is of another cloud or number than the first.
pub(super) fn document(pages: &[Vec<u8>]) -> Result<Vec<u8>, DocumentError> {
    whole(pages).map_err(|source| DocumentError::Shape { tag: None, source })
}

fn whole(pages: &[Vec<u8>]) -> serde_json::Result<Vec<u8>> {
    let mut whole: Option<Page> = None;
    for (number, bytes) in (1..).zip(pages) {
        let mut page: Page = serde_json::from_slice(bytes)?;
        names(&mut page.others, &OF_PAGE);
        match &mut whole {
            None => whole = Some(page),
            Some(first) if first.cloud == page.cloud && first.change_number == page.change_number => {
                first.values.append(&mut page.values);
                first.others.append(&mut page.others);
            }
            Some(_) => {
                return Err(Error::custom(format!(
                    "page {number} is of another cloud or change number than the first"
                )));
            }
        }
    }
    let mut whole = whole.ok_or_else(|| Error::custom("there are no pages"))?;
    whole.values.sort_by(|one, other| one.name.cmp(&other.name));
    for tag in &mut whole.values {
        tag.properties.address_prefixes.sort_unstable();
        names(&mut tag.properties.others, &OF_PROPERTIES);
        names(&mut tag.others, &[]);
    }
    serde_json::to_vec(&whole)
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    change_number: Number,
    cloud: String,
    values: Vec<Tag>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize, Serialize)]
struct Tag {
    name: String,
    id: String,
    properties: Properties,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    change_number: Number,
    region: String,
    #[serde(skip_deserializing, default = "azure")]
    platform: &'static str,
    system_service: String,
    address_prefixes: Vec<String>,
    #[serde(flatten)]
    others: Others,
}

/// What the file says of every tag.
const fn azure() -> &'static str {
    "Azure"
}

/// Fields that have no place here.
type Others = BTreeMap<String, Value>;

/// Leaves the names of those that nobody knows.
fn names(others: &mut Others, known: &[&str]) {
    others.retain(|name, _| !known.contains(&name.as_str()));
    for value in others.values_mut() {
        *value = Value::Null;
    }
}

/// A change number, which is a text of digits in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change number as a text of digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                // `parse` would take a sign.
                let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| is_plain).map(Number);
                number.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::json;

    use super::*;
    use crate::source::document;

    fn tag(name: &str, prefixes: &[&str]) -> Value {
        json!({"name": name, "id": name, "properties": {
            "changeNumber": "7", "region": "", "systemService": "", "addressPrefixes": prefixes,
        }})
    }

    fn page(number: &str, tags: &[Value]) -> Value {
        json!({"name": "public", "id": "/subscriptions/x/y", "type": "Microsoft.Network/serviceTags",
            "changeNumber": number, "cloud": "Public", "values": tags, "nextLink": "https://management.azure.com/x"})
    }

    fn assembled(pages: &[Value]) -> Result<Vec<u8>, DocumentError> {
        document(&pages.iter().map(|page| page.to_string().into_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn pages_are_one_document_of_the_files_shape() {
        let (a, b) = (tag("A", &["203.0.113.0/24", "192.0.2.0/24", "2001:db8::/32"]), tag("B", &["198.51.100.0/24"]));
        let bytes = assembled(&[page("63", from_ref(&b)), page("63", from_ref(&a))]).unwrap();
        let read = document::parse(&bytes, "x", None).unwrap();
        assert_eq!((read.change_number, read.tags.len(), read.unknown_fields), (63, 2, 0));
        let first = &read.tags[0];
        assert_eq!((&*first.name, first.change_number, first.v4.len(), first.v6.len()), ("A", 7, 2, 1));
        // The same list, paged and ordered another way.
        let other = tag("A", &["2001:db8::/32", "192.0.2.0/24", "203.0.113.0/24"]);
        assert_eq!(assembled(&[page("63", &[other, b.clone()])]).unwrap(), bytes);
        assert_ne!(assembled(&[page("64", &[a, b])]).unwrap(), bytes);
    }

    #[test]
    fn fields_that_nobody_knows_are_counted() {
        let mut strange = page("63", &[tag("A", &["192.0.2.0/24"])]);
        strange["new"] = json!({"deep": [1, 2]});
        strange["values"][0]["newer"] = json!(null);
        strange["values"][0]["properties"]["newest"] = json!("x");
        strange["values"][0]["properties"]["platform"] = json!("Azure");
        let read = document::parse(&assembled(&[strange]).unwrap(), "x", None).unwrap();
        assert_eq!(read.unknown_fields, 3);
    }

    /// What a page says badly is an error, here or where the whole is judged as the file is.
    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let check = |pages: &[Value], expected: &str| {
            let read = assembled(pages).and_then(|bytes| document::parse(&bytes, "x", None));
            let told = crate::chain::chain(&read.expect_err(expected));
            assert!(told.contains(expected), "{told}");
        };
        let good = tag("A", &["192.0.2.0/24"]);
        let with = |key: &str, value: Value| {
            let mut page = page("63", from_ref(&good));
            page[key] = value;
            page
        };
        let of_tag = |key: &str, value: Value| {
            let mut tag = good.clone();
            tag["properties"][key] = value;
            page("63", &[tag])
        };
        check(&[], "there are no pages");
        check(&[page("63", &[])], "the document lists no tags");
        check(&[page("63", from_ref(&good)), page("64", &[])], "page 2 is of another cloud or change number");
        check(&[with("cloud", json!("Mars"))], "cloud `Mars` is none that tagwall knows");
        check(&[with("cloud", json!(null))], "invalid type: null");
        for number in [json!(63), json!(""), json!("+63"), json!("6x"), json!("99999999999999999999999")] {
            check(&[with("changeNumber", number)], "a change number as a text of digits");
        }
        check(&[with("changeNumber", json!("99999999"))], "out of all proportion");
        check(&[with("values", json!({}))], "invalid type: map");
        check(&[of_tag("addressPrefixes", json!(["192.0.2.1/24"]))], "tag `A`: prefix `192.0.2.1/24` has bits set");
        check(&[of_tag("addressPrefixes", json!(null))], "invalid type: null");
        check(&[of_tag("region", json!("a b"))], "is not a plausible region");
        check(&[page("63", &[good.clone(), good.clone()])], "the name `A` is there twice");
        check(&[page("63", from_ref(&good)), page("63", from_ref(&good))], "the name `A` is there twice");
        let twice = br#"{"changeNumber":"63","changeNumber":"64","cloud":"Public","values":[]}"#.to_vec();
        assert!(document(&[twice]).unwrap_err().to_string().contains("another shape"));
        assert!(document(&[b"{\"changeNumber\": \"63\", ".to_vec()]).is_err());
    }
}
