//! The source, from outside.
//!
//! * `discovery`: Azure's own API: pages, who may ask, and that it is a series of its own.
//! * `document`: what is read, what is refused, and what is said about it; all real publications.
//! * `download`: the page, its ways round, and what pages try.
//! * `http`: pinned hosts, bounded answers, patience.
//! * `last_good`: what is stored, believed, and taken in place of something new.
//! * `secrets`: that what is secret in an address is told nowhere.

#[cfg(feature = "azure")]
mod discovery;
mod document;
mod download;
mod http;
mod last_good;
mod secrets;

use std::error::Error;
use std::iter::successors;

/// An error with all that lies beneath it, as operators see it.
fn chain(error: &dyn Error) -> String {
    let causes: Vec<String> = successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect();
    causes.join(": ")
}
