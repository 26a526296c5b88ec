//! Benchmarks of the overlay with real processes: `bench failover [KILLS]`. Prints Markdown.

mod failover;
mod figures;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let which = args.next().context("bench failover [KILLS]")?;
    let count = args.next().map(|count| count.parse()).transpose()?;
    match which.as_str() {
        "failover" => failover::run(count.unwrap_or(50)),
        other => bail!("no benchmark {other}"),
    }
}
