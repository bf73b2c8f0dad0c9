//! Files that are there whole or not at all, and that whoever owns their directory can write.
//!
//! Root makes passes by hand beside a service that is not root: what root makes in the service's directory goes to the
//! service, or it could not write it from then on. Only what was made that moment is given away: in a directory that
//! is somebody else's, anything else could be a link to what is root's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown, lchown};
use std::path::{Path, PathBuf};

/// What the name of a file that is being written ends with. What a killed process left of it is written over.
const UNFINISHED: &str = ".new";

/// Puts a file in its place whole or not at all, and on the disk before it returns. Nobody else may be writing the same.
///
/// # Errors
/// Where it cannot be written; then the old one is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let _ = fs::remove_file(&unfinished);
    // Readable for everybody: nothing here is a secret, and the umask may make it stricter.
    let made = open(&unfinished, OpenOptions::new().write(true).mode(0o644));
    let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    if let Err(error) = written {
        // A disk that is full needs the room.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, path)?;
    // The rename itself is on disk only when the directory is.
    File::open(directory_of(path)).and_then(|directory| directory.sync_all())
}

/// Opens a file, and makes it where it is not there.
///
/// # Errors
/// Where it can be neither opened nor made.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match options.clone().create_new(true).open(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        made => made.inspect(|file| give(file, path)),
    }
}

/// Gives a file that was made this moment to whom its directory belongs. Who may not do that is no other than that one,
/// or works in a directory that is nobody's own.
pub(crate) fn give(file: &File, path: &Path) {
    let Ok(directory) = fs::metadata(directory_of(path)) else { return };
    if file.metadata().is_ok_and(|file| file.uid() != directory.uid()) {
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}

/// Makes a directory where there is none, and whatever is missing above it.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let above = directory_of(path);
    fs::create_dir_all(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    let (directory, above) = (fs::symlink_metadata(path)?, fs::metadata(above)?);
    if directory.uid() != above.uid() {
        let _ = lchown(path, Some(above.uid()), Some(above.gid()));
    }
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}
