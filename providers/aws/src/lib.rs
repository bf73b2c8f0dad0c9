//! The AWS provider of tagwall: security groups that never show a gap, and managed prefix lists.
//!
//! ```text
//! EC2 ─▶ rules of the groups ─▶ observe ─▶ Observed ─▶ place ─▶ Steps ─▶ calls ─▶ Vec<Call> ─▶ EC2
//!                                                        └─ over capacity: advice, widen ─▶ Refusal with choices
//! ```
//!
//! What decides is pure: no clock, no input or output, no SDK. [`SecurityGroups`] and [`PrefixLists`] are the providers
//! that put EC2 beneath it; nobody else knows the SDK, and no type of it is public.
//!
//! # Map
//! * [`SecurityGroups`], [`PrefixLists`]: the providers. [`Clients`], [`Account`]: whom they speak to, and as whom;
//!   [`Requests`]: how much.
//! * [`Rule`], [`Group`], [`Target`]: what EC2 lists, and what the configuration says.
//! * [`observe`], [`place`]: whose each rule is, and where each prefix goes.
//! * [`calls`]: steps as calls of the sizes that EC2 takes.
//! * [`prefix_list`]: the other form, a list of one family with a version for a lock.
//! * [`advice`]: what to do where it does not fit.
//! * [`actions`]: what AWS has to allow.
//!
//! # Invariants
//! Kept by `tests/model`, where a model that shares no code with this crate takes every call, and by `tests/emulator`,
//! where an emulator does, by way of the SDK.
//!
//! * **Never a gap**: what is observed and desired is admitted after every call.
//! * **Never over quota**: no call makes a group hold more than its quota, other people's rules counted.
//! * **Never somebody else's**: a call names only rules that carry the target's mark.
//! * **Nothing moves**: a rule goes only where it lets in whom nobody wants, or is replaced by what comes.

pub mod actions;
pub mod advice;
mod batches;
mod client;
mod failure;
mod gather;
mod groups;
mod leave;
mod list_calls;
mod lists;
mod mend;
mod placement;
pub mod prefix_list;
mod reading;
mod requests;
mod rule;

pub use batches::{Call, MOST_RULES_A_CALL, Permission, calls};
pub use client::{Account, Clients, Identity, Role};
pub use groups::SecurityGroups;
pub use lists::{ListName, PrefixLists};
pub use placement::place;
pub use prefix_list::ListTarget;
pub use reading::observe;
pub use requests::Requests;
pub use rule::{DEFAULT_QUOTA, Group, Ports, Protocol, Rule, Source, TAG_KEY, Target};
