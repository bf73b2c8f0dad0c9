//! The daemon for long: over real publications, beside others, with feeds and disks that fail.
//!
//! Each runs a stated fraction unless `TAGWALL_SOAK` is set. `TAGWALL_BINARY` names another program than the tests'
//! own build, for figures that are to be of a release.

mod daemon;
mod feeds;
mod flushes;
mod idle;
mod passes;
mod site;
mod state_directory;

/// This many, or that many with `TAGWALL_SOAK`.
fn fraction(usual: usize, soak: usize) -> usize {
    if std::env::var_os("TAGWALL_SOAK").is_some() { soak } else { usual }
}
