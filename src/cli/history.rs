//! `tagwall history`: what passes enforced, and what each changed. Reads the state directory alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use tagwall_provider::{Family, PrefixSet};

use super::CliError;
use super::args::{Format, Global, History};
use super::context::{Context, Without};
use super::output::Output;
use crate::exit::ExitStatus;
use crate::generation::{Generation, Named};
use crate::report::Failure;
use crate::report::number::thousands;

pub(super) fn run(global: &Global, args: &History, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Defaults, output)?;
    let shown = told(&context, &args.target, output)?;
    let is_known = |name: &&String| shown.iter().any(|told| told.targets.contains_key(*name));
    if let Some(unknown) = args.target.iter().find(|name| !is_known(name)) {
        return Err(CliError::NoGeneration(format!("no generation knows a target `{unknown}`")));
    }
    match args.format {
        Format::Json => output.json(&HistoryJson { schema: 1, generations: shown })?,
        Format::Text if shown.is_empty() => output.result("nothing was enforced yet\n")?,
        Format::Text => output.result(&shown.iter().map(text).collect::<String>())?,
    }
    Ok(ExitStatus::Done)
}

/// `history --format json`.
#[derive(Serialize)]
struct HistoryJson {
    schema: u32,
    generations: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    number: u64,
    time: String,
    cause: String,
    targets: BTreeMap<String, ToldTarget>,
}

#[derive(Serialize)]
struct ToldTarget {
    publication: Option<Named>,
    ipv4: usize,
    ipv6: usize,
    /// Prefixes with addresses that the generation before did not admit, and that this one does not any more.
    gained: usize,
    lost: usize,
    /// Whether the target is at it now.
    current: bool,
    pinned: bool,
}

/// Every generation that can be read, oldest first. What cannot be is warned about.
fn told(context: &Context, targets: &[String], output: Output) -> Result<Vec<Told>, CliError> {
    let generations = context.state_dir.generations();
    let mut before: BTreeMap<String, PrefixSet> = BTreeMap::new();
    let mut all = Vec::new();
    for number in generations.numbers()? {
        match generations.read(number) {
            Ok(Some(generation)) if generation.owner == context.config.owner => {
                all.push(of_generation(context, generation, targets, &mut before));
            }
            Ok(_) => {}
            Err(error) => output.warn(Failure::of(&error, None).message),
        }
    }
    all.retain(|told| !told.targets.is_empty());
    Ok(all)
}

fn of_generation(
    context: &Context,
    generation: Generation,
    targets: &[String],
    before: &mut BTreeMap<String, PrefixSet>,
) -> Told {
    let number = generation.number;
    let mut told = BTreeMap::new();
    for (name, enforced) in generation.targets {
        if !targets.is_empty() && !targets.contains(&name) {
            continue;
        }
        let now = enforced.all();
        let past = before.insert(name.clone(), now.clone()).unwrap_or_default();
        let (gained, lost) = (now.difference(&past), past.difference(&now));
        let record = context.state.targets.get(&name);
        let current = record.is_some_and(|record| record.generation == Some(number));
        let target = ToldTarget {
            publication: enforced.publication,
            ipv4: now.prefix_count(Family::V4),
            ipv6: now.prefix_count(Family::V6),
            gained: now.prefixes().filter(|prefix| gained.meets(*prefix)).count(),
            lost: past.prefixes().filter(|prefix| lost.meets(*prefix)).count(),
            current,
            pinned: current && record.is_some_and(|record| record.pinned.is_some()),
        };
        told.insert(name, target);
    }
    Told { number, time: format!("{:.0}", generation.time), cause: generation.cause, targets: told }
}

fn text(told: &Told) -> String {
    let mut text = format!("{}  {}  by {}\n", told.number, told.time, told.cause);
    for (name, target) in &told.targets {
        let mark = match (target.current, target.pinned) {
            (_, true) => " (now, pinned)",
            (true, _) => " (now)",
            _ => "",
        };
        let publication = target.publication.as_ref().map(|named| format!(", {named}")).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {name}{mark}: {} IPv4 and {} IPv6 prefixes, +{} -{}{publication}",
            thousands(target.ipv4),
            thousands(target.ipv6),
            thousands(target.gained),
            thousands(target.lost)
        );
    }
    text
}
