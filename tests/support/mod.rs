//! What the end-to-end tests stand on.

pub mod data;
pub mod feed;
pub mod feed_document;
pub mod feed_proxy;
