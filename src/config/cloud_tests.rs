use std::path::Path;

use super::*;

fn parse(target: &str) -> Result<Config, String> {
    let text = format!("owner = \"test\"\n[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n{target}");
    Config::parse(&text, Path::new("/etc/tagwall.toml")).map_err(|error| crate::chain::chain(&error))
}

/// A target with this firewall is refused with these words.
#[track_caller]
fn refused(firewall: &str, expect: &str) {
    let error = parse(&target(firewall)).expect_err("a bad configuration was taken");
    assert!(error.contains(expect), "{error:?} does not say {expect:?}");
}

fn target(firewall: &str) -> String {
    format!("[targets.api]\nlists = [\"entra\"]\n{firewall}")
}

/// Two targets that would fight, and two that would not.
#[track_caller]
fn fight(one: &str, other: &str, expect: Option<&str>) {
    let text = format!("[targets.a]\nlists = [\"entra\"]\n{one}\n[targets.b]\nlists = [\"entra\"]\n{other}");
    match (parse(&text), expect) {
        (Ok(_), None) => {}
        (Err(error), Some(expect)) => assert!(error.contains(expect), "{error:?} does not say {expect:?}"),
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn security_groups_are_named_by_id() {
    let groups = |keys: &str| format!("aws-security-groups = {{ region = \"eu-west-1\", {keys} }}");
    let config = parse(&target(&groups("groups = [\"sg-0123\", \"sg-4567\"]"))).unwrap();
    assert_eq!(config.targets[0].backend.object(), "AWS eu-west-1 sg-0123 sg-4567");
    let Backend::AwsSecurityGroups(found) = &config.targets[0].backend else { panic!() };
    assert_eq!((found.quota, found.make_room), (60, false));
    assert!(!config.targets[0].backend.is_local() && !config.targets[0].backend.boots_closed());

    refused(&groups("groups = []"), "`targets.api.aws-security-groups.groups` is empty");
    refused(&groups("groups = [\"web\"]"), "has `web`, which is no id");
    refused(&groups("groups = [\"sg-1\", \"sg-1\"]"), "names `sg-1` twice");
    refused(&groups("groups = [\"sg-1\"], quota = 0"), "`targets.api.aws-security-groups.quota`");
    refused(&groups("groups = [\"sg-1\"], quotas = 60"), "unknown field `quotas`");
    refused(&groups("groups = [\"sg-1\"], role = { arn = \"tagwall\" }"), "`targets.api.aws-security-groups.role.arn`");
    refused(
        "aws-security-groups = { region = \"EU\", groups = [\"sg-1\"] }",
        "`targets.api.aws-security-groups.region`",
    );
    refused("aws-security-groups = { groups = [\"sg-1\"] }", "missing field `region`");
    let typo = "aws-security-groups = { region = \"eu-wset-1\", groups = [\"sg-1\"] }";
    refused(typo, "is `eu-wset-1`, which is in no partition of AWS");
    let named = |count: u32| (1..=count).map(|group| format!("\"sg-{group}\"")).collect::<Vec<_>>().join(", ");
    refused(&groups(&format!("groups = [{}]", named(17))), "names 17 groups: a network interface takes 16 at most");
    parse(&target(&groups(&format!("groups = [{}]", named(16))))).unwrap();
    let role = "role = { arn = \"arn:aws:iam::123456789012:role/tagwall\", external-id = \"x\" }";
    parse(&target(&groups(&format!("groups = [\"sg-1\"], {role}")))).unwrap();
}

#[test]
fn prefix_lists_are_there_or_made() {
    let lists = |keys: &str| format!("aws-prefix-lists = {{ region = \"eu-west-1\", {keys} }}");
    let config = parse(&target(&lists("v4 = \"pl-0123\", v6 = \"entra-v6\""))).unwrap();
    assert_eq!(config.targets[0].backend.object(), "AWS eu-west-1 pl-0123 entra-v6");
    refused(&lists("most-entries = 10"), "name at least one prefix list");
    refused(&lists("v4 = \"pl-1\", v6 = \"pl-1\""), "a prefix list holds one family");
    refused(&lists("v4 = \"com.amazonaws.global.cloudfront\""), "`targets.api.aws-prefix-lists.v4`");
    refused(&lists("v4 = \"pl-\""), "`targets.api.aws-prefix-lists.v4`");
    refused(&lists("v4 = \"pl-1\", most-entries = 1001"), "AWS allows 1 to 1000");
}

#[test]
fn credentials_go_nowhere_unprotected() {
    let at = |endpoint: &str| {
        format!("aws-security-groups = {{ region = \"eu-west-1\", groups = [\"sg-1\"], endpoint = \"{endpoint}\" }}")
    };
    refused(&at("http://192.0.2.1:5000"), "must begin with `https://`");
    refused(&at("http://localhost.example.com"), "must begin with `https://`");
    refused(&at("https://user:secret@example.com"), "holds credentials");
    refused(&at("nonsense"), "is no URL");
    for endpoint in ["http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost:5000", "https://ec2.example.com"] {
        parse(&target(&at(endpoint))).unwrap();
    }
}

#[test]
fn a_network_security_group_has_a_block_of_priorities() {
    let nsg =
        |keys: &str| format!("azure-nsg = {{ subscription = \"s\", resource-group = \"net\", nsg = \"hub\", {keys} }}");
    let config = parse(&target(&nsg("priority = 200"))).unwrap();
    assert_eq!(config.targets[0].backend.object(), "Azure net/hub");
    refused(&nsg("priority = 99"), "`targets.api.azure-nsg.priority` is 99");
    refused(&nsg("priority = 4090"), "100 to 4086");
    parse(&target(&nsg("priority = 4086"))).unwrap();
    refused(&nsg("priority = 200, destination = { v4 = \"10.0.0.4/16\" }"), "begins at `10.0.0.0/16`: write that");
    parse(&target(&nsg("priority = 200, destination = { v4 = \"10.0.0.0/16\" }"))).unwrap();
    refused(&nsg("priority = 200, admit-probes = false"), "goes with `deny = true` only");
    refused(&nsg("priority = 200, client-id = \"x\""), "`targets.api.azure-nsg.client-id`");
    refused(&nsg("priority = 200, endpoint = \"http://192.0.2.1\""), "`targets.api.azure-nsg.endpoint`");
    let other = "azure-nsg = { subscription = \"s\", resource-group = \"a/b\", nsg = \"hub\", priority = 200 }";
    refused(other, "`targets.api.azure-nsg.resource-group`");
}

#[test]
fn a_service_tag_is_one_tag_as_it_is() {
    let nsg = "azure-nsg = { subscription = \"s\", resource-group = \"net\", nsg = \"hub\", priority = 200, mode = \"service-tag\" }";
    assert_eq!(parse(&target(nsg)).unwrap().targets[0].service_tag.as_deref(), Some("AzureActiveDirectory"));
    let with = |list: &str| parse(&format!("{list}\n[targets.api]\nlists = [\"x\"]\n{nsg}"));
    for list in [
        "tags = [\"A\"]\nremoval-grace = \"14d\"",
        "tags = [\"A\", \"B\"]",
        "tags = [\"A\"]\nextra = [\"192.0.2.1\"]",
        "tags = [\"A\"]\nfamilies = [\"ipv4\"]",
    ] {
        let error = with(&format!("[lists.x]\n{list}")).unwrap_err();
        assert!(error.contains("`targets.api.azure-nsg.mode`"), "{error}");
    }
    let error =
        parse(&format!("[lists.x]\ntags = [\"A\"]\n[targets.api]\nlists = [\"x\"]\npolicy = \"add-only\"\n{nsg}"));
    let error = error.unwrap_err();
    assert!(error.contains("`targets.api.policy`") && error.contains("add-only"), "{error}");
    let regional = with("[lists.x]\ntags = [\"Storage\"]\nregions = [\"WestEurope\"]").unwrap();
    assert_eq!(regional.targets[0].service_tag.as_deref(), Some("Storage.WestEurope"));
}

#[test]
fn marks_in_a_cloud_need_an_owner_that_is_no_host() {
    let text = format!(
        "[lists.entra]\ntags = [\"A\"]\n{}",
        target("aws-security-groups = { region = \"eu-west-1\", groups = [\"sg-1\"] }")
    );
    let error = Config::parse(&text, Path::new("/etc/tagwall.toml")).unwrap_err();
    assert!(crate::chain::chain(&error).contains("`owner` is missing"), "{error:?}");
    Config::parse(&text.replace(&text[text.find("aws").unwrap()..], "nftables = {}"), Path::new("x")).unwrap();
}

#[test]
fn a_target_has_one_firewall() {
    let groups = "aws-security-groups = { region = \"eu-west-1\", groups = [\"sg-1\"] }";
    refused(&format!("nftables = {{}}\n{groups}"), "has several firewalls");
    refused("", "has no firewall");
    refused(&format!("{groups}\nwiden = {{}}"), "`targets.api.widen.v4`");
    refused(&format!("{groups}\nwiden = {{ v4 = 0 }}"), "must be at least 1");
    refused("nftables = {}\nwiden = { v4 = 10 }", "nftables is not");
    let config = parse(&target(&format!("{groups}\nwiden = {{ v4 = 180 }}"))).unwrap();
    let widen = config.targets[0].widen.clone().unwrap();
    assert_eq!((widen.prefixes.v4, widen.prefixes.v6, widen.most_extra), (Some(180), None, Percent(5.0)));
}

#[test]
fn one_object_has_one_target() {
    let groups = |groups: &str| format!("aws-security-groups = {{ region = \"eu-west-1\", groups = [{groups}] }}");
    fight(&groups("\"sg-1\", \"sg-2\""), &groups("\"sg-2\""), Some("both open tcp port 8443 in `sg-2`"));
    fight(&groups("\"sg-1\""), &groups("\"sg-2\""), None);
    fight(&groups("\"sg-1\""), &format!("ports = [443]\n{}", groups("\"sg-1\"")), None);
    let lists = |region: &str, v4: &str| format!("aws-prefix-lists = {{ region = \"{region}\", v4 = \"{v4}\" }}");
    fight(&lists("eu-west-1", "pl-1"), &lists("eu-west-2", "pl-1"), Some("both fill the prefix list `pl-1`"));
    fight(&lists("eu-west-1", "entra"), &lists("eu-west-1", "entra"), Some("both fill the prefix list `entra`"));
    fight(&lists("eu-west-1", "entra"), &lists("eu-west-2", "entra"), None);
    let nsg = |name: &str, priority: u16| {
        format!(
            "azure-nsg = {{ subscription = \"s\", resource-group = \"net\", nsg = \"{name}\", priority = {priority} }}"
        )
    };
    fight(&nsg("hub", 200), &nsg("HUB", 210), Some("less than 11 apart"));
    fight(&nsg("hub", 200), &nsg("hub", 211), None);
    fight(&nsg("hub", 200), &nsg("spoke", 200), None);
    let closed = |priority: u16| nsg("hub", priority).replace(" }", ", deny = true }");
    fight(&closed(200), &nsg("hub", 300), Some("closes tcp port 8443 in `hub` before"));
    fight(&nsg("hub", 300), &closed(200), Some("closes tcp port 8443 in `hub` before"));
    fight(&nsg("hub", 200), &closed(300), None);
    fight(&closed(200), &format!("ports = [443]\n{}", nsg("hub", 300)), None);
    let to = |text: &str, v4: &str| {
        text.replace(
            " }",
            &format!(", destination = {{ v4 = \"{v4}\", v6 = \"2001:db8::{}\" }} }}", &v4[v4.len() - 1..]),
        )
    };
    fight(&to(&closed(200), "10.0.0.4"), &to(&nsg("hub", 300), "10.0.0.5"), None);
    fight(&to(&closed(200), "10.0.0.4"), &to(&nsg("hub", 300), "10.0.0.4"), Some("before"));
    fight("nftables = {}", &groups("\"sg-1\""), None);
}
