//! `tagwall check`: the configuration, and what on this host would make it fail. Changes nothing.

use std::fmt::Write as _;

use serde::Serialize;
use tagwall_provider::{Foreign, ForeignEffect, Provider, ProviderError};

use super::CliError;
use super::args::{Check, Format, Global};
use super::context::{Context, Without};
use super::output::Output;
use crate::config::{Config, Origin, Target};
use crate::exit::ExitStatus;
use crate::listening;
use crate::notify;
use crate::report::{Class, Failure, json};

pub(super) async fn run(global: &Global, args: &Check, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Error, output)?;
    // Certificates and addresses are part of the configuration: what cannot be used is an error here, not at night.
    context.source()?;
    let text = args.format == Format::Text;
    if text {
        output.result(&summary(&context.config))?;
    }
    if args.no_environment {
        return told_to_programs(&context.config, Vec::new(), text, output);
    }
    for receiver in &context.config.receivers {
        if let Some(problem) = notify::problem(receiver) {
            output.warn(format!("`{}` may not be told: {problem}", receiver.name));
        }
    }
    if args.notify {
        test(&context, output).await?;
    }
    let mut all = Vec::new();
    for kept in context.kept(&[])? {
        let name = &kept.target.name;
        let found = match &kept.provider {
            Ok(provider) => look(kept.target, provider.as_ref()).await,
            Err(failure) => Found { target: name.clone(), failures: vec![failure.clone()], ..Found::default() },
        };
        if text {
            output.result(&found.told.iter().map(|line| format!("  {name}: {line}\n")).collect::<String>())?;
        }
        for warning in &found.warnings {
            output.warn(format!("target `{name}`: {warning}"));
        }
        for failure in &found.failures {
            output.error(format!("target `{name}`: {}", failure.message), failure.hint.as_deref());
        }
        all.push(found);
    }
    told_to_programs(&context.config, all, text, output)
}

/// `check --format json`.
#[derive(Serialize)]
struct CheckJson<'a> {
    schema: u32,
    owner: &'a str,
    targets: Vec<Found>,
}

/// What targets could not do, they would not do at night either.
fn told_to_programs(config: &Config, targets: Vec<Found>, text: bool, output: Output) -> Result<ExitStatus, CliError> {
    let failed = targets.iter().any(|found| !found.failures.is_empty());
    if !text {
        output.json(&CheckJson { schema: 1, owner: &config.owner, targets })?;
    }
    Ok(if failed { ExitStatus::Failed } else { ExitStatus::Done })
}

/// What a look at a firewall shows.
#[derive(Default, Serialize)]
struct Found {
    target: String,
    /// What it holds and allows.
    told: Vec<String>,
    /// What is not as it seems.
    warnings: Vec<String>,
    /// Why a pass would fail.
    #[serde(serialize_with = "as_errors")]
    failures: Vec<Failure>,
}

fn as_errors<S: serde::Serializer>(failures: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures.iter().map(json::Error::from))
}

async fn look(target: &Target, provider: &dyn Provider) -> Found {
    let failed = |error: &ProviderError| Failure::of(error, error.hint());
    let mut found = Found { target: target.name.clone(), ..Found::default() };
    match provider.observe().await {
        Ok(observed) => found.warnings = environment(target, &observed.foreign),
        Err(error) => {
            // What cannot be read needs no further question.
            found.failures.push(failed(&error));
            return found;
        }
    }
    match provider.check().await {
        Ok(told) => found.told = told,
        Err(error) => found.failures.push(failed(&error)),
    }
    found
}

/// Sends every receiver a test.
async fn test(context: &Context, output: Output) -> Result<(), CliError> {
    let event = notify::Event::test(&context.config.owner, context.now);
    let mut failed = Vec::new();
    for receiver in &context.config.receivers {
        match notify::deliver(receiver, &event).await {
            Ok(()) => output.say(format!("`{}` was told", receiver.name)),
            Err(error) => failed.push(format!("`{}`: {}", receiver.name, Failure::of(&error, None).message)),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("not everybody was told: {}", failed.join("; "));
    Err(CliError::Failed(Failure { message, hint: None, class: Class::Rejected }))
}

/// What on this host would make a target do less than it seems to.
pub(super) fn environment(target: &Target, foreign: &[Foreign]) -> Vec<String> {
    let mut warnings: Vec<String> = foreign
        .iter()
        .filter(|foreign| foreign.effect.closes() || foreign.effect == ForeignEffect::MayBlock)
        .map(|foreign| foreign.description.clone())
        .collect();
    if target.backend.listens_here() {
        let unheard = listening::unheard(target.protocol, &target.ports);
        warnings.extend(
            unheard.iter().map(|port| format!("nothing listens on {} port {port} here", target.protocol.name())),
        );
    }
    warnings
}

fn summary(config: &Config) -> String {
    let mut text = String::new();
    let origin = match &config.origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Defaults => "the defaults".to_owned(),
    };
    let _ = writeln!(text, "{origin} is valid: owner {}, {} cloud", config.owner, config.source.cloud);
    for target in &config.targets {
        let ports: Vec<String> = target.ports.iter().map(u16::to_string).collect();
        let _ = writeln!(
            text,
            "  {}: {}, {} {}, {}, policy {}",
            target.name,
            target.backend.object(),
            target.protocol.name(),
            ports.join(" "),
            target.lists.join(" + "),
            target.policy.name()
        );
    }
    if let Some(listen) = &config.listen {
        let _ = writeln!(text, "  metrics and status on {listen}");
    }
    for receiver in &config.receivers {
        let on: Vec<&str> = receiver.on.iter().map(|subject| subject.name()).collect();
        let _ = writeln!(text, "  {} is told of {}: {}", receiver.name, on.join(", "), receiver.channel);
    }
    if config.targets.is_empty() {
        let _ = writeln!(text, "  no targets: nothing will be enforced");
    }
    text
}
