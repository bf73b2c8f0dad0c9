//! How a provider fails. The variant is the class, and decides what happens next; nobody reads the text for it.

use std::error::Error;
use std::fmt;

use crate::Applied;

/// What went wrong, in words, with the error beneath it and what to do.
#[derive(Debug)]
pub struct Cause {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Boxed, since it is rarely there and errors are to be small.
    applied: Option<Box<Applied>>,
}

impl Cause {
    /// A cause that is its own bottom.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, source: None, applied: None }
    }

    /// Adds the error beneath; the message does not repeat it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// How a provider fails.
#[derive(Debug)]
pub enum ProviderError {
    /// It may work when tried again: a time-out, throttling, a busy firewall.
    Transient(Cause),
    /// Somebody has to grant something first.
    Denied(Cause),
    /// The target moved between reading and writing: read again and plan again.
    Conflict(Cause),
    /// It will not work as it is, however often it is tried.
    Rejected {
        /// What had been done before.
        applied: Applied,
        /// Why it stopped there.
        cause: Cause,
    },
}

impl ProviderError {
    /// A rejection before anything was changed.
    pub fn rejected(cause: Cause) -> Self {
        Self::Rejected { applied: Applied::default(), cause }
    }

    /// What went wrong.
    pub const fn cause(&self) -> &Cause {
        match self {
            Self::Transient(cause) | Self::Denied(cause) | Self::Conflict(cause) | Self::Rejected { cause, .. } => {
                cause
            }
        }
    }

    /// The same after this had been done: by the calls before it, or by what else was tried in one go.
    #[must_use]
    pub fn after(mut self, before: Applied) -> Self {
        match &mut self {
            Self::Rejected { applied, .. } => *applied += before,
            Self::Transient(cause) | Self::Denied(cause) | Self::Conflict(cause) => {
                **cause.applied.get_or_insert_default() += before;
            }
        }
        self
    }

    /// What had been done before it, as far as the provider tells.
    pub fn applied(&self) -> Applied {
        match self {
            Self::Rejected { applied, .. } => *applied,
            Self::Transient(cause) | Self::Denied(cause) | Self::Conflict(cause) => {
                cause.applied.as_deref().copied().unwrap_or_default()
            }
        }
    }

    /// What to do about it, where something is known.
    pub fn hint(&self) -> Option<&str> {
        self.cause().hint.as_deref()
    }

    /// The name of its class, for reports and metrics.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::Denied(_) => "denied",
            Self::Conflict(_) => "conflict",
            Self::Rejected { .. } => "rejected",
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), f)
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source()
    }
}
