//! Route exchange among up to thousands of nodes, without sockets: Headwater's real routes, and two rivals in the same run.
//!
//! `sim` prints tables in Markdown, with the targets of the overlay's specification where there is one, and fails if one is
//! missed. `sim quick` is a small part of it. `sim record FILE MINUTES` records the links that one of the tables replays.
//! Everything but that is repeatable: seeds are fixed, the clock is simulated.
//!
//! Not simulated in the tables of routes: media (its proofs and hand-overs come after a round trip and one or two objects),
//! congestion, loss on links that are up, detection (all protocols notice a silent fault after 300 to 390 ms), logs.

mod churn;
mod detect;
mod faults;
mod headwater;
mod network;
mod protocol;
mod record;
mod rivals;
mod simulator;
mod speed;

use std::process::ExitCode;

use network::{Dice, Network};

/// Nodes that publish, in every network.
const ORIGINS: usize = 16;

/// How much is simulated.
struct Plan {
    sizes: &'static [usize],
    /// Beyond this many nodes the rival that repeats its whole table takes too long.
    seed_most: usize,
    faults: usize,
    snapshots: u64,
    /// Of recorded links, replayed.
    link_hours: u64,
}

const FULL: Plan = Plan {
    sizes: &[50, 200, 500, 2_000],
    seed_most: 50,
    faults: 48,
    snapshots: 10_000_000,
    link_hours: 1_000,
};
const QUICK: Plan = Plan {
    sizes: &[50],
    seed_most: 50,
    faults: 8,
    snapshots: 200_000,
    link_hours: 50,
};

const TOPOLOGIES: [&str; 3] = ["geo", "ba", "fall"];

fn pick_origins(network: &Network, dice: &mut Dice) -> Vec<usize> {
    let mut origins = Vec::new();
    while origins.len() < ORIGINS {
        let node = dice.below(network.nodes());
        if !origins.contains(&node) {
            origins.push(node);
        }
    }
    origins
}

/// Targets that were missed.
#[derive(Default)]
struct Verdicts {
    missed: Vec<String>,
}

impl Verdicts {
    /// A cell of a table: the value, and what it was to be.
    fn judge(&mut self, what: &str, good: bool, cell: String) -> String {
        if good {
            format!("{cell} pass")
        } else {
            self.missed.push(format!("{what}: {cell}"));
            format!("{cell} **missed**")
        }
    }
}

fn main() -> ExitCode {
    let mut verdicts = Verdicts::default();
    let mut plan = &FULL;
    let mut parts: Vec<String> = std::env::args().skip(1).collect();
    if parts.first().is_some_and(|part| part == "quick") {
        plan = &QUICK;
        parts.remove(0);
    }
    if let [record, path, minutes] = parts.as_slice()
        && record == "record"
    {
        let minutes = minutes.parse().expect("a number of minutes");
        record::run(path, minutes).expect("loopback sockets and a file that can be written");
        return ExitCode::SUCCESS;
    }
    let chosen = |part: &str| parts.is_empty() || parts.iter().any(|chosen| chosen == part);
    if chosen("speed") {
        speed::report(&mut verdicts);
    }
    if chosen("detect") {
        detect::report(plan.link_hours, &mut verdicts);
    }
    if chosen("faults") {
        faults::report(plan, &mut verdicts);
    }
    if chosen("churn") {
        churn::report(plan, &mut verdicts);
    }
    println!();
    for missed in &verdicts.missed {
        println!("missed: {missed}");
    }
    println!("{} targets missed", verdicts.missed.len());
    if verdicts.missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
