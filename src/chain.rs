//! Errors with all that lies beneath them.

use std::error::Error;

/// An error and its causes, the outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    // The star matters: references to errors are errors too, with a shorter life.
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The same in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
