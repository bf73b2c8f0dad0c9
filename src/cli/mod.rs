//! The command line: one file a verb. Parses, runs, prints, and chooses the exit status in one place.

mod afterwards;
mod apply;
pub mod args;
mod check;
mod clients;
mod context;
mod explain;
mod generate;
mod history;
mod observe;
mod output;
mod pause;
mod plan;
mod prefixes;
mod progress;
mod restore;
mod rollback;
mod run;
mod status;
mod summary;
mod sync;
mod tags;
mod withdraw;

use std::process::ExitCode;

use clap::Parser as _;

use crate::config::{ConfigError, Log};
use crate::exit::ExitStatus;
use crate::log;
use crate::report::{Class, Failure, json, markdown};
use crate::saved::SavedError;
use crate::source::SourceError;
use crate::state::StateError;
use args::{Cli, Command, ReportFormat};
use output::Output;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results, everything else is wrong usage; clap's own status for that is taken.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
            let _ = error.print();
            return status.into();
        }
    };
    let output = Output::new(&cli.global);
    let asked = log::Asked {
        verbose: cli.global.verbose,
        quiet: cli.global.quiet,
        // What a daemon does is what its log says: nobody sees a result.
        daemon: matches!(cli.command, Command::Run),
    };
    log::start(log_settings(&cli.global), asked, output.colours_stderr());
    let format = cli.command.format();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(CliError::from).and_then(|runtime| {
        let result = runtime.block_on(run(cli, output));
        // A read that hangs (a pipe, a dead network file system) must not keep the process.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            error.tell(output, format);
            error.exit_status().into()
        }
    }
}

async fn run(cli: Cli, output: Output) -> Result<ExitStatus, CliError> {
    match cli.command {
        Command::Sync(args) => sync::run(&cli.global, &args, output).await,
        Command::Run => run::run(&cli.global).await,
        Command::Plan(args) => plan::run(&cli.global, &args, output).await,
        Command::Apply(args) => apply::run(&cli.global, &args, output).await,
        Command::Observe(args) => observe::run(&cli.global, &args, output).await,
        Command::Status(args) => status::run(&cli.global, &args, output).await,
        Command::Clients(args) => clients::run(&cli.global, &args, output).await,
        Command::Explain(args) => explain::run(&cli.global, &args, output).await,
        Command::Check(args) => check::run(&cli.global, &args, output).await,
        Command::Prefixes(args) => prefixes::run(&cli.global, &args, output).await,
        Command::Tags(args) => tags::run(&cli.global, &args, output).await,
        Command::History(args) => history::run(&cli.global, &args, output),
        Command::Rollback(args) => rollback::run(&cli.global, &args, output).await,
        Command::Pause(args) => pause::pause(&cli.global, &args, output).await,
        Command::Resume(args) => Box::pin(pause::resume(&cli.global, &args, output)).await,
        Command::Restore(args) => restore::run(&cli.global, &args, output).await,
        Command::Withdraw(args) => withdraw::run(&cli.global, &args, output).await,
        Command::Generate(args) => generate::run(&args, output),
    }
}

/// What the configuration says of the log, where it can be read: what is wrong with it is told by the command itself.
fn log_settings(global: &args::Global) -> Log {
    context::configured(global, context::Without::Defaults).map(|(config, _)| config.log).unwrap_or_default()
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no configuration and none was asked to do without.
    #[error("there is no configuration at `{}`", crate::config::DEFAULT_PATH)]
    NoConfig,
    /// The defaults were asked for where there is a configuration.
    #[error("there is a configuration at `{}`, and `--defaults` means to go without", crate::config::DEFAULT_PATH)]
    ConfigIsThere,
    /// A configuration that enforces nothing: an empty or cut off file must not pass for success.
    #[error("the configuration has no targets, so nothing would be enforced")]
    NoTargets,
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A saved file cannot be used.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// No publication was had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A name on the command line means nothing in the configuration.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What it should have named.
        what: &'static str,
        /// What was typed.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is nothing to go back to.
    #[error("{0}")]
    NoGeneration(String),
    /// The request is refused.
    #[error("refused")]
    Refused(Vec<tagwall_provider::Refusal>),
    /// A firewall could not be read or changed.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// A result could not be written, or the runtime not be started.
    #[error("cannot write the result")]
    Io(#[from] std::io::Error),
}

impl CliError {
    const fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Refused(_) => ExitStatus::Refused,
            Self::Unknown { .. } | Self::ConfigIsThere => ExitStatus::Usage,
            _ => ExitStatus::Failed,
        }
    }

    /// Tells people on stderr, and on stdout whoever asked for another format.
    fn tell(&self, output: Output, format: ReportFormat) {
        let failure = self.failure();
        let mut error = json::Error::from(&failure);
        if let Self::Refused(refusals) = self {
            output.refusals(refusals);
            error = refusals.first().map_or(error, json::Error::from);
        } else {
            output.error(&failure.message, failure.hint.as_deref());
        }
        // Where a result could not be written, nothing more can.
        if matches!(self, Self::Io(_)) {
            return;
        }
        let _ = match format {
            ReportFormat::Text => Ok(()),
            ReportFormat::Json => output.json(&json::NoReport { schema: 1, error }),
            ReportFormat::Markdown => output.result(&markdown::no_report(&error)),
            ReportFormat::Github => summary::no_report(&error, output),
        };
    }

    fn failure(&self) -> Failure {
        let hint = match self {
            Self::NoConfig => Some(
                "`tagwall sync --dry-run` plans AzureActiveDirectory on TCP 8443 of this host, \
                 `tagwall sync --defaults` applies that, `tagwall withdraw --defaults` takes it away"
                    .to_owned(),
            ),
            Self::ConfigIsThere => Some("leave `--defaults` out, or move that file away".to_owned()),
            Self::NoTargets => Some(
                "give it a table `[targets.NAME]`; `tagwall status` shows what older configurations left, and \
                     `tagwall withdraw --orphans` removes it"
                    .to_owned(),
            ),
            Self::State(StateError::Locked { .. }) => {
                Some("wait for the other pass to end, or end that process".to_owned())
            }
            Self::State(StateError::Owner { found, .. }) => Some(format!(
                "`owner = \"{found}\"` goes on with its rules; a configuration beside it needs a `dir` of its own in `[state]`"
            )),
            Self::State(StateError::Newer { .. }) => {
                Some("use the tagwall that wrote it, or another --state-dir".to_owned())
            }
            Self::State(StateError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("use sudo, or with `--state-dir` a state of your own".to_owned())
            }
            Self::NoGeneration(_) => Some("`tagwall history` lists what can be gone back to".to_owned()),
            Self::Source(error) => error.hint().map(str::to_owned),
            Self::Unknown { known, .. } => Some(format!("there are: {known}")),
            Self::Failed(failure) => failure.hint.clone(),
            Self::Config(_) | Self::State(_) | Self::Saved(_) | Self::Refused(_) | Self::Io(_) => None,
        };
        let class = match self {
            Self::State(StateError::Locked { .. }) => Class::Transient,
            Self::Source(error) if error.is_transient() => Class::Transient,
            Self::Failed(failure) => failure.class,
            _ => Class::Rejected,
        };
        Failure { class, ..Failure::of(self, hint.as_deref()) }
    }
}
