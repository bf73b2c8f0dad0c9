//! Two at once, tokens that end, tags, orphans, and what `check` tells.

use tagwall_azure::Settings;
use tagwall_fake_arm::{Behaviour, Edit, Fault, FaultKind, Rule};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Desired, ForeignEffect, Limit, PrefixSet, Provider, ProviderError};

use super::bench::{Bench, admitted, mark, name, set, settings};

fn desired(texts: &[&str]) -> Desired {
    Desired::listed(set(texts))
}

/// Two daemons that want different things, each a process of its own: nobody whom both want is ever kept out.
#[tokio::test]
async fn two_daemons_at_once() {
    for honoured in [false, true] {
        let bench = Bench::new(Behaviour { if_match_on_rules: honoured, ..Behaviour::default() });
        let (one, two) = (Bench::clients(), Bench::clients());
        let both = set(&["192.0.2.0/25", "2001:db8::/48"]);
        pass(&bench.provider(&one, settings()), &Desired::listed(both.clone())).await.unwrap();
        let seen = bench.states().len();
        let wishes = [both.union(&set(&["198.51.100.0/24"])), both.union(&set(&["203.0.113.0/24", "2001:db8:9::/48"]))];
        let run = async |clients: &tagwall_arm::Clients, wish: &PrefixSet| {
            for _ in 0..5 {
                match pass(&bench.provider(clients, settings()), &Desired::listed(wish.clone())).await {
                    Ok(_) | Err(PassError::Provider(ProviderError::Conflict(_))) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        };
        tokio::join!(run(&one, &wishes[0]), run(&two, &wishes[1]));
        for state in &bench.states()[seen..] {
            let now = admitted(&state.rules, &mark("tagwall:edge/web"));
            assert!(now.is_superset(&both), "{now}");
        }
        pass(&bench.provider(&one, settings()), &Desired::listed(wishes[0].clone())).await.unwrap();
        assert_eq!(bench.admitted(&mark("tagwall:edge/web")), wishes[0]);
    }
}

/// Two targets of one process in one group wait for each other: ARM never sees two operations.
#[tokio::test]
async fn two_targets_of_one_group_take_turns() {
    let bench = Bench::new(Behaviour { polls: 3, ..Behaviour::default() });
    let clients = Bench::clients();
    let other = Settings::new(mark("tagwall:edge/mail"), vec![tagwall_azure::Ports::one(25)], 300);
    let (web, mail) = (bench.provider(&clients, settings()), bench.provider(&clients, other));
    let wish = desired(&["192.0.2.0/25", "2001:db8::/48"]);
    let (one, two) = tokio::join!(pass(&web, &wish), pass(&mail, &wish));
    one.unwrap();
    two.unwrap();
    let refused = bench.arm.exchanges().iter().filter(|exchange| exchange.status == Some(409)).count();
    assert_eq!((refused, bench.writes().len()), (0, 4));
}

/// A token that ends between two calls is replaced by another, once: somebody whose tokens are all refused hears it.
#[tokio::test]
async fn a_token_that_ends_in_mid_pass() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let provider = bench.provider(&clients, settings());
    bench.arm.fault(Fault::new("PUT", "", FaultKind::ExpireTokens));
    pass(&provider, &desired(&["192.0.2.0/25", "2001:db8::/48"])).await.unwrap();
    let expired = bench.arm.exchanges().iter().filter(|exchange| exchange.status == Some(401)).count();
    assert_eq!((expired, bench.arm.faults_left()), (1, 0));
    bench.arm.fault(Fault::new("", "", FaultKind::ExpireTokens).always());
    let denied = pass(&provider, &desired(&[])).await;
    assert!(matches!(&denied, Err(PassError::Provider(error)) if error.class() == "denied"), "{denied:?}");
}

/// From prefixes to the tag and back: what comes, comes first.
#[tokio::test]
async fn tag_and_prefixes_take_turns_without_a_gap() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let provider = bench.provider(&clients, settings());
    let tag = Desired::ServiceTag("ExampleService".to_owned());
    let prefixes = desired(&["192.0.2.0/25", "2001:db8::/48"]);
    for wish in [&prefixes, &tag, &prefixes, &tag] {
        bench.arm.clear_exchanges();
        let seen = bench.states().len();
        let first = bench.admitted(&mark("tagwall:edge/web")).is_empty() && seen < 2;
        pass(&provider, wish).await.unwrap();
        for state in &bench.states()[seen..] {
            let has_tag = state.rules.iter().any(|rule| rule.name == "tagwall-edge-web-tag");
            let now = admitted(&state.rules, &mark("tagwall:edge/web"));
            assert!(first || has_tag || now == prefixes.prefixes(), "neither the tag nor all prefixes");
        }
        assert_eq!(
            bench.writes().iter().filter(|write| write.method == "PUT").count(),
            if *wish == tag { 1 } else { 2 }
        );
        let again = pass(&provider, wish).await.unwrap();
        assert!(again.steps.is_empty(), "{:?}", again.steps);
    }
    let rules = bench.rules();
    let tag = rules.iter().find(|rule| rule.name == "tagwall-edge-web-tag").unwrap();
    assert_eq!(
        (&tag.properties["sourceAddressPrefix"], &tag.properties["priority"]),
        (&"ExampleService".into(), &202.into())
    );
    let unknown = pass(&provider, &Desired::ServiceTag("NoSuchService".to_owned())).await;
    let Err(PassError::Provider(error)) = unknown else { panic!("{unknown:?}") };
    assert!(error.hint().unwrap().contains("knows no such service tag"), "{error:?}");
}

/// A name or a priority of ours that somebody else has, and somebody whom the end would shut out: nothing is written.
#[tokio::test]
async fn what_is_taken_is_refused_with_the_choices() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let closing = Settings { deny: true, ..settings() };
    let check = async |rule: Rule, settings: Settings, expected: &str| {
        bench.reset();
        bench.arm.edit(|network| network.put_rule(&name(), rule));
        let before = bench.foreign(&[]);
        let refused = pass(&bench.provider(&clients, settings), &desired(&["192.0.2.0/25", "2001:db8::/48"])).await;
        let Err(PassError::Refused(refusal)) = refused else { panic!("{expected}: {refused:?}") };
        assert_eq!(refusal.limit, Limit::NotOurs);
        assert!(refusal.finding.contains(expected) && refusal.choices.len() > 2, "{refusal:?}");
        assert_eq!(bench.foreign(&[]), before);
    };
    let rule = |name: &str, priority: u16, port: &str| Rule::inbound(name, "Allow", priority, &["10.0.0.0/8"], port);
    check(
        rule("theirs", 200, "22"),
        settings(),
        "rule `theirs` (priority 200) stands among the target's priorities 200 to 210",
    )
    .await;
    check(rule("theirs", 201, "22"), settings(), "rule `tagwall-edge-web-v6` cannot stand at its place").await;
    check(rule("Tagwall-Edge-Web-V4", 900, "22"), settings(), "has the name of one of the target's").await;
    check(
        rule("behind", 900, "8000-9000"),
        closing.clone(),
        "opens the same ports, but comes behind the target's rule that closes them (priority 208): it admits nobody",
    )
    .await;
    // Another port, or before ours: no obstacle.
    for rule in [rule("behind", 900, "443"), rule("before", 150, "8443"), rule("inside", 204, "22")] {
        bench.reset();
        bench.arm.edit(|network| network.put_rule(&name(), rule.clone()));
        let settings = if rule.name == "inside" { settings() } else { closing.clone() };
        pass(&bench.provider(&clients, settings), &desired(&["192.0.2.0/25"])).await.unwrap();
    }
}

/// A rule with one of our names or priorities that comes between plan and write stays as it is, and the next pass says so.
#[tokio::test]
async fn what_comes_into_our_place_meanwhile_is_not_written_over() {
    let theirs = |name: &str, priority: u16| Rule::inbound(name, "Allow", priority, &["10.9.0.0/16"], "3306");
    for rule in [theirs("tagwall-edge-web-v6", 1000), theirs("Tagwall-Edge-Web-V6", 1000), theirs("theirs", 201)] {
        let bench = Bench::new(Behaviour::default());
        let clients = Bench::clients();
        let provider = bench.provider(&clients, settings());
        let edit = Edit::PutRule { nsg: name(), rule: rule.clone() };
        bench.arm.fault(Fault::new("PUT", "", FaultKind::Before(edit)));
        let wish = desired(&["192.0.2.0/25", "2001:db8::/48"]);
        // A conflict, and so the pass starts over, and is refused.
        let refused = pass(&provider, &wish).await;
        assert!(matches!(&refused, Err(PassError::Refused(refusal)) if refusal.limit == Limit::NotOurs), "{refused:?}");
        let stands = bench.rules().into_iter().find(|other| other.name == rule.name).unwrap();
        assert_eq!(stands.properties["sourceAddressPrefix"], rule.properties["sourceAddressPrefix"]);
        assert_eq!(bench.writes().len(), 1);
    }
}

/// A request that was made before somebody else's hand was noticed is told with the conflict: something was changed.
#[tokio::test]
async fn what_was_done_before_a_conflict_is_told() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let provider = bench.provider(&clients, Settings { deny: true, ..settings() });
    pass(&provider, &desired(&["192.0.2.0/25", "2001:db8::/48"])).await.unwrap();
    let wish = desired(&["192.0.2.0/24", "2001:db8::/48"]);
    let observed = provider.observe().await.unwrap();
    let steps = provider.place(&observed, &wish).unwrap();
    let rules = bench.rules();
    let mut moved = rules.iter().find(|rule| rule.name.ends_with("-deny")).unwrap().as_ref().clone();
    moved.properties.insert("priority".to_owned(), 300.into());
    let edit = Edit::PutRule { nsg: name(), rule: moved };
    bench.arm.fault(Fault::new("PUT", "", FaultKind::Before(edit)));
    let error = provider.apply(&observed.revision, &steps).await.unwrap_err();
    assert_eq!((error.class(), error.applied().calls, error.applied().added), ("conflict", 1, 1), "{error:?}");
    // Negative control: where nothing was written, nothing is told.
    let error = provider.apply(&observed.revision, &steps).await.unwrap_err();
    assert_eq!((error.class(), error.applied().calls), ("conflict", 0), "{error:?}");
}

#[tokio::test]
async fn what_others_do_to_the_ports_is_told() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let provider = bench.provider(&clients, settings());
    let mut judge = Rule::inbound("judge", "Deny", 104, &["*"], "*");
    judge.properties.insert("description".to_owned(), "tagwall:core/web".into());
    for rule in [
        Rule::inbound("a", "Allow", 101, &["192.0.2.0/28", "192.0.2.32/28"], "1-65535"),
        Rule::inbound("b", "Allow", 102, &["Storage"], "8443"),
        Rule::inbound("c", "Deny", 103, &["198.51.100.0/24"], "8443"),
        judge,
        Rule::inbound("d", "Deny", 105, &["*"], "8443"),
        Rule::inbound("elsewhere", "Deny", 106, &["*"], "8444"),
    ] {
        bench.arm.edit(|network| network.put_rule(&name(), rule));
    }
    let told = async || {
        let observed = provider.observe().await.unwrap();
        observed.foreign.into_iter().map(|foreign| (foreign.description, foreign.effect)).collect::<Vec<_>>()
    };
    let admits = |texts: &[&str]| ForeignEffect::Admits(set(texts));
    let text = str::to_owned;
    let expected = vec![
        (
            text("rule `a` (priority 101) admits 192.0.2.0/28, 192.0.2.32/28 to the target's ports"),
            admits(&["192.0.2.0/28", "192.0.2.32/28"]),
        ),
        (text("rule `b` (priority 102) admits Storage to the target's ports"), admits(&[])),
        (
            text(
                "rule `judge` of tagwall:core/web (priority 104) keeps from the target's ports whom the target admits",
            ),
            ForeignEffect::Judges(mark("tagwall:core/web")),
        ),
        (text("rule `d` (priority 105) keeps from the target's ports whom the target admits"), ForeignEffect::Blocks),
    ];
    assert_eq!(told().await, expected);
    // What denies some is told where it meets somebody who is admitted.
    pass(&provider, &desired(&["198.51.100.128/25"])).await.unwrap();
    assert!(told().await.iter().any(|(what, effect)| what.contains("`c`") && *effect == ForeignEffect::MayBlock));
}

#[tokio::test]
async fn check_tells_as_whom_and_how_much_room_there_is() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let lines = bench.provider(&clients, settings()).check().await.unwrap();
    let expected = [
        "asked as somebody whom the token does not name, by a client secret of the environment",
        "may read, write and delete rules, as its roles say",
        "hub holds 4 of 1000 (room for 996) rules, 2 of 4000 (room for 3998) source prefixes and 0 of 4000 (room for 4000) destinations",
        "uses the priorities 200 for `tagwall-edge-web-v4`, 201 for `tagwall-edge-web-v6`; 200 to 210 are kept for it",
    ];
    assert_eq!(lines, expected);
    let closing = Settings { deny: true, service_tag: Some("ExampleService".to_owned()), ..settings() };
    let lines = bench.provider(&clients, closing).check().await.unwrap();
    let uses = "uses the priorities 202 for `tagwall-edge-web-tag`, 205 for `tagwall-edge-web-probes`, 208 for `tagwall-edge-web-deny`";
    assert!(lines[3].starts_with(uses), "{lines:?}");
    assert!(bench.writes().is_empty());
    let failed = bench.provider(&clients, Settings { priority: 4095, ..settings() }).check().await;
    assert!(matches!(&failed, Err(error) if error.class() == "rejected"), "{failed:?}");
    // What a role lacks is named.
    bench.arm.set(Behaviour {
        allowed_actions: Some(vec!["Microsoft.Network/networkSecurityGroups/read".to_owned()]),
        ..Behaviour::default()
    });
    let lines = bench.provider(&clients, settings()).check().await.unwrap();
    let untold = "whether it may write was not told (AuthorizationFailed): `Microsoft.Authorization/permissions/read` lets it be asked";
    assert_eq!(lines[1], untold);
    let allowed = |actions: &[&str]| {
        let actions =
            ["Microsoft.Network/networkSecurityGroups/read"].iter().chain(tagwall_azure::CHECKING).chain(actions);
        let allowed_actions = Some(actions.map(|action| (*action).to_owned()).collect());
        bench.arm.set(Behaviour { allowed_actions, ..Behaviour::default() });
    };
    allowed(&[]);
    let told = bench.provider(&clients, settings()).check().await.unwrap_err();
    let text = format!("{:?}", std::error::Error::source(&told));
    assert_eq!(told.class(), "denied");
    for action in tagwall_azure::WRITING.iter().filter(|action| action.contains("/securityRules/")) {
        assert!(text.contains(action), "{text}");
    }
    assert!(told.hint().unwrap().contains("packaging/azure"));
    allowed(tagwall_azure::WRITING);
    assert_eq!(bench.provider(&clients, settings()).check().await.unwrap()[1], expected[1]);
    allowed(&[]);
    let denied = pass(&bench.provider(&clients, settings()), &desired(&["192.0.2.0/25"])).await;
    let Err(PassError::Provider(error)) = denied else { panic!("{denied:?}") };
    assert_eq!(error.class(), "denied");
    assert!(
        error.hint().unwrap().contains("`Microsoft.Network/networkSecurityGroups/securityRules/write`"),
        "{:?}",
        error.hint()
    );
}

/// The least role is enough: a change and a withdrawal, with nothing else allowed, operations or not.
#[tokio::test]
async fn the_least_role_is_enough() {
    for operations in [true, false] {
        let actions = tagwall_azure::READING.iter().chain(tagwall_azure::WRITING);
        let actions =
            actions.filter(|action| operations || !action.contains("operations")).map(|action| (*action).to_owned());
        let bench = Bench::new(Behaviour { allowed_actions: Some(actions.collect()), ..Behaviour::default() });
        let clients = Bench::clients();
        let provider = bench.provider(&clients, settings());
        pass(&provider, &desired(&["192.0.2.0/25", "2001:db8::/48"])).await.unwrap();
        assert_eq!(bench.admitted(&mark("tagwall:edge/web")), set(&["192.0.2.0/25", "2001:db8::/48"]));
        provider.withdraw().await.unwrap();
        assert_eq!(bench.admitted(&mark("tagwall:edge/web")), PrefixSet::new());
        let denied = bench.arm.exchanges().iter().filter(|exchange| exchange.status == Some(403)).count();
        assert_eq!(denied > 0, !operations);
    }
}
