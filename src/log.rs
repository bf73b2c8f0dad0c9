//! Where the log goes and what it looks like: set up once, before anything is said.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::fmt::format::{JsonFields, Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::Log;
use crate::config::telling::raw::{LogFormat, LogLevel};

/// How much was asked for on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many times `-v`.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
    /// Whether what is run has no other way to say what it does.
    pub daemon: bool,
}

/// What libraries may say at most, whatever is asked for: how they speak to a receiver or a cloud, and with which
/// credentials, is nobody's business. Each is the beginning of a module's name.
const BOUNDS: &str = "trace,hyper=info,reqwest=info,rustls=info,h2=info,aws_=info,azure_=info,typespec=info";

/// Sends the log where it belongs.
///
/// Errors are none: where the journal cannot be reached, stderr serves.
pub fn start(settings: Log, asked: Asked, colours: bool) {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let wanted = variable("TAGWALL_LOG").or_else(|| variable("RUST_LOG"));
    let (filter, problem) = filter(wanted.as_deref(), settings.level, asked);
    let journal = match settings.format {
        LogFormat::Journald => true,
        LogFormat::Auto => leads_to_journal(variable("JOURNAL_STREAM").as_deref(), &io::stderr()),
        LogFormat::Json | LogFormat::Text => false,
    };
    // Fields are `TAGWALL_…` there, beside the journal's own.
    let journal = journal.then(tracing_journald::layer).and_then(Result::ok);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match (journal, settings.format) {
        (Some(journal), _) => journal.with_field_prefix(Some("TAGWALL".to_owned())).boxed(),
        (None, LogFormat::Json) => {
            fmt::layer().json().flatten_event(true).with_writer(io::stderr).fmt_fields(JsonFields::new()).boxed()
        }
        (None, _) => {
            fmt::layer().with_writer(io::stderr).with_ansi(colours).without_time().fmt_fields(for_people()).boxed()
        }
    };
    // Only a test that runs two commands in one process finds one set already.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter.and(EnvFilter::new(BOUNDS)))).try_init();
    if let Some(problem) = problem {
        tracing::warn!("{problem}");
    }
}

/// Fields as people read them: the message, then the rest but for what the message of a pass says already.
fn for_people()
-> impl for<'a> MakeVisitor<Writer<'a>, Visitor: VisitFmt + VisitOutput<std::fmt::Result>> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if name.starts_with("pass.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    })
}

/// What is let through, and what was wrong with what was asked for.
fn filter(wanted: Option<&str>, level: Option<LogLevel>, asked: Asked) -> (EnvFilter, Option<String>) {
    let default = default_directives(level, asked);
    match wanted.map(EnvFilter::try_new) {
        None => (EnvFilter::new(default), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => {
            let problem = format!("TAGWALL_LOG or RUST_LOG is no filter ({error}): it is passed over");
            (EnvFilter::new(default), Some(problem))
        }
    }
}

fn default_directives(level: Option<LogLevel>, asked: Asked) -> &'static str {
    let floor = u8::from(asked.daemon);
    match (asked.quiet, asked.verbose, level) {
        (true, ..) | (false, 0, Some(LogLevel::Warn)) => "warn",
        (false, 0, Some(LogLevel::Error)) => "error",
        (false, 0, Some(LogLevel::Info)) => "tagwall=info,warn",
        (false, 0, Some(LogLevel::Debug)) => "tagwall=debug,info",
        (false, 0, Some(LogLevel::Trace)) => "trace",
        (false, verbose, _) => match verbose.max(floor) {
            // What is waited for in a cloud is said to whoever waits for the command.
            0 => "tagwall_aws=info,tagwall_arm=info,warn",
            1 => "tagwall=info,warn",
            _ => "tagwall=debug,info",
        },
    }
}

/// Whether a stream is the one that systemd connected to the journal, which the variable names by device and inode.
fn leads_to_journal(variable: Option<&str>, stream: &impl AsFd) -> bool {
    let named = variable.and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let is = stream.as_fd().try_clone_to_owned().and_then(|stream| File::from(stream).metadata());
    is.is_ok_and(|is| named == Some((is.dev(), is.ino())))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let is = file.metadata().unwrap();
        let check = |text: Option<&str>, expect: bool| {
            assert_eq!(leads_to_journal(text, &file), expect, "{text:?}");
        };
        check(Some(&format!("{}:{}", is.dev(), is.ino())), true);
        check(Some(&format!("{}:{}", is.dev(), is.ino() + 1)), false);
        check(Some(&format!("{}", is.ino())), false);
        check(Some("x:y"), false);
        check(None, false);
    }

    #[test]
    fn the_loudest_word_counts_in_its_order() {
        let daemon = Asked { daemon: true, ..Asked::default() };
        let check = |wanted, level, asked, expect: &str| {
            assert_eq!(filter(wanted, level, asked).0.to_string(), EnvFilter::new(expect).to_string());
        };
        let info = "tagwall=info,warn";
        check(None, None, Asked::default(), "tagwall_aws=info,tagwall_arm=info,warn");
        check(None, None, daemon, info);
        check(None, Some(LogLevel::Error), daemon, "error");
        check(None, Some(LogLevel::Error), Asked { verbose: 1, ..daemon }, info);
        check(None, Some(LogLevel::Debug), Asked { quiet: true, ..daemon }, "warn");
        let (kept, problem) = filter(Some("tagwall=loud"), None, daemon);
        assert_eq!(kept.to_string(), EnvFilter::new(info).to_string());
        assert!(problem.unwrap().contains("TAGWALL_LOG"));
    }

    #[test]
    fn who_asks_for_everything_does_not_get_what_tells_of_addresses_and_credentials() {
        /// A place that a log is written to.
        #[derive(Clone, Default)]
        struct Page(Arc<Mutex<Vec<u8>>>);

        impl io::Write for Page {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(text)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let written = |wanted| {
            let page = Page::default();
            let to = page.clone();
            let layer = fmt::layer().with_writer(move || to.clone());
            let capped = filter(Some(wanted), None, Asked::default()).0.and(EnvFilter::new(BOUNDS));
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_filter(capped)), || {
                tracing::trace!(target: "aws_smithy_runtime::client", "secret");
                tracing::debug!(target: "azure_identity", "secret");
                tracing::debug!(target: "hyper_util::client", "secret");
                tracing::info!(target: "hyper_util::client", "known");
                tracing::trace!(target: "tagwall_aws", "ours");
            });
            String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
        };
        for wanted in ["trace", "aws_smithy_runtime=trace,tagwall=trace,info", "trace,hyper=trace,azure_identity=debug"]
        {
            let written = written(wanted);
            assert!(!written.contains("secret") && written.contains("known"), "{wanted}: {written}");
            assert!(written.contains("ours"), "{wanted}: {written}");
        }
        // And a bound lets nothing through that was not asked for.
        assert_eq!(written("warn"), "");
    }
}
