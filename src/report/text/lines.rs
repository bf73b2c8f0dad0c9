//! Lines as they stand on a terminal: no wider than it, and with nothing in them that moves its cursor.

use std::fmt::Write as _;

use jiff::SignedDuration;

/// How many columns a line may take, unless one word alone takes more.
const COLUMNS: usize = 80;
/// How much further than its line what is wrapped stands.
const HANG: usize = 4;

/// Without what moves the cursor, breaks the line or turns the direction of writing: other people's names are told, too.
pub fn plain(text: &str) -> String {
    let is_odd = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.replace(is_odd, " ")
}

/// Breaks lines that are too wide, between words. A word that is too wide by itself, a path mostly, stays whole.
pub(super) fn wrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        // Bytes are no fewer than columns, and nearly every line is short.
        if line.len() <= COLUMNS {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut column = 0;
        for (index, word) in line.split(' ').enumerate() {
            let width = columns(word);
            if index > 0 {
                if column > indent + HANG && column + 1 + width > COLUMNS {
                    column = indent + HANG;
                    let _ = write!(out, "\n{:column$}", "");
                } else {
                    out.push(' ');
                    column += 1;
                }
            }
            out.push_str(word);
            column += width;
        }
        out.push('\n');
    }
    out
}

/// How many columns a text takes: colours take none.
fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).flat_map(str::chars).count()
}

/// A span of time in its one greatest unit, as people say it.
pub fn ago(span: SignedDuration) -> String {
    let minutes = span.as_mins().max(0);
    let (number, unit) = match minutes {
        0 => return "less than a minute".to_owned(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
