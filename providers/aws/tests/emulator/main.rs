//! The AWS provider by way of the SDK, against the rig: moto under a strict layer, with faults. It encodes AWS's
//! documentation; nothing here has met the real AWS.
//!
//! Each test runs in a process of its own with a rig of its own: see `rig`. After each, whatever it was about, the
//! rig's log is held against what must never happen: see `log`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the answer, figures are printed, and numbers are small"
)]

#[macro_use]
mod rig;
mod accounts;
#[path = "../model/data.rs"]
mod data;
mod faults;
mod foreign;
mod groups;
mod hand;
mod kill;
mod lists;
mod live;
mod log;
mod renamed;
mod replay;
mod secrets;
mod sizes;
mod world;

/// An error as people see it: what lies beneath it, and what to do.
fn said(error: &tagwall_provider::ProviderError) -> String {
    let mut said = error.to_string();
    let mut beneath = std::error::Error::source(error);
    while let Some(link) = beneath {
        said = format!("{said}: {link}");
        beneath = link.source();
    }
    error.hint().map_or_else(|| said.clone(), |hint| format!("{said}\nhint: {hint}"))
}
