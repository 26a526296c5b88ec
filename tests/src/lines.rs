//! Text through a relay: a publisher that is told its lines one by one, and subscribers that print them.

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use anyhow::{Context as _, Result};

use crate::home::Home;
use crate::process::{Process, Spawn};

/// A running `moq publish --lines`; its input ends when it is dropped.
#[derive(Debug)]
pub struct LinePublisher {
    /// The process: its lines and end.
    pub process: Process,
    input: ChildStdin,
}

impl LinePublisher {
    /// Publishes a line, or several with newlines between them.
    ///
    /// # Errors
    /// It has ended.
    pub fn say(&mut self, text: &str) -> Result<()> {
        writeln!(self.input, "{text}").context("the publisher is gone")
    }

    /// Ends the input, after which it must end well.
    ///
    /// # Errors
    /// It does not.
    pub fn end(self) -> Result<()> {
        drop(self.input);
        self.process.success()
    }
}

impl Home {
    /// A publisher of lines as the objects of `track`, with more `flags`.
    ///
    /// # Errors
    /// It cannot start.
    pub fn publish_lines(&self, track: &str, url: &str, flags: &[&str]) -> Result<LinePublisher> {
        let mut process = self
            .moq(["publish", "--lines", "--track", track, url].iter().chain(flags))
            .stdin(Stdio::piped())
            .start()?;
        let input = process.take_stdin().context("a pipe was asked for")?;
        Ok(LinePublisher { process, input })
    }

    /// A subscriber that prints each object of `track` on a line, about to start.
    #[must_use]
    pub fn subscribe_lines(&self, track: &str, url: &str, flags: &[&str]) -> Spawn {
        self.moq(
            ["subscribe", "--lines", "--track", track, url]
                .iter()
                .chain(flags),
        )
    }
}
