//! `tagwall tags`: what the publication has.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::{Format, Global, Tags};
use super::context::{Context, Without};
use super::output::Output;
use super::{CliError, progress};
use crate::accept;
use crate::exit::ExitStatus;
use crate::report::{Published, json};
use crate::source::Publication;

pub(super) async fn run(global: &Global, args: &Tags, output: Output) -> Result<ExitStatus, CliError> {
    let mut context = Context::load(global, Without::Defaults, output)?;
    if let Some(cloud) = args.cloud {
        context.config.source.cloud = cloud;
    }
    let (publication, published) = publication(&context, output).await?;
    let search = args.search.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mut tags: Vec<Row> = publication
        .tags
        .iter()
        .filter(|tag| args.all || tag.region.is_empty())
        .filter(|tag| tag.name.to_ascii_lowercase().contains(&search))
        .map(|tag| Row {
            name: tag.name.to_string(),
            region: tag.region.to_string(),
            system_service: tag.system_service.to_string(),
            change_number: tag.change_number,
            ipv4: tag.v4.len(),
            ipv6: tag.v6.len(),
        })
        .collect();
    tags.sort_unstable_by_key(|tag| tag.name.to_ascii_lowercase());
    match args.format {
        Format::Json => output.json(&TagsJson { schema: 1, publication: published, tags })?,
        Format::Text => {
            output.result(&table(&tags))?;
            if tags.is_empty() {
                let hint = if args.all { "" } else { "; --all searches regional tags too" };
                output.say(format!("no tag matches{hint}"));
            }
        }
    }
    Ok(ExitStatus::Done)
}

/// One tag.
#[derive(Serialize)]
struct Row {
    name: String,
    region: String,
    system_service: String,
    change_number: u64,
    ipv4: usize,
    ipv6: usize,
}

/// A JSON document of tags.
#[derive(Serialize)]
struct TagsJson {
    schema: u32,
    publication: json::Publication,
    tags: Vec<Row>,
}

fn table(tags: &[Row]) -> String {
    let width = tags.iter().map(|tag| tag.name.len()).max().unwrap_or_default();
    tags.iter().fold(String::new(), |mut text, tag| {
        let _ = writeln!(text, "{:width$}  {:>6} IPv4  {:>6} IPv6", tag.name, tag.ipv4, tag.ipv6);
        text
    })
}

/// Fetches the publication for a command that only reads it.
pub(super) async fn publication(
    context: &Context,
    output: Output,
) -> Result<(Publication, json::Publication), CliError> {
    let source = context.source()?;
    let fetched = progress::shown(output, "fetching the publication", source.fetch(Some(&context.last_good))).await?;
    for warning in &fetched.warnings {
        output.warn(warning);
    }
    let publication = &fetched.publication;
    if publication.cloud != context.config.source.cloud {
        let wanted = context.config.source.cloud.document_name();
        return Err(CliError::Refused(vec![accept::wrong_cloud(wanted, publication.cloud.document_name())]));
    }
    let published = Published::of(&fetched, &context.state, context.now);
    Ok((fetched.publication, json::Publication::from(&published)))
}
