//! What people and programs get to see.
//!
//! stdout carries data and nothing else: media, objects, lists, and what `--json` asks for. Everything for people goes to
//! stderr: logs, notes, progress (one line that changes on a terminal, a line every few seconds elsewhere). A reader
//! of stdout that goes away ends the command quietly, as usual for programs in a pipe.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};

/// Environment variable with tracing directives; wins over the flags.
const LOG_VARIABLE: &str = "HEADWATER_LOG";
/// Where stderr is no terminal, one of so many steps of progress becomes a line.
const STEPS_PER_LINE: u64 = 5;

/// Sends logs to stderr.
pub fn start_logs(args: &Args) {
    let default = match (args.logs.quiet, args.logs.verbose) {
        (true, _) => "error",
        // A relay is watched by its operator; the other commands speak for themselves.
        (_, 0) if matches!(args.command, Command::Relay(_)) => {
            "warn,headwater_relay=info,headwater_certs=info"
        }
        (_, 0) => "warn",
        (_, 1) => "info,headwater_cli=debug,headwater_relay=debug,headwater_pubsub=debug",
        (_, _) => "trace",
    };
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_unset| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A library user may have set one up.
    let _present = logs.try_init().is_err();
}

/// Says why the process ends.
pub fn failed(failure: &Failure) {
    eprintln!("moq: {failure}");
}

/// Notes and progress for people, on stderr.
#[derive(Debug)]
pub struct Console {
    quiet: bool,
    bar: ProgressBar,
    steps: AtomicU64,
}

impl Console {
    /// Shows nothing if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self {
            quiet,
            bar,
            steps: AtomicU64::new(0),
        }
    }

    /// A sentence that stays.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{}", text.as_ref()));
        }
    }

    /// How things stand; called about once a second.
    pub fn progress(&self, text: impl Into<String>) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text.into());
            self.bar.tick();
        } else if self.steps.fetch_add(1, Ordering::Relaxed) % STEPS_PER_LINE == STEPS_PER_LINE - 1 {
            self.note(text.into());
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Why data could not be written.
#[derive(Debug)]
pub enum WriteFailed {
    /// Whoever read our stdout has gone: end quietly.
    ReaderGone,
    /// Anything else.
    Failed(Failure),
}

/// Where the data of a command goes: stdout or a file.
pub struct Data {
    to: Pin<Box<dyn AsyncWrite + Send>>,
    file: Option<PathBuf>,
    /// Bytes written, and how many of them by the latest flush, which leaves whole pieces behind.
    written: u64,
    whole: u64,
    /// A write has failed: nothing may follow.
    broken: bool,
    /// The first of the files that follow each other, and which of them this is.
    first: PathBuf,
    number: u32,
}

/// Files that follow each other at most.
const MOST_FILES: u32 = 999;

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::say(
        Exit::Failure,
        format!(
            "cannot write {}: {error}; choose another --output",
            path.display()
        ),
    )
}

/// `NAME-2.mp4` for `NAME.mp4`.
fn numbered(first: &Path, number: u32) -> PathBuf {
    let mut name = first.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = first.extension() {
        name.push(".");
        name.push(extension);
    }
    first.with_file_name(name)
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Data {
    /// To stdout. The runtime's threads for blocking work write it, so a slow reader does not stop the network.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            to: Box::pin(tokio::io::stdout()),
            file: None,
            written: 0,
            whole: 0,
            broken: false,
            first: PathBuf::new(),
            number: 1,
        }
    }

    /// To a file, made or emptied now; `-` is stdout.
    ///
    /// # Errors
    /// The file cannot be made.
    pub async fn create(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::stdout());
        }
        let file = tokio::fs::File::create(path)
            .await
            .map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            to: Box::pin(file),
            file: Some(path.to_owned()),
            written: 0,
            whole: 0,
            broken: false,
            first: path.to_owned(),
            number: 1,
        })
    }

    /// The file that goes on where this one ends: `NAME-2.mp4` after `NAME.mp4`, then `NAME-3.mp4`, the first that does not exist.
    /// `None`: stdout or a device, which nothing follows.
    ///
    /// # Errors
    /// The file cannot be made.
    pub async fn next(&self) -> Result<Option<Self>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let regular = tokio::fs::metadata(path).await.is_ok_and(|about| about.is_file());
        if !regular {
            return Ok(None);
        }
        for number in self.number + 1..=MOST_FILES {
            let next = numbered(&self.first, number);
            match tokio::fs::File::create_new(&next).await {
                Ok(file) => {
                    return Ok(Some(Self {
                        to: Box::pin(file),
                        file: Some(next),
                        written: 0,
                        whole: 0,
                        broken: false,
                        first: self.first.clone(),
                        number,
                    }));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_write(&next, &error)),
            }
        }
        Err(Failure::say(
            Exit::Failure,
            format!(
                "{} was followed by {MOST_FILES} files already",
                self.first.display()
            ),
        ))
    }

    /// Where it goes, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// See [`WriteFailed`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFailed> {
        if let Err(error) = self.to.write_all(bytes).await {
            return Err(self.failed(&error).await);
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Hands everything written to the system.
    ///
    /// # Errors
    /// See [`WriteFailed`].
    pub async fn flush(&mut self) -> Result<(), WriteFailed> {
        if let Err(error) = self.to.flush().await {
            return Err(self.failed(&error).await);
        }
        self.whole = self.written;
        Ok(())
    }

    /// Cuts the piece off that found no room: what is before it can still be played.
    async fn cut_to_whole(&self) -> std::io::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let file = tokio::fs::OpenOptions::new().write(true).open(path).await?;
        if file.metadata().await?.is_file() {
            file.set_len(self.whole).await?;
        }
        Ok(())
    }

    /// Whether a write has failed.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    async fn failed(&mut self, error: &std::io::Error) -> WriteFailed {
        self.broken = true;
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return WriteFailed::ReaderGone;
        }
        if let Err(error) = self.cut_to_whole().await {
            tracing::info!(%error, "the last piece stays, perhaps in part");
        }
        WriteFailed::Failed(Failure::say(
            Exit::Failure,
            format!("cannot write {}: {error}", self.place()),
        ))
    }
}

/// Writes a line of data to stdout and hands it to the system.
///
/// # Errors
/// See [`WriteFailed`].
pub async fn data_line(data: &mut Data, line: &str) -> Result<(), WriteFailed> {
    data.write(format!("{line}\n").as_bytes()).await?;
    data.flush().await
}

/// A number of bytes as people read it.
#[must_use]
pub fn size(bytes: u64) -> String {
    scaled(bytes, "B")
}

/// Bits per second of `bytes` in `time`, as people read it.
#[must_use]
pub fn rate(bytes: u64, time: Duration) -> String {
    format!("{}/s", scaled(bits_per_second(bytes, time), "bit"))
}

/// Bits per second of `bytes` in `time`; 0 for no time.
#[must_use]
pub fn bits_per_second(bytes: u64, time: Duration) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000;
    u64::try_from(bits.checked_div(time.as_micros()).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn scaled(value: u64, unit: &str) -> String {
    let (divisor, prefix) = match value {
        0..1_000 => return format!("{value} {unit}"),
        1_000..1_000_000 => (1_000, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        _ => (1_000_000_000, "G"),
    };
    format!(
        "{}.{} {prefix}{unit}",
        value / divisor,
        value % divisor * 10 / divisor
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_followed_by_numbered_ones_that_did_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.b-2.mp4"), "kept").unwrap();
        let first = Data::create(&directory.path().join("a.b.mp4")).await.unwrap();
        let third = first.next().await.unwrap().unwrap();
        assert!(third.place().ends_with("a.b-3.mp4"), "{}", third.place());
        let fourth = third.next().await.unwrap().unwrap();
        assert!(fourth.place().ends_with("a.b-4.mp4"), "{}", fourth.place());
        assert_eq!(numbered(Path::new("x/plain"), 2), Path::new("x/plain-2"));
        let device = Data::create(Path::new("/dev/full")).await.unwrap();
        assert!(device.next().await.unwrap().is_none());
        assert!(Data::stdout().next().await.unwrap().is_none());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [size(0), size(999), size(1_250), size(31_990_000)],
            ["0 B", "999 B", "1.2 kB", "31.9 MB"]
        );
        assert_eq!(rate(125_000, Duration::from_secs(1)), "1.0 Mbit/s");
        assert_eq!(rate(1, Duration::ZERO), "0 bit/s");
    }
}
