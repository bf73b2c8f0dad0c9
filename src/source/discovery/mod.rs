//! The Service Tag Discovery API: Microsoft's list as Azure Resource Manager gives it to those who may read it.
//!
//! It is another series of publications than the file: numbered otherwise, a subset of the tags, up to weeks behind. So
//! neither stands in for the other where one of them fails, and no number of one is held against the other's.

mod pages;

use tagwall_arm::{ArmError, Clients};

use super::error::Trouble;
use super::fetch::{Arrival, check};
use super::http::Validators;
use super::{Discovery, Settings, SourceError};

/// What Azure calls the right to read the list.
const READ: &str = "Microsoft.Network/locations/serviceTags/read";

/// Asks for the list and makes one document of its pages.
pub(super) async fn fetch(clients: &Clients, from: &Discovery, settings: &Settings) -> Result<Arrival, SourceError> {
    let client = clients.client(&from.account).await.map_err(told)?;
    let pages = client.service_tags(&from.subscription, &from.location).await.map_err(told)?;
    let origin = from.to_string();
    if pages.iter().map(Vec::len).sum::<usize>() as u64 > settings.max_bytes {
        return Err(SourceError::TooLarge { origin, limit: settings.max_bytes });
    }
    let document = pages::document(&pages);
    let bytes = document.map_err(|source| SourceError::Document { origin: origin.clone(), source })?;
    let publication = check(&bytes, &origin, None, settings)?;
    Ok(Arrival { publication, bytes, url: None, validators: Validators::default(), unmodified_since: None })
}

/// Whose token is used.
pub(super) async fn who(clients: &Clients, from: &Discovery) -> Result<String, SourceError> {
    clients.check(&from.account).await.map_err(told)
}

fn told(error: ArmError) -> SourceError {
    let is_transient = error.is_transient();
    let trouble = match &error {
        ArmError::Settings { .. } | ArmError::CaFile { .. } => Trouble::Settings,
        ArmError::Network { .. } | ArmError::Unended { .. } | ArmError::Credential { transient: true, .. } => {
            Trouble::Network
        }
        ArmError::Credential { .. } => Trouble::Credential,
        ArmError::Tls { .. } => Trouble::Tls,
        ArmError::Status { .. } | ArmError::Operation { .. } => Trouble::Status,
        ArmError::Astray { .. } => Trouble::Forbidden,
        ArmError::Unreadable { .. } => Trouble::Document,
    };
    let hint = match &error {
        ArmError::Status { status: 403, .. } => Some(
            "give it the role Reader on the subscription, or one with Microsoft.Network/locations/serviceTags/read",
        ),
        ArmError::Status { status: 401, .. } => Some("is it the right `cloud`, and the identity's own tenant?"),
        ArmError::Status { status: 400 | 404, .. } => {
            Some("are `subscription` and `location` right, and of this cloud?")
        }
        ArmError::Credential { transient: false, .. } => {
            Some("`credential` says where to get one; `tagwall check` shows whose it is")
        }
        ArmError::Astray { .. } => Some("somebody between here and Azure may be answering in its place"),
        ArmError::Tls { .. } => Some("a proxy that looks into TLS needs its certificate in `extra-ca`"),
        _ => None,
    };
    SourceError::Discovery { trouble, is_transient, hint, source: error.into() }
}

/// What can be said once the list was read.
pub(super) fn allowed(who: &str, count: usize, change_number: u64) -> [String; 2] {
    [format!("asked as {who}"), format!("{READ} is allowed: {count} tags, change number {change_number}")]
}
