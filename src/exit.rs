//! Exit statuses: documented results, not accidents.

/// What the process tells its caller. The order is that of gravity: the worst of all targets is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// 0: done, or nothing to do. Warnings do not change it.
    Done,
    /// 2: a dry run found changes that are pending.
    Pending,
    /// 3: refused; nothing of that target was changed.
    Refused,
    /// 1: an error.
    Failed,
    /// 64: wrong usage.
    Usage,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Pending => 2,
            Self::Refused => 3,
            Self::Usage => 64,
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
