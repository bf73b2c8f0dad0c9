//! The real publications, which lie beside the checkout, and a reader that knows no more than a test needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tagwall_provider::{IpNet, PrefixSet};

/// The folder of real data; `None`, said loudly, where it is missing, and a failure in CI.
fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("TAGWALL_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("the real data is missing at `{}`", folder.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}, and CI must not skip what needs it");
    println!("SKIPPED: {missing}; set TAGWALL_DATA");
    None
}

/// Microsoft's public publications, unpacked once, in the order of their dates.
pub(crate) fn publications() -> Option<Vec<PathBuf>> {
    let archive = folder()?.join("service-tags.tar.zst");
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("service-tags-public");
    if !unpacked.is_dir() {
        // Test processes run side by side: each unpacks for itself, the first one to finish wins.
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(scratch.path()).args(["--wildcards", "*Public/*"]);
        assert!(tar.status().unwrap().success(), "cannot unpack `{}`: is zstd installed?", archive.display());
        if let Err(error) = std::fs::rename(scratch.path(), &unpacked) {
            assert!(unpacked.is_dir(), "cannot move the unpacked publications: {error}");
        }
    }
    let entries = std::fs::read_dir(unpacked.join("Public")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The date stands before the number in each name.
    files.sort();
    assert!(!files.is_empty(), "the archive holds no public publication");
    Some(files)
}

pub(crate) fn read(file: &Path) -> serde_json::Value {
    let bytes = std::fs::read(file).unwrap();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What a tag lists.
pub(crate) fn tag(publication: &serde_json::Value, name: &str) -> PrefixSet {
    let values = publication["values"].as_array().unwrap();
    let tag = values.iter().find(|value| value["name"] == name).unwrap_or_else(|| panic!("there is no tag {name}"));
    let prefixes = tag["properties"]["addressPrefixes"].as_array().unwrap();
    prefixes.iter().map(|prefix| prefix.as_str().unwrap().parse::<IpNet>().unwrap()).collect()
}
