//! Reading a publication: bytes in, every tag and prefix checked, or an error that says what came instead.
//!
//! The reader is strict about everything that was never seen in 857 real documents (2019-07 to 2026-07): a document
//! with a repeated tag, a prefix with host bits or a name with white space is not a document of Microsoft's with a
//! slip in it, it is something else. Fields it does not know are passed over and counted.
//!
//! No I/O, no clock. Nothing is copied but what is kept: the text is borrowed, prefixes are read in place.

mod error;
mod instead;
mod leaf;
mod prefix;
mod read;

use std::collections::BTreeSet;

use serde::de::DeserializeSeed as _;
use serde_json::error::Category;
use sha2::{Digest as _, Sha256};

pub use error::{DocumentError, Place, PrefixError, Problem};
pub(crate) use instead::shown;

use super::{Digest, Publication, Tag};
use read::{Head, Reader};

/// Parses and checks a whole document. Pure. `origin` is only shown.
///
/// # Errors
/// Says what came in place of a document (a page, an error, half a document), or where it is not as every document
/// so far has been.
pub fn parse(bytes: &[u8], origin: &str, date: Option<jiff::civil::Date>) -> Result<Publication, DocumentError> {
    let mut reader = Reader::default();
    let head = read(bytes, &mut reader)?;
    Ok(Publication {
        cloud: head.cloud,
        change_number: head.change_number,
        date,
        sha256: digest(bytes),
        origin: origin.to_owned(),
        unknown_fields: reader.unknown_fields,
        tags: head.tags,
    })
}

/// Parses these tags of a document that was checked whole before, by names that ignore case; the prefixes of all others
/// are passed over unread. Whoever calls this knows by their hash that the bytes are the same as then.
///
/// # Errors
/// As [`parse`], for what is read.
pub(super) fn parse_tags(bytes: &[u8], wanted: &BTreeSet<&str>) -> Result<Vec<Tag>, DocumentError> {
    let wanted = wanted.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut reader = Reader::of(wanted);
    Ok(read(bytes, &mut reader)?.tags)
}

fn read(bytes: &[u8], reader: &mut Reader) -> Result<Head, DocumentError> {
    instead::recognise(bytes)?;
    let text = str::from_utf8(bytes).map_err(|error| match error.error_len() {
        None => DocumentError::Truncated { bytes: bytes.len() },
        Some(_) => DocumentError::NotText { byte: error.valid_up_to() },
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize(&mut json).and_then(|head| json.end().map(|()| head));
    read.map_err(|error| explain(error, reader, bytes))
}

/// The SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn explain(error: serde_json::Error, reader: &mut Reader, bytes: &[u8]) -> DocumentError {
    let tag = reader.tag.take();
    match (error.classify(), reader.problem.take()) {
        (Category::Eof, _) => DocumentError::Truncated { bytes: bytes.len() },
        (_, Some(problem)) => {
            let found = Place::new(bytes, error.line(), error.column());
            let place = problem.noticed_late().and_then(|text| found.back_to(bytes, text)).unwrap_or(found);
            DocumentError::Refused { place, tag, problem }
        }
        (Category::Data, None) => DocumentError::Shape { tag, source: error },
        _ => DocumentError::NotJson { source: error },
    }
}
