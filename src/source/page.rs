//! Finding the newest document on Microsoft's download page. Pure: text in, address out.
//!
//! The page is read as text, not as HTML: the address has stood in attributes, in scripts and in embedded JSON
//! (`window.__DLCDetails__`), and survives a new layout as long as the file name does. No real copy of the page was
//! at hand when this was written: it follows what others recorded of it and has not been run against Microsoft's site.

use std::borrow::Cow;

use jiff::civil::Date;
use url::Url;

use super::Cloud;
use super::document::shown;
use super::pins::Pins;
use super::shown::without_secrets;

/// How far ahead of today a document's date may lie. Real ones appear after their date; one dated far ahead by
/// mistake would hide every later one.
const DAYS_AHEAD: i32 = 7;

/// The longest address that is looked at, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// What documents are called, in lower case, before their cloud.
const NAME: &str = "servicetags_";

/// A document that a page links to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) date: Date,
    pub(super) url: Url,
}

/// The address of the cloud's newest document on a page, or what came near it, as the end of a sentence.
pub(super) fn newest_link(page: &str, cloud: Cloud, pins: &Pins, today: Date) -> Result<Link, String> {
    let text = without_comments(page);
    let text = without_entities(&text);
    let text = without_json_escapes(&text);
    let (mut newest, mut refused, mut other): (Option<Link>, _, _) = (None, None, None);
    for address in addresses(&text) {
        match link(address, cloud, pins) {
            Ok(link) if link.date.since(today).is_ok_and(|span| span.get_days() > DAYS_AHEAD) => {
                refused = Some(address);
            }
            Ok(link) => newest = newest.max(Some(link)),
            Err(NoLink::Refused) => refused = Some(address),
            Err(NoLink::Other) => other = Some(address),
        }
    }
    newest.ok_or_else(|| near(refused, other))
}

fn near(refused: Option<&str>, other: Option<&str>) -> String {
    let shown = |address: &str| shown(&without_secrets(address));
    match (refused.map(shown), other.map(shown)) {
        (Some(address), _) => format!(", only one that may not be followed: `{address}`"),
        (None, Some(address)) => format!(", only other files: `{address}`"),
        (None, None) => String::new(),
    }
}

enum NoLink {
    /// It looks right and leads where nothing may be fetched from.
    Refused,
    /// Another file.
    Other,
}

fn link(address: &str, cloud: Cloud, pins: &Pins) -> Result<Link, NoLink> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let date = date_of(name, cloud).ok_or(NoLink::Other)?;
    let address =
        if address.starts_with("//") { Cow::Owned(format!("https:{address}")) } else { Cow::Borrowed(address) };
    let url = Url::parse(&address).map_err(|_| NoLink::Refused)?;
    // A path that does not stay as it is written was written to mislead.
    let plain = !path.contains(['%', '\\']) && !path.split('/').any(|segment| segment == "..");
    if plain && pins.admit(&url) { Ok(Link { date, url }) } else { Err(NoLink::Refused) }
}

/// The date in the name of one of the cloud's documents, `ServiceTags_<Cloud>_YYYYMMDD.json` in whatever case.
fn date_of(name: &str, cloud: Cloud) -> Option<Date> {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix(NAME)?.strip_prefix(&cloud.document_name().to_ascii_lowercase())?;
    let digits = rest.strip_prefix('_')?.strip_suffix(".json")?;
    (digits.len() == 8).then(|| date_in(rest)).flatten()
}

/// The first `_YYYYMMDD` of a file name that is a date.
pub(super) fn date_in(name: &str) -> Option<Date> {
    name.split('_').skip(1).find_map(|part| {
        let digits = part.get(..8).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        if part[8..].starts_with(|next: char| next.is_ascii_digit()) {
            return None;
        }
        Date::new(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?).ok()
    })
}

/// The file name of an address.
pub(super) fn name(url: &Url) -> &str {
    url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default()
}

/// The same address with another date in its file name.
pub(super) fn with_date(known: &Url, date: Date) -> Option<Url> {
    let name = name(known);
    let old = date_in(name)?;
    let renamed = name.replace(&old.strftime("%Y%m%d").to_string(), &date.strftime("%Y%m%d").to_string());
    let mut url = known.clone();
    url.path_segments_mut().ok()?.pop().push(&renamed);
    Some(url)
}

/// Every piece of the text that holds a document's name, cut where no address goes on.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | '=')
    };
    let named =
        |piece: &&str| piece.as_bytes().windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME.as_bytes()));
    text.split(ends).filter(|piece| piece.len() <= LONGEST_ADDRESS).filter(named)
}

/// The page without what stands in comments.
fn without_comments(page: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut rest = page;
    // One that does not end is none: scripts have such openings too.
    while let Some((before, (_, after))) =
        rest.split_once("<!--").and_then(|(before, rest)| Some((before, rest.split_once("-->")?)))
    {
        kept.push_str(before);
        kept.push(' ');
        rest = after;
    }
    if kept.is_empty() { Cow::Borrowed(page) } else { Cow::Owned(kept + rest) }
}

/// The text with the entities that occur in addresses resolved.
fn without_entities(text: &str) -> Cow<'_, str> {
    replace(text, '&', |rest| {
        let end = rest.bytes().take(12).position(|byte| byte == b';')?;
        let name = &rest[1..end];
        let character = match name {
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            "lt" => '<',
            "gt" => '>',
            _ => {
                let number = name.strip_prefix('#')?;
                let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
                ascii(hexadecimal.unwrap_or_else(|| number.parse()).ok()?)?
            }
        };
        Some((character, end + 1))
    })
}

/// The text with the escapes of JSON and JavaScript strings that occur in addresses resolved.
fn without_json_escapes(text: &str) -> Cow<'_, str> {
    replace(text, '\\', |rest| match rest.as_bytes().get(1)? {
        b'/' => Some(('/', 2)),
        b'"' => Some(('"', 2)),
        b'u' => Some((ascii(u32::from_str_radix(rest.get(2..6)?, 16).ok()?)?, 6)),
        _ => None,
    })
}

fn ascii(code: u32) -> Option<char> {
    char::from_u32(code).filter(char::is_ascii)
}

/// Replaces what `resolve` recognises at a mark by a character; it also says how many bytes that was.
fn replace(text: &str, mark: char, resolve: impl Fn(&str) -> Option<(char, usize)>) -> Cow<'_, str> {
    if !text.contains(mark) {
        return Cow::Borrowed(text);
    }
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        resolved.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = resolve(rest).unwrap_or((mark, mark.len_utf8()));
        resolved.push(character);
        rest = &rest[length..];
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}

#[cfg(test)]
mod tests;
