//! Against the real Azure, for whoever has a network security group to spare. It has never been run.
//!
//! ```text
//! AZURE_LIVE=1 AZURE_LIVE_SUBSCRIPTION=… AZURE_LIVE_RESOURCE_GROUP=… AZURE_LIVE_NSG=… \
//!   cargo test -p tagwall-azure --test live -- --ignored --nocapture
//! ```
//!
//! It makes and removes rules named `tagwall-live-test-…` at the priorities 4000 to 4007, for TCP 65000, of documentation
//! prefixes. It tells what no recording shows: whether If-Match is honoured on a single rule.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use tagwall_arm::{Account, Clients, Condition};
use tagwall_azure::{NetworkSecurityGroup, Nsg, Ports, Settings};
use tagwall_provider::testing::conformance::pass;
use tagwall_provider::{Desired, IpNet, PrefixSet, Provider};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`{name}` has to say which network security group"))
}

fn set(texts: &[&str]) -> Desired {
    Desired::listed(texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect::<PrefixSet>())
}

#[tokio::test]
#[ignore = "writes to a real network security group: set AZURE_LIVE=1 and name one"]
async fn a_real_network_security_group() {
    assert!(
        std::env::var_os("AZURE_LIVE").is_some_and(|live| live == "1"),
        "AZURE_LIVE=1 says that a real group is meant"
    );
    let nsg = Nsg {
        subscription: variable("AZURE_LIVE_SUBSCRIPTION"),
        resource_group: variable("AZURE_LIVE_RESOURCE_GROUP"),
        name: variable("AZURE_LIVE_NSG"),
    };
    let settings = Settings::new("tagwall:live/test".parse().unwrap(), vec![Ports::one(65000)], 4000);
    let (clients, account) = (Clients::default(), Account::default());
    let provider = NetworkSecurityGroup::new(&clients, account.clone(), nsg.clone(), settings);
    for line in provider.check().await.unwrap() {
        println!("{line}");
    }
    for wish in [&["192.0.2.0/25", "2001:db8::/48"][..], &["192.0.2.0/24", "198.51.100.7/32"], &[]] {
        pass(&provider, &set(wish)).await.unwrap();
        assert!(pass(&provider, &set(wish)).await.unwrap().steps.is_empty());
    }
    pass(&provider, &Desired::ServiceTag("AzureActiveDirectory".to_owned())).await.unwrap();
    pass(&provider, &set(&["192.0.2.0/25"])).await.unwrap();

    let client = clients.client(&account).await.unwrap();
    let Nsg { subscription, resource_group, name } = nsg;
    let rule = format!(
        "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Network/networkSecurityGroups/{name}/securityRules/tagwall-live-test-v4"
    );
    let body = client.get(&rule, "2024-03-01").await.unwrap();
    let old = "W/\"00000000-0000-0000-0000-000000000000\"";
    let honoured = client.put(&rule, "2024-03-01", &body, Condition::Is(old)).await;
    println!(
        "If-Match on a single rule is {}: {honoured:?}",
        if honoured.is_err() { "honoured" } else { "not honoured" }
    );
    println!("calls left: {:?}", client.remaining());
    provider.withdraw().await.unwrap();
}
