//! Where publications come from.

mod publication;

pub use publication::{Cloud, Digest, Publication, Tag};
