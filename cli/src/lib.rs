//! The `moq` command as a library, so that tests can reach its parts.
//!
//! A command line goes one way: [`args`] are the flags as typed, [`options`] makes values of them, [`command`] runs them,
//! [`exit`] says with which code the process ends. Below the commands: [`link`] is a session that is dialled again
//! when it is lost, [`broadcast`] writes the tracks of a publication, [`feed`] reads one track over lost sessions,
//! [`source`] and [`media`] deal with MP4. [`admin`] asks a relay's operator's interface. What goes to stdout and what to stderr is decided in [`output`].
//!
//! One current-thread runtime runs everything but the further threads of `moq relay`.

pub mod admin;
pub mod args;
pub mod broadcast;
pub mod command;
pub mod exit;
pub mod feed;
pub mod link;
pub mod media;
pub mod options;
pub mod output;
#[cfg(test)]
mod servers;
pub mod signal;
pub mod source;
mod table;
pub mod target;
pub mod trust;

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::{Exit, Failure};

/// Parses the command line, runs the command and tells how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; clap knows which stream they belong to.
            let _unwritable = error.print().is_err();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    output::start_logs(&args);
    match run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::failed(&failure);
            failure.exit().into()
        }
    }
}

fn run(args: args::Args) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, error).context("cannot start"))?;
    let done = runtime.block_on(command::run(args));
    // A reader of stdin may be blocked until the next byte, which may never come.
    runtime.shutdown_background();
    done
}
