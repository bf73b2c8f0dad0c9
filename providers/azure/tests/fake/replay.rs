//! Microsoft's real publications, with other people's rules between ours: every state of every exchange is looked at.

use tagwall_azure::Settings;
use tagwall_fake_arm::{Behaviour, Rule};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Admits, Desired, Limit, Operation, PrefixSet, Provider as _};

use super::bench::{Bench, admitted, mark, name, settings};
use super::data;

/// How often each publication is taken: all take a minute.
const EVERY: usize = 5;

#[tokio::test]
async fn azure_active_directory_through_the_years() {
    let Some(publications) = data::publications() else { return };
    let (bench, ours) = (Bench::new(Behaviour { polls: 0, ..Behaviour::default() }), mark("tagwall:edge/web"));
    let clients = Bench::clients();
    let provider = bench.provider(&clients, Settings { deny: true, ..settings() });
    let (mut changed, mut prefixes) = (0, 0);
    let mut last = PrefixSet::new();
    for (index, file) in publications.iter().step_by(EVERY).enumerate() {
        let number = u16::try_from(index).unwrap();
        bench.arm.edit(|network| {
            network
                .put_rule(&name(), Rule::inbound(&format!("r{index}"), "Allow", 500 + number, &["203.0.113.9"], "22"));
        });
        let wanted = data::tag(&data::read(file), "AzureActiveDirectory");
        let (foreign, seen) = (bench.foreign(std::slice::from_ref(&ours)), bench.states().len());
        bench.arm.clear_exchanges();
        let done = pass(&provider, &Desired::listed(wanted.clone())).await.unwrap();
        for state in &bench.states()[seen..] {
            let now = admitted(&state.rules, &ours);
            assert!(now.is_superset(&last.intersection(&wanted)), "{}", file.display());
            assert!(last.union(&wanted).is_superset(&now), "{}", file.display());
        }
        assert_eq!((bench.admitted(&ours), bench.foreign(std::slice::from_ref(&ours))), (wanted.clone(), foreign));
        // One request for each rule that changes.
        let mut slots: Vec<_> = done.steps.entries.iter().map(|step| step.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let writes = bench.writes().len();
        assert_eq!(writes, slots.len() + if index == 0 { 2 } else { 0 }, "{}", file.display());
        changed += usize::from(writes > 0);
        prefixes += done.steps.entries.len();
        // What stays in a rule stays there.
        for step in done.steps.of(Operation::Remove) {
            let Admits::Range(range) = step.admits else { panic!("{step:?}") };
            let comes: PrefixSet = done
                .steps
                .of(Operation::Add)
                .filter_map(|step| match step.admits {
                    Admits::Range(range) => Some(range),
                    Admits::ServiceTag(_) => None,
                })
                .collect();
            assert!(!wanted.covers(range) || comes.meets(range), "{range} went without need");
        }
        let again = pass(&provider, &Desired::listed(wanted.clone())).await.unwrap();
        assert!(again.steps.is_empty() && bench.writes().len() == writes);
        last = wanted;
    }
    println!("{changed} publications changed something, {prefixes} steps");
}

/// All of AzureCloud: 12,091 prefixes in 2025, and 2,999 when merged. Beside 1,500 of other people's it is refused.
#[tokio::test]
async fn azure_cloud_as_a_whole() {
    let Some(publications) = data::publications() else { return };
    let (bench, ours) = (Bench::new(Behaviour { polls: 0, ..Behaviour::default() }), mark("tagwall:edge/web"));
    let clients = Bench::clients();
    let provider = bench.provider(&clients, settings());
    let wanted = data::tag(&data::read(publications.last().unwrap()), "AzureCloud");
    pass(&provider, &Desired::listed(wanted.clone())).await.unwrap();
    assert_eq!((bench.admitted(&ours), bench.writes().len()), (wanted.clone(), 2));
    println!("{} prefixes of AzureCloud", wanted.prefixes().count());

    provider.withdraw().await.unwrap();
    let hosts: Vec<String> =
        (0..1500_u32).map(|number| std::net::Ipv4Addr::from(0x0a00_0000 + 2 * number).to_string()).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    bench.arm.edit(|network| network.put_rule(&name(), Rule::inbound("theirs", "Allow", 400, &hosts, "22")));
    let refused = pass(&provider, &Desired::listed(wanted)).await;
    assert!(matches!(&refused, Err(PassError::Refused(refusal)) if refusal.limit == Limit::Capacity), "{refused:?}");
    assert!(bench.admitted(&ours).is_empty());
}
