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

use serde::de::DeserializeSeed;
use serde_json::error::Category;
use sha2::{Digest as _, Sha256};

pub use error::{DocumentError, Place, PrefixError, Problem};
pub(crate) use instead::shown;

use super::{Digest, Publication};
use read::Reader;

/// Parses and checks a whole document. Pure. `origin` is only shown.
///
/// # Errors
/// Says what came in place of a document (a page, an error, half a document), or where it is not as every document
/// so far has been.
pub fn parse(bytes: &[u8], origin: &str, date: Option<jiff::civil::Date>) -> Result<Publication, DocumentError> {
    instead::recognise(bytes)?;
    let text = str::from_utf8(bytes).map_err(|error| match error.error_len() {
        None => DocumentError::Truncated { bytes: bytes.len() },
        Some(_) => DocumentError::NotText { byte: error.valid_up_to() },
    })?;

    let mut reader = Reader::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize(&mut json).and_then(|head| json.end().map(|()| head));
    match read {
        Ok(head) => Ok(Publication {
            cloud: head.cloud,
            change_number: head.change_number,
            date,
            sha256: digest(bytes),
            origin: origin.to_owned(),
            unknown_fields: reader.unknown_fields,
            tags: head.tags,
        }),
        Err(error) => Err(explain(error, reader, bytes)),
    }
}

/// The SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn explain(error: serde_json::Error, reader: Reader, bytes: &[u8]) -> DocumentError {
    match (error.classify(), reader.problem) {
        (Category::Eof, _) => DocumentError::Truncated { bytes: bytes.len() },
        (_, Some(problem)) => {
            let found = Place::new(bytes, error.line(), error.column());
            let place = problem.noticed_late().and_then(|text| found.back_to(bytes, text)).unwrap_or(found);
            DocumentError::Refused { place, tag: reader.tag, problem }
        }
        (Category::Data, None) => DocumentError::Shape { tag: reader.tag, source: error },
        _ => DocumentError::NotJson { source: error },
    }
}
