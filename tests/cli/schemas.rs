//! The schemas in the repository: fresh, as strict as the program, and true of what it prints.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{EDGE, World, many, strs, with_namespaces};

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(repository(&format!("config/{name}.schema.json"))).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// The schemas in the repository are what the program prints. To write them anew:
/// `tagwall generate schema config > config/tagwall.schema.json`, and `report` likewise.
#[test]
fn the_schemas_in_the_repository_are_fresh() {
    with_namespaces(|| {
        let world = World::empty();
        for (of, file) in [
            ("config", "config/tagwall.schema.json"),
            ("report", "config/report.schema.json"),
            ("plan", "config/plan.schema.json"),
            ("observation", "config/observation.schema.json"),
        ] {
            let fresh = world.expect(0, &format!("generate schema {of}")).stdout;
            let stored = fs::read_to_string(repository(file)).unwrap_or_default();
            assert!(fresh == stored, "{file} is stale: write it anew with `tagwall generate schema {of} > {file}`");
        }
    });
}

#[test]
fn the_schema_of_the_configuration_takes_what_tagwall_takes() {
    let schema = schema("tagwall");
    let valid =
        |text: &str| schema.is_valid(&serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap());
    let mut files = vec![repository("config/tagwall.toml")];
    files.extend(fs::read_dir(repository("config/examples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() > 3);
    for file in files {
        assert!(valid(&fs::read_to_string(&file).unwrap()), "the schema refuses {}", file.display());
    }
    let refused = |text: &str| assert!(!valid(text), "the schema takes:\n{text}");
    assert!(valid(EDGE));
    refused(&EDGE.replace("tags =", "tag ="));
    refused(&EDGE.replace("nftables = {}", "nftables = { mod = \"set\" }"));
    refused(&EDGE.replace("nftables = {}", "nftables = { mode = \"sett\" }"));
    refused(&EDGE.replace("nftables = {}", "ports = [65536]\nnftables = {}"));
    refused(&EDGE.replace("nftables = {}", "ports = \"8443\"\nnftables = {}"));
    refused(&EDGE.replace("nftables = {}", "policy = \"add\"\nnftables = {}"));
    refused(&format!("{EDGE}[limits]\nloss = true\n"));
    refused(&format!("{EDGE}[limits]\ntoo-broad = {{ v4 = 33 }}\n"));
    refused(&format!("{EDGE}[limits]\nspecial = [\"intranet\"]\n"));
    refused(&format!("{EDGE}[schedul]\ncron = \"1\"\n"));
}

#[test]
fn what_is_saved_fits_its_schema() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(32)));
        let check = |name: &str, file: &str, places: &[&str]| {
            let schema = schema(name);
            let saved: Value = serde_json::from_slice(&fs::read(world.path(file)).unwrap()).unwrap();
            let faults: Vec<String> = schema.iter_errors(&saved).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{file}: {faults:?}\n{saved:#}");
            // It is strict: no key may be missing, be of another form or come besides.
            for place in places {
                for wrong in [Value::Null, "odd".into(), serde_json::json!({ "odd": 1 })] {
                    let mut other = saved.clone();
                    *other.pointer_mut(place).unwrap_or_else(|| panic!("{file} has no {place}")) = wrong;
                    assert!(!schema.is_valid(&other), "the schema takes an odd {place}");
                }
                let mut other = saved.clone();
                let (within, key) = place.rsplit_once('/').unwrap();
                other.pointer_mut(within).unwrap().as_object_mut().unwrap().remove(key);
                assert!(!schema.is_valid(&other), "the schema takes a file without {place}");
            }
        };
        let within_plan =
            ["/kind", "/version", "/content", "/content/targets", "/content/targets/0/steps", "/content/limits"];
        let within_observation = ["/kind", "/version", "/targets"];
        world.expect(2, "plan -o plan.json --expires 1h");
        check("plan", "plan.json", &within_plan);
        world.expect(0, "observe -o state.json");
        check("observation", "state.json", &within_observation);
        world.expect(0, "sync");
        world.feed(11, &[("AzureActiveDirectory", &strs(&many(30)))]);
        world.host.nft(
            "flush chain inet tagwall edge-ports\nadd table inet other\n\
             add chain inet other wall { type filter hook input priority 0; policy drop; }\n",
        );
        world.expect(2, "plan -o plan.json");
        check("plan", "plan.json", &within_plan);
        world.expect(0, "observe -o state.json");
        check("observation", "state.json", &within_observation);
        fs::remove_file(world.path("feed.json")).unwrap();
        world.expect(1, "plan -o plan.json");
        check("plan", "plan.json", &within_plan);
    });
}

#[test]
fn every_report_fits_its_schema() {
    with_namespaces(|| {
        let schema = schema("report");
        let world = World::edge(&strs(&many(32)));
        let check = |arguments: &str, status: i32, outcome: Option<&str>| {
            let run = world.expect(status, &format!("{arguments} --format json"));
            let report = run.json();
            let faults: Vec<String> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{arguments}: {faults:?}\n{report:#}");
            assert_eq!(report["schema"], 1);
            assert_eq!(report["exit_status"], status);
            assert_eq!(report["targets"][0]["outcome"].as_str(), outcome, "{report:#}");
            report
        };
        let report = check("sync -n", 2, Some("planned"));
        assert_eq!(report["targets"][0]["add"].as_array().unwrap().len(), 34);
        assert_eq!(report["targets"][0]["addresses"]["gained"]["ipv4"], "256");
        assert_eq!(report["targets"][0]["addresses"]["gained"]["ipv6"], (2_u128 << 80).to_string());
        assert!(report["dry_run"].as_bool().unwrap() && !report["targets"][0]["skeleton"][0].is_null());
        let report = check("sync", 0, Some("applied"));
        assert_eq!(report["dry_run"], false);
        check("sync", 0, Some("in-sync"));
        check("status", 0, Some("in-sync"));
        assert_eq!(check("plan", 0, Some("in-sync"))["plan"].as_str().unwrap().len(), 64);
        world.feed(11, &[("AzureActiveDirectory", &strs(&many(8)))]);
        let report = check("sync -n", 3, Some("refused"));
        let refusal = &report["targets"][0]["refusal"];
        assert_eq!((&refusal["limit"], &refusal["can_be_overridden"]), (&"loss".into(), &true.into()));
        assert_eq!(report["targets"][0]["addresses"]["lost"]["ipv4"], "192");
        let report = check("sync --override loss --reason because", 0, Some("applied"));
        assert_eq!(report["overridden"][0]["limit"], "loss");
        fs::remove_file(world.path("feed.json")).unwrap();
        check("sync", 1, Some("failed"));
        let report = check("status", 0, Some("in-sync"));
        assert_eq!(report["publication"]["freshness"], "last-good");
        fs::remove_dir_all(world.path("state")).unwrap();
        let report = check("sync", 1, Some("failed"));
        assert_eq!(report["targets"][0]["error"]["class"], "rejected");
        assert!(report["targets"][0]["error"]["message"].as_str().unwrap().contains("feed.json"), "{report:#}");
        check("status", 1, Some("failed"));

        // Before there is a pass.
        let no_report = |arguments: &str, status: i32, words: &str| {
            let run = world.expect(status, &format!("{arguments} --format json"));
            let answer = run.json();
            assert!(schema.is_valid(&answer), "{arguments}: {answer:#}");
            assert_eq!(answer["schema"], 1);
            assert_eq!(answer.as_object().unwrap().len(), 2, "{answer:#}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{arguments}: {answer:#}");
            // People are told as well.
            let said = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(words), "{arguments}: {}", run.stderr);
            answer["error"].clone()
        };
        let error = no_report("sync --target hub", 64, "there is no target `hub`");
        assert_eq!((&error["class"], &error["hint"]), (&"rejected".into(), &"there are: edge".into()));
        no_report("status --target hub", 64, "there is no target `hub`");
        no_report("prefixes hub", 64, "there is no list `hub`");
        no_report("tags", 1, "cannot read `feed.json`");
        no_report("prefixes entra", 1, "cannot read `feed.json`");
        no_report("sync -c missing.toml", 1, "cannot read the configuration `missing.toml`");
        world.write("bad.toml", "lists = 1");
        no_report("status -c bad.toml", 1, "the configuration `bad.toml` is not valid");
        world.feed(12, &[("AzureActiveDirectory", &strs(&many(32)))]);
        let error = no_report("prefixes --tag Sql", 3, "missing-tag: list `Sql`: the publication has no tag `Sql`");
        assert_eq!(error["class"], "refused");
        let lock = fs::File::create(world.path("state/lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(no_report("sync", 1, "another pass holds the lock")["class"], "transient");
        drop(lock);
        let mut wrong = serde_json::json!({ "schema": 1, "error": error });
        assert!(schema.is_valid(&wrong));
        wrong["error"]["class"] = "odd".into();
        assert!(!schema.is_valid(&wrong));

        let refused = |key: &str, value: Value| {
            let mut wrong = report.clone();
            wrong[key] = value;
            assert!(!schema.is_valid(&wrong), "the schema takes {wrong:#}");
        };
        refused("schema", 2.into());
        refused("targets", Value::Null);
        refused("exit_status", "1".into());
    });
}
