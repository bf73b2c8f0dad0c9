//! The command line as typed: one definition for parsing, help, man pages and completions.

mod reviews;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tagwall_provider::Limit;

use crate::config::TimeSpan;
use crate::source::Cloud;
pub use reviews::{Apply, Clients, Explain, FailOn, Observe, Plan};

/// Keeps firewalls open to the prefixes of Azure service tags, and to nobody else.
#[derive(Debug, Parser)]
#[command(name = "tagwall", version, about, max_term_width = 100, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

const AFTER_HELP: &str = "\
Exit status: 0 done or nothing to do; 1 an error; 2 changes are pending (dry run);
3 refused, nothing changed; 64 wrong usage.

A service tag is not authentication: it says where a packet comes from, not who sent it.";

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The configuration [default: /etc/tagwall/tagwall.toml, where it is there]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use this document in place of the configured source
    #[arg(long, global = true, value_name = "FILE|URL")]
    pub feed: Option<String>,
    /// Where tagwall keeps what it has to remember
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How long to wait while another process makes a pass
    #[arg(long, global = true, value_name = "SPAN", default_value = "60s", value_parser = str::parse::<TimeSpan>, hide_default_value = false)]
    pub wait: TimeSpan,
    /// Say only what is wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show all of long lists, and log what is done (-vv: in detail)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One pass: fetch the publication, show the difference, apply it
    Sync(Sync),
    /// The daemon: passes by a schedule, and whenever a firewall was changed
    Run,
    /// What a pass would do, to be looked at, and with -o to be reviewed and applied
    Plan(Plan),
    /// Do just what a saved plan says; refused where anything has moved since
    Apply(Apply),
    /// Save what the firewalls hold, for `plan --state` where they cannot be reached
    Observe(Observe),
    /// What is enforced now, how old it is, what is wrong with it
    Status(Status),
    /// Why an address is admitted, or is not: by which prefix, list and tag; changes nothing
    Explain(Explain),
    /// Who connects today, held against the lists: whom a target would shut out; changes nothing
    Clients(Clients),
    /// Check the configuration; changes nothing
    Check(Check),
    /// Print the prefixes of a list or a tag, one a line
    Prefixes(Prefixes),
    /// List or search the service tags of the publication
    Tags(Tags),
    /// What passes enforced, newest last
    History(History),
    /// Go back to what an earlier pass enforced, and stay there until `resume`
    Rollback(Rollback),
    /// Stop all writing until `resume`; what is enforced stays
    Pause(Pause),
    /// Go on after `pause`, `rollback`, `withdraw` or a change that was not confirmed: one pass
    Resume(Resume),
    /// Enforce what was enforced last, without network: for boot, and after somebody loaded a ruleset
    Restore(Restore),
    /// Remove all that tagwall wrote; with nftables this opens the ports to everybody
    Withdraw(Withdraw),
    /// Print man pages, shell completions and schemas
    Generate(Generate),
}

impl Command {
    /// How the result is to be said, an error in place of one among it.
    pub(super) const fn format(&self) -> ReportFormat {
        match self {
            Self::Sync(Sync { format, .. })
            | Self::Plan(Plan { format, .. })
            | Self::Apply(Apply { format, .. })
            | Self::Status(Status { format, .. })
            | Self::Rollback(Rollback { format, .. })
            | Self::Resume(Resume { format, .. })
            | Self::Restore(Restore { format, .. }) => *format,
            Self::Tags(Tags { format: Format::Json, .. })
            | Self::History(History { format: Format::Json, .. })
            | Self::Explain(Explain { format: Format::Json, .. })
            | Self::Clients(Clients { format: Format::Json, .. })
            | Self::Check(Check { format: Format::Json, .. })
            | Self::Prefixes(Prefixes { format: PrefixFormat::Json, .. }) => ReportFormat::Json,
            _ => ReportFormat::Text,
        }
    }
}

/// `sync`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed")]
pub struct Sync {
    /// Show what would change and change nothing (exit status 2 if anything would)
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Without a configuration: keep TCP 8443 of this host open to AzureActiveDirectory
    #[arg(long, conflicts_with = "config")]
    pub defaults: bool,
    /// Let one refusal through, this once; written to the audit file
    #[arg(long = "override", value_name = "LIMIT", requires = "reason", value_parser = overridable)]
    pub overrides: Vec<Limit>,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "overrides")]
    pub reason: Option<String>,
    /// Do not ask, even where the change would cut your own connection
    #[arg(short, long)]
    pub yes: bool,
    /// Write metrics after the pass, for node_exporter's collector of text files
    #[arg(long, value_name = "FILE.prom", conflicts_with = "dry_run")]
    pub metrics_file: Option<PathBuf>,
    /// Tell the receivers of `[notify]` what the pass shows and they were not told yet; for cron, where no daemon does
    #[arg(long, conflicts_with = "dry_run")]
    pub notify: bool,
    /// What ends with an exit status other than 0, besides errors [default: refused,pending]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub fail_on: Option<Vec<FailOn>>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

impl Sync {
    /// A dry run is a plan that is not kept.
    pub(super) fn as_plan(&self) -> Plan {
        Plan {
            output: None,
            expires: None,
            state: None,
            target: self.target.clone(),
            defaults: self.defaults,
            overrides: self.overrides.clone(),
            reason: self.reason.clone(),
            yes: self.yes,
            fail_on: self.fail_on.clone(),
            format: self.format,
        }
    }
}

/// How to say what a pass found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// A comment for a pull request, with a mark by which a job finds its own.
    Markdown,
    /// For GitHub Actions: annotations, and the Markdown as the step's summary.
    Github,
}

/// How to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn overridable(name: &str) -> Result<Limit, String> {
    let names = || {
        let can: Vec<&str> =
            Limit::ALL.into_iter().filter(|limit| limit.can_be_overridden()).map(Limit::name).collect();
        can.join(", ")
    };
    match Limit::ALL.into_iter().find(|limit| limit.name() == name) {
        Some(limit) if limit.can_be_overridden() => Ok(limit),
        Some(_) => Err(format!("`{name}` cannot be overridden; these can: {}", names())),
        None => Err(format!("there is no such limit; these can be overridden: {}", names())),
    }
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// What ends with an exit status other than 0, besides errors [default: refused,pending]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub fail_on: Option<Vec<FailOn>>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Look at the file alone, not at this host
    #[arg(long)]
    pub no_environment: bool,
    /// Send a test to everybody who is to be told
    #[arg(long, conflicts_with = "no_environment")]
    pub notify: bool,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `prefixes`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub struct Prefixes {
    /// A list of the configuration
    #[arg(group = "what")]
    pub list: Option<String>,
    /// A service tag; several are united
    #[arg(long, value_name = "NAME", group = "what")]
    pub tag: Vec<String>,
    /// Of which cloud [default: as configured, else public]
    #[arg(long, value_name = "CLOUD", value_parser = str::parse::<Cloud>)]
    pub cloud: Option<Cloud>,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: PrefixFormat,
}

/// How to print prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrefixFormat {
    /// One a line, IPv4 then IPv6, ascending.
    Text,
    /// An object with the publication.
    Json,
    /// Variables to include in an nftables file.
    Nft,
    /// Locals for Terraform.
    Terraform,
}

/// `tags`.
#[derive(Debug, Args)]
pub struct Tags {
    /// Only tags whose name contains this, ignoring case
    pub search: Option<String>,
    /// Regional tags too
    #[arg(short, long)]
    pub all: bool,
    /// Of which cloud [default: as configured, else public]
    #[arg(long, value_name = "CLOUD", value_parser = str::parse::<Cloud>)]
    pub cloud: Option<Cloud>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Only what is known of these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// To this generation [default: the one before]
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Show what would change and change nothing (exit status 2 if anything would)
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Why; written to the audit file
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask, even where the change would cut your own connection
    #[arg(short, long)]
    pub yes: bool,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Why; shown by `status` and written to the audit file
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Everything, also where several people decided
    #[arg(long, conflicts_with = "target")]
    pub all: bool,
    /// Why; written to the audit file
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask, even where the change would cut your own connection
    #[arg(short, long)]
    pub yes: bool,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `withdraw`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed")]
pub struct Withdraw {
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Only what carries our mark and belongs to no configured target
    #[arg(long, conflicts_with = "target")]
    pub orphans: bool,
    /// Show what would go, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// What is paused, too
    #[arg(long, conflicts_with = "orphans")]
    pub even_paused: bool,
    /// Without a configuration: the target of `sync --defaults`
    #[arg(long, conflicts_with = "config")]
    pub defaults: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// What to print
    #[command(subcommand)]
    pub what: What,
}

/// What `generate` prints.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The man page of a command, or all of them into a directory
    Man {
        /// The command; `tagwall` itself without
        command: Option<String>,
        /// Write every page into this directory
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
    /// Completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The JSON schema of the configuration, of `--format json` or of a file that is saved
    Schema {
        /// Which
        of: SchemaOf,
    },
}

/// Which schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file.
    Config,
    /// The report of `sync --format json`.
    Report,
    /// What `plan -o` writes.
    Plan,
    /// What `observe` writes.
    Observation,
}
