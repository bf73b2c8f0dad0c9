//! Programs of the operator's, run to their end or killed with all that they started.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How much of what a program says is kept, in bytes.
const SAID: u64 = 2000;
/// How long is listened after its end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why a program did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It took too long and was killed.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// It could not be run, or ended with another status than 0: in words.
    #[error("{0}")]
    Failed(String),
}

/// A process group that is killed with all that is in it when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody may be left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs a program and its arguments with this on its standard input and these variables, and nothing else of this
/// process's environment.
///
/// # Errors
/// [`ProgramError`].
pub(crate) async fn run(
    words: &[String],
    variables: &[(&str, String)],
    input: &[u8],
    patience: Duration,
) -> Result<(), ProgramError> {
    let failed = |text: String| ProgramError::Failed(text);
    let (program, arguments) = words.split_first().ok_or_else(|| failed("there is no program".to_owned()))?;
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .current_dir("/")
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| failed(format!("cannot run `{program}`: {error}")))?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let talked = timeout(patience, talk(&mut child, input)).await;
    if matches!(talked, Ok(Ok(_))) {
        // It has ended, and its number may be somebody else's by now.
        group.0 = None;
    }
    match talked {
        Err(_) => Err(ProgramError::Slow(patience)),
        Ok(Err(error)) => Err(failed(format!("cannot wait for `{program}`: {error}"))),
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, said))) => {
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Err(failed(format!("`{program}` ended with {status}{said}")))
        }
    }
}

/// Gives it its input and waits for its end; what it says beyond the first lines is not listened to.
async fn talk(child: &mut Child, input: &[u8]) -> io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // One that does not want to know has nothing to miss.
            let _ = stdin.write_all(input).await;
        }
    };
    let mut said = Vec::new();
    let listen = async {
        if let Some(stderr) = stderr {
            let mut rest = stderr.take(SAID);
            let _ = rest.read_to_end(&mut said).await;
            // A full pipe would keep it waiting.
            let _ = tokio::io::copy(&mut rest.into_inner(), &mut tokio::io::sink()).await;
        }
    };
    let status = {
        let talking = async { tokio::join!(give, listen) };
        tokio::pin!(talking);
        tokio::select! {
            biased;
            status = child.wait() => {
                let status = status?;
                // Its last words may still be on their way; what it left running may hold its tongue for ever.
                let _ = timeout(LAST_WORDS, &mut talking).await;
                status
            }
            // It has closed its ears and its mouth, and may go on for a while.
            _ = &mut talking => child.wait().await?,
        }
    };
    Ok((status, String::from_utf8_lossy(&said).trim().replace('\n', " ")))
}
