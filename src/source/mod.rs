//! Where publications come from: Microsoft's download page, a file, a mirror, or Azure's own API, with the last good one
//! behind them.
//!
//! ```text
//! Settings ─▶ Source::fetch ─▶ download │ url │ file │ discovery ─▶ document::parse ─▶ Fetched ─▶ LastGood::store (the caller, on a real pass)
//!                    └─ where the network fails: LastGood::newest ◀─────────────────────────┘
//! ```
//!
//! # Invariants
//! * Fetching writes nothing: a dry run leaves no trace.
//! * No byte comes from a host that is not pinned, and none over plain HTTP but from a mirror on the loopback.
//! * A [`Publication`] was checked whole: there is no way to one but [`parse`].
//! * The last good publication stands in for trouble of the network or the server alone, never for what may be an
//!   attack or a mistake: a certificate, a redirect or a document that is not as it should be, or another cloud's.
//! * What is stored is believed only where its bytes have the hash that names it.
//! * The file and the API are two series: no publication of one stands in for one of the other.
//!
//! Which publication is older than the last accepted one is judged by the plan, not here. Sources know nothing of
//! providers, lists or targets.

#[cfg(feature = "azure")]
mod discovery;
mod document;
mod download;
mod error;
mod fetch;
mod http;
mod last_good;
mod page;
mod pins;
mod publication;
mod settings;
mod shown;
#[expect(clippy::module_inception, reason = "the source is what the module is about")]
mod source;

pub use document::{DocumentError, Place, PrefixError, Problem, digest, parse};
pub use error::{SourceError, Trouble};
pub use http::Validators;
pub use last_good::{LastGood, LastGoodError, Record};
pub use publication::{Cloud, Digest, Publication, Tag};
pub use settings::{Account, Discovery, Kind, Settings};
pub use shown::ShownUrl;
pub(crate) use shown::without_secrets;
pub use source::{Compared, Fetched, Freshness, Source};
