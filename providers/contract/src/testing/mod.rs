//! The memory provider and the conformance suite that every provider runs (feature `testing`).
//!
//! * [`rig`]: what a provider's tests supply: a fresh firewall, its provider, an independent reader, a third
//!   party's hand, faults.
//! * [`memory`]: a firewall in memory and its provider.
//! * [`conformance`]: the cases, run over any [`rig::Rig`].
pub mod conformance;
pub mod memory;
pub mod rig;
