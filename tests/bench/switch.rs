//! Voluntary moves of a track from one path to another (T4): a relay leaves, a link becomes slower, a better path appears.
//!
//! What the move itself costs is the longest time between two arrivals around it, less the usual one, less what the new path
//! takes longer than the old one. The same of moments in which nothing happens shows what the machine adds.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use headwater_tests::mesh::Fork;
use tokio::time::Instant;

use crate::failover::{Story, VIDEO, ms};
use crate::figures::{Times, ranges, verdict};

/// Relays that leave, and moments in which nothing happens.
const LEAVES: usize = 10;
/// Links that become slower, and as quick as before; a mesh for each, since moves that follow each other are held back.
const CHANGES: usize = 3;
/// Costs move after 3 s when worse and 10 s when better; then a path must stay better, and dwell. On a link that carries nothing the
/// round trip is measured each 5 s, an eighth of a sample at a time: a better one is believed after a minute and more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Around a move, and after it until the new path is quiet.
const BEFORE: Duration = ms(300);
const AFTER: Duration = ms(1000);
const STEADY: Duration = ms(1000);

/// Moves of one kind.
#[derive(Default)]
struct Moves {
    tried: usize,
    moved: usize,
    added: Times,
    late: Times,
}

impl Moves {
    fn row(&self, what: &str) {
        println!(
            "| {what} | {} | {} | {} | {} | {} |",
            self.tried,
            self.moved,
            self.added.row(),
            self.late.row(),
            if self.added.len() == 0 {
                "not seen"
            } else {
                verdict(self.added.percentile(100) <= VIDEO.pause)
            }
        );
    }

    /// A move at this moment, long enough ago.
    fn note(&mut self, story: &Story, at: Instant) {
        let usual = |when: Range<Instant>| {
            let mut delays = Times::default();
            story
                .log
                .delays(&story.sent, when)
                .into_iter()
                .for_each(|delay| delays.push(delay));
            delays.percentile(50)
        };
        let around = at - BEFORE..at + AFTER;
        let old = usual(around.start - STEADY..around.start);
        let new = usual(around.end..around.end + STEADY);
        let gap = story.log.longest_gap_within(around.clone());
        let most = story
            .log
            .delays(&story.sent, around)
            .into_iter()
            .max()
            .unwrap_or_default();
        self.added.push(
            gap.saturating_sub(VIDEO.pause)
                .saturating_sub(new.saturating_sub(old)),
        );
        self.late.push(most.saturating_sub(old.max(new)));
    }
}

/// The neighbour that the viewer's relay has for its route.
fn primary(fork: &Fork) -> Result<String> {
    let answer = fork.far.relay()?.ask("/api/v1/routes")?;
    let routes = answer["routes"].as_array().context("routes")?;
    let primary = routes.iter().find_map(|route| route["primary"].as_str());
    primary.map(str::to_owned).context("no route")
}

/// Waits until the route is another; when it was seen to be.
fn await_move(fork: &Fork, from: &str) -> Result<Option<Instant>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // Between two routes there may be none.
        if primary(fork).is_ok_and(|now| now != from) {
            return Ok(Some(Instant::now()));
        }
        fork.far.relay()?;
        std::thread::sleep(ms(20));
    }
    Ok(None)
}

/// What a change does that is to move the route.
fn change(story: &Story, moves: &mut Moves, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = primary(&story.fork)?;
    moves.tried += 1;
    act()?;
    if let Some(at) = await_move(&story.fork, &before)? {
        moves.moved += 1;
        std::thread::sleep(AFTER + STEADY);
        moves.note(story, at);
    }
    Ok(())
}

fn nothing(story: &Story, moves: &mut Moves) {
    for _ in 0..LEAVES {
        let now = Instant::now();
        std::thread::sleep(AFTER + STEADY);
        moves.tried += 1;
        moves.note(story, now);
    }
}

/// Relays that leave in good order.
fn leaves(story: &mut Story, moves: &mut Moves) -> Result<()> {
    for _ in 0..LEAVES {
        let index = story.fork.carrier_index()?;
        let node = &story.fork.between.get(index).context("counted")?.node;
        change(story, moves, || node.relay()?.process.signal("TERM"))?;
        let node = &mut story.fork.between.get_mut(index).context("counted")?.node;
        node.relay()?.process.exit()?;
        node.restart()?;
        std::thread::sleep(ms(3000));
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    let (mut still, mut left) = (Moves::default(), Moves::default());
    let (mut worse, mut better) = (Moves::default(), Moves::default());
    let (mut lost, mut twice, mut objects) = (0, 0, 0);
    let mut count = |story: &Story| {
        let faults = story.log.faults();
        lost += faults.lost;
        twice += faults.twice;
        objects += story.log.len();
        if faults.lost > 0 {
            println!("Lost by group: {}.", ranges(&story.log.missing()));
        }
    };
    let mut story = Story::start("leave", VIDEO)?;
    nothing(&story, &mut still);
    leaves(&mut story, &mut left)?;
    count(&story);
    drop(story);
    for number in 0..CHANGES {
        let mut story = Story::start(&format!("change {number}"), VIDEO)?;
        let [_, link] = story.fork.carrier()?.links.clone();
        let delay = link.delay();
        for (delay, moves) in [(delay * 4, &mut worse), (delay, &mut better)] {
            change(&story, moves, || {
                link.set_delay(delay);
                Ok(())
            })?;
        }
        count(&story);
    }
    println!(
        "\n| a move (T4) | times | moved | added by it, p50 / p95 / max, ms | an object was later than on the slower path by, ms | at most 33 ms |"
    );
    println!("|---|---|---|---|---|---|");
    still.row("nothing happens");
    left.row("SIGTERM of the relay on the path");
    worse.row("its link becomes four times as slow");
    better.row("and as quick as it was: a better path appears");
    println!("\n{objects} objects, {lost} lost, {twice} twice.");
    Ok(())
}
