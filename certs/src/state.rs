//! The directory where a node keeps what must survive a restart.
//!
//! By default `$XDG_STATE_HOME/headwater`, else `~/.local/state/headwater` (XDG Base Directory Specification). The
//! directory is made for its owner alone (0700), files too (0600), and a file is replaced in one step: readers see the
//! old or the new contents, never half of them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Larger files are not ours: keys and certificates take a few kilobytes.
pub(crate) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A state directory that cannot be found, made, read or written. Nothing on disk changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Neither `XDG_STATE_HOME` nor `HOME` holds an absolute path.
    #[error(
        "no state directory: neither XDG_STATE_HOME nor HOME is an absolute path; give one with --state-dir"
    )]
    NoHome,
    /// The system refused one step.
    #[error("cannot {action} {}: {source}; check its owner and permissions, or choose another place with --state-dir", path.display())]
    Io {
        /// What was tried, an infinitive: "create", "read", "write".
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file far larger than anything kept here.
    #[error("{} is larger than {MAX_FILE_BYTES} bytes, so it is not a file of this node; move it away", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// An existing, private directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// A lock that is held; see [`StateDir::lock`].
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateDir {
    /// Where the state is kept when the operator names no place: looks only at the two environment variables.
    ///
    /// # Errors
    ///
    /// [`StateError::NoHome`] if neither variable holds an absolute path.
    pub fn default_path() -> Result<PathBuf, StateError> {
        Self::path_from(|name| std::env::var_os(name))
    }

    fn path_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, StateError> {
        // The XDG specification: a relative path is invalid and ignored.
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|base| base.join("headwater"))
            .ok_or(StateError::NoHome)
    }

    /// Opens `path`, making it (and its parents) if it is not there yet.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] if it cannot be made or is no directory.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|source| StateError::Io {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(Self { path })
    }

    /// Opens `path` without making anything: `None` if it is not there. For clients that only look.
    pub fn existing(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        path.is_dir().then_some(Self { path })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Contents of a file, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it is there but cannot be read, or is larger than 1 MiB.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StateError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let mut contents = Vec::new();
        if let Err(source) = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents) {
            return Err(StateError::Io {
                action: "read",
                path,
                source,
            });
        }
        if u64::try_from(contents.len()).is_ok_and(|len| len <= MAX_FILE_BYTES) {
            Ok(Some(contents))
        } else {
            Err(StateError::TooLarge { path })
        }
    }

    /// Replaces a file in one step.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the file then has its old contents, or already all of the new.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        let temporary = self.write_temporary(name, contents)?;
        let done = fs::rename(&temporary, &path)
            .and_then(|()| self.sync())
            .map_err(|source| StateError::Io {
                action: "write",
                path,
                source,
            });
        self.discard_on_error(&temporary, done)
    }

    /// Makes a file in one step unless there is one already: `false` if there is. Of two processes that start at once,
    /// one wins and the other learns it.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; no file was made.
    pub fn write_new(&self, name: &str, contents: &[u8]) -> Result<bool, StateError> {
        let path = self.file(name);
        let temporary = self.write_temporary(name, contents)?;
        let done = match fs::hard_link(&temporary, &path) {
            Ok(()) => self.sync().map(|()| true).map_err(|source| StateError::Io {
                action: "create",
                path,
                source,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // Some file systems have no links; there the race is lost by whoever renames first.
            Err(_) if !path.exists() => return self.write(name, contents).map(|()| true),
            Err(source) => Err(StateError::Io {
                action: "create",
                path,
                source,
            }),
        };
        // A leftover temporary file is harmless, and overwritten by the next process with this id.
        drop(fs::remove_file(&temporary));
        done
    }

    /// Makes the names of the files survive a power cut; their contents were synchronised before.
    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }

    /// Waits until no other process or thread holds the lock of this name, and holds it until the guard is dropped.
    /// Whoever reads a file to write it again does so under a lock. A process that dies lets go of it.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] if the lock's file cannot be made or the file system has no locks.
    pub fn lock(&self, name: &str) -> Result<StateLock, StateError> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&path)
            .and_then(|file| file.lock().map(|()| StateLock { _file: file }))
            .map_err(|source| StateError::Io {
                action: "lock",
                path,
                source,
            })
    }

    fn write_temporary(&self, name: &str, contents: &[u8]) -> Result<PathBuf, StateError> {
        // Neither another process nor another thread may write to the same temporary file.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let count = WRITES.fetch_add(1, Ordering::Relaxed);
        let temporary = self.file(&format!(".{name}.{}.{count}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || {
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = options.open(&temporary)?;
            file.write_all(contents)?;
            // Without this a power cut after the rename may leave an empty file, and a relay with a new identity.
            file.sync_all()
        };
        let done = write().map_err(|source| StateError::Io {
            action: "write",
            path: self.file(name),
            source,
        });
        self.discard_on_error(&temporary, done).map(|()| temporary)
    }

    fn discard_on_error<T>(&self, temporary: &Path, done: Result<T, StateError>) -> Result<T, StateError> {
        if done.is_err() {
            drop(fs::remove_file(temporary));
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &StateDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_place_follows_xdg() {
        let env = |xdg: Option<&'static str>, home: Option<&'static str>| {
            StateDir::path_from(move |name| match name {
                "XDG_STATE_HOME" => xdg.map(Into::into),
                "HOME" => home.map(Into::into),
                other => panic!("asked for {other}"),
            })
        };
        assert_eq!(env(Some("/x"), Some("/h")).unwrap(), Path::new("/x/headwater"));
        assert_eq!(
            env(Some("relative"), Some("/h")).unwrap(),
            Path::new("/h/.local/state/headwater")
        );
        assert!(matches!(env(None, None), Err(StateError::NoHome)));
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path().join("a/b")).unwrap();
        assert_eq!(dir.read("f").unwrap(), None);
        dir.write("f", b"one").unwrap();
        dir.write("f", b"two").unwrap();
        assert_eq!(dir.read("f").unwrap().unwrap(), b"two");
        assert!(!dir.write_new("f", b"three").unwrap());
        assert!(dir.write_new("g", b"four").unwrap());
        assert_eq!(dir.read("f").unwrap().unwrap(), b"two");
        assert_eq!(names(&dir), ["f", "g"]);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_names_the_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        // A directory in the way fails the rename, whoever runs the test.
        fs::create_dir_all(dir.file("f/inside")).unwrap();
        let error = dir.write("f", b"new").unwrap_err().to_string();
        assert!(
            error.contains(dir.file("f").to_str().unwrap()) && error.contains("--state-dir"),
            "{error}"
        );
        assert_eq!(names(&dir), ["f"]);
    }

    #[test]
    fn a_lock_has_one_holder() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        dir.write("count", b"0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _lock = dir.lock("lock").unwrap();
                    let count = String::from_utf8(dir.read("count").unwrap().unwrap()).unwrap();
                    let next = count.parse::<u32>().unwrap() + 1;
                    dir.write("count", next.to_string().as_bytes()).unwrap();
                });
            }
        });
        assert_eq!(dir.read("count").unwrap().unwrap(), b"8");
    }

    #[test]
    fn of_many_that_make_one_file_at_once_one_wins() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        let made: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8u8)
                .map(|id| {
                    scope.spawn({
                        let dir = &dir;
                        move || dir.write_new("f", &[id; 9])
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap())
                .collect()
        });
        assert_eq!(made.iter().filter(|&&won| won).count(), 1);
        let winner = u8::try_from(made.iter().position(|&won| won).unwrap()).unwrap();
        assert_eq!(dir.read("f").unwrap().unwrap(), [winner; 9]);
        assert_eq!(names(&dir), ["f"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path().join("state")).unwrap();
        dir.write("f", b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.file("f")), 0o600);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("f"), b"").unwrap();
        let error = StateDir::create(temp.path().join("f/state")).unwrap_err();
        assert!(
            matches!(error, StateError::Io { action: "create", .. }),
            "{error}"
        );
        assert_eq!(StateDir::existing(temp.path().join("none")), None);
    }
}
