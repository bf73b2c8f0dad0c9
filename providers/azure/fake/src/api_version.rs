//! Versions of the API, and what differs between them here.

/// The versions that are answered: those of the recordings, of the API descriptions that are at hand, and those that
/// the SDKs of 2024 to 2026 send.
const SUPPORTED: [&str; 22] = [
    "2015-06-15",
    "2016-09-01",
    "2017-09-01",
    "2018-11-01",
    "2019-09-01",
    "2019-11-01",
    "2020-06-01",
    "2020-11-01",
    "2021-08-01",
    "2022-07-01",
    "2023-05-01",
    "2023-09-01",
    "2023-11-01",
    "2024-01-01",
    "2024-03-01",
    "2024-05-01",
    "2024-07-01",
    "2024-10-01",
    "2025-01-01",
    "2025-05-01",
    "2025-07-01",
    "2026-03-01",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiVersion(String);

impl ApiVersion {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The newest.
    pub(crate) fn latest() -> Self {
        Self(SUPPORTED[SUPPORTED.len() - 1].to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_supported(&self) -> bool {
        SUPPORTED.contains(&self.as_str())
    }

    pub(crate) fn supported() -> String {
        SUPPORTED.join(", ")
    }

    /// Rules had no lists of prefixes and ports, and showed no type, before 2017-06-01.
    pub(crate) fn has_lists(&self) -> bool {
        self.as_str() >= "2017-06-01"
    }

    /// Addresses of operations carry `t`, `c`, `s`, `h` in the recordings of 2025, and not in those up to 2020.
    pub(crate) fn signs_operations(&self) -> bool {
        self.as_str() >= "2021"
    }

    /// The recordings of 2025 name the remaining calls of the subscription `global`.
    pub(crate) fn counts_globally(&self) -> bool {
        self.as_str() >= "2021"
    }
}
