//! The owner mark: how tagwall tells what it wrote from what anybody else wrote.

use std::fmt;
use std::str::FromStr;

/// `tagwall:<owner>/<target>`, written on everything a provider creates.
///
/// Owner and target are made of ASCII letters, digits, `-`, `_` and `.`, 1 to 48 bytes each, so that the mark fits every place it has to
/// stand in: an nftables comment (128 bytes), an NSG rule's description (140), a security group rule's (255).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerMark {
    owner: String,
    target: String,
}

/// Why a text is no owner mark, or no part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// It does not start with `tagwall:` or has no `/`.
    #[error("`{0}` is not of the form `tagwall:<owner>/<target>`")]
    Form(String),
    /// The owner or the target has a character or a length that a mark cannot carry.
    #[error("`{0}` must be 1 to 48 ASCII letters, digits, `-`, `_` or `.`")]
    Name(String),
}

impl OwnerMark {
    const PREFIX: &str = "tagwall:";
    const LONGEST_NAME: usize = 48;

    /// The mark of one target of one owner.
    ///
    /// # Errors
    /// [`MarkError::Name`] where either name cannot stand in a mark.
    pub fn new(owner: &str, target: &str) -> Result<Self, MarkError> {
        for name in [owner, target] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.len() > Self::LONGEST_NAME || !name.bytes().all(plain) {
                return Err(MarkError::Name(name.to_owned()));
            }
        }
        Ok(Self { owner: owner.to_owned(), target: target.to_owned() })
    }

    /// Who runs this tagwall.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name of the target.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Display for OwnerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::PREFIX, self.owner, self.target)
    }
}

impl FromStr for OwnerMark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let names = text.strip_prefix(Self::PREFIX).and_then(|names| names.split_once('/'));
        let (owner, target) = names.ok_or_else(|| MarkError::Form(text.to_owned()))?;
        Self::new(owner, target)
    }
}
