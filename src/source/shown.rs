//! Addresses as they are told. A mirror's may hold a password or a signature, which belong in no message, log or report.

use std::fmt;

use url::Url;

/// An address without user name, password, query and fragment; that there was a query shows as `?…`.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownUrl(String);

impl From<&Url> for ShownUrl {
    fn from(url: &Url) -> Self {
        let mut plain = url.clone();
        // An address that cannot have them has none.
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        plain.set_query(None);
        plain.set_fragment(None);
        let hidden = if url.query().is_some() || url.fragment().is_some() { "?…" } else { "" };
        Self(format!("{plain}{hidden}"))
    }
}

impl fmt::Display for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an address holds what is not told.
pub(super) fn has_secrets(url: &Url) -> bool {
    ShownUrl::from(url).0 != url.as_str()
}

/// A text with each address in it as [`ShownUrl`] has it.
pub(crate) fn without_secrets(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
    let mut pieces = text.split("://");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (address, rest) = piece.split_at(piece.find(ends).unwrap_or(piece.len()));
        let (place, hidden) = match address.find(['?', '#']) {
            Some(at) => (&address[..at], "?…"),
            None => (address, ""),
        };
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        plain = format!("{plain}://{host}{path}{hidden}{rest}");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let check = |text: &str, expect: &str| {
            let url = Url::parse(text).unwrap();
            assert_eq!(ShownUrl::from(&url).to_string(), expect);
            assert_eq!(format!("{:?}", ShownUrl::from(&url)), expect);
            assert_eq!(has_secrets(&url), text != expect, "{text}");
            assert_eq!(without_secrets(&format!("url = \"{text}\" {text}")), format!("url = \"{expect}\" {expect}"));
        };
        check("https://mirror.example/x.json", "https://mirror.example/x.json");
        check("https://mirror.example:8443/x.json?sig=secret&b=c", "https://mirror.example:8443/x.json?…");
        check("https://user:secret@mirror.example/x.json", "https://mirror.example/x.json");
        check("https://secret@mirror.example/x.json?secret#secret", "https://mirror.example/x.json?…");
        check("https://mirror.example/x.json#secret", "https://mirror.example/x.json?…");
        check("https://mirror.example/@x.json", "https://mirror.example/@x.json");
        let odd = Url::parse("https://mirror.example/it's?secret").unwrap();
        assert_eq!(ShownUrl::from(&odd).to_string(), "https://mirror.example/it's?…");
        assert_eq!(without_secrets("no address: // at all?"), "no address: // at all?");
    }
}
