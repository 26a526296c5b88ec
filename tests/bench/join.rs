//! Nodes that join a running mesh: when they have a route to every origin, and when the first object comes (T5).

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use headwater_tests::Process;
use headwater_tests::grid::Grid;
use headwater_tests::mesh::Node;
use headwater_tests::stream::{Log, Pattern, publish};
use serde_json::Value;
use tokio::time::Instant;

use crate::figures::{Times, verdict};

const NODES: usize = 20;
const PUBLISHERS: usize = 10;
const SEED: u64 = 5;
const VIDEO: Pattern = Pattern {
    pause: Duration::from_millis(33),
    bytes: 1000,
};
/// Nodes on the way from where a newcomer joins to the origin of what it wants, both counted: three hops for the newcomer.
const WAY: usize = 3;
/// Allowed beyond two round trips.
const SLACK: Duration = Duration::from_millis(50);
/// From the dial to the first object.
const FIRST: Duration = Duration::from_secs(1);
/// How long a step may take at all.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: f64 = 24.0 * 3600.0;

/// What a join took, and what it may take.
struct Join {
    routes: Duration,
    bound: Duration,
    first: Duration,
    hops: usize,
}

fn track(publisher: usize) -> String {
    format!("from {publisher}")
}

/// Publishers at every other node, until every node has a route to each.
fn settle(grid: &Grid) -> Result<()> {
    for publisher in 0..PUBLISHERS {
        let client = grid.net.client(&grid.nodes[2 * publisher])?;
        publish(&grid.net, &client, &track(publisher), VIDEO)?;
    }
    let began = Instant::now();
    for node in &grid.nodes {
        while routes(node)? < PUBLISHERS {
            if began.elapsed() > PATIENCE {
                bail!("no routes within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    // Costs are measured by now and then, and routes follow them.
    std::thread::sleep(Duration::from_secs(15));
    Ok(())
}

/// How many origins a node has a route to, itself counted.
fn routes(node: &Node) -> Result<usize> {
    let answer = node.relay()?.ask("/api/v1/routes")?;
    let routes = answer["routes"].as_array().context("routes")?;
    Ok(routes.iter().filter(|route| route["total_us"].is_u64()).count())
}

/// A publisher so many hops away that its first object crosses three to a newcomer here, or the farthest.
fn choose(at: &Node) -> Result<(usize, usize)> {
    let mut best = (0, 0usize);
    for publisher in 0..PUBLISHERS {
        let path = format!("/api/v1/trace?namespace=bench/from%20{publisher}");
        let trace: Value = at.relay()?.ask(&path)?;
        let hops = trace["hops"].as_array().map_or(0, Vec::len);
        if hops.abs_diff(WAY) < best.1.abs_diff(WAY) {
            best = (publisher, hops);
        }
    }
    Ok(best)
}

/// Time of day of a line, in seconds.
fn stamp(line: &str) -> Option<f64> {
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    clock
        .split(':')
        .try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// From one time of day to another.
fn between(from: f64, to: f64) -> Duration {
    Duration::from_secs_f64((to - from).rem_euclid(DAY))
}

/// The time of day now.
#[expect(clippy::disallowed_methods, reason = "what logs are stamped with")]
fn time_of_day() -> Result<f64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(since.as_secs_f64() % DAY)
}

/// When a newcomer had a route to all origins, from its log.
fn all_routed(process: &Process) -> Result<f64> {
    let mut known = std::collections::BTreeSet::new();
    process.find("routes to all", |line| {
        if line.contains("total_us=") {
            let origin = line.split_once("origin=")?.1.split(' ').next()?;
            known.insert(origin.to_owned());
        }
        (known.len() == PUBLISHERS).then(|| stamp(line))?
    })
}

/// A newcomer that knows one node of the mesh, and a viewer that is there from the start.
fn join(grid: &mut Grid, contact: usize) -> Result<Join> {
    let (publisher, way) = choose(&grid.nodes[contact])?;
    let place = grid.dice.place();
    let (weather, address) = grid.link(contact, place)?;
    let anywhere = ([127, 0, 0, 1], 0).into();
    let mut node = Node::prepare(&mut grid.members, anywhere, &[address], None)?
        .log("warn,headwater_relay=info,headwater_relay::node::mesh=debug");
    node.restart()?;
    let viewer = grid.net.client(&node)?;
    let log = Log::start(&grid.net, &viewer, &track(publisher), VIDEO)?;
    let began = Instant::now();
    let first = loop {
        match log.first() {
            Some(first) => break first,
            None if began.elapsed() > PATIENCE => bail!("no object within {PATIENCE:?}"),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let first = time_of_day()? - first.elapsed().as_secs_f64();
    let process = &node.relay()?.process;
    let dialled = process.find("the dial", |line| {
        line.contains("member of a mesh").then(|| stamp(line))?
    })?;
    let met = process.find("the session", |line| {
        line.contains(": neighbour session=").then(|| stamp(line))?
    })?;
    let routed = all_routed(process)?;
    viewer.close(headwater_pubsub::wire::SessionCode::NO_ERROR, "seen");
    Ok(Join {
        routes: between(met, routed),
        bound: 4 * weather.delay() + SLACK,
        first: between(dialled, first),
        hops: way,
    })
}

pub(crate) fn run(joins: usize) -> Result<()> {
    let mut grid = Grid::start(NODES, SEED)?;
    settle(&grid)?;
    let (mut routes, mut first, mut hops) = (Times::default(), Times::default(), Vec::new());
    let mut within = 0;
    for number in 0..joins {
        let joined = join(&mut grid, number % NODES)?;
        within += usize::from(joined.routes <= joined.bound);
        routes.push(joined.routes);
        first.push(joined.first);
        hops.push(joined.hops);
    }
    println!(
        "\n{NODES} nodes, {PUBLISHERS} origins, degrees {:?}\n",
        grid.degrees()
    );
    println!("| of a node that joins (T5) | joins | p50 / p95 / max, ms | within the target | target | |");
    println!("|---|---|---|---|---|---|");
    println!(
        "| routes to all origins, since the session | {joins} | {} | {within} | 2 RTT + 50 ms | {} |",
        routes.row(),
        verdict(within == joins)
    );
    println!(
        "| first object over three hops, since the dial | {joins} | {} | {} | 95 % within 1 s | {} |",
        first.row(),
        first.within(FIRST),
        verdict(first.percentile(95) <= FIRST)
    );
    let three = hops.iter().filter(|&&hops| hops == WAY).count();
    println!("\n{three} of {joins} first objects crossed exactly three hops.");
    Ok(())
}
