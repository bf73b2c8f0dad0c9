//! The fake's own tests: each rule that it keeps and each fault, by real calls over TLS.

#![expect(clippy::unwrap_used, reason = "a test that unwraps says what it expects")]

#[path = "fake/support.rs"]
mod support;

#[path = "fake/conditions.rs"]
mod conditions;
#[path = "fake/faults.rs"]
mod faults;
#[path = "fake/groups.rs"]
mod groups;
#[path = "fake/identity.rs"]
mod identity;
#[path = "fake/lists.rs"]
mod lists;
#[path = "fake/operations.rs"]
mod operations;
#[path = "fake/program.rs"]
mod program;
#[path = "fake/rules.rs"]
mod rules;
#[path = "fake/throttle.rs"]
mod throttle;
