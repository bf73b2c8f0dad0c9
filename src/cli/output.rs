//! What is printed where: results to stdout, talk to stderr.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::args::{Color, Global};
use crate::report::text::{self, Detail};

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The two streams, with how much is to be said on them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    choice: anstream::ColorChoice,
    quiet: bool,
    verbose: u8,
    muted: bool,
}

impl Output {
    /// As the options say.
    pub(super) const fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        Self { choice, quiet: global.quiet, verbose: global.verbose, muted: false }
    }

    /// The same for what was said before.
    pub(super) const fn silent(self) -> Self {
        Self { muted: true, ..self }
    }

    /// How much of a report is shown.
    pub(super) const fn detail(self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (false, 0) => Detail::Folded,
            (false, _) => Detail::Full,
        }
    }

    pub(super) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Writes a result. A reader that has gone (`| head`) has read all it wanted: no error.
    ///
    /// # Errors
    /// Any other failure to write, a full disk for one.
    pub(super) fn result(self, text: &str) -> io::Result<()> {
        let mut stdout = anstream::AutoStream::new(io::stdout().lock(), self.resolve(&io::stdout()));
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Writes a result as indented JSON.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(super) fn json(self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.result(&text)
    }

    /// Tells refusals that are not part of a report.
    pub(super) fn refusals(self, refusals: &[tagwall_provider::Refusal]) {
        self.stderr(&text::refusals(refusals, self.detail()));
    }

    /// Says something to whoever watches.
    pub(super) fn say(self, text: impl Display) {
        if !self.quiet {
            self.stderr(&format!("{text}\n"));
        }
    }

    /// Warns. Not silenced by `--quiet`: it is about what is wrong.
    pub(super) fn warn(self, text: impl Display) {
        if self.muted {
            return;
        }
        self.stderr(&format!("{WARNING}warning{WARNING:#}: {text}\n"));
    }

    /// Tells an error and what to do about it.
    pub(super) fn error(self, message: impl Display, hint: Option<&str>) {
        let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        self.stderr(&format!("{ERROR}error{ERROR:#}: {message}\n{hint}"));
    }

    /// Asks a question that is answered by yes or no. Without a terminal the answer is no.
    pub(super) fn ask(self, question: &str) -> bool {
        use std::io::IsTerminal as _;
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return false;
        }
        self.stderr(&format!("{question} [y/N] "));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Whether what goes to stderr may have colours.
    pub(super) fn colours_stderr(self) -> bool {
        self.resolve(&io::stderr()) != anstream::ColorChoice::Never
    }

    fn stderr(self, text: &str) {
        // Where stderr is gone there is nobody left to tell.
        let mut stderr = anstream::AutoStream::new(io::stderr().lock(), self.resolve(&io::stderr()));
        let _ = stderr.write_all(text.as_bytes());
    }

    fn resolve(self, stream: &impl anstream::stream::RawStream) -> anstream::ColorChoice {
        match self.choice {
            anstream::ColorChoice::Auto => anstream::AutoStream::choice(stream),
            chosen => chosen,
        }
    }
}
