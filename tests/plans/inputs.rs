//! Files that are none of ours, and words that mean nothing.

use insta::assert_snapshot;

use super::{alter, planned, read, said};
use crate::support::{EDGE, World, many, strs, with_namespaces};

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(8)));
        planned(&world, 2, "");
        let plan = read(&world);
        let check = |content: &str, words: &str| {
            world.write("plan.json", content);
            let text = said(&world, 1, "apply plan.json");
            assert!(text.contains(words), "{words}: {text}");
        };
        let with = |key: &str, value: serde_json::Value| {
            let mut other = plan.clone();
            other[key] = value;
            other.to_string()
        };
        check("", "`plan.json` cannot be read as a plan of tagwall: EOF");
        check("{\"kind\": ", "`plan.json` cannot be read as a plan of tagwall: EOF while parsing");
        check("[]", "`plan.json` is not a plan of tagwall");
        check("{}", "`plan.json` is not a plan of tagwall");
        check(&with("kind", "tagwall-observation".into()), "`plan.json` is not a plan of tagwall");
        check(&with("version", 2.into()), "`plan.json` is of version 2, this tagwall reads version 1");
        check(&with("content", 1.into()), "`plan.json` cannot be read as a plan of tagwall: invalid type: integer `1`");
        check(&with("colour", 1.into()), "unknown field `colour`");
        let mut lacking = plan.clone();
        lacking["content"]["targets"][0].as_object_mut().unwrap().remove("policy");
        check(&lacking.to_string(), "missing field `policy`");
        lacking["content"]["targets"][0]["policy"] = "sync".into();
        lacking["content"]["targets"][0]["observed"]["entries"] =
            serde_json::json!([{ "admits": "10.0.0.0/33", "slot": 0 }]);
        check(&lacking.to_string(), "`10.0.0.0/33` is no prefix, range or service tag");

        world.write("plan.json", &plan.to_string());
        alter(&world, true, |content| content["targets"][0]["name"] = "hub".into());
        assert_snapshot!(world.tell("apply plan.json"), @r"
        exit status 1
        --- stderr
        error: `plan.json`: `content.targets[0].name` is `hub`, and the configuration has no such target (there are: edge)
        ");
        assert_snapshot!(world.tell("apply missing.json"), @r"
        exit status 1
        --- stderr
        error: cannot read `missing.json`: No such file or directory (os error 2)
        ");
        assert_snapshot!(world.tell("apply plan.json --expect-hash abc"), @r"
        exit status 64
        --- stderr
        error: invalid value 'abc' for '--expect-hash <HASH>': `abc` is no SHA-256 of 64 hexadecimal digits

        For more information, try '--help'.
        ");
        assert_snapshot!(world.tell("plan -o nowhere/plan.json"), @r"
        exit status 1
        --- stderr
        error: cannot write `nowhere/plan.json`: No such file or directory (os error 2)
        ");
    });
}

#[test]
fn an_observation_that_cannot_be_used_is_named_with_what_is_wrong() {
    with_namespaces(|| {
        let world = World::edge(&strs(&many(8)));
        world.expect(0, "observe -o state.json");
        let observed: serde_json::Value =
            serde_json::from_slice(&std::fs::read(world.path("state.json")).unwrap()).unwrap();
        let check = |status: i32, content: &serde_json::Value, words: &str| {
            world.write("state.json", &content.to_string());
            let text = said(&world, status, "plan --state state.json");
            assert!(text.contains(words), "{words}: {text}");
        };
        check(2, &observed, "1 to change");
        let with = |key: &str, value: serde_json::Value| {
            let mut other = observed.clone();
            other[key] = value;
            other
        };
        check(1, &with("kind", "tagwall-plan".into()), "`state.json` is not an observation of tagwall");
        check(1, &with("version", 9.into()), "`state.json` is of version 9, this tagwall reads version 1");
        check(
            1,
            &with("owner", "other".into()),
            "`state.json`: `owner` is `other`, and the configuration's owner is `test`",
        );
        check(1, &with("targets", serde_json::json!({})), "`state.json`: `targets` has no `edge`");
        let mut odd = observed.clone();
        odd["targets"]["edge"]["held"]["orphans"] = serde_json::json!([{ "mark": "odd", "object": "x", "id": "y" }]);
        check(1, &odd, "`state.json`: `targets.edge.held`: `odd` is no owner mark");
        odd["targets"]["edge"]["held"] = serde_json::Value::Null;
        odd["targets"]["edge"]["error"] = "no leave to read".into();
        check(1, &odd, "`targets.edge` was not read: no leave to read");
        said(&world, 1, "plan --state missing.json");
        world.config(&EDGE.replace("targets.edge", "targets.front"));
        check(1, &observed, "`targets` has no `front`");
    });
}
