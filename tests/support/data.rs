//! The real publications and the real bodies that came in their place. They lie beside the checkout, not in it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of real data, `TAGWALL_DATA` or `../shared/data` beside the checkout. Where it is missing, this says so
/// and gives `None`, or panics in CI.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("TAGWALL_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("the real data is missing at `{}`", folder.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}, and CI must not skip what needs it");
    eprintln!("SKIPPED: {missing}; set TAGWALL_DATA");
    None
}

/// One real publication, as the manifest tells of it.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Real {
    /// Its path below [`publications`].
    pub(crate) file: PathBuf,
    /// What its `cloud` field says.
    pub(crate) cloud: String,
    /// `YYYYMMDD`.
    pub(crate) date: String,
    /// Its change number.
    pub(crate) change_number: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its hash.
    pub(crate) sha256: String,
}

/// All 210 real publications, in the order of the manifest.
pub(crate) fn manifest() -> Option<Vec<Real>> {
    let manifest = std::fs::read(folder()?.join("service-tags-manifest.json")).unwrap();
    Some(serde_json::from_slice(&manifest).unwrap())
}

/// The folder of the unpacked publications, unpacked once for each target directory.
pub(crate) fn publications() -> Option<PathBuf> {
    let archive = folder()?.join("service-tags.tar.zst");
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("service-tags");
    if !unpacked.is_dir() {
        // Test processes run side by side: each unpacks for itself, the first one to finish wins.
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tar = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(scratch.path()).status();
        assert!(tar.unwrap().success(), "cannot unpack `{}`: is zstd installed?", archive.display());
        if let Err(error) = std::fs::rename(scratch.path(), &unpacked) {
            assert!(unpacked.is_dir(), "cannot move the unpacked publications: {error}");
        }
    }
    Some(unpacked)
}

/// The real bodies that came in place of a document, with their names.
pub(crate) fn feed_failures() -> Option<Vec<(String, Vec<u8>)>> {
    let entries = std::fs::read_dir(folder()?.join("feed-failures")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut bodies: Vec<_> = paths
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    bodies.sort();
    Some(bodies)
}

/// The real publications of one cloud, in the order of their dates: `Public`, `AzureGovernment` or `China`.
pub(crate) fn of_cloud(folder: &str) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(publications()?.join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The date stands before the number in each name.
    files.sort();
    Some(files)
}
