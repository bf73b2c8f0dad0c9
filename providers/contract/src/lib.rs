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
//! # Map
//! * [`PrefixSet`], [`AddressRange`], [`AddressCount`], [`Family`]: addresses, and exact arithmetic on them.
//! * [`Desired`], [`Observed`], [`Steps`], [`Refusal`]: what a pass reads, decides and does.
//! * [`cover_change`]: the part of placement that every provider shares.
//! * [`widen`]: the closest cover of at most so many prefixes, for firewalls that are short of room.
//! * [`Provider`] and [`ProviderError`]: what a backend implements.
//! * `testing` (a feature): a firewall in memory and the suite that every provider runs.
//!
//! # Invariants
//! Each is kept by `testing::conformance`, in every pass of every case, and above all in those named here.
//!
//! * **Never a gap**: an address admitted before and after a change is admitted at every instant between
//!   (`widened`, `failure_before_each_call`, `dropped_halfway`).
//! * **Never somebody else's**: what does not carry the [`OwnerMark`] is left byte for byte
//!   (`foreign_entry_equal_to_ours`, `another_owners_entry`, `withdrawn`, `orphans`).
//! * **Refuse rather than guess**: a [`Refusal`] changes nothing (`over_capacity`, `service_tag`).
//! * **Compare canonical, act on what is stored**: equal [`PrefixSet`]s are in sync however they are split
//!   (`re_expressed`, `second_pass_does_nothing`).
//! * **Nobody is overtaken**: a target that moved between reading and writing is read again (`conflict_…`).
//!
//! The crate does no input or output, reads no clock and derives no serialisation: formats of files and reports
//! belong to those who write them.

mod count;
mod counters;
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
pub mod widen;

pub use count::AddressCount;
pub use counters::{Counters, Traffic};
pub use cover::{CoverChange, cover_change};
pub use desired::{Desired, Held};
pub use error::{Cause, ProviderError};
pub use family::{Family, PerFamily};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use mark::{MarkError, OwnerMark};
pub use observed::{
    Admits, Answer, Entry, Foreign, ForeignEffect, Observed, Orphan, Revision, Room, Skeleton, Slot, StoredId,
};
pub use prefix_set::PrefixSet;
pub use provider::Provider;
pub use range::AddressRange;
pub use refusal::{Limit, Refusal};
pub use steps::{Applied, Operation, SkeletonEdit, Step, Steps};
