//! The address or socket that is listened on.

use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Listen;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}")]
pub struct ServeError {
    /// Where.
    pub listen: Listen,
    /// Why.
    pub source: io::Error,
}

impl ServeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match (self.source.kind(), &self.listen) {
            (io::ErrorKind::AddrInUse, _) => {
                Some("another program, or another tagwall, listens there: give `metrics.listen` another place")
            }
            (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, Listen::Socket { .. }) => {
                Some("its folder must be there and writable; the unit's `RuntimeDirectory=tagwall` makes /run/tagwall")
            }
            _ => None,
        }
    }
}

/// What is listened on. A socket's file is removed when this is dropped.
#[derive(Debug)]
pub struct Bound {
    listen: Listen,
    listener: Listener,
}

#[derive(Debug)]
enum Listener {
    Address(tokio::net::TcpListener),
    Socket(tokio::net::UnixListener),
}

/// What comes in.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Bound {
    /// Begins to listen. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`]; where something else listens there already, that is left alone.
    pub fn new(listen: &Listen) -> Result<Self, ServeError> {
        let listener = match listen {
            Listen::Address(address) => TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .and_then(tokio::net::TcpListener::from_std)
                .map(Listener::Address),
            Listen::Socket { path, mode } => socket(path, *mode)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .and_then(tokio::net::UnixListener::from_std)
                .map(Listener::Socket),
        };
        let listener = listener.map_err(|source| ServeError { listen: listen.clone(), source })?;
        Ok(Self { listen: listen.clone(), listener })
    }

    /// Where.
    pub const fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Where, with the port that was given where any would do.
    #[cfg(test)]
    pub(super) fn at(&self) -> Listen {
        match &self.listener {
            Listener::Address(listener) => listener.local_addr().map_or(self.listen.clone(), Listen::Address),
            Listener::Socket(_) => self.listen.clone(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.listener {
            Listener::Address(listener) => Box::new(listener.accept().await?.0),
            Listener::Socket(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Listen::Socket { path, .. } = &self.listen {
            let _ = fs::remove_file(path);
        }
    }
}

/// Listens on a socket that has its mode from the moment that it can be found. What a killed process left is replaced.
fn socket(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        _ => {}
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(mode))?;
    fs::rename(&unfinished, path)?;
    Ok(listener)
}
