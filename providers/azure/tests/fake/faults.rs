//! Whatever goes wrong, at whatever call: never a gap, nothing foreign touched, and the next passes end the work.

use tagwall_fake_arm::{Behaviour, Edit, Fault, FaultKind, Rule};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Desired, PrefixSet, ProviderError};

use super::bench::{Bench, admitted, foreign_rules, mark, name, set, settings};

fn start() -> PrefixSet {
    set(&["192.0.2.0/25", "192.0.2.192/26", "198.51.100.7/32", "2001:db8::/48"])
}

fn goal() -> PrefixSet {
    set(&["192.0.2.0/24", "203.0.113.0/28", "2001:db8::/49", "2001:db8:6::/47"])
}

fn faults() -> Vec<FaultKind> {
    let status = |status: u16, code: &str| FaultKind::Status {
        status,
        code: code.to_owned(),
        message: "It is not to be.".to_owned(),
        detail: None,
        retry_after: None,
    };
    let failed =
        |applied| FaultKind::FailOperation { code: "InternalError".to_owned(), message: "Broken.".to_owned(), applied };
    vec![
        FaultKind::another_operation(),
        FaultKind::retryable(None),
        FaultKind::throttled(Some(0)),
        FaultKind::precondition_failed(),
        FaultKind::internal(),
        FaultKind::Html(503),
        status(400, "Whatever"),
        status(403, "AuthorizationFailed"),
        status(409, "ScopeLocked"),
        FaultKind::CutBefore,
        FaultKind::CutAfter,
        FaultKind::CutMiddle,
        failed(true),
        failed(false),
        FaultKind::Polls(5),
        FaultKind::NoOperationHeaders,
        FaultKind::ExpireTokens,
        FaultKind::Stale(1),
        FaultKind::Stale(3),
    ]
}

/// Passes until one succeeds; says how many it took. Looks at every state that the group was in.
async fn converge(bench: &Bench, wanted: &PrefixSet, least: &PrefixSet, most: &PrefixSet, what: &str) -> usize {
    let ours = mark("tagwall:edge/web");
    let (clients, foreign, seen) = (Bench::clients(), bench.foreign(std::slice::from_ref(&ours)), bench.states().len());
    let desired = Desired::listed(wanted.clone());
    let mut passes = 0;
    loop {
        passes += 1;
        assert!(passes < 8, "{what}: no end");
        let provider = bench.provider(&clients, settings());
        let done = pass(&provider, &desired).await;
        for state in &bench.states()[seen..] {
            let now = admitted(&state.rules, &ours);
            assert!(now.is_superset(least), "{what}: {} is missing", least.difference(&now));
            assert!(most.is_superset(&now), "{what}: {} is too much", now.difference(most));
        }
        match done {
            Ok(pass) => {
                // A read that was late may have been taken for the truth: the pass after it knows better.
                if bench.admitted(&ours) == *wanted && pass.after.admitted() == *wanted {
                    break;
                }
            }
            Err(PassError::Provider(_)) => {}
            Err(refused @ PassError::Refused(_)) => panic!("{what}: {refused}"),
        }
    }
    assert_eq!(bench.foreign(&[ours]), foreign, "{what}");
    passes
}

async fn check(behaviour: &Behaviour) {
    let bench = Bench::new(behaviour.clone());
    let (mut met, mut most_passes) = (0, 0);
    for kind in faults() {
        for nth in 1..40 {
            bench.reset();
            converge(&bench, &start(), &PrefixSet::new(), &start(), "the start").await;
            bench.arm.fault(Fault::new("", "", kind.clone()).nth(nth));
            let what = format!("{kind:?} at call {nth}");
            let passes =
                converge(&bench, &goal(), &start().intersection(&goal()), &start().union(&goal()), &what).await;
            most_passes = most_passes.max(passes);
            if bench.arm.faults_left() > 0 {
                assert!(nth > 5, "the fault was never met");
                break;
            }
            met += 1;
        }
    }
    println!("{met} faults met, at most {most_passes} passes");
    assert!(met > 100, "{met}");
}

#[tokio::test]
async fn every_fault_at_every_call() {
    check(&Behaviour::default()).await;
}

#[tokio::test]
async fn every_fault_at_every_call_where_versions_are_honoured() {
    check(&Behaviour { if_match_on_rules: true, polls: 0, ..Behaviour::default() }).await;
}

/// Somebody else writes before and after every call: what is theirs stays, what they do to ours is mended.
#[tokio::test]
async fn a_third_partys_edit_at_every_point() {
    for honoured in [false, true] {
        let bench = Bench::new(Behaviour { if_match_on_rules: honoured, ..Behaviour::default() });
        let theirs = || Rule::inbound("theirs", "Allow", 130, &["203.0.113.77/32"], "8443");
        let mut ours = Rule::inbound("tagwall-edge-web-v4", "Allow", 200, &["203.0.113.99/32"], "8443");
        ours.properties.insert("description".to_owned(), "tagwall:edge/web".into());
        let edits: [(&str, Edit); 4] = [
            ("adds a rule", Edit::PutRule { nsg: name(), rule: theirs() }),
            ("changes ours", Edit::PutRule { nsg: name(), rule: ours }),
            ("deletes ours", Edit::DeleteRule { nsg: name(), rule: "tagwall-edge-web-v4".to_owned() }),
            ("is busy", Edit::Busy { nsg: name(), polls: 3 }),
        ];
        for (what, edit) in &edits {
            for nth in 1..30 {
                for before in [true, false] {
                    bench.reset();
                    converge(&bench, &start(), &PrefixSet::new(), &start(), "the start").await;
                    let kind = if before { FaultKind::Before(edit.clone()) } else { FaultKind::After(edit.clone()) };
                    bench.arm.fault(Fault::new("", "", kind).nth(nth));
                    let (clients, desired) = (Bench::clients(), Desired::listed(goal()));
                    for number in 0..4 {
                        if number == 2 && bench.arm.faults_left() > 0 {
                            // It comes too late to meet anything.
                            break;
                        }
                        match pass(&bench.provider(&clients, settings()), &desired).await {
                            Ok(_)
                            | Err(PassError::Provider(ProviderError::Conflict(_) | ProviderError::Transient(_))) => {}
                            Err(error) => panic!("{what} at {nth}: {error:?}"),
                        }
                    }
                    let what = format!("{what} at {nth}, before: {before}, honoured: {honoured}");
                    assert_eq!(bench.admitted(&mark("tagwall:edge/web")), goal(), "{what}");
                    let foreign = bench.foreign(&[mark("tagwall:edge/web")]);
                    let added = bench.rules().iter().any(|rule| rule.name == "theirs");
                    assert_eq!(foreign.lines().count(), foreign_rules().len() + usize::from(added), "{what}");
                }
                if bench.arm.faults_left() > 0 {
                    break;
                }
            }
        }
    }
}

/// The operation is named on another host: no token goes there, and no request.
#[tokio::test]
async fn an_operation_of_another_host_is_not_asked() {
    let bench = Bench::new(Behaviour::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("https://{}", listener.local_addr().unwrap());
    bench.arm.fault(Fault::new("PUT", "", FaultKind::OperationHost(elsewhere)));
    let clients = Bench::clients();
    let failed = pass(&bench.provider(&clients, settings()), &Desired::listed(start())).await;
    let Err(PassError::Provider(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.class(), "rejected");
    assert!(error.cause().to_string().contains("cannot write rule"), "{error}");
    let asked = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(asked.is_err(), "somebody came");
}

/// An operation that fails says why.
#[tokio::test]
async fn a_failed_operation_shows_its_error() {
    let bench = Bench::new(Behaviour::default());
    let kind =
        FaultKind::FailOperation { code: "Quota".to_owned(), message: "There is no more.".to_owned(), applied: false };
    bench.arm.fault(Fault::new("PUT", "", kind));
    let clients = Bench::clients();
    let failed = pass(&bench.provider(&clients, settings()), &Desired::listed(start())).await;
    let Err(PassError::Provider(error)) = failed else { panic!("{failed:?}") };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("ended as Failed: Quota: There is no more."), "{source}");
    assert_eq!(bench.admitted(&mark("tagwall:edge/web")), PrefixSet::new());
}

/// For as long as a minute in real life: 60 answers in a row that another operation runs.
#[tokio::test]
async fn busy_for_a_minute() {
    let bench = Bench::new(Behaviour::default());
    bench.arm.fault(Fault::new("PUT", "", FaultKind::another_operation()).times(60));
    let clients = Bench::clients();
    let done = pass(&bench.provider(&clients, settings()), &Desired::listed(start())).await.unwrap();
    assert_eq!((done.conflicts, bench.admitted(&mark("tagwall:edge/web"))), (0, start()));
    assert_eq!(bench.arm.faults_left(), 0);
}
