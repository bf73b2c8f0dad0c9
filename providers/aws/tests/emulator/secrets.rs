//! What stands in the log at TRACE, of us and of every crate beneath.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tagwall_aws::{Account, Role};
use tagwall_provider::Provider as _;
use tracing_subscriber::EnvFilter;

use crate::faults::{goal, standing};
use crate::hand::REGION;
use crate::rig::{SECRET, TOKEN};
use crate::world::account;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// All that is logged from now on, by this filter.
    fn everything(filter: &str) -> Self {
        let captured = Self::default();
        let writer = captured.clone();
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_ansi(false);
        log.with_writer(move || writer.clone()).init();
        captured
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// What a log must not show: what was given, what STS gave, and what goes over the wire to prove it.
const TELLTALES: [&str; 6] = [SECRET, TOKEN, "SecretAccessKey", "x-amz-security-token", "Signature=", "AWS4-HMAC"];

fn told(log: &str) -> Vec<&'static str> {
    TELLTALES.into_iter().filter(|telltale| log.to_lowercase().contains(&telltale.to_lowercase())).collect()
}

on_a_rig! {
    /// Somebody looks on, at night.
    async fn long_waits_are_told_once(rig) {
        let captured = Captured::everything("tagwall_aws=info");
        let world = standing(&rig).await;
        assert_eq!(captured.take(), "", "what takes no time is told");
        rig.advance(300);
        rig.set("lag", 8);
        world.reach(&goal()).await;
        let lines = |log: &str| -> Vec<String> { log.lines().map(str::to_owned).collect() };
        let told = lines(&captured.take());
        let expect = format!("still waiting for the rules of {} in eu-west-1", world.groups.join(", "));
        assert!(matches!(&told[..], [line] if line.contains(&expect)), "{told:?}");
        let fault = serde_json::json!({ "kind": "timeout", "action": "DescribeSecurityGroupRules", "seconds": 7 });
        rig.faults(&fault);
        world.provider().observe().await.unwrap();
        let told = lines(&captured.take());
        let expect = "ec2:DescribeSecurityGroupRules in eu-west-1 is not done after 5 s";
        assert!(matches!(&told[..], [line] if line.contains(expect)), "{told:?}");
    }

    async fn no_secret_is_logged(rig) {
        let captured = Captured::everything("trace");
        let world = standing(&rig).await;
        world.reach(&goal()).await;
        world.provider().check().await.unwrap();
        let role = Role {
            arn: "arn:aws:iam::210987654321:role/tagwall".to_owned(),
            external_id: None,
            session_name: None,
        };
        let assumed = Account { role: Some(role), ..account(REGION) };
        world.clients.identity(&assumed).await.unwrap();
        for kind in ["denied", "expired", "internal", "cut"] {
            rig.fault(kind, "*", 1, false);
            let _ = world.clients.identity(&assumed).await;
            rig.fault(kind, "*", 2, false);
            let _ = world.pass(&goal()).await;
        }
        let log = captured.take();
        assert!(log.contains("tagwall_aws") && log.contains("AuthorizeSecurityGroupIngress"), "nothing was captured");
        println!("{} bytes at TRACE", log.len());
        assert!(told(&log).is_empty(), "the log tells {:?}", told(&log));

        // The negative control: the SDK by itself tells.
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
        let ec2 = aws_sdk_ec2::config::Builder::from(&config).region(aws_config::Region::new(REGION));
        let _ = aws_sdk_ec2::Client::from_conf(ec2.build()).describe_security_groups().send().await;
        let log = captured.take();
        println!("the SDK by itself tells {:?} in {} bytes", told(&log), log.len());
        assert!(!told(&log).is_empty(), "the SDK tells nothing any more: is the subscriber's silence still needed?");
    }
}
