//! What the end-to-end tests stand on.

pub(crate) mod data;
pub(crate) mod feed;
pub(crate) mod feed_document;
pub(crate) mod feed_proxy;
