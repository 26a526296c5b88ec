//! Busy links with bad weather on which nothing happens: how often a neighbour is doubted, or given up, that is well (T14).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use headwater_pubsub::wire::Location;
use headwater_relay::emulator::Weather;
use headwater_tests::mesh::{Members, Net, Node};
use headwater_tests::stream::{Log, publish};
use tokio::time::Instant;

use crate::failover::{VIDEO, ms};
use crate::figures::{Times, ranges, ratio};

const LINKS: u64 = 10;
const LASTS: Duration = Duration::from_secs(180);
/// Of a million.
const LOSS: u32 = 20_000;
/// One way between 20 and 80 ms: 30 ms more or less than the mean.
const DELAY: Duration = ms(20);
const JITTER: Duration = ms(60);
/// Until round trips are known and the detectors have seen gaps.
const SETTLING: Duration = Duration::from_secs(20);
/// For what is late, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a normal distribution: what 95 % stay below.
const Z: f64 = 1.645;

/// The rate that so many events in one unit of time make 95 % sure not to be exceeded (Wilson and Hilferty's approximation of the
/// Poisson distribution's bound).
fn bound(events: f64) -> f64 {
    let next = events + 1.0;
    next * (1.0 - 1.0 / (9.0 * next) + Z / (3.0 * next.sqrt())).powi(3)
}

/// Changes of health that all nodes have seen.
fn seen(nodes: &[Node], health: &str) -> Result<f64> {
    let label = format!("health=\"{health}\"");
    nodes
        .iter()
        .map(|node| {
            node.relay()?
                .labelled("moq_neighbour_health_changes_total", &label)
        })
        .sum()
}

pub(crate) fn run() -> Result<()> {
    let net = Net::new()?;
    let mut members = Members::new()?;
    let mut nodes = vec![Node::start(&mut members, &[])?];
    let (mut logs, mut links) = (Vec::new(), Vec::new());
    let publisher = net.client(&nodes[0])?;
    let sent = publish(&net, &publisher, "calm", VIDEO)?;
    for seed in 0..LINKS {
        let weather = Weather::new(DELAY, seed);
        let peer = net.link(nodes[0].address(), &weather)?;
        let node = Node::start(&mut members, &[peer])?;
        logs.push(Log::start(&net, &net.client(&node)?, "calm", VIDEO)?);
        links.push(weather);
        nodes.push(node);
    }
    for weather in &links {
        weather.set_jitter(JITTER);
        weather.set_loss(LOSS);
    }
    std::thread::sleep(SETTLING);
    let before = (seen(&nodes, "suspect")?, seen(&nodes, "down")?);
    let began = Instant::now();
    std::thread::sleep(LASTS);
    let minutes = began.elapsed().as_secs_f64() / 60.0 * ratio(links.len(), 1);
    let after = (seen(&nodes, "suspect")?, seen(&nodes, "down")?);
    println!(
        "\n| a busy link on which nothing happens, 2 % loss, 30 ms jitter (T14) | link-minutes, both ends watching | events | per link-hour | at most, 95 % sure | target |"
    );
    println!("|---|---|---|---|---|---|");
    for (what, events, target) in [
        ("SUSPECT", after.0 - before.0, "1 per link-hour"),
        ("DOWN", after.1 - before.1, "1 per link-day"),
    ] {
        let hours = minutes / 60.0;
        println!(
            "| {what} | {minutes:.0} | {events} | {:.1} | {:.1} | {target} |",
            events / hours,
            bound(events) / hours
        );
    }
    let mut delays = Times::default();
    for log in &logs {
        delays.extend(log.delays(&sent, began..));
    }
    println!(
        "\nObjects were under way for {} ms (p50 / p95 / longest).",
        delays.row()
    );
    tell_lost(&logs);
    Ok(())
}

/// What each viewer lacks of all before the newest that it has now, once what is late has had time to come.
fn tell_lost(logs: &[Arc<Log>]) {
    let newest: Vec<u64> = logs
        .iter()
        .map(|log| log.newest().unwrap_or_default().group)
        .collect();
    let missing = || -> Vec<Vec<Location>> {
        let of = |(log, &end): (&Arc<Log>, &u64)| {
            let missing = log.missing().into_iter();
            missing.filter(|at| at.group < end).collect()
        };
        logs.iter().zip(&newest).map(of).collect()
    };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && missing().iter().any(|of_one| !of_one.is_empty()) {
        std::thread::sleep(ms(200));
    }
    let missing = missing();
    let lost: usize = missing.iter().map(Vec::len).sum();
    let twice: usize = logs.iter().map(|log| log.faults().twice).sum();
    println!("\n{} viewers: {lost} objects lost, {twice} twice.", logs.len());
    for (viewer, missing) in missing.into_iter().enumerate() {
        if !missing.is_empty() {
            println!("Viewer {viewer} misses {}.", ranges(&missing));
        }
    }
}
