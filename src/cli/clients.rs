//! `tagwall clients`: who connects today, held against the lists. Asks no firewall, changes nothing.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use serde::Serialize;

use super::CliError;
use super::args::{Clients, Format, Global};
use super::context::{Context, Without};
use super::explain;
use super::output::Output;
use crate::clients::{self, OfTarget, Seen};
use crate::exit::ExitStatus;
use crate::explain::desired_of;
use crate::report::{Class, Failure, Published, json};

/// `clients --format json`.
#[derive(Serialize)]
struct ClientsJson<'a> {
    schema: u32,
    publication: json::Publication,
    addresses: usize,
    lines: u64,
    without_address: u64,
    targets: &'a [OfTarget],
}

pub(super) async fn run(global: &Global, args: &Clients, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Defaults, output)?;
    let mut seen = Seen::default();
    for path in &args.log {
        read(&mut seen, path)?;
    }
    let Some(fetched) = explain::publication(&context, global.feed.is_some(), output).await else {
        let message = "no publication is known, so nobody can be held against it".to_owned();
        let hint = Some("`--feed FILE` takes a copy".to_owned());
        return Err(CliError::Failed(Failure { message, hint, class: Class::Transient }));
    };
    let mut targets = Vec::new();
    for target in context.targets(&args.target)? {
        let (desired, refusals) = desired_of(target, &context.config, &context.state, &fetched.publication);
        for refusal in refusals {
            output.warn(format!("target `{}`: {refusal}", target.name));
        }
        targets.push(OfTarget::new(&target.name, target.backend.object(), &desired, &seen));
    }
    match args.format {
        Format::Text => output.result(&clients::text(&seen, &targets, args.most))?,
        Format::Json => output.json(&ClientsJson {
            schema: 1,
            publication: json::Publication::from(&Published::of(&fetched, &context.state, context.now)),
            addresses: seen.addresses.len(),
            lines: seen.lines,
            without_address: seen.without,
            targets: &targets,
        })?,
    }
    Ok(ExitStatus::Done)
}

fn read(seen: &mut Seen, path: &Path) -> Result<(), CliError> {
    let read = if path.as_os_str() == "-" {
        seen.read(io::stdin().lock())
    } else {
        File::open(path).and_then(|file| seen.read(BufReader::new(file)))
    };
    read.map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        CliError::Failed(Failure { message, hint: None, class: Class::Rejected })
    })
}
