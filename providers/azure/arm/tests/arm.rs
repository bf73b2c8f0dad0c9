//! The calls of Resource Manager against the stand-in: who gets a token, and who does not hear of it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tagwall_arm::{Account, ArmError, Clients, Condition, CredentialKind, Environment, Pace, Requests};
use tagwall_fake_arm::{Behaviour, Buckets, Edit, FakeArm, Fault, FaultKind, Options};

const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
const SECRET: &str = "the-clients-own-secret";
const API: &str = "2024-03-01";

struct Bench {
    arm: FakeArm,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Self {
        let bench = Self {
            arm: FakeArm::start(Options { behaviour, ..Options::default() }),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(bench.ca(), bench.arm.ca_pem()).unwrap();
        bench.arm.put_nsg(SUBSCRIPTION, "net", "hub", Vec::new());
        bench
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn account(&self, credential: CredentialKind) -> Account {
        let (endpoint, authority) = (Some(self.arm.url()), Some(self.arm.authority()));
        Account { credential, endpoint, authority, ca_file: Some(self.ca()), ..Account::default() }
    }
}

fn clients(variables: &[(&str, &str)]) -> Clients {
    let milliseconds = Duration::from_millis;
    let pace = Pace {
        first: milliseconds(1),
        longest: milliseconds(4),
        patience: milliseconds(5000),
        poll: milliseconds(1),
        operation: milliseconds(5000),
    };
    let variables: Vec<(String, String)> =
        variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Clients::new(
        pace,
        Environment::of(move |name| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())),
    )
}

fn with_secret() -> Clients {
    clients(&[("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_CLIENT_SECRET", SECRET)])
}

fn path(rule: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/networkSecurityGroups/hub{rule}"
    )
}

fn rule() -> serde_json::Value {
    json!({"properties": {
        "protocol": "Tcp", "access": "Allow", "priority": 100, "direction": "Inbound", "sourcePortRange": "*",
        "destinationPortRange": "8443", "sourceAddressPrefix": "192.0.2.0/24", "destinationAddressPrefix": "*",
    }})
}

#[tokio::test]
async fn a_rule_is_made_read_and_deleted() {
    for operation_headers in [true, false] {
        let bench = Bench::new(Behaviour { operation_headers, polls: 2, ..Behaviour::default() });
        let client = with_secret().client(&bench.account(CredentialKind::Environment)).await.unwrap();
        client.put(&path("/securityRules/r"), API, &rule(), Condition::Absent).await.unwrap();
        // It has ended: nobody else has to wait.
        client
            .put(
                &path("/securityRules/s"),
                API,
                &{
                    let mut rule = rule();
                    rule["properties"]["priority"] = json!(101);
                    rule
                },
                Condition::Any,
            )
            .await
            .unwrap();
        assert_eq!(
            client.get(&path(""), API).await.unwrap()["properties"]["securityRules"].as_array().unwrap().len(),
            2
        );
        for _ in 0..2 {
            client.delete(&path("/securityRules/r"), API, Condition::Any).await.unwrap();
        }
        let busy = bench.arm.exchanges().iter().filter(|exchange| exchange.status == Some(409)).count();
        // Where the operation has no name, a rule that is gone says nothing of the group, which is busy still.
        assert!(busy <= usize::from(!operation_headers), "{busy}");
    }
}

#[tokio::test]
async fn each_credential_gets_its_token() {
    let bench = Bench::new(Behaviour {
        client_secret: Some(SECRET.to_owned()),
        client_assertion: Some("assertion-of-the-workload".to_owned()),
        ..Behaviour::default()
    });
    let token = bench.folder.path().join("token");
    std::fs::write(&token, "assertion-of-the-workload").unwrap();
    let token = token.to_str().unwrap();
    let check = async |variables: &[(&str, &str)], credential: CredentialKind, expected: &str| {
        let who = clients(variables).check(&bench.account(credential)).await.unwrap();
        assert!(who.ends_with(expected), "{who}");
    };
    let client = [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client")];
    let secret = [&client[..], &[("AZURE_CLIENT_SECRET", SECRET)]].concat();
    let federated = [&client[..], &[("AZURE_FEDERATED_TOKEN_FILE", token)]].concat();
    check(&secret, CredentialKind::Auto, "by a client secret of the environment").await;
    check(&secret, CredentialKind::Environment, "by a client secret of the environment").await;
    check(&federated, CredentialKind::Auto, "by workload identity").await;
    check(&federated, CredentialKind::WorkloadIdentity, "by workload identity").await;
}

/// One that is there and is refused is told, with Entra's words, and nobody else's is tried.
#[tokio::test]
async fn a_refused_secret_is_final() {
    let bench = Bench::new(Behaviour { client_secret: Some("another".to_owned()), ..Behaviour::default() });
    let error = with_secret().check(&bench.account(CredentialKind::Auto)).await.unwrap_err();
    assert!(matches!(error, ArmError::Credential { transient: false, .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("AADSTS7000215") && !told.contains(SECRET), "{told}");
    assert_eq!(bench.arm.exchanges().len(), 1);
    let missing = clients(&[("AZURE_TENANT_ID", "tenant")]).check(&bench.account(CredentialKind::Environment)).await;
    assert!(missing.unwrap_err().to_string().contains("`AZURE_CLIENT_SECRET` is not in the environment"));
}

/// A certificate that nobody vouches for is final, and named; a port that nobody listens on may come up.
#[tokio::test]
async fn an_untrusted_certificate_is_final() {
    let (bench, other) = (Bench::new(Behaviour::default()), Bench::new(Behaviour::default()));
    let account = Account { ca_file: Some(other.ca()), ..bench.account(CredentialKind::Environment) };
    let error = with_secret().check(&account).await.unwrap_err();
    assert!(matches!(error, ArmError::Tls { .. }) && !error.is_transient(), "{error:?}");
    assert!(bench.arm.exchanges().is_empty());

    let closed = Account {
        endpoint: Some("https://127.0.0.1:1".to_owned()),
        authority: Some("https://127.0.0.1:1".to_owned()),
        ..account
    };
    let quick =
        Clients::new(Pace { patience: Duration::ZERO, ..Pace::default() }, Environment::of(|_| Some("x".to_owned())));
    let error = quick.check(&closed).await.unwrap_err();
    assert!(matches!(error, ArmError::Network { .. }) && error.is_transient(), "{error:?}");
}

/// Where a token may go is decided before there is one.
#[tokio::test]
async fn an_address_of_somebody_else_gets_no_token() {
    let bench = Bench::new(Behaviour::default());
    let client = with_secret().client(&bench.account(CredentialKind::Environment)).await.unwrap();
    for address in ["https://example.org/subscriptions/x", "https://localhost:1/x", "http://localhost/x"] {
        let error = client.get_url(&address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ArmError::Astray { .. }), "{error:?}");
    }
    assert!(bench.arm.exchanges().is_empty(), "a token was asked for");
    client.get(&path(""), API).await.unwrap();
    assert_eq!(bench.arm.exchanges().len(), 2, "a token and the group");
}

fn tags(number: &str, names: &[&str]) -> serde_json::Value {
    let tag = |name: &&str| json!({"name": name, "id": name, "properties": {"changeNumber": number, "region": "", "systemService": "", "addressPrefixes": ["192.0.2.0/24"]}});
    json!({"changeNumber": number, "cloud": "Public", "values": names.iter().map(tag).collect::<Vec<_>>()})
}

/// Every page as it came, all of one version, however the list changes meanwhile.
#[tokio::test]
async fn the_discovery_api_is_read_to_its_end() {
    let bench = Bench::new(Behaviour { tags_page_size: 2, ..Behaviour::default() });
    bench.arm.put_service_tags(tags("63", &["A", "B", "C", "D", "E"]));
    let client = with_secret().client(&bench.account(CredentialKind::Environment)).await.unwrap();
    let names = |pages: &[Vec<u8>]| -> Vec<String> {
        let pages = pages.iter().map(|page| serde_json::from_slice::<serde_json::Value>(page).unwrap());
        pages
            .flat_map(|page| page["values"].as_array().unwrap().clone())
            .map(|tag| tag["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let pages = client.service_tags(SUBSCRIPTION, "westeurope").await.unwrap();
    assert_eq!((pages.len(), names(&pages)), (3, ["A", "B", "C", "D", "E"].map(str::to_owned).to_vec()));
    let published = Edit::ServiceTags { document: tags("64", &["A", "X", "Y"]) };
    bench.arm.fault(Fault::new("GET", "serviceTags", FaultKind::Before(published)).nth(2));
    let pages = client.service_tags(SUBSCRIPTION, "westeurope").await.unwrap();
    assert_eq!(names(&pages), ["A", "X", "Y"].map(str::to_owned));
    for (subscription, location) in [("a/b", "westeurope"), (SUBSCRIPTION, ""), (SUBSCRIPTION, "west europe")] {
        assert!(matches!(client.service_tags(subscription, location).await, Err(ArmError::Settings { .. })));
    }
}

/// Of all accounts together: every try, how many of them were further ones, and the smallest budget of writes.
#[tokio::test]
async fn requests_are_counted_over_all_accounts() {
    let counting = || Behaviour { buckets: Some(Buckets::default()), frozen_clock: true, ..Behaviour::default() };
    let (bench, other) = (Bench::new(counting()), Bench::new(counting()));
    let clients = with_secret();
    assert_eq!(clients.requests(), Requests::default());
    let client = clients.client(&bench.account(CredentialKind::Environment)).await.unwrap();
    client.get(&path(""), API).await.unwrap();
    let read = Requests { calls: 1, ..Requests::default() };
    assert_eq!(clients.requests(), read, "a read says nothing of writes, and a token is no call");
    bench.arm.fault(Fault::new("GET", "", FaultKind::unavailable(None)).times(2));
    client.get(&path(""), API).await.unwrap();
    assert_eq!(clients.requests(), Requests { calls: 4, retries: 2, ..read });
    // What is refused for good is asked once.
    client.get(&path("/securityRules/none"), API).await.unwrap_err();
    assert_eq!(clients.requests(), Requests { calls: 5, retries: 2, ..read });

    let second = clients.client(&other.account(CredentialKind::Environment)).await.unwrap();
    second.put(&path("/securityRules/r"), API, &rule(), Condition::Any).await.unwrap();
    let plenty = clients.requests().remaining_writes.unwrap();
    for _ in 0..3 {
        client.put(&path("/securityRules/r"), API, &rule(), Condition::Any).await.unwrap();
    }
    assert_eq!(clients.requests().remaining_writes, client.remaining().writes);
    assert!(client.remaining().writes < second.remaining().writes && second.remaining().writes == Some(plenty));
    let asked =
        |bench: &Bench| bench.arm.exchanges().iter().filter(|of| of.path.starts_with("/subscriptions/")).count();
    assert_eq!(clients.requests().calls, (asked(&bench) + asked(&other)) as u64);
}

/// What a subscriber of everything has written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// At TRACE, of every crate, through success, refusal, expiry and failure: neither a token nor a secret.
#[tokio::test]
async fn no_token_is_in_any_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new(Behaviour::default());
    let clients = with_secret();
    let account = bench.account(CredentialKind::Environment);
    let client = clients.client(&account).await.unwrap();
    bench.arm.fault(Fault::new("PUT", "", FaultKind::ExpireTokens));
    bench.arm.fault(Fault::new("PUT", "", FaultKind::another_operation()).nth(2));
    bench.arm.fault(Fault::new("PUT", "", FaultKind::CutAfter).nth(4));
    client.put(&path("/securityRules/r"), API, &rule(), Condition::Any).await.unwrap();
    clients.check(&account).await.unwrap();
    let failed =
        client.put(&path("/securityRules/bad"), API, &json!({"properties": {}}), Condition::Any).await.unwrap_err();
    tracing::info!(?client, ?account, %failed, ?failed, "all that can be shown");
    assert_eq!(bench.arm.faults_left(), 0);

    let text = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let shows = |text: &str| text.contains("fake-token-") || text.contains(SECRET);
    let before = text();
    assert!(
        before.contains("azure") && before.contains("TRACE") && before.len() > 2000,
        "nothing was logged: {before}"
    );
    assert!(!shows(&before), "{before}");
    // The check sees one where there is one.
    tracing::trace!(authorization = "Bearer fake-token-1", "a careless line");
    assert!(shows(&text()));
}
