//! Benchmarks of the overlay with real processes: `bench failover [KILLS]` and its parts `switch`, `cut` and `calm`; `bench join [JOINS]`, `bench overlay [NODES]`. Prints
//! Markdown.

mod calm;
mod failover;
mod figures;
mod join;
mod overlay;
mod switch;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let which = args
        .next()
        .context("bench failover [KILLS] | switch | cut | calm | join [JOINS] | overlay [NODES]")?;
    let count = args.next().map(|count| count.parse()).transpose()?;
    match which.as_str() {
        "failover" => failover::run(count.unwrap_or(50)),
        "switch" => switch::run(),
        "cut" => failover::cuts(),
        "calm" => calm::run(),
        "join" => join::run(count.unwrap_or(40)),
        "overlay" => overlay::run(count.unwrap_or(20)),
        other => bail!("no benchmark {other}"),
    }
}
