//! What a mesh says while nothing happens, and how announcements spread (T7, T9).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use headwater_pubsub::net::NamespaceChange;
use headwater_pubsub::wire::TrackNamespace;
use headwater_tests::grid::Grid;
use tokio::time::Instant;

use crate::figures::{Times, ratio, verdict};

const SEED: u64 = 7;
/// Exchanges of records come every two minutes and trials every minute: what is measured holds some of each.
const SETTLING: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(180);
/// Bytes per second and node.
const PAYLOAD: f64 = 150.0;
const ALL: f64 = 450.0;
/// The degree that the latter is meant for.
const DEGREE: f64 = 9.0;
/// IPv4 and UDP.
const HEADERS: f64 = 28.0;
/// Nodes that announce, and how often each.
const ANNOUNCERS: usize = 10;
const ANNOUNCEMENTS: usize = 5;
/// Bytes of an announced name, and of the one that tells what an announcement makes nodes say beside the name.
const NAME: usize = 3600;
const SHORT: usize = 1;
/// Allowed beyond half as much again as the way takes.
const SLACK: Duration = Duration::from_millis(250);
const COPIES: f64 = 1.2;
const PATIENCE: Duration = Duration::from_secs(30);
/// After an announcement, until the next.
const PAUSE: Duration = Duration::from_secs(3);

/// A metric of each node.
fn each(grid: &Grid, metric: &str, direction: &str) -> Result<Vec<f64>> {
    grid.nodes
        .iter()
        .map(|node| node.relay()?.labelled(metric, direction))
        .collect()
}

/// Bytes per second that a node sends, on the mean, with and without headers.
struct Rate {
    payload: f64,
    wire: f64,
}

impl Rate {
    fn of(grid: &Grid, seconds: f64, before: (u64, u64), after: (u64, u64)) -> Self {
        let nodes = ratio(grid.nodes.len(), 1);
        let each = |before: u64, after: u64| {
            let more = usize::try_from(after - before).unwrap_or(usize::MAX);
            ratio(more, 1) / nodes / seconds
        };
        let payload = each(before.0, after.0);
        Self {
            payload,
            wire: payload + HEADERS * each(before.1, after.1),
        }
    }
}

fn quiet(grid: &Grid) -> Result<()> {
    let nodes = ratio(grid.nodes.len(), 1);
    let degree = || Ok::<_, anyhow::Error>(each(grid, "moq_neighbours", "")?.iter().sum::<f64>() / nodes);
    let before = (each(grid, "moq_gossip_bytes_total", "sent")?, degree()?);
    let (links, doors) = (grid.carried(), grid.carried_to_doors());
    let began = Instant::now();
    std::thread::sleep(IDLE);
    let after = (each(grid, "moq_gossip_bytes_total", "sent")?, degree()?);
    let seconds = began.elapsed().as_secs_f64();
    let links = Rate::of(grid, seconds, links, grid.carried());
    let doors = Rate::of(grid, seconds, doors, grid.carried_to_doors());
    let rates: Vec<f64> = after
        .0
        .iter()
        .zip(&before.0)
        .map(|(after, before)| (after - before) / seconds)
        .collect();
    let mean = rates.iter().sum::<f64>() / nodes;
    let most = rates.iter().copied().fold(0.0, f64::max);
    let degree = ratio(grid.degrees().iter().sum(), grid.nodes.len());
    println!(
        "\n{} nodes told to be in session with {degree:.1} others each; in session with {:.1} before and {:.1} after {seconds:.0} s\n",
        grid.nodes.len(),
        before.1,
        after.1
    );
    println!("| of an idle mesh (T7), sent by a node | bytes/s | target | |");
    println!("|---|---|---|---|");
    println!(
        "| gossip, mean | {mean:.0} | {PAYLOAD:.0} | {} |",
        verdict(mean <= PAYLOAD)
    );
    println!(
        "| gossip, of the node that says most | {most:.0} | {PAYLOAD:.0} | {} |",
        verdict(most <= PAYLOAD)
    );
    let nine = links.payload * DEGREE / degree;
    println!(
        "| UDP payload of the sessions it was told of, keep-alives included | {:.0} | | |",
        links.payload
    );
    println!(
        "| the same at degree {DEGREE:.0} | {nine:.0} | {ALL:.0} | {} |",
        verdict(nine <= ALL)
    );
    println!(
        "| the same with headers of UDP and IPv4 | {:.0} | | |",
        links.wire * DEGREE / degree
    );
    println!(
        "| UDP payload of sessions that it looked for itself, trials included | {:.0} | | |",
        doors.payload
    );
    Ok(())
}

/// When each node's client heard of each namespace, by the namespace's last field.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(usize, TrackNamespace, Instant)>>);

impl Heard {
    /// Listens at every node.
    fn everywhere(grid: &Grid) -> Result<Arc<Self>> {
        let heard = Arc::new(Self::default());
        for (number, node) in grid.nodes.iter().enumerate() {
            let client = grid.net.client(node)?;
            let prefix = TrackNamespace::new(["spread"])?;
            let mut names = grid.net.wait(client.namespaces(prefix, Vec::new()))?;
            let heard = Arc::clone(&heard);
            grid.net.spawn(async move {
                let _session = client;
                while let Some(change) = names.next().await {
                    if let NamespaceChange::Added(namespace) = change {
                        heard.note(number, namespace);
                    }
                }
            });
        }
        Ok(heard)
    }

    fn note(&self, number: usize, namespace: TrackNamespace) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((number, namespace, Instant::now()));
    }

    /// When each node heard of it, once all have.
    fn wait(&self, namespace: &TrackNamespace, nodes: usize) -> Result<Vec<(usize, Instant)>> {
        let began = Instant::now();
        loop {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found: Vec<(usize, Instant)> = all
                .iter()
                .filter(|(_, name, _)| name == namespace)
                .map(|&(number, _, at)| (number, at))
                .collect();
            drop(all);
            if found.len() == nodes {
                return Ok(found);
            }
            if began.elapsed() > PATIENCE {
                bail!("{} of {nodes} nodes heard within {PATIENCE:?}", found.len());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Latencies of one kind of announcement.
#[derive(Default)]
struct Spread {
    times: Times,
    /// Time beyond the way's own, of each node.
    extra: Times,
    late: usize,
    copies: Vec<f64>,
}

impl Spread {
    /// When the nodes heard what one of them began to announce.
    fn take(&mut self, delays: &[Duration], began: Instant, heard: impl Iterator<Item = (usize, Instant)>) {
        for (at, when) in heard {
            let took = when.duration_since(began);
            let way = delays.get(at).copied().unwrap_or_default();
            self.late += usize::from(took > way * 3 / 2 + SLACK);
            self.times.push(took);
            self.extra.push(took.saturating_sub(way));
        }
    }

    fn row(&self, what: &str) {
        let copies = self.copies.iter().sum::<f64>() / ratio(self.copies.len(), 1);
        println!(
            "| {what} | {} | {} | {} | {} | {} | {copies:.2} | {} |",
            self.times.len(),
            self.times.row(),
            self.extra.row(),
            self.late,
            verdict(self.late == 0),
            verdict(copies <= COPIES)
        );
    }
}

fn spread(grid: &Grid) -> Result<()> {
    let nodes = grid.nodes.len();
    let heard = Heard::everywhere(grid)?;
    let mut rounds: Vec<Spread> = (0..ANNOUNCEMENTS).map(|_| Spread::default()).collect();
    let step = nodes / ANNOUNCERS;
    for number in (0..nodes).step_by(step.max(1)).take(ANNOUNCERS) {
        let client = grid.net.client(&grid.nodes[number])?;
        let delays = grid.delays(number);
        let mut held = Vec::new();
        let mut said = Vec::new();
        for round in 0..=ANNOUNCEMENTS {
            let kind = rounds.get_mut(round);
            let filler = "x".repeat(if kind.is_some() { NAME } else { SHORT });
            let namespace = TrackNamespace::new(["spread", &format!("{number} {round}"), &filler])?;
            let before = each(grid, "moq_gossip_bytes_total", "received")?;
            let began = Instant::now();
            held.push(
                grid.net
                    .wait(client.publish_namespace(namespace.clone(), Vec::new()))?,
            );
            let found = heard.wait(&namespace, nodes)?;
            if let Some(kind) = kind {
                kind.take(&delays, began, found.into_iter().filter(|&(at, _)| at != number));
            }
            std::thread::sleep(PAUSE);
            let after = each(grid, "moq_gossip_bytes_total", "received")?;
            said.push(after.iter().sum::<f64>() - before.iter().sum::<f64>());
        }
        // The short name makes them say all but the payload.
        let beside = said.pop().unwrap_or_default();
        for (kind, bytes) in rounds.iter_mut().zip(said) {
            kind.copies
                .push((bytes - beside) / ratio(NAME - SHORT, 1) / ratio(nodes - 1, 1));
        }
        drop(held);
        std::thread::sleep(PAUSE);
    }
    println!(
        "\n| an announcement (T9) | heard | after, p50 / p95 / max, ms | beyond the way's delay, ms | later than 1.5 x delay + 250 ms | | copies per node | at most 1.2 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (round, spread) in (1..).zip(&rounds) {
        spread.row(&format!("number {round} of a node"));
    }
    Ok(())
}

pub(crate) fn run(nodes: usize) -> Result<()> {
    let grid = Grid::start(nodes, SEED)?;
    std::thread::sleep(SETTLING);
    quiet(&grid)?;
    spread(&grid)
}
