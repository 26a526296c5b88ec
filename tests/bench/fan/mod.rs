//! Fan-out: what the relay costs beside a bare quinn server that sends the same bytes.
//!
//! Three kinds of process besides this one, all of them this program: the *source* publishes a [`pattern`] through the relay, the
//! *sink* is all its subscribers and checks that each got everything once and in order, and *bare* is a server that sends the
//! pattern from memory, without parsing and without a cache. [`driver`] starts them in turn, marks a stretch of time in the
//! middle, and takes the server's CPU time and memory over that stretch.

mod bare;
mod driver;
mod joiner;
mod pattern;
mod report;
mod role;
mod sink;
mod source;
mod stream;
mod tally;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use pattern::Name;
use sink::Asked;

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(crate) struct Fan {
    /// Patterns to run; all if none is named.
    #[arg(value_enum)]
    patterns: Vec<Name>,
    /// How often each server takes its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that are measured of each turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Another relay to run with the same load: its command, with {listen} where the address to listen at goes.
    #[arg(long, value_name = "CMD")]
    against: Option<String>,
    /// Measure the relay over WebTransport too.
    #[arg(long)]
    web: bool,
    /// Measure the relay with two network threads too, for video, audio and chat.
    #[arg(long)]
    two: bool,
    /// Instead of all that: run one pattern for so many minutes, and watch the relay's memory.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Write all figures of all turns here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The processes of a turn.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Publishes a pattern.
    Source {
        /// Relay to publish at.
        at: SocketAddr,
        /// What.
        #[arg(value_enum)]
        pattern: Name,
    },
    /// Reads a pattern, as all its subscribers.
    Sink {
        /// Server to read from.
        at: SocketAddr,
        /// What.
        #[arg(value_enum)]
        pattern: Name,
        /// The server is bare: it sends without being asked.
        #[arg(long)]
        bare: bool,
        /// Over WebTransport.
        #[arg(long)]
        web: bool,
    },
    /// Sends a pattern to whoever connects.
    Bare {
        /// What.
        #[arg(value_enum)]
        pattern: Name,
    },
}

impl Role {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Source { at, pattern } => source::run(at, pattern.pattern()),
            Self::Sink {
                at,
                pattern,
                bare,
                web,
            } => {
                let asked = match (bare, web) {
                    (true, _) => Asked::Nothing,
                    (false, false) => Asked::Raw,
                    (false, true) => Asked::Web,
                };
                sink::run(at, pattern.pattern(), asked)
            }
            Self::Bare { pattern } => bare::run(pattern.pattern()),
        }
    }
}

pub(crate) fn run(fan: &Fan) -> Result<()> {
    match fan.soak {
        Some(minutes) => driver::soak(fan, minutes),
        None => driver::run(fan),
    }
}
