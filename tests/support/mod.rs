//! What the tests stand on: worlds of their own, and witnesses that share no code with the product.

mod addresses;
pub(crate) mod data;
pub(crate) mod feed;
pub(crate) mod feed_document;
pub(crate) mod feed_proxy;
mod namespace;
mod random;
mod world;

pub(crate) use addresses::{Addresses, assert_same};
pub(crate) use namespace::{Namespace, is_first_user_namespace, skip, with_namespaces};
pub(crate) use random::Random;
pub(crate) use world::{EDGE, Run, TAGWALL, World, document, many, old_and_new, strs};
