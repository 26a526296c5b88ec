//! How the process ends: every exit code, and errors that carry one.

use std::process::ExitCode;

/// Exit codes of `moq`. The numbers are part of its interface; [`HELP`] is shown in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Anything that has no code of its own.
    Failure,
    /// The command line or a setting is wrong.
    Usage,
    /// The server cannot be reached, is not believed, or does not speak MoQ Transport.
    Connect,
    /// The server refused, or what was asked for does not exist.
    Refused,
    /// The media or other input cannot be used.
    Input,
    /// Stopped by ctrl-C before the end; what was written is complete.
    Interrupted,
}

/// The text for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    failed in another way than below
  2    the command line or a setting is wrong
  3    cannot connect, or the server is not trusted
  4    refused by the server, or not found there
  5    the input is unusable (no MP4, damaged, cut off, another format in the middle of stdout)
  130  stopped by ctrl-C; output written so far is complete";

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Connect => 3,
            Self::Refused => 4,
            Self::Input => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the process: a sentence with the cause and what to try, and the exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// A failure that is told by `error` and its causes.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    /// A failure told by a sentence.
    pub fn say(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            error: anyhow::Error::msg(text.into()),
        }
    }

    /// The same with `context` before its causes.
    #[must_use]
    pub fn context(self, context: impl Into<String>) -> Self {
        Self {
            exit: self.exit,
            error: self.error.context(context.into()),
        }
    }

    /// The code to end with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::fmt::Display for Failure {
    /// One line: the error and its causes, those left out whose text the line has already.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = String::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            if line.contains(&text) {
                continue;
            }
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        f.write_str(&line.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_said_once_and_on_one_line() {
        let outer = || Outer(std::io::Error::other("inner\ntold"));
        assert_eq!(
            Failure::new(Exit::Failure, outer()).to_string(),
            "outer: inner told"
        );
        let more = Failure::new(Exit::Failure, outer()).context("cannot go on");
        assert_eq!(more.to_string(), "cannot go on: outer: inner told");
    }

    #[test]
    fn the_help_lists_every_code() {
        for exit in [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::Connect,
            Exit::Refused,
            Exit::Input,
            Exit::Interrupted,
        ] {
            assert!(
                HELP.lines()
                    .any(|line| line.trim_start().starts_with(&format!("{} ", exit.code()))),
                "{exit:?}"
            );
        }
    }
}
