//! Whether a change is confirmed from outside.
//!
//! Loopback is always admitted, and what this host sends to an address of its own goes over loopback: a probe of our
//! own would prove nothing. So somebody else is asked: a command that reaches out to a probe, or the address of one.
//! An address of this host is refused before it is asked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::config::Target;
use crate::plan::Plan;
use crate::program;
use crate::report::Failure;

/// How long to wait before asking again within the time that is given.
const AGAIN: Duration = Duration::from_secs(2);

/// Who is asked, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Who.
    pub by: By,
    /// How long it may take to be confirmed. It is asked again and again until then.
    pub timeout: Duration,
}

/// Who is asked for confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A program and its arguments: confirmed by exit status 0.
    Command(Vec<String>),
    /// A file that holds the address to ask: confirmed by a status of 200 to 299.
    UrlFile(PathBuf),
}

impl Confirm {
    /// Asks until it is confirmed or the time is over.
    ///
    /// # Errors
    /// What the last answer was.
    pub async fn ask(&self, target: &Target, plan: &Plan) -> Result<(), String> {
        let until = Instant::now() + self.timeout;
        loop {
            let left = until - Instant::now();
            let asked = match &self.by {
                By::Command(command) => run(command, target, plan, left).await,
                By::UrlFile(path) => timeout(left, async { post(&read_url(path)?, target, plan).await })
                    .await
                    .unwrap_or_else(|_| Err(format!("no answer within {} s", left.as_secs()))),
            };
            match asked {
                Err(why) if Instant::now() + AGAIN >= until => return Err(why),
                Err(_) => sleep(AGAIN).await,
                Ok(()) => return Ok(()),
            }
        }
    }
}

async fn run(command: &[String], target: &Target, plan: &Plan, patience: Duration) -> Result<(), String> {
    let ports: Vec<String> = target.ports.iter().map(u16::to_string).collect();
    let variables = [
        ("TAGWALL_TARGET", target.name.clone()),
        ("TAGWALL_PROTOCOL", target.protocol.name().to_owned()),
        ("TAGWALL_PORTS", ports.join(" ")),
        ("TAGWALL_ADDED", plan.added().changing.len().to_string()),
        ("TAGWALL_REMOVED", plan.removed().changing.len().to_string()),
    ];
    program::run(command, &variables, b"", patience).await.map_err(|error| error.to_string())
}

async fn post(url: &Url, target: &Target, plan: &Plan) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let found = refuse_ourselves(url).await?;
    // The address may be a secret: only its host is told.
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        let error: &dyn std::error::Error = &error;
        format!("`{host}` did not answer: {}", Failure::of(error, None).message)
    };
    let body = serde_json::json!({
        "schema": 1,
        "target": target.name,
        "protocol": target.protocol.name(),
        "ports": target.ports,
        "added": plan.added().changing.len(),
        "removed": plan.removed().changing.len(),
    });
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // Whom was looked at is who is asked.
        .resolve_to_addrs(&host, &found)
        .build()
        .map_err(failed)?;
    let request = client.post(url.clone()).header("content-type", "application/json").body(body.to_string());
    let status = request.send().await.map_err(failed)?.status();
    if status.is_success() { Ok(()) } else { Err(format!("`{host}` answered {status}")) }
}

/// Reads the address from its file.
///
/// # Errors
/// In words, where it cannot be read or is none. The address itself is not told.
pub fn read_url(path: &std::path::Path) -> Result<Url, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("`{}` holds no address that begins with https:// or http://", path.display()))
}

/// Refuses to ask this host about itself, and yields where to ask instead.
///
/// # Errors
/// In words.
async fn refuse_ourselves(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("cannot find `{host}`: {error}"))?.collect();
    match found.iter().find(|address| is_ours(address.ip())) {
        Some(address) => Err(format!(
            "`{host}` is this host ({}), and loopback is always admitted: its answer would prove nothing",
            address.ip()
        )),
        None => Ok(found),
    }
}

/// Whether an address is of this host.
fn is_ours(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let of_interface = |found: InterfaceAddress| {
        let found = found.address?;
        let v4 = found.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
        v4.or_else(|| found.as_sockaddr_in6().map(|found| IpAddr::V6(found.ip())))
    };
    let ours = || getifaddrs().is_ok_and(|mut all| all.any(|found| of_interface(found) == Some(address)));
    address.is_loopback() || address.is_unspecified() || ours()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_is_not_asked_about_itself() {
        for (url, refused) in [
            ("http://127.0.0.1:9/", true),
            ("http://localhost/", true),
            ("http://[::1]:9/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://0.0.0.0/", true),
            ("http://192.0.2.1/", false),
            ("https://[2001:db8::1]/", false),
        ] {
            assert_eq!(refuse_ourselves(&url.parse().unwrap()).await.is_err(), refused, "{url}");
        }
    }
}
