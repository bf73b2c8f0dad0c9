//! Lists with pages, and the Discovery API.

use serde_json::{Value, json};
use tagwall_fake_arm::{Behaviour, Edit, Fault, FaultKind, from_download};

use crate::support::{GROUP, Rig, foreign};

const TAGS: &str = "/subscriptions/sub/providers/Microsoft.Network/locations/westeurope/serviceTags";

/// All of a list and the number of its pages.
fn walk(rig: &Rig, path: &str, field: &str) -> (Vec<Value>, usize) {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    let mut pages = 0;
    while let Some(address) = next {
        let body = rig.get(&address).expect(200).body;
        all.extend(body[field].as_array().unwrap().iter().cloned());
        next = body["nextLink"].as_str().map(str::to_owned);
        pages += 1;
        assert!(pages < 100, "the list never ends");
    }
    (all, pages)
}

#[test]
fn rules_come_in_pages() {
    let rig = Rig::with(Behaviour { page_size: 4, ..Behaviour::default() });
    for (count, pages) in [(0, 1), (4, 1), (5, 2), (10, 3)] {
        rig.arm.put_nsg("sub", "net", "hub", foreign(count));
        let (rules, seen) = walk(&rig, &format!("{GROUP}/securityRules"), "value");
        let inline = rig.get(GROUP).expect(200).body["properties"]["securityRules"].clone();
        assert_eq!((Value::Array(rules), seen), (inline, pages), "{count}");
    }
}

#[test]
fn groups_come_in_pages() {
    let rig = Rig::with(Behaviour { page_size: 2, ..Behaviour::default() });
    for name in ["b", "c", "d"] {
        rig.arm.put_nsg("sub", "net", name, Vec::new());
    }
    rig.arm.put_nsg("sub", "other", "e", Vec::new());
    rig.arm.put_nsg("another", "net", "f", Vec::new());
    let names = |path: &str| -> Vec<String> {
        walk(&rig, path, "value").0.iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    let (of_group, _) = GROUP.rsplit_once('/').unwrap();
    assert_eq!(names(of_group), ["b", "c", "d", "hub"]);
    let of_subscription = "/subscriptions/sub/providers/Microsoft.Network/networkSecurityGroups";
    assert_eq!(names(of_subscription), ["b", "c", "d", "hub", "e"]);
    rig.get(&of_group.replace("/net/", "/none/")).expect_error(404, "ResourceGroupNotFound");
}

fn document(number: u32, tags: usize) -> Value {
    let tag = |index: usize| {
        json!({
            "name": format!("Tag{index}"), "id": format!("Tag{index}"),
            "properties": {
                "changeNumber": index, "region": "", "regionId": 0, "platform": "Azure", "systemService": "X",
                "addressPrefixes": ["192.0.2.0/24"], "networkFeatures": ["NSG"],
            },
        })
    };
    json!({"changeNumber": number, "cloud": "Public", "values": (0..tags).map(tag).collect::<Vec<_>>()})
}

#[test]
fn a_download_becomes_a_discovery_document() {
    let rig = Rig::new();
    rig.arm.put_service_tags(from_download(&document(63, 2)));
    let shown = rig.get(TAGS).expect(200).body;
    assert_eq!(shown["changeNumber"], json!("63"));
    assert_eq!(shown["id"], json!("/subscriptions/sub/providers/Microsoft.Network/serviceTags/public"));
    assert_eq!(
        shown["values"][1]["properties"],
        json!({
            "changeNumber": "1", "region": "", "systemService": "X", "addressPrefixes": ["192.0.2.0/24"],
        })
    );
    assert_eq!(shown["nextLink"], Value::Null);
}

#[test]
fn service_tags_come_in_pages() {
    let rig = Rig::with(Behaviour { tags_page_size: 3, ..Behaviour::default() });
    rig.arm.put_service_tags(from_download(&document(63, 7)));
    let (tags, pages) = walk(&rig, TAGS, "values");
    assert_eq!((tags.len(), pages), (7, 3));
    let first = rig.get(TAGS).body;
    assert!(first["nextLink"].as_str().unwrap().contains("&changenumber=63&$skipToken=3"), "{}", first["nextLink"]);
}

#[test]
fn a_publication_may_come_between_two_pages() {
    let rig = Rig::with(Behaviour { tags_page_size: 3, ..Behaviour::default() });
    rig.arm.put_service_tags(from_download(&document(63, 4)));
    let next = from_download(&document(64, 4));
    rig.arm.fault(Fault::new("GET", "serviceTags", FaultKind::After(Edit::ServiceTags { document: next })));
    let first = rig.get(TAGS).body;
    let second = rig.get(first["nextLink"].as_str().unwrap()).body;
    assert_eq!((&first["changeNumber"], &second["changeNumber"]), (&json!("63"), &json!("64")));
}

#[test]
fn details_are_of_one_tag_or_of_all() {
    let rig = Rig::new();
    rig.arm.put_service_tags(from_download(&document(63, 3)));
    let path = TAGS.replace("serviceTags", "serviceTagDetails");
    let all = rig.get(&path).expect(200).body;
    assert_eq!(all["value"].as_array().unwrap().len(), 3);
    let one = rig.get(&format!("{path}?api-version=2024-03-01&tagName=Tag1&noAddressPrefixes=true")).expect(200).body;
    assert_eq!(one["value"].as_array().unwrap().len(), 1);
    assert_eq!(one["value"][0]["serviceTagChangeNumber"], json!("63"));
    assert_eq!(one["value"][0]["properties"]["addressPrefixes"], Value::Null);
}
