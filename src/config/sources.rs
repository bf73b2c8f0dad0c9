//! Where publications come from, as typed and as meant.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::raw;
use super::resolve::Problem;
use crate::source::{Cloud, Kind, Settings};

/// How long a source to compare with may take: whoever only looks keeps no pass waiting.
const COMPARING: Duration = Duration::from_secs(30);

/// Resolves `[source]` and what it is to be compared with.
pub(super) fn resolve(mut raw: raw::Source, relative_to: &Path) -> Result<Settings, Problem> {
    let compare = raw.compare.take();
    let settings = one(&Table("source"), raw, Cloud::default(), relative_to)?;
    let compare = compare.map(|raw| compared(*raw, &settings, relative_to)).transpose()?;
    Ok(Settings { compare: compare.map(Box::new), ..settings })
}

fn compared(raw: raw::Source, with: &Settings, relative_to: &Path) -> Result<Settings, Problem> {
    let table = Table("source.compare");
    if raw.compare.is_some() {
        return table.problem("compare", "is one too many: one source is compared with one other");
    }
    if raw.cloud.is_some_and(|cloud| Cloud::from(cloud) != with.cloud) {
        return table.problem("cloud", "is another than that of the source, so nothing could be alike");
    }
    if raw.last_good_max_age.is_some() {
        return table
            .problem("last-good-max-age", "goes with `[source]` only: nothing is kept of what is compared with");
    }
    let patience = raw.total_timeout.map_or(COMPARING, |span| span.0);
    let settings = Settings { total_timeout: patience, ..one(&table, raw, with.cloud, relative_to)? };
    if settings.kind == with.kind && settings.page == with.page {
        return table.problem("kind", "makes it the source itself: name another one");
    }
    Ok(settings)
}

/// The name of a table, for its keys.
struct Table(&'static str);

impl Table {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.0)
    }

    fn problem<T>(&self, key: &str, problem: &str) -> Result<T, Problem> {
        Err((self.key(key), problem.to_owned()))
    }

    fn url(&self, key: &str, text: &str) -> Result<Url, Problem> {
        // The text may hold a secret: the key says where it stands.
        Url::parse(text).map_err(|error| (self.key(key), format!("is no URL: {error}")))
    }
}

fn one(table: &Table, mut raw: raw::Source, cloud: Cloud, relative_to: &Path) -> Result<Settings, Problem> {
    let cloud = raw.cloud.map_or(cloud, Cloud::from);
    refuse_strangers(table, &raw)?;
    let kind = match raw.kind {
        raw::Kind::Download => Kind::Download,
        raw::Kind::File => match raw.path.take() {
            Some(path) => Kind::File(relative_to.join(path)),
            None => return table.problem("path", "is missing: `kind = \"file\"` needs it"),
        },
        raw::Kind::Url => match raw.url.take() {
            Some(url) => Kind::Url(table.url("url", &url)?),
            None => return table.problem("url", "is missing: `kind = \"url\"` needs it"),
        },
        raw::Kind::DiscoveryApi => discovery(table, &mut raw, cloud, relative_to)?,
    };
    if raw.attempts == Some(0) {
        return table.problem("attempts", "must be at least 1");
    }
    let default = Settings::default();
    Ok(Settings {
        cloud,
        kind,
        page: raw.page.map(|page| table.url("page", &page)).transpose()?,
        hosts: raw.hosts.unwrap_or(default.hosts),
        user_agent: raw.user_agent.unwrap_or(default.user_agent),
        extra_ca: raw.extra_ca.map(|path| relative_to.join(path)),
        connect_timeout: raw.connect_timeout.map_or(default.connect_timeout, |span| span.0),
        read_timeout: raw.read_timeout.map_or(default.read_timeout, |span| span.0),
        total_timeout: raw.total_timeout.map_or(default.total_timeout, |span| span.0),
        attempts: raw.attempts.unwrap_or(default.attempts),
        last_good_max_age: raw.last_good_max_age.map_or(default.last_good_max_age, |span| span.0),
        ..default
    })
}

/// Refuses keys of another kind: they would be passed over in silence.
fn refuse_strangers(table: &Table, raw: &raw::Source) -> Result<(), Problem> {
    let of_azure = [
        ("subscription", raw.subscription.is_some()),
        ("location", raw.location.is_some()),
        ("credential", raw.credential.is_some()),
        ("client-id", raw.client_id.is_some()),
        ("endpoint", raw.endpoint.is_some()),
        ("authority", raw.authority.is_some()),
    ];
    let of_others = [
        ("page", raw.page.is_some()),
        ("hosts", raw.hosts.is_some()),
        ("user-agent", raw.user_agent.is_some()),
        ("connect-timeout", raw.connect_timeout.is_some()),
        ("read-timeout", raw.read_timeout.is_some()),
        ("attempts", raw.attempts.is_some()),
    ];
    let given = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, given)| *given).map(|(key, _)| *key);
    if raw.path.is_some() && raw.kind != raw::Kind::File {
        return table.problem("path", "goes with `kind = \"file\"` only");
    }
    if raw.url.is_some() && raw.kind != raw::Kind::Url {
        return table.problem("url", "goes with `kind = \"url\"` only");
    }
    match raw.kind {
        raw::Kind::DiscoveryApi => match given(&of_others) {
            Some(key) => {
                table.problem(key, "does not go with `kind = \"discovery-api\"`: Azure is asked as targets ask it")
            }
            None => Ok(()),
        },
        _ => match given(&of_azure) {
            Some(key) => table.problem(key, "goes with `kind = \"discovery-api\"` only"),
            None => Ok(()),
        },
    }
}

#[cfg(not(feature = "azure"))]
fn discovery(table: &Table, _raw: &mut raw::Source, _cloud: Cloud, _relative_to: &Path) -> Result<Kind, Problem> {
    let problem = "is `discovery-api`, and this tagwall was built without azure: install the full package, or build it \
                   with `--features azure`";
    table.problem("kind", problem)
}

#[cfg(feature = "azure")]
fn discovery(table: &Table, raw: &mut raw::Source, cloud: Cloud, relative_to: &Path) -> Result<Kind, Problem> {
    use super::azure::{Account, raw::Credential};
    use crate::source::Discovery;

    let name = |key: &str, given: Option<String>, example: &str| {
        let plain =
            |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match given {
            None => {
                table.problem(key, &format!("is missing: `kind = \"discovery-api\"` needs it, such as `{example}`"))
            }
            Some(text) if plain(&text) => Ok(text),
            Some(text) => {
                table.problem(key, &format!("is `{text}`, which is none of Azure's; write one such as `{example}`"))
            }
        }
    };
    let subscription = name("subscription", raw.subscription.take(), "00000000-0000-0000-0000-000000000000")?;
    let location = name("location", raw.location.take(), "westeurope")?;
    let account = Account {
        cloud: None,
        credential: raw.credential.unwrap_or_default(),
        client_id: raw.client_id.take(),
        endpoint: raw.endpoint.take(),
        authority: raw.authority.take(),
        extra_ca: raw.extra_ca.as_ref().map(|path| relative_to.join(path)),
    };
    if account.client_id.is_some() && account.credential != Credential::ManagedIdentity {
        return table.problem("client-id", "goes with `credential = \"managed-identity\"` only");
    }
    for (key, address) in [("endpoint", &account.endpoint), ("authority", &account.authority)] {
        if let Some(address) = address {
            super::resolve::endpoint(address).map_err(|problem| (table.key(key), problem))?;
        }
    }
    Ok(Kind::Discovery(Box::new(Discovery { subscription, location, account: account.of(cloud) })))
}

impl From<raw::Cloud> for Cloud {
    fn from(cloud: raw::Cloud) -> Self {
        match cloud {
            raw::Cloud::Public => Self::Public,
            raw::Cloud::UsGovernment => Self::UsGovernment,
            raw::Cloud::China => Self::China,
        }
    }
}
