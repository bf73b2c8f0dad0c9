//! Asks a daemon how things stand, where it serves that.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::listener::Stream;
use crate::config::Listen;

/// A daemon of this host answers at once, or its server hangs.
const PATIENCE: Duration = Duration::from_secs(2);
/// No answer is as long, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What the daemon that listens there says of itself and of its targets.
///
/// # Errors
/// Where nobody listens, or what listens is none.
pub async fn ask(listen: &Listen) -> io::Result<Value> {
    let asked = async {
        match listen {
            Listen::Address(address) => get(TcpStream::connect(address).await?).await,
            Listen::Socket { path, .. } => get(UnixStream::connect(path).await?).await,
        }
    };
    timeout(PATIENCE, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn get(mut stream: impl Stream) -> io::Result<Value> {
    stream.write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let unusable = || io::Error::new(io::ErrorKind::InvalidData, "what listens there is no tagwall");
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(unusable)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(unusable());
    }
    serde_json::from_slice(&answer[body + 4..]).map_err(|_| unusable())
}
