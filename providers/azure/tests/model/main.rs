//! The pure part of the Azure provider against a model that shares no code with it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod passes;
mod roles;
mod world;
