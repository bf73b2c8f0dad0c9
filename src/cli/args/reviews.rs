//! The verbs of those who review: what is planned, what is held, why.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tagwall_provider::Limit;

use super::{Format, ReportFormat, overridable};
use crate::config::TimeSpan;
use crate::source::Digest;

/// `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
The hash that is printed is of all that is planned: publication, configuration, what each firewall
holds, what it should admit, each step; versions and locks of firewalls and the time are left out.
The file carries it, too, but who forges a file forges its hash: whoever reviews passes it on, and
`apply --expect-hash` holds the file to it.")]
pub struct Plan {
    /// Save the plan, for `apply`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// `apply` refuses it after this time
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<TimeSpan>, requires = "output")]
    pub expires: Option<TimeSpan>,
    /// Plan from what `observe` wrote: asks no firewall and needs no credentials
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Without a configuration: TCP 8443 of this host, open to AzureActiveDirectory
    #[arg(long, conflicts_with = "config")]
    pub defaults: bool,
    /// Plan as if this refusal were let through; `apply` has to be told the same
    #[arg(long = "override", value_name = "LIMIT", value_parser = overridable)]
    pub overrides: Vec<Limit>,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "overrides")]
    pub reason: Option<String>,
    /// Plan also what would cut your own connection
    #[arg(short, long)]
    pub yes: bool,
    /// What ends with an exit status other than 0, besides errors [default: refused,pending]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub fail_on: Option<Vec<FailOn>>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `observe`.
#[derive(Debug, Args)]
pub struct Observe {
    /// Write it here, and say on stdout what was seen [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The address; several are explained one by one
    #[arg(required = true, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `clients`.
#[derive(Debug, Args)]
#[command(after_help = "\
Of each line the first address counts, with or without a port: access logs, kernel logs and JSON
will do. The lists are those of the newest known publication, or of --feed; no firewall is asked,
and limits are not judged.")]
pub struct Clients {
    /// Log files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// Only these targets
    #[arg(short, long, value_name = "NAME")]
    pub target: Vec<String>,
    /// How many addresses to show for each target
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub most: usize,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
It is worked out anew what a pass would do now, and done where that is what the plan says. Limits
are judged again. Another publication or configuration, a firewall that moved, a plan that expired
or was altered: exit status 3, nothing is changed, and what moved is said. A hash inside the file
can be forged with the rest of it; --expect-hash, given by whoever reviewed the plan, cannot.")]
pub struct Apply {
    /// What `plan -o` wrote
    pub file: PathBuf,
    /// The hash that was reviewed: another plan is refused
    #[arg(long, value_name = "HASH", value_parser = hash)]
    pub expect_hash: Option<String>,
    /// Let one refusal through, as the plan did; written to the audit file
    #[arg(long = "override", value_name = "LIMIT", requires = "reason", value_parser = overridable)]
    pub overrides: Vec<Limit>,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "overrides")]
    pub reason: Option<String>,
    /// Do not ask, even where the change would cut your own connection
    #[arg(short, long)]
    pub yes: bool,
    /// What ends with an exit status other than 0, besides errors [default: refused]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub fail_on: Option<Vec<FailOn>>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

fn hash(text: &str) -> Result<String, String> {
    text.trim().parse::<Digest>().map(|digest| digest.to_string())
}

/// What may end with an exit status other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A refusal: 3.
    Refused,
    /// Changes that are pending after a dry run: 2.
    Pending,
    /// A firewall that was found otherwise than it was last enforced: 2.
    Drift,
}
