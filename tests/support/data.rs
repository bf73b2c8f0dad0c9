//! Real publications, which stand beside the checkout and not in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::skip;

/// The real publications of one cloud, unpacked, in the order of their dates.
#[derive(Debug)]
pub(crate) struct Publications {
    /// Removes the files in the end.
    _dir: tempfile::TempDir,
    pub(crate) files: Vec<PathBuf>,
}

impl Publications {
    /// Unpacks those in this folder of the archive; `None`, said loudly, where there is no archive.
    pub(crate) fn of(folder: &str) -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let data = std::env::var_os("TAGWALL_DATA").map_or(beside, PathBuf::from);
        let archive = data.join("service-tags.tar.zst");
        if !archive.exists() {
            skip(&format!("{} is missing; TAGWALL_DATA may name its folder", archive.display()));
            return None;
        }
        let dir = tempfile::Builder::new().prefix("tagwall-data-").tempdir().unwrap();
        let mut tar = Command::new("tar");
        tar.arg("--use-compress-program=zstd").arg("-xf").arg(&archive).arg("-C").arg(dir.path()).arg(folder);
        let unpacked = tar.output().unwrap();
        assert!(unpacked.status.success(), "tar: {}", String::from_utf8_lossy(&unpacked.stderr));
        let entries = std::fs::read_dir(dir.path().join(folder)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        // The date stands before the number in each name.
        files.sort();
        Some(Self { _dir: dir, files })
    }
}
