//! What Azure takes, to the last prefix and rule, and how few requests it needs.

use tagwall_azure::{MOST_PREFIXES, MOST_RULES, Settings};
use tagwall_fake_arm::{Behaviour, Bucket, Buckets, Rule};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Desired, IpNet, Limit, PrefixSet};

use super::bench::{Bench, GROUP, HUB, SUBSCRIPTION, mark, set, settings};

/// So many prefixes, none of which merge.
fn hosts(count: u32) -> PrefixSet {
    let host = |number: u32| IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + 2 * number)));
    (0..count).map(host).collect()
}

#[tokio::test]
async fn four_thousand_prefixes_and_one_more() {
    let bench = Bench::new(Behaviour::default());
    let (clients, ours) = (Bench::clients(), mark("tagwall:edge/web"));
    let provider = bench.provider(&clients, settings());
    // Two are other people's.
    let most = u32::try_from(MOST_PREFIXES).unwrap() - 2;
    pass(&provider, &Desired::listed(hosts(most))).await.unwrap();
    assert_eq!(bench.admitted(&ours), hosts(most));
    let before = bench.writes().len();
    let refused = pass(&provider, &Desired::listed(hosts(most + 1))).await;
    let Err(PassError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.limit, Limit::Capacity);
    assert_eq!(
        refusal.finding,
        "3999 IPv4 and 0 IPv6 prefixes are needed, and the network security group takes 4000 prefixes and 1000 rules: 3998 prefixes are ours, 2 others', 0 more fit; 996 rules are left for the target"
    );
    assert!(refusal.choices[0].contains("service-tag"), "{refusal:?}");
    assert_eq!((bench.writes().len(), bench.admitted(&ours)), (before, hosts(most)));
    // A full group takes a replacement, in one request.
    let other = hosts(most - 1).union(&set(&["198.51.100.1/32"]));
    pass(&provider, &Desired::listed(other.clone())).await.unwrap();
    assert_eq!((bench.writes().len(), bench.admitted(&ours)), (before + 1, other));
    // Were it not counted, Azure would say so.
    let mut blind = settings();
    (blind.most_prefixes, blind.largest_rule) = (2 * MOST_PREFIXES, 2 * MOST_PREFIXES);
    let rejected = pass(&bench.provider(&clients, blind), &Desired::listed(hosts(most + 1))).await;
    assert!(matches!(&rejected, Err(PassError::Provider(error)) if error.class() == "rejected"), "{rejected:?}");
}

/// Destinations are counted apart from sources: each rule of ours that names one holds one of them.
#[tokio::test]
async fn four_thousand_destinations() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let leading = |v4: Option<&str>, v6: Option<&str>| {
        let destination = tagwall_provider::PerFamily { v4: v4.map(str::to_owned), v6: v6.map(str::to_owned) };
        bench.provider(&clients, Settings { destination, ..settings() })
    };
    let wanted = || Desired::listed(set(&["192.0.2.0/24", "2001:db8::/32"]));
    let others = |count: usize| {
        let mut rule = Rule::inbound("theirs", "Allow", 1000, &["*"], "22");
        let destinations: Vec<String> =
            hosts(u32::try_from(count).unwrap()).prefixes().map(|host| host.to_string()).collect();
        rule.properties.remove("destinationAddressPrefix");
        rule.properties.insert("destinationAddressPrefixes".to_owned(), serde_json::json!(destinations));
        bench.arm.put_nsg(SUBSCRIPTION, GROUP, HUB, vec![rule]);
    };
    let (v4, v6) = (Some("192.0.2.7"), Some("2001:db8::7"));
    others(MOST_PREFIXES - 1);
    let refused = pass(&leading(v4, v6), &wanted()).await;
    let Err(PassError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        refusal.to_string(),
        "capacity: the target's rules name 2 destinations, and beside others' rules the network security group takes 1 more, of 4000"
    );
    assert!(bench.writes().is_empty());
    // One fits, and as many rules as one likes that name none.
    pass(&leading(v4, None), &wanted()).await.unwrap();
    let again = pass(&leading(v4, None), &wanted()).await.unwrap();
    assert_eq!((again.applied.calls, bench.writes().len()), (0, 2), "what is there has its room already");
    others(MOST_PREFIXES);
    pass(&leading(None, None), &wanted()).await.unwrap();
    // Were it not counted, Azure would say so.
    let blind = Settings { most_prefixes: 2 * MOST_PREFIXES, largest_rule: 2 * MOST_PREFIXES, ..settings() };
    let destination = tagwall_provider::PerFamily { v4: v4.map(str::to_owned), v6: v6.map(str::to_owned) };
    others(MOST_PREFIXES - 1);
    let rejected = pass(&bench.provider(&clients, Settings { destination, ..blind }), &wanted()).await;
    assert!(matches!(&rejected, Err(PassError::Provider(error)) if error.class() == "rejected"), "{rejected:?}");
}

#[tokio::test]
async fn a_thousand_rules() {
    let bench = Bench::new(Behaviour::default());
    let rule = |number: usize| {
        Rule::inbound(&format!("r{number}"), "Allow", 1000 + u16::try_from(number).unwrap(), &["*"], "22")
    };
    let clients = Bench::clients();
    let cases =
        [(0, false, false), (1, false, false), (2, false, true), (2, true, false), (3, true, false), (4, true, true)];
    for (left, deny, fits) in cases {
        let others = MOST_RULES - left;
        let provider = bench.provider(&clients, Settings { deny, ..settings() });
        bench.arm.put_nsg(SUBSCRIPTION, GROUP, HUB, (0..others).map(rule).collect());
        let done = pass(&provider, &Desired::listed(set(&["192.0.2.0/24", "2001:db8::/32"]))).await;
        match done {
            Ok(_) => assert!(fits, "{others}"),
            Err(PassError::Refused(refusal)) => {
                assert!(!fits && refusal.limit == Limit::Capacity, "{others}: {refusal}");
            }
            Err(error) => panic!("{others}: {error:?}"),
        }
    }
}

/// What a standing target is to have besides is counted before anything is written.
#[tokio::test]
async fn a_thousand_rules_and_what_a_target_comes_to_need() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let rule = |number: usize| {
        Rule::inbound(&format!("r{number}"), "Allow", 1000 + u16::try_from(number).unwrap(), &["*"], "22")
    };
    let wanted = || Desired::listed(set(&["192.0.2.0/24", "2001:db8::/32"]));
    for (left, fits) in [(2, false), (3, false), (4, true)] {
        bench.arm.put_nsg(SUBSCRIPTION, GROUP, HUB, (0..MOST_RULES - left).map(rule).collect());
        pass(&bench.provider(&clients, settings()), &wanted()).await.unwrap();
        let before = bench.writes().len();
        let closed = pass(&bench.provider(&clients, Settings { deny: true, ..settings() }), &wanted()).await;
        match closed {
            Ok(_) => assert!(fits, "{left}"),
            Err(PassError::Refused(refusal)) => {
                assert!(!fits && refusal.limit == Limit::Capacity, "{left}: {refusal}");
                assert_eq!(bench.writes().len(), before);
            }
            Err(error) => panic!("{left}: {error:?}"),
        }
    }
}

/// One PUT for each rule that changes, none in a second pass, none to look.
#[tokio::test]
async fn as_few_writes_as_rules_change() {
    let bench = Bench::new(Behaviour::default());
    let clients = Bench::clients();
    let provider = bench.provider(&clients, settings());
    let check = async |wanted: &[&str], expected: &[&str]| {
        bench.arm.clear_exchanges();
        pass(&provider, &Desired::listed(set(wanted))).await.unwrap();
        let written: Vec<String> = bench
            .writes()
            .iter()
            .map(|write| format!("{} {}", write.method, write.path.rsplit('/').next().unwrap()))
            .collect();
        assert_eq!(written, expected, "{wanted:?}");
    };
    check(&["192.0.2.0/25", "2001:db8::/48"], &["PUT tagwall-edge-web-v4", "PUT tagwall-edge-web-v6"]).await;
    check(&["192.0.2.0/25", "2001:db8::/48"], &[]).await;
    check(&["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"], &["PUT tagwall-edge-web-v4"]).await;
    check(&["192.0.2.0/26", "2001:db8:7::/48"], &["PUT tagwall-edge-web-v4", "PUT tagwall-edge-web-v6"]).await;
    check(&["192.0.2.0/26"], &["DELETE tagwall-edge-web-v6"]).await;
    check(&[], &["DELETE tagwall-edge-web-v4"]).await;
    check(&[], &[]).await;
}

/// A bucket that runs dry slows the work down and stops nothing.
#[tokio::test]
async fn throttled_with_and_without_a_time_to_come_back() {
    for says_when in [true, false] {
        let bucket = |size, per_second| Bucket { size, per_second };
        let buckets = Buckets { reads: bucket(500, 500), writes: bucket(2, 4), deletes: bucket(2, 4) };
        let behaviour = Behaviour { buckets: Some(buckets), throttle_retry_after: says_when, ..Behaviour::default() };
        let bench = Bench::new(behaviour);
        let clients = Bench::clients();
        let provider = bench.provider(&clients, settings());
        for wanted in [&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.0/25", "2001:db8::/33"]] {
            pass(&provider, &Desired::listed(set(wanted))).await.unwrap();
            assert_eq!(bench.admitted(&mark("tagwall:edge/web")), set(wanted));
        }
        let throttled = bench.arm.exchanges().iter().filter(|exchange| exchange.status == Some(429)).count();
        assert!(throttled > 0, "the bucket was never empty");
        let [(_, remaining)] = &clients.remaining().await[..] else { panic!("one account") };
        assert!(remaining.writes.is_some_and(|left| left < 2), "{remaining:?}");
    }
}
