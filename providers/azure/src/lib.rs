//! The Azure provider of tagwall: network security groups.
//!
//! ```text
//! GET of the group ─▶ Group ─▶ observe ─▶ Observed ─▶ place ─▶ Steps ─▶ Goal ─▶ Write, one rule each ─▶ PUT, DELETE
//! ```
//!
//! # Map
//! * [`Settings`]: what the configuration says. `layout`: which rules that makes, and how they are known again.
//! * [`Group`], [`Rule`]: what ARM shows.
//! * [`observe`], [`place`]: whose each rule is and what it means, and where each prefix goes.
//! * [`Goal`], [`Write`]: the next request of a change. `order`: in which order there is never a gap.
//!
//! * [`NetworkSecurityGroup`]: the provider, and the only one here who asks anybody. `error`: what answers mean.
//!   `permissions`: what could be written.
//!
//! All but the provider is pure: no clock, no input or output, no SDK.
//!
//! # Invariants
//! Kept by `tests/model`, where a model that shares no code with this crate takes every request.
//!
//! * **Never a gap**: who is admitted before and after is admitted between any two requests.
//! * **Never over a limit**: no request makes the group hold more than it takes, other people's rules counted.
//! * **Never somebody else's**: a request names only rules that have the target's name and mark. A group is never put
//!   as a whole: that would delete the rules that it does not name.
//! * **Nothing moves**: one new prefix is one request, and a prefix stays in its rule.

mod effect;
mod error;
mod foreign;
mod layout;
mod observe;
mod order;
mod permissions;
mod place;
mod provider;
mod rule;
mod settings;
mod write;

pub use error::{CHECKING, READING, WRITING};
pub use observe::observe;
pub use place::place;
pub use provider::{NameError, NetworkSecurityGroup, Nsg};
pub use rule::{Group, ReadError, Rule};
pub use settings::{MOST_PREFIXES, MOST_RULES, PRIORITIES, Ports, Protocol, Settings, SettingsError};
pub use write::{Goal, Write};

/// The service tag of the addresses that Azure's load balancers look from.
pub(crate) const PROBES: &str = "AzureLoadBalancer";
