//! A folder for the tools' output, removed when its owner goes.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use anyhow::Context;

pub struct Folder(PathBuf);

impl Folder {
    pub fn create() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("compare-{}", process::id()));
        // Not `create_dir_all`: in a shared folder, a path that exists already
        // is somebody else's.
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
