//! The same on real AWS, for who has an account and says so. It has never been run by the authors.

use tagwall_aws::{Account, Clients, Ports, SecurityGroups, Target};
use tagwall_provider::testing::conformance::pass;
use tagwall_provider::{Desired, Provider as _};

use crate::hand::set;

/// `TAGWALL_AWS_LIVE=eu-west-1,sg-0123…[,sg-…] cargo test -p tagwall-aws --test emulator -- --ignored live`, with
/// credentials in the environment. It writes documentation prefixes on port 8443 under the owner `tagwall-live-test`
/// into these groups, takes them out again, and touches nothing else.
#[test]
#[ignore = "it writes to real AWS: TAGWALL_AWS_LIVE names a region and security groups that may be written to"]
fn live() {
    let Ok(given) = std::env::var("TAGWALL_AWS_LIVE") else { panic!("TAGWALL_AWS_LIVE names a region and groups") };
    let mut given = given.split(',').map(str::to_owned);
    let account = Account { region: given.next().unwrap(), profile: None, role: None, endpoint: None };
    let target = Target::new("tagwall:tagwall-live-test/groups".parse().unwrap(), vec![Ports::tcp(8443, 8443)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clients = Clients::default();
        println!("{:?}", clients.identity(&account).await.unwrap());
        let provider = SecurityGroups::new(&clients, account, given.collect(), target);
        println!("{}", provider.check().await.unwrap().join("\n"));
        for wanted in [
            set(&["192.0.2.0/25", "198.51.100.7/32", "2001:db8::/48"]),
            set(&["192.0.2.0/24", "203.0.113.0/28", "2001:db8::/49"]),
        ] {
            let passed = pass(&provider, &Desired::listed(wanted.clone())).await.unwrap();
            assert_eq!(passed.after.admitted(), wanted);
            println!("{:?}, {} conflicts", passed.applied, passed.conflicts);
        }
        println!("withdrawn: {:?}", provider.withdraw().await.unwrap());
        assert!(provider.observe().await.unwrap().entries.is_empty());
    });
}
