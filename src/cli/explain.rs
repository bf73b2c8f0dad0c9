//! `tagwall explain`: why an address is admitted, or is not. Reads the firewalls, changes nothing.

use std::net::IpAddr;

use serde::Serialize;
use tagwall_provider::{Observed, Provider};

use super::CliError;
use super::args::{Explain, Format, Global};
use super::context::{Context, Without};
use super::output::Output;
use crate::exit::ExitStatus;
use crate::explain::{self, Explained, OfTarget, Verdict};
use crate::reconcile::Kept;
use crate::report::{Failure, Published, json};
use crate::source::{Fetched, Source};

/// `explain --format json`.
#[derive(Serialize)]
struct ExplainJson<'a> {
    schema: u32,
    publication: Option<json::Publication>,
    addresses: &'a [Explained],
}

pub(super) async fn run(global: &Global, args: &Explain, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Defaults, output)?;
    let fetched = publication(&context, global.feed.is_some(), output).await;
    let publication = fetched.as_ref().map(|fetched| &fetched.publication);
    let kept = context.kept(&args.target)?;
    let mut read = Vec::new();
    for kept in &kept {
        read.push(observed(kept).await);
    }
    let mut all = Vec::new();
    // A mapped address is the IPv4 address that it maps.
    for address in args.address.iter().map(IpAddr::to_canonical) {
        let mut targets = Vec::new();
        for (Kept { target, .. }, read) in kept.iter().zip(&read) {
            let wanted = explain::wanted(address, target, &context.config, &context.state, publication);
            let answered = match read {
                Ok((provider, observed)) => match provider.look_up(address).await {
                    Ok(answer) => Ok((observed, answer)),
                    Err(error) => Err(Failure::of_provider(&error, None)),
                },
                Err(failure) => Err(failure.clone()),
            };
            targets.push(OfTarget::new(
                address,
                target,
                wanted,
                publication,
                answered.as_ref().map(|(seen, said)| (*seen, *said)),
            ));
        }
        let tags = publication.map(|publication| explain::tags(address, publication)).unwrap_or_default();
        all.push(Explained { address, targets, tags });
    }
    match args.format {
        Format::Json => {
            let of = |fetched| json::Publication::from(&Published::of(fetched, &context.state, context.now));
            output.json(&ExplainJson { schema: 1, publication: fetched.as_ref().map(of), addresses: &all })?;
        }
        Format::Text => {
            let texts: Vec<String> = all.iter().map(|explained| explain::text(explained, publication)).collect();
            output.result(&texts.join("\n"))?;
        }
    }
    let unread = all.iter().flat_map(|explained| &explained.targets).any(|told| told.verdict == Verdict::Unknown);
    Ok(if unread { ExitStatus::Failed } else { ExitStatus::Done })
}

/// The publication that is gone by: the last good one, or else what the source has. Without one there are no tags to
/// tell of, and the firewalls are there all the same.
pub(super) async fn publication(context: &Context, is_given: bool, output: Output) -> Option<Fetched> {
    let remembered = Source::remembered(&context.config.source, &context.last_good).ok().flatten();
    if let Some(fetched) = remembered.filter(|_| !is_given) {
        return Some(fetched);
    }
    let fetched = match context.source() {
        Ok(source) => source.fetch(Some(&context.last_good)).await.map_err(CliError::from),
        Err(error) => Err(error),
    };
    fetched.map_err(|error| output.warn(Failure::of(&error, None).message)).ok()
}

async fn observed<'a>(kept: &'a Kept<'_>) -> Result<(&'a dyn Provider, Observed), Failure> {
    let provider = kept.provider.as_ref().map_err(Clone::clone)?.as_ref();
    let observed = provider.observe().await.map_err(|error| Failure::of_provider(&error, None))?;
    Ok((provider, observed))
}
