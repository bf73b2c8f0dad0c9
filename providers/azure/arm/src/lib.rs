//! Azure Resource Manager for tagwall: credentials, one pipeline, long-running operations.
//!
//! ```text
//! Account ─▶ Clients ─▶ Client: lock, get, put, delete ─▶ retry ─▶ pipeline of azure_core ─▶ transport (reqwest, rustls)
//!                          operation: follows what ARM has begun        └─ bearer token ─▶ credential of azure_identity
//! ```
//!
//! # Invariants
//! * **A token goes to Resource Manager alone**, over TLS: every address is held against the account's, before a token is
//!   added, those that ARM names as well. No redirect is followed.
//! * **A token is in no log**, at no level (`tests/arm`, with a negative control), and in no error.
//! * **One layer tries again** ([`Pace`]): the SDK's own is off. An exception is azure_identity's for the metadata
//!   service of virtual machines, whose answers it knows best. A certificate that is not trusted is final.
//! * **What is the same in the end is asked again without harm**: a PUT says all of a resource, and carries the version
//!   that it builds on.

mod account;
mod client;
mod credential;
mod discovery;
mod error;
mod identity;
mod operation;
mod retry;
mod tally;
mod transport;

pub use account::{Account, Cloud, CredentialKind};
pub use client::{Client, Clients, Condition};
pub use credential::Environment;
pub use error::{ArmError, Fault};
pub use retry::Pace;
pub use tally::{Remaining, Requests};
