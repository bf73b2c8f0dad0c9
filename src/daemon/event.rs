//! What wakes the daemon.

use std::fmt;
use std::io;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What wakes the daemon. None of it carries data: each leads to a pass that looks at everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The schedule says so.
    Tick,
    /// The operator says so: the configuration is read anew.
    Reload,
    /// A firewall says that something changed.
    Drift,
    /// An earlier pass failed of something that may have passed by now.
    Retry,
    /// The end.
    Stop,
}

/// Why a pass was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The daemon came up.
    Start,
    /// As [`Event::Tick`].
    Tick,
    /// As [`Event::Reload`].
    Reload,
    /// As [`Event::Drift`].
    Drift,
    /// As [`Event::Retry`].
    Retry,
}

impl Reason {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Tick => "tick",
            Self::Reload => "reload",
            Self::Drift => "drift",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The signals of this process: SIGHUP reloads, SIGTERM and SIGINT stop.
///
/// # Errors
/// Where the system gives no way to wait for them.
pub fn signals() -> io::Result<BoxStream<'static, Event>> {
    let of = |kind, event| {
        let each = move |mut signal: Signal| async move { signal.recv().await.map(|()| (event, signal)) };
        signal(kind).map(|signal| stream::unfold(signal, each).boxed())
    };
    let reload = of(SignalKind::hangup(), Event::Reload)?;
    let stops = [of(SignalKind::terminate(), Event::Stop)?, of(SignalKind::interrupt(), Event::Stop)?];
    Ok(stream::select_all([reload].into_iter().chain(stops)).boxed())
}
