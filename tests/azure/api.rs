//! Azure's own list of service tags as the source, and beside another.

use serde_json::{Value, json};
use tagwall_fake_arm::{Behaviour, Fault, FaultKind, from_download};

use super::{Azure, SUBSCRIPTION};
use crate::support::{EDGE, World, many, strs, with_namespaces};

const AAD: &str = "AzureActiveDirectory";

/// The keys of a table for the API.
fn api(azure: &Azure<'_>) -> String {
    format!(
        "kind = \"discovery-api\"\nsubscription = \"{SUBSCRIPTION}\"\nlocation = \"westeurope\"\n\
         credential = \"environment\"\nendpoint = \"{}\"\nauthority = \"{}\"\nextra-ca = \"ca.pem\"\n",
        azure.arm.url(),
        azure.arm.authority()
    )
}

const FILE: &str = "kind = \"file\"\npath = \"feed.json\"\n";

/// A host with the target `edge`, and these sources.
fn configure(world: &World, source: &str, compare: Option<&str>) {
    let compare = compare.map(|compare| format!("[source.compare]\n{compare}")).unwrap_or_default();
    let limits = "[limits]\nspecial = [\"documentation\"]\n";
    world.write("tagwall.toml", &format!("owner = \"test\"\n{EDGE}[source]\n{source}{compare}{limits}"));
}

fn publish(azure: &Azure<'_>, change_number: u64, tags: &[(&str, &[&str])]) {
    let document: Value = serde_json::from_str(&crate::support::document(change_number, tags)).unwrap();
    azure.arm.put_service_tags(from_download(&document));
}

#[test]
fn every_command_goes_by_the_api() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::edge(&[]);
        let azure = Azure::start(&world);
        azure.arm.set(Behaviour { tags_page_size: 1, ..azure.arm.behaviour() });
        publish(&azure, 63, &[(AAD, &strs(&prefixes)), ("Storage", &["203.0.113.200/32"])]);
        configure(&world, &api(&azure), None);
        let run = azure.expect(0, "check", None);
        assert!(run.stdout.contains("source: asked as ") && run.stdout.contains("2 tags, change number 63"), "{run:?}");
        let run = azure.expect(0, "tags", None);
        assert!(run.stdout.contains(AAD) && run.stdout.contains("Storage"), "{}", run.stdout);
        let run = azure.expect(0, "prefixes entra", None);
        assert_eq!(run.stdout.lines().count(), prefixes.len());
        let run = azure.expect(2, "plan", None);
        assert!(run.stdout.contains("change number 63, 0 days old"), "{}", run.stdout);
        assert!(run.stdout.contains("the Service Tag Discovery API in westeurope"), "{}", run.stdout);
        azure.expect(0, "sync", None);
        assert_eq!(world.admitted("edge"), crate::support::Addresses::of(strs(&prefixes)));
        let address = prefixes[0].split('/').next().unwrap();
        let run = azure.expect(0, &format!("explain {address}"), None);
        assert!(run.stdout.contains(AAD), "{}", run.stdout);

        // Older by the API's own count is refused, and the last good list stands in for trouble.
        publish(&azure, 62, &[(AAD, &strs(&prefixes[1..]))]);
        let run = azure.expect(3, "plan", None);
        assert!(run.stdout.contains("older-publication"), "{}", run.stdout);
        let forbidden = FaultKind::status(403, "AuthorizationFailed", "No.", None);
        azure.arm.fault(Fault::new("GET", "serviceTags", forbidden).always());
        let run = azure.expect(0, "sync --format json", None).json();
        assert_eq!(run["publication"]["freshness"], "last-good", "{run}");
        let run = azure.expect(1, "check", None);
        assert!(run.stderr.contains("serviceTags/read"), "{}", run.stderr);
    });
}

/// 376 of the file is not newer than 63 of the API, nor the other way round.
#[test]
fn another_kind_of_source_counts_for_itself() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::empty();
        world.feed(376, &[(AAD, &strs(&prefixes))]);
        let azure = Azure::start(&world);
        publish(&azure, 63, &[(AAD, &strs(&prefixes))]);
        for source in [FILE.to_owned(), api(&azure), FILE.to_owned()] {
            configure(&world, &source, None);
            azure.expect(0, "sync", None);
        }
        // The control: of one kind it does.
        world.feed(375, &[(AAD, &strs(&prefixes))]);
        azure.expect(3, "sync", None);
        configure(&world, &api(&azure), None);
        azure.expect(0, "sync", None);
        publish(&azure, 62, &[(AAD, &strs(&prefixes))]);
        azure.expect(3, "sync", None);
    });
}

/// The plan says where they differ and who won; what is enforced is the source's alone.
#[test]
fn two_sources_are_compared_and_the_first_wins() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::empty();
        world.feed(376, &[(AAD, &strs(&prefixes))]);
        let azure = Azure::start(&world);
        publish(&azure, 63, &[(AAD, &strs(&prefixes))]);
        configure(&world, FILE, Some(&api(&azure)));
        let agreement = |status: i32| azure.expect(status, "plan --format json", None).json()["agreement"].clone();
        let told = agreement(2);
        assert_eq!((&told["differences"], &told["winner"], &told["tags"]), (&json!([]), &json!("file"), &json!(1)));
        let numbers = [&told["source"]["change_number"], &told["other"]["change_number"]];
        assert_eq!((numbers, &told["other"]["kind"]), ([&json!(376), &json!(63)], &json!("discovery-api")));
        azure.expect(0, "sync", None);

        let lagging: Vec<&str> = prefixes[1..].iter().map(String::as_str).chain(["192.0.2.0/25"]).collect();
        publish(&azure, 63, &[(AAD, &lagging)]);
        assert_eq!(
            agreement(0)["differences"],
            json!([{"tag": AAD, "source_change_number": 376, "other_change_number": 63,
                "only_in_source": [prefixes[0]], "only_in_other": ["192.0.2.0/25"]}])
        );
        let said = azure.expect(0, "plan", None).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains(&format!(
                "Compared with `discovery-api`, change number 63: 1 of 1 tag in use differs; `file` wins, for it is \
                 the source, and nothing is made of both ! {AAD}: change numbers 376 and 63; 1 prefix only in `file` ({}); 1 prefix \
                 only in `discovery-api` (192.0.2.0/25)",
                prefixes[0]
            )),
            "{said}"
        );
        let said = azure.expect(0, "plan --format markdown", None).stdout;
        assert!(said.contains("only in `discovery-api` (192.0.2.0/25)"), "{said}");
        publish(&azure, 63, &[("Storage", &["203.0.113.0/24"])]);
        assert_eq!(agreement(0)["differences"][0]["other_change_number"], Value::Null);
        assert_eq!(world.admitted("edge"), crate::support::Addresses::of(strs(&prefixes)), "it was mixed");

        // One that fails is a warning, and the pass is what it would have been.
        azure.arm.fault(Fault::new("GET", "serviceTags", FaultKind::Html(200)).always());
        let run = azure.expect(0, "sync --format json", None).json();
        assert!(run.get("agreement").is_none(), "{run}");
        let warned =
            run["warnings"].as_array().unwrap().iter().any(|warning| {
                warning.as_str().unwrap().starts_with("nothing could be compared with `discovery-api` (")
            });
        assert!(warned, "{run}");
        azure.arm.clear_faults();

        // The other way round it is the API that wins.
        publish(&azure, 63, &[(AAD, &lagging)]);
        configure(&world, &api(&azure), Some(FILE));
        assert_eq!(agreement(2)["winner"], "discovery-api");
        azure.expect(0, "sync", None);
        assert_eq!(world.admitted("edge"), crate::support::Addresses::of(lagging));
    });
}
