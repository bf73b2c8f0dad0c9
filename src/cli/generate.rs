//! `tagwall generate`: man pages, completions and schemas, from the one definition of each.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;

use super::CliError;
use super::args::{Cli, Generate, SchemaOf, What};
use super::output::Output;
use crate::config::raw;
use crate::exit::ExitStatus;
use crate::report::json;
use crate::saved::observation::Observation;
use crate::saved::plan::SavedPlan;

pub(super) fn run(args: &Generate, output: Output) -> Result<ExitStatus, CliError> {
    match &args.what {
        What::Man { command: None, dir: Some(dir) } => write_pages(dir)?,
        What::Man { command, .. } => {
            let page = match command {
                None => page(root(), "tagwall")?,
                Some(name) => {
                    let root = root();
                    let known: Vec<String> =
                        root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
                    let found = root.find_subcommand(name).cloned();
                    let found = found.ok_or_else(|| CliError::Unknown {
                        what: "command",
                        name: name.clone(),
                        known: known.join(", "),
                    })?;
                    page(found, &format!("tagwall-{name}"))?
                }
            };
            output.result(&String::from_utf8_lossy(&page))?;
        }
        What::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tagwall", &mut text);
            output.result(&String::from_utf8_lossy(&text))?;
        }
        What::Schema { of } => {
            let schema = match of {
                SchemaOf::Config => schemars::schema_for!(raw::Config),
                SchemaOf::Report => schemars::schema_for!(json::Printed),
                SchemaOf::Plan => schemars::schema_for!(SavedPlan),
                SchemaOf::Observation => schemars::schema_for!(Observation),
            };
            output.json(&schema)?;
        }
    }
    Ok(ExitStatus::Done)
}

/// The command with its options spread to every verb.
fn root() -> clap::Command {
    let mut root = Cli::command();
    root.build();
    root
}

fn page(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.display_name(name.to_owned())).title(name.to_ascii_uppercase()).render(&mut page)?;
    Ok(page)
}

fn write_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = root();
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("tagwall-{}", command.get_name());
        std::fs::write(dir.join(format!("{name}.1")), page(command.clone(), &name)?)?;
    }
    std::fs::write(dir.join("tagwall.1"), page(root, "tagwall")?)
}
