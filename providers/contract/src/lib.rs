//! The contract between tagwall and its firewall providers.
//!
//! A provider is code that keeps one configured firewall object (a target) open to a [`Desired`] set of
//! addresses. It knows nothing of configuration files, of publications or of other providers; what it is given
//! and what it answers are the types of this crate:
//!
//! ```text
//! Provider::observe ─▶ Observed ─┐
//!                      Desired ──┴▶ Provider::place ─▶ Steps | Refusal ─▶ Provider::apply ─▶ observe again
//! ```
//!
//! # Invariants
//! Each is kept by a test of `testing::conformance`, which every provider runs.
//!
//! * **Never a gap**: an address admitted before and after a change is admitted at every instant between.
//! * **Never somebody else's**: what does not carry the [`OwnerMark`] is left byte for byte.
//! * **Refuse rather than guess**: a [`Refusal`] changes nothing.
//! * **Compare canonical, act on what is stored**: equal [`PrefixSet`]s are in sync however they are split.
//!
//! The crate does no input or output, reads no clock and derives no serialisation: formats of files and reports
//! belong to those who write them.

mod count;
mod cover;
mod desired;
mod error;
mod family;
mod mark;
mod observed;
mod prefix_set;
mod provider;
mod range;
mod refusal;
mod runs;
mod steps;
#[cfg(feature = "testing")]
pub mod testing;

pub use count::AddressCount;
pub use cover::{CoverChange, cover_change};
pub use desired::{Desired, Held};
pub use error::{Cause, ProviderError};
pub use family::{Family, PerFamily};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use mark::{MarkError, OwnerMark};
pub use observed::{Admits, Entry, Foreign, ForeignEffect, Observed, Orphan, Revision, Room, Skeleton, Slot, StoredId};
pub use prefix_set::PrefixSet;
pub use provider::Provider;
pub use range::AddressRange;
pub use refusal::{Limit, Refusal};
pub use steps::{Applied, Operation, SkeletonEdit, Step, Steps};
