//! What each command prints, to which stream, with which exit status: snapshots of whole commands.
#![expect(clippy::too_many_lines, reason = "snapshots are long")]

mod formats;
mod passes;
mod refusals;
mod schemas;
mod streams;
mod truth;
mod usage;

/// Three prefixes of both families.
const TWO: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];
