//! Everything that is tested from outside, in one binary.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

mod source;
mod support;
