//! Why a document is not one, in words that need no second look.

use std::fmt;

use thiserror::Error;

/// Where in a document something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The offset in bytes from the start of the document, from 0.
    pub byte: usize,
}

impl Place {
    /// From the line and column (both from 1) that the JSON reader tells.
    pub(super) fn new(bytes: &[u8], line: usize, column: usize) -> Self {
        let starts = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
        let start: usize = starts.map(<[u8]>::len).sum();
        Self { line, byte: (start + column.saturating_sub(1)).min(bytes.len()) }
    }

    /// The last place before this one where that text stands as a JSON string. The reader notices a repetition
    /// only when it has read past it.
    pub(super) fn back_to(self, bytes: &[u8], text: &str) -> Option<Self> {
        let wanted = format!("\"{text}\"");
        let before = bytes.get(..self.byte + 1).unwrap_or(bytes);
        let byte = before.windows(wanted.len()).rposition(|window| window == wanted.as_bytes())?;
        let line = bytes[..byte].split(|byte| *byte == b'\n').count();
        Some(Self { line, byte })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, byte {}", self.line, self.byte)
    }
}

/// Why bytes are not a publication.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// Nothing, or white space alone.
    #[error("the document is empty")]
    Empty,
    /// An HTML page.
    #[error("an HTML page came in place of the document{}", in_quotes(title.as_deref()))]
    Html {
        /// Its title.
        title: Option<String>,
    },
    /// XML, as Azure's storage sends errors.
    #[error("an XML error came in place of the document{}", in_quotes(code.as_deref()))]
    Xml {
        /// What stands in its `<Code>`.
        code: Option<String>,
    },
    /// A compressed or otherwise binary file.
    #[error("the document is {what}, not JSON text")]
    Binary {
        /// What it looks like.
        what: &'static str,
    },
    /// JSON text behind a byte order mark, which no document has had.
    #[error("the document begins with a byte order mark, which Microsoft's never does")]
    ByteOrderMark,
    /// Some other text.
    #[error("the document is not JSON, it begins with `{begins}`")]
    OtherText {
        /// Its first words.
        begins: String,
    },
    /// Bytes that are no UTF-8.
    #[error("the document is not UTF-8 at byte {byte}")]
    NotText {
        /// The offset of the first bad byte.
        byte: usize,
    },
    /// It breaks off before its end.
    #[error("the document breaks off after {bytes} {}", if *bytes == 1 { "byte" } else { "bytes" })]
    Truncated {
        /// How many bytes there are.
        bytes: usize,
    },
    /// It begins like JSON and goes on otherwise, or has more behind its end.
    #[error("the document is damaged JSON")]
    NotJson {
        /// What the JSON reader says, with line and column.
        source: serde_json::Error,
    },
    /// JSON of another shape: a field missing, twice, or of another type.
    #[error("the document has another shape than Microsoft's{}", in_tag(tag.as_deref()))]
    Shape {
        /// The tag in which that is.
        tag: Option<Box<str>>,
        /// What the JSON reader says, with line and column.
        source: serde_json::Error,
    },
    /// The shape is right and the content was never seen in a real document.
    #[error("{}{problem} ({place})", at_tag(tag.as_deref()))]
    Refused {
        /// Where.
        place: Place,
        /// The tag in which that is.
        tag: Option<Box<str>>,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with the content of a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The `cloud` field names none with a publication.
    #[error("cloud `{0}` is none that tagwall knows")]
    UnknownCloud(String),
    /// A change number beyond anything plausible: accepting it would make every later document look older.
    #[error("change number {0} is out of all proportion")]
    ChangeNumber(u64),
    /// There are no tags at all.
    #[error("the document lists no tags")]
    NoTags,
    /// A name, region or service with characters that none has had.
    #[error("`{text}` is not a plausible {field}")]
    Text {
        /// Which field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
    /// `id` and `name` differ.
    #[error("its id is `{0}`, but the two have always been equal")]
    Id(Box<str>),
    /// Two tags have that name, ignoring case.
    #[error("the name `{0}` is there twice, ignoring case")]
    RepeatedTag(Box<str>),
    /// A tag has that prefix twice.
    #[error("prefix `{0}` is there twice")]
    RepeatedPrefix(String),
    /// A prefix that is not one.
    #[error("prefix `{text}` {why}")]
    Prefix {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        why: PrefixError,
    },
}

/// What is wrong with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// No length.
    #[error("is an address without a length")]
    NoLength,
    /// White space in or around it.
    #[error("has white space in it")]
    WhiteSpace,
    /// Length 0.
    #[error("is the whole Internet")]
    Whole,
    /// Bits below its length are set.
    #[error("has bits set below its length")]
    HostBits,
    /// Another spelling than the canonical one.
    #[error("is not written in the canonical way")]
    Spelling,
    /// Anything else.
    #[error("is no prefix")]
    NoPrefix,
}

impl Problem {
    /// The text to look back for in the document, where the problem is only noticed behind it.
    pub(super) fn noticed_late(&self) -> Option<&str> {
        match self {
            Self::RepeatedPrefix(text) => Some(text),
            _ => None,
        }
    }
}

impl DocumentError {
    /// Whether the same request may well be answered with a document a moment later: servers and gateways in
    /// trouble send these with status 200.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Empty | Self::Html { .. } | Self::Xml { .. } | Self::Truncated { .. })
    }

    /// The cloud that the document names, where it is none that tagwall knows.
    pub(crate) fn unknown_cloud(&self) -> Option<&str> {
        match self {
            Self::Refused { problem: Problem::UnknownCloud(name), .. } => Some(name),
            _ => None,
        }
    }
}

fn in_quotes(text: Option<&str>) -> String {
    text.map(|text| format!(": `{text}`")).unwrap_or_default()
}

fn in_tag(tag: Option<&str>) -> String {
    tag.map(|tag| format!(", in tag `{tag}`")).unwrap_or_default()
}

fn at_tag(tag: Option<&str>) -> String {
    tag.map(|tag| format!("tag `{tag}`: ")).unwrap_or_default()
}
