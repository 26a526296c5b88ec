//! Benchmarks with real processes, printed as Markdown: of the overlay, and of what fan-out costs.

mod calm;
mod failover;
mod fan;
mod figures;
mod join;
mod overlay;
mod switch;

use anyhow::Result;
use clap::Parser;

/// Benchmarks with real processes.
#[derive(Debug, Parser)]
enum Bench {
    /// Relays that die or leave on the path of a track, and links that change (T3, T4, T14)
    Failover {
        /// How often one is killed
        #[arg(default_value_t = 50)]
        kills: usize,
    },
    /// Of these: moves to another path
    Switch,
    /// Of these: kills inside large objects
    Cut,
    /// Of these: bad links on which nothing happens
    Calm,
    /// Nodes that join a mesh (T5)
    Join {
        /// How many
        #[arg(default_value_t = 40)]
        joins: usize,
    },
    /// What an idle mesh says, and how announcements spread (T7, T9)
    Overlay {
        /// How large it is
        #[arg(default_value_t = 20)]
        nodes: usize,
    },
    /// What fan-out costs beside a bare quinn server
    Fan(fan::Fan),
    #[command(flatten)]
    Role(fan::Role),
}

fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Failover { kills } => failover::run(kills),
        Bench::Switch => switch::run(),
        Bench::Cut => failover::cuts(),
        Bench::Calm => calm::run(),
        Bench::Join { joins } => join::run(joins),
        Bench::Overlay { nodes } => overlay::run(nodes),
        Bench::Fan(fan) => fan::run(&fan),
        Bench::Role(role) => role.run(),
    }
}
