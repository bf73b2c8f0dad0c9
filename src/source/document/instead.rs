//! What came in place of a document: pages, errors and fragments, told apart by how they begin.

use super::DocumentError;

/// The longest piece of somebody else's text that goes into a message, in characters.
const SHOWN: usize = 80;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Passes what begins like a document, and names everything else.
pub(super) fn recognise(bytes: &[u8]) -> Result<(), DocumentError> {
    for (magic, what) in [
        (&b"\x1f\x8b"[..], "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
    ] {
        if bytes.starts_with(magic) {
            return Err(DocumentError::Binary { what });
        }
    }
    let marked = bytes.strip_prefix(BYTE_ORDER_MARK);
    let body = marked.unwrap_or(bytes).trim_ascii_start();
    match body.first() {
        None => Err(DocumentError::Empty),
        Some(b'<') => Err(markup(body)),
        Some(b'{') if marked.is_some() => Err(DocumentError::ByteOrderMark),
        Some(b'{') => Ok(()),
        Some(_) if body.iter().take(SHOWN).any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) => {
            Err(DocumentError::Binary { what: "binary data" })
        }
        Some(_) => {
            Err(DocumentError::OtherText { begins: shown(&String::from_utf8_lossy(&body[..body.len().min(400)])) })
        }
    }
}

fn markup(body: &[u8]) -> DocumentError {
    // Error pages are short, and a title stands at the top of a long one.
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let lower = text.to_ascii_lowercase();
    let within = |tag: &str| {
        let opened = lower.find(&format!("<{tag}"))?;
        let start = opened + lower[opened..].find('>')? + 1;
        let end = start + lower[start..].find("</")?;
        Some(shown(&text[start..end])).filter(|text| !text.is_empty())
    };
    if lower.starts_with("<?xml") && !lower.contains("<html") || lower.starts_with("<error") {
        DocumentError::Xml { code: within("code") }
    } else {
        DocumentError::Html { title: within("title") }
    }
}

/// Somebody else's text made fit for a message: one line, no control characters, not long.
pub(crate) fn shown(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}
