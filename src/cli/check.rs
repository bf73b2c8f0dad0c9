//! `tagwall check`: the configuration, and what on this host would make it fail. Changes nothing.

use std::fmt::Write as _;

use serde::Serialize;
use tagwall_provider::{Foreign, ForeignEffect, Provider, ProviderError};

use super::CliError;
use super::args::{Check, Format, Global};
use super::context::{Context, Without};
use super::output::Output;
use crate::config::{Config, List, Origin, Policy, Target};
use crate::desired;
use crate::exit::ExitStatus;
use crate::listening;
use crate::notify;
use crate::report::{Class, Failure, json};
use crate::source::{Kind, Source};

pub(super) async fn run(global: &Global, args: &Check, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Error, output)?;
    // Certificates and addresses are part of the configuration: what cannot be used is an error here, not at night.
    let source = context.source()?;
    let text = args.format == Format::Text;
    if text {
        output.result(&summary(&context.config))?;
    }
    if args.no_environment {
        // What this build cannot do is no matter of the host.
        let mut all = Vec::new();
        for (target, failure) in
            context.kept(&[])?.into_iter().filter_map(|kept| Some((kept.target, kept.provider.err()?)))
        {
            let seen = Seen { failures: vec![failure], ..Seen::default() };
            seen.tell(&target.name, &format!("target `{}`", target.name), text, output)?;
            all.push(OfTarget { target: target.name.clone(), seen });
        }
        return told_to_programs(&context.config, Vec::new(), all, text, output);
    }
    for receiver in &context.config.receivers {
        if let Some(problem) = notify::problem(receiver) {
            output.warn(format!("`{}` may not be told: {problem}", receiver.name));
        }
    }
    if args.notify {
        test(&context, output).await?;
    }
    let mut sources = Vec::new();
    for (name, source) in [("source", Some(&source)), ("source.compare", source.compared_with())] {
        let Some(source) = source else { continue };
        let mut seen = ask(source).await;
        if name == "source" && seen.failures.is_empty() {
            lists(&context, source, &mut seen).await;
        }
        seen.tell(name, name, text, output)?;
        sources.push(OfSource { source: name, seen });
    }
    // Nothing hangs on what is only compared with.
    let is_known = sources.iter().all(|of| of.source != "source" || of.seen.failures.is_empty());
    let mut all = Vec::new();
    for kept in context.kept(&[])? {
        let name = &kept.target.name;
        let seen = match &kept.provider {
            Ok(provider) => look(kept.target, provider.as_ref()).await,
            Err(failure) => Seen { failures: vec![failure.clone()], ..Seen::default() },
        };
        seen.tell(name, &format!("target `{name}`"), text, output)?;
        all.push(OfTarget { target: name.clone(), seen });
    }
    let status = told_to_programs(&context.config, sources, all, text, output)?;
    Ok(if is_known { status } else { ExitStatus::Failed })
}

/// `check --format json`.
#[derive(Serialize)]
struct CheckJson<'a> {
    schema: u32,
    owner: &'a str,
    sources: Vec<OfSource>,
    targets: Vec<OfTarget>,
}

/// What targets could not do, they would not do at night either.
fn told_to_programs(
    config: &Config,
    sources: Vec<OfSource>,
    targets: Vec<OfTarget>,
    text: bool,
    output: Output,
) -> Result<ExitStatus, CliError> {
    let failed = targets.iter().any(|of| !of.seen.failures.is_empty());
    if !text {
        output.json(&CheckJson { schema: 1, owner: &config.owner, sources, targets })?;
    }
    Ok(if failed { ExitStatus::Failed } else { ExitStatus::Done })
}

/// What asking a source showed.
#[derive(Serialize)]
struct OfSource {
    source: &'static str,
    #[serde(flatten)]
    seen: Seen,
}

/// What a look at a firewall showed.
#[derive(Serialize)]
struct OfTarget {
    target: String,
    #[serde(flatten)]
    seen: Seen,
}

/// What a look shows.
#[derive(Default, Serialize)]
struct Seen {
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

impl Seen {
    /// Tells people, `name` before what it holds and `called` before what is wrong.
    fn tell(&self, name: &str, called: &str, text: bool, output: Output) -> Result<(), CliError> {
        if text {
            self.told.iter().try_for_each(|line| output.result(&format!("  {name}: {line}\n")))?;
        }
        for warning in &self.warnings {
            output.warn(format!("{called}: {warning}"));
        }
        for failure in &self.failures {
            output.error(format!("{called}: {}", failure.message), failure.hint.as_deref());
        }
        Ok(())
    }
}

async fn ask(source: &Source) -> Seen {
    match source.check().await {
        Ok(told) => Seen { told, ..Seen::default() },
        Err(error) => Seen { failures: vec![Failure::of(&error, error.hint())], ..Seen::default() },
    }
}

/// Whether the lists are to be had from the publication: a file as it is, otherwise the last that came. That nobody was
/// asked for a newer one is said.
async fn lists(context: &Context, source: &Source, seen: &mut Seen) {
    let settings = &context.config.source;
    let publication = if let Kind::File(_) = settings.kind {
        source.fetch(None).await.map(|fetched| Some(fetched.publication))
    } else {
        if seen.told.is_empty() {
            seen.told.push("not asked; `tagwall sync --dry-run` asks it".to_owned());
        }
        Source::remembered(settings, &context.last_good).map(|fetched| fetched.map(|fetched| fetched.publication))
    };
    match publication {
        Ok(Some(publication)) => {
            let used = |list: &&List| context.config.targets.iter().any(|target| target.lists.contains(&list.name));
            for list in context.config.lists.values().filter(used) {
                for refusal in desired::resolve(list, &publication).1 {
                    let hint = refusal.choices.first().cloned();
                    let failure = Failure { message: refusal.to_string(), hint, class: Class::Rejected };
                    seen.failures.push(failure);
                }
            }
        }
        Ok(None) => {}
        Err(error) => seen.failures.push(Failure::of(&error, error.hint())),
    }
}

async fn look(target: &Target, provider: &dyn Provider) -> Seen {
    let failed = |error: &ProviderError| Failure::of(error, error.hint());
    let mut found = Seen::default();
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
        // What is only looked at is never written: a role that can only read is all it takes.
        Err(ProviderError::Denied(cause)) if target.policy == Policy::Observe => found.told.push(cause.to_string()),
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
