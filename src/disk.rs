//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What the name of a file that is being written ends with. What a killed process left of it is written over.
const UNFINISHED: &str = ".new";

/// Puts a file in its place whole or not at all, and on the disk before it returns. Nobody else may be writing the same.
///
/// # Errors
/// Where it cannot be written; then the old one is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    // Readable for everybody: nothing here is a secret, and the umask may make it stricter.
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&unfinished);
    let written = open.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    if let Err(error) = written {
        // A disk that is full needs the room.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, path)?;
    // The rename itself is on disk only when the directory is.
    File::open(path.parent().unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}
