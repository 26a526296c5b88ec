//! How many rows a node can take, and what its table weighs (T13).

use std::time::Duration;

use headwater_relay::overlay::id::{Cost, Distance, Neighbour, NodeId, Seq};
use headwater_relay::overlay::routes::{Config, Limits, Output, Routes, Row};

use crate::Verdicts;
use crate::network::Dice;

const ORIGINS: usize = 1_000;
const NEIGHBOURS: usize = 10;
const ROWS: usize = 3_000_000;

fn id(number: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    NodeId(id)
}

fn row(dice: &mut Dice) -> Row {
    let distance = Distance::new(20_000 + dice.below(20_000) as u64);
    Row {
        seq: Seq { epoch: 1, number: 1 },
        distance,
        full: false,
        reset: false,
    }
}

/// Memory that this process holds for itself, in bytes; `None` where the system does not tell. Not counted are pages of the
/// program's file: they come by 64 kB when code first runs, and are no part of the table.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1_024)
}

/// Time that this process has spent on a core, in seconds: others may share the machine.
fn spent() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(status.split_whitespace().next()?.parse::<u64>().ok()? as f64 / 1e9)
}

fn drain(routes: &mut Routes, now: Duration) -> usize {
    let mut rows = 0;
    while let Some(output) = routes.poll() {
        if let Output::Ready(neighbour) = output {
            while let Some(flush) = routes.next_flush(now, neighbour, usize::MAX) {
                rows += flush.rows.len();
            }
        }
    }
    rows
}

pub fn report(verdicts: &mut Verdicts) {
    println!("\n## Rows (T13): {ORIGINS} origins, {NEIGHBOURS} neighbours\n");
    let mut dice = Dice(13);
    let before = resident();
    let limits = Limits {
        rows: u32::MAX,
        ..Limits::default()
    };
    let mut routes = Routes::new(
        id(0),
        1,
        Config {
            limits,
            ..Config::default()
        },
    );
    let mut now = Duration::from_secs(1);
    for neighbour in 0..NEIGHBOURS {
        let cost = Cost::clamped(5_000 + 1_000 * neighbour as u64);
        routes.neighbour_up(now, Neighbour(neighbour as u64), id(neighbour + 1), cost);
    }
    for origin in 0..ORIGINS {
        routes.interest(now, id(100 + origin), true);
        for neighbour in 0..NEIGHBOURS {
            routes
                .row(now, Neighbour(neighbour as u64), id(100 + origin), row(&mut dice))
                .expect("within the limits");
            now += Duration::from_micros(1_100);
            routes.tick(now);
            drain(&mut routes, now);
        }
    }
    now += Duration::from_secs(2);
    routes.tick(now);
    drain(&mut routes, now);
    let weight = resident()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before) as f64 / 1e6);

    let (start, mut sent) = (spent(), 0);
    for round in 0..ROWS {
        let (neighbour, origin) = (dice.below(NEIGHBOURS), dice.below(ORIGINS));
        let row = row(&mut dice);
        routes
            .row(now, Neighbour(neighbour as u64), id(100 + origin), row)
            .expect("within the limits");
        // A flush of a hundred rows at a time, as they come in one object.
        if round % 100 == 0 {
            now += Duration::from_millis(1);
            routes.tick(now);
            sent += drain(&mut routes, now);
        }
    }
    let rate = spent().zip(start).map(|(end, start)| ROWS as f64 / (end - start));
    println!("| rows taken per second and core | rows sent meanwhile | memory, MB |");
    println!("|---|---|---|");
    let rate = match rate {
        Some(rate) => verdicts.judge("T13 rows", rate >= 1e6, format!("{:.2} million", rate / 1e6)),
        None => "not known".into(),
    };
    let weight = match weight {
        Some(weight) => verdicts.judge("T13 memory", weight <= 1.0, format!("{weight:.2}")),
        None => "not known".into(),
    };
    println!("| {rate} | {sent} | {weight} |");
}
