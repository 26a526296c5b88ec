//! A process of a turn: it is told things by lines, and tells by lines.
//!
//! What it is told: `go` (a source begins), `taken N` (the slowest subscriber has object N), `mark` (a sink tells what came since
//! the last mark), `stop` (a source ends), `until N` (a sink waits for object N of each track and tells all that came).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::mpsc;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the thread by which a process is told things: its time is none of what is measured.
pub(crate) const LISTENING: &str = "listening";

/// Lines that may wait to be heard; then the pipe waits.
const WAITING: usize = 256;

/// The writing end of a process.
#[derive(Clone, Debug)]
pub(crate) struct Ear(Arc<Mutex<ChildStdin>>);

impl Ear {
    pub(crate) fn tell(&self, line: &str) -> Result<()> {
        let mut stdin = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(stdin, "{line}")?)
    }
}

/// A running process of this program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) ear: Ear,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it; lines `taken N` go to `feeds` at once.
    pub(crate) fn start(args: &[String], feeds: Option<Ear>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("a pipe")?;
        let stdout = child.stdout.take().context("a pipe")?;
        let (sender, lines) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match &feeds {
                    // A source that is gone needs no more.
                    Some(ear) if line.starts_with("taken ") => drop(ear.tell(&line)),
                    _ => {
                        if sender.send(line).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Self {
            child,
            ear: Ear(Arc::new(Mutex::new(stdin))),
            lines,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says next, behind this word.
    pub(crate) fn says(&self, word: &str) -> Result<String> {
        let line = self
            .lines
            .recv_timeout(PATIENCE)
            .map_err(|_gone| anyhow!("it does not say {word:?}"))?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => bail!("it says {line:?} and not {word:?}"),
        }
    }

    pub(crate) fn asks(&self, line: &str, word: &str) -> Result<String> {
        self.ear.tell(line)?;
        self.says(word)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// In such a process: what it is told, line by line.
pub(crate) fn told() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let listen = move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    // Ends with the driver's end of the pipe. Without it, nothing is ever told, and the driver says so.
    drop(
        std::thread::Builder::new()
            .name(LISTENING.to_owned())
            .spawn(listen),
    );
    receiver
}

/// In such a process: says a line.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // A driver that is gone hears nothing; the process ends by its closed standard input.
    drop(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}

/// The number behind a word.
pub(crate) fn number(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}
