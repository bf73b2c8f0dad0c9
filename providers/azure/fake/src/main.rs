//! The fake as a program, for tests that are not written in Rust and for end-to-end tests.

use std::io;
use std::path::{Path, PathBuf};

use clap::Parser;
use tagwall_fake_arm::{FakeArm, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for Azure Resource Manager's network security groups, for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to write the certificate to trust.
    #[arg(long)]
    ca_out: PathBuf,
    /// Where to write the port, once it is listening.
    #[arg(long)]
    port_file: PathBuf,
    /// Read at start if it is there, written at the end: all NSGs and the service tags, as JSON.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Answer `/_control/`.
    #[arg(long)]
    control: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let arm = FakeArm::start(Options { control: arguments.control, ..Options::default() });
    if let Some(state) = arguments.state.as_deref().filter(|state| state.exists()) {
        arm.load(serde_json::from_slice(&std::fs::read(state)?)?);
    }
    write(&arguments.ca_out, arm.ca_pem())?;
    // Last: who sees it may begin.
    write(&arguments.port_file, &arm.port().to_string())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(told_to_stop())?;
    match &arguments.state {
        Some(state) => write(state, &arm.state().to_string()),
        None => Ok(()),
    }
}

async fn told_to_stop() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let half = path.with_extension("new");
    std::fs::write(&half, text)?;
    std::fs::rename(half, path)
}
