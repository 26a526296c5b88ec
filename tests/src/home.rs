//! A temporary directory that stands for a machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Spawn;
use crate::relay::RelayBuilder;
use crate::tools;

/// Files, state directory and environment of one test's processes. Removed when dropped.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
}

impl Home {
    /// A fresh one.
    ///
    /// # Errors
    /// No temporary directory can be made.
    pub fn new() -> Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
        })
    }

    /// Where it is; `moq` runs here.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `moq` with `args`, which finds the keys of this home's relays by itself.
    pub fn moq<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Spawn {
        Spawn::new(tools::moq(), args)
            .within(self.path())
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.file("state"))
    }

    /// A relay on a port of the kernel's choice.
    #[must_use]
    pub fn relay(&self) -> RelayBuilder<'_> {
        RelayBuilder::new(self)
    }
}

/// Arguments of different string types as one list.
#[must_use]
pub(crate) fn words<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Vec<OsString> {
    args.into_iter().map(|arg| arg.as_ref().to_owned()).collect()
}
