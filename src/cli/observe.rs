//! `tagwall observe`: what the firewalls hold, for `plan --state` where they cannot be reached.

use super::CliError;
use super::args::{Global, Observe};
use super::context::{Context, Without};
use super::output::Output;
use crate::exit::ExitStatus;
use crate::saved::observation::Observation;

pub(super) async fn run(global: &Global, args: &Observe, output: Output) -> Result<ExitStatus, CliError> {
    let context = Context::load(global, Without::Defaults, output)?;
    if context.config.targets.is_empty() {
        return Err(CliError::NoTargets);
    }
    let kept = context.kept(&args.target)?;
    let observation = Observation::of(&kept, &context.config, &context.state, context.now).await;
    let lines: String = observation.lines().map(|line| line + "\n").collect();
    match &args.output {
        Some(path) => {
            observation.write(path)?;
            output.result(&lines)?;
        }
        None => output.result(&observation.text().map_err(std::io::Error::from)?)?,
    }
    // What could be read is there; that something is missing must not pass for success.
    if observation.is_whole() {
        return Ok(ExitStatus::Done);
    }
    if args.output.is_none() {
        output.say(lines.trim_end());
    }
    Ok(ExitStatus::Failed)
}
