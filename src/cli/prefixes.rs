//! `tagwall prefixes`: what a list or a tag admits, for people and for other programs.

use std::fmt::Write as _;

use serde::Serialize;
use tagwall_provider::{Family, Limit, PrefixSet, Refusal};

use super::args::{Global, PrefixFormat, Prefixes};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, tags};
use crate::config::{Config, List};
use crate::desired;
use crate::exit::ExitStatus;
use crate::report::json;
use crate::source::Publication;

pub(super) async fn run(global: &Global, args: &Prefixes, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load(global, Without::Defaults, output)?;
    if let Some(cloud) = args.cloud {
        context.config.source.cloud = cloud;
    }
    let list = match &args.list {
        Some(name) => context.config.lists.get(name).cloned().ok_or_else(|| CliError::Unknown {
            what: "list",
            name: name.clone(),
            known: context.config.lists.keys().cloned().collect::<Vec<_>>().join(", "),
        })?,
        None => of_tags(&args.tag, &context.config),
    };
    let (publication, published) = tags::publication(&context, output).await?;
    let set = resolve(&list, args.list.is_some(), &publication, output)?;
    match args.format {
        PrefixFormat::Text => output.result(&lines(&set))?,
        PrefixFormat::Json => output.json(&PrefixesJson::new(&list.name, &set, published))?,
        PrefixFormat::Nft => output.result(&nft(&list.name, &set, &publication))?,
        PrefixFormat::Terraform => output.result(&terraform(&list.name, &set, &publication))?,
    }
    Ok(ExitStatus::Done)
}

/// A list of tags by name, judged as one that says nothing of its own.
fn of_tags(tags: &[String], config: &Config) -> List {
    List {
        grace: crate::grace::Grace::None,
        name: tags.join("_"),
        tags: tags.to_vec(),
        families: Family::ALL.to_vec(),
        extra: PrefixSet::new(),
        exclude: PrefixSet::new(),
        limits: config.limits.clone(),
    }
}

/// What is listed is printed. A tag that is missing or empty is refused: an empty list in another firewall is an outage.
fn resolve(list: &List, is_configured: bool, publication: &Publication, output: Output) -> Result<PrefixSet, CliError> {
    let (resolved, refusals) = desired::resolve(list, publication);
    let (mut fatal, doubtful): (Vec<Refusal>, Vec<Refusal>) =
        refusals.into_iter().partition(|refusal| matches!(refusal.limit, Limit::MissingTag | Limit::EmptyTag));
    for refusal in &doubtful {
        output.warn(format!("`sync` would refuse this: {refusal}"));
    }
    if !is_configured {
        let names = |choice: &String| !choice.contains("list `");
        for refusal in &mut fatal {
            refusal.choices.retain(names);
        }
    }
    if fatal.is_empty() { Ok(resolved.all()) } else { Err(CliError::Refused(fatal)) }
}

fn lines(set: &PrefixSet) -> String {
    set.prefixes().fold(String::new(), |mut text, prefix| {
        let _ = writeln!(text, "{prefix}");
        text
    })
}

/// A JSON document of prefixes.
#[derive(Serialize)]
struct PrefixesJson {
    schema: u32,
    name: String,
    publication: json::Publication,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
}

impl PrefixesJson {
    fn new(name: &str, set: &PrefixSet, publication: json::Publication) -> Self {
        let of = |family| set.only(family).prefixes().map(|prefix| prefix.to_string()).collect();
        Self { schema: 1, name: name.to_owned(), publication, ipv4: of(Family::V4), ipv6: of(Family::V6) }
    }
}

/// A name as nftables and Terraform take it.
fn identifier(name: &str) -> String {
    let plain: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    // Neither language lets a name begin with a digit.
    let lead = if plain.starts_with(|letter: char| letter.is_ascii_digit()) { "_" } else { "" };
    format!("{lead}{}", plain.to_ascii_lowercase())
}

fn header(publication: &Publication) -> String {
    let date = publication.date.map(|date| format!(" of {date}")).unwrap_or_default();
    format!(
        "# {} service tags, change number {}{date}\n# sha256 {}\n",
        publication.cloud.document_name(),
        publication.change_number,
        publication.sha256
    )
}

fn nft(name: &str, set: &PrefixSet, publication: &Publication) -> String {
    let mut text = header(publication);
    for (family, suffix) in [(Family::V4, "v4"), (Family::V6, "v6")] {
        let prefixes: Vec<String> = set.only(family).prefixes().map(|prefix| prefix.to_string()).collect();
        // nft does not take an empty define.
        let line = if prefixes.is_empty() {
            format!("# {}_{suffix}: no {family} prefixes\n", identifier(name))
        } else {
            format!("define {}_{suffix} = {{\n    {}\n}}\n", identifier(name), prefixes.join(",\n    "))
        };
        text.push_str(&line);
    }
    text
}

fn terraform(name: &str, set: &PrefixSet, publication: &Publication) -> String {
    let mut text = header(publication);
    text.push_str("locals {\n");
    for (family, suffix) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        let _ = writeln!(text, "  {}_{suffix} = [", identifier(name));
        for prefix in set.only(family).prefixes() {
            let _ = writeln!(text, "    \"{prefix}\",");
        }
        text.push_str("  ]\n");
    }
    text.push_str("}\n");
    text
}
