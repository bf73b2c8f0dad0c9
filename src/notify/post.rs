//! By POST, to an address that is a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Client, redirect};
use url::Url;

use super::NotifyError;
use crate::config::telling::Kept;
use crate::report::Failure;

/// The address is read for each delivery: it may have been replaced. The client is made anew, too: notifications are
/// rare, and the certificates of the system would be most of an idle daemon's memory.
pub(super) async fn post(
    address: &Kept,
    extra_ca: Option<&Path>,
    body: String,
    patience: Duration,
) -> Result<(), NotifyError> {
    let url = read(address).map_err(NotifyError::Address)?;
    let mut client = Client::builder().redirect(redirect::Policy::none()).timeout(patience).referer(false);
    if let Some(path) = extra_ca {
        let failed = |error: String| NotifyError::Address(format!("cannot use `{}`: {error}", path.display()));
        let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
        client = client.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?);
    }
    let client = client.build().map_err(unreached)?;
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.map_err(unreached)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(NotifyError::Refused { status: status.as_u16(), retry_after: retry_after.map(Duration::from_secs) })
}

/// An error without the address, which the library would put into it.
fn unreached(error: reqwest::Error) -> NotifyError {
    NotifyError::Unreached(Failure::of(&error.without_url(), None).message)
}

/// Where it is kept.
fn place(address: &Kept) -> Result<PathBuf, String> {
    match address {
        Kept::File(path) => Ok(path.clone()),
        Kept::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => Ok(PathBuf::from(folder).join(name)),
            None => Err(format!("the service has no credentials: the unit needs `LoadCredential={name}:…`")),
        },
    }
}

/// Reads it. What is wrong with it is told without it.
fn read(address: &Kept) -> Result<Url, String> {
    let path = place(address)?;
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    url.ok_or_else(|| format!("`{}` holds no address that begins with https:// or http://", path.display()))
}

/// What is wrong with it, as far as this host shows.
pub(super) fn problem(address: &Kept) -> Option<String> {
    if matches!(address, Kept::Credential(_)) && std::env::var_os("CREDENTIALS_DIRECTORY").is_none() {
        // Only the service has them.
        return None;
    }
    if let Err(problem) = read(address) {
        return Some(problem);
    }
    let path = place(address).ok()?;
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| format!("everybody can read `{}`, which holds a secret", path.display()))
}
