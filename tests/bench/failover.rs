//! Relays on the path of a track die while a viewer watches (T3), and links that nothing happens on (T14). Leaving relays and
//! changing links are told in [`switch`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use headwater_tests::mesh::{Fork, Node};
use headwater_tests::stream::{Log, Pattern, Sent, publish};
use tokio::time::Instant;

use crate::figures::Times;
use crate::{calm, switch};

/// A video of 30 frames a second.
pub(crate) const VIDEO: Pattern = Pattern {
    pause: Duration::from_millis(33),
    bytes: 4000,
};
/// Objects so large that a relay dies in the middle of one.
const LARGE: Pattern = Pattern {
    pause: Duration::from_millis(1500),
    bytes: 1 << 20,
};
/// Kills in the middle of an object.
const CUTS: usize = 12;
/// Parts of an object, in percent, of which the viewer's relay has one when the kill is sent.
const PARTS: [u64; 4] = [5, 25, 50, 75];
/// How long a large object may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// The relay adds its counters up each second.
const TALLY: Duration = Duration::from_millis(2500);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Three ways with round trips of 20 to 60 ms per link.
const DELAYS: [[Duration; 2]; 3] = [[ms(10), ms(15)], [ms(14), ms(18)], [ms(20), ms(30)]];

/// A rig with a viewer.
pub(crate) struct Story {
    pub(crate) fork: Fork,
    pub(crate) log: Arc<Log>,
    pub(crate) sent: Sent,
}

impl Story {
    pub(crate) fn start(text: &str, pattern: Pattern) -> Result<Self> {
        let fork = Fork::start(&DELAYS)?;
        let publisher = fork.net.client(&fork.near)?;
        let sent = publish(&fork.net, &publisher, text, pattern)?;
        let viewer = fork.net.client(&fork.far)?;
        let log = Log::start(&fork.net, &viewer, text, pattern)?;
        std::thread::sleep(ms(3000));
        Ok(Self { fork, log, sent })
    }

    /// Kills the relay on the path, again and again.
    fn kill(&mut self, times: usize) -> Result<Times> {
        let mut gaps = Times::default();
        for _ in 0..times {
            let carrier = self.fork.carrier()?;
            let killed = Instant::now();
            carrier.node.kill()?;
            std::thread::sleep(ms(2000));
            gaps.push(self.log.longest_gap(killed));
            carrier.node.restart()?;
            std::thread::sleep(ms(2500));
        }
        Ok(gaps)
    }

    /// Kills the relay on the path when the viewer's relay has a part of an object.
    fn cut(&mut self, percent: u64) -> Result<Cut> {
        let index = self.fork.carrier_index()?;
        let far = &self.fork.far;
        let carrier = self.fork.between.get_mut(index).context("counted")?;
        let size = LARGE.bytes as u64;
        let whole = await_bytes(far, |bytes| bytes % size == 0)?;
        let before = Counters::of(far)?;
        let had = await_bytes(far, |bytes| bytes > whole + size * percent / 100)? - whole;
        let killed = Instant::now();
        carrier.node.kill()?;
        std::thread::sleep(LARGE.pause + TALLY);
        let after = Counters::of(far)?;
        carrier.node.restart()?;
        std::thread::sleep(ms(2500));
        Ok(Cut {
            had,
            pause: self.log.longest_gap(killed),
            objects: after.objects - before.objects,
            held: after.held - before.held,
            added: after.added - before.added,
            repeated: after.repeated - before.repeated,
        })
    }

    fn faults_row(&self, what: &str) {
        let faults = self.log.faults();
        println!(
            "| {what} | {} | {} | {} |",
            self.log.len(),
            faults.lost,
            faults.twice
        );
    }
}

/// What became of an object that was cut, in bytes.
struct Cut {
    had: u64,
    pause: Duration,
    objects: f64,
    held: f64,
    added: f64,
    repeated: f64,
}

/// What a relay counts of objects that came from two sources.
struct Counters {
    objects: f64,
    held: f64,
    added: f64,
    repeated: f64,
}

impl Counters {
    fn of(node: &Node) -> Result<Self> {
        let relay = node.relay()?;
        Ok(Self {
            objects: relay.metric("moq_continued_objects_total")?,
            held: relay.labelled("moq_continued_bytes_total", "held")?,
            added: relay.labelled("moq_continued_bytes_total", "added")?,
            repeated: relay.metric("moq_repeated_bytes_total")?,
        })
    }
}

/// Waits until the payload that a relay has of its only track is as wanted.
fn await_bytes(node: &Node, wanted: impl Fn(u64) -> bool) -> Result<u64> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let tracks = node.relay()?.ask("/api/v1/tracks")?;
        let bytes = tracks["tracks"][0]["received"]["bytes"]
            .as_u64()
            .context("bytes")?;
        if wanted(bytes) {
            return Ok(bytes);
        }
    }
    bail!("no such moment within {PATIENCE:?}")
}

pub(crate) fn cuts() -> Result<()> {
    let mut story = Story::start("large", LARGE)?;
    println!(
        "\n| SIGKILL inside a 1 MB object | had when the kill was sent | continued objects | at byte | bytes added by the other copy | bytes that came again | pause, ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut inside = 0;
    for (number, percent) in (1..=CUTS).zip(PARTS.into_iter().cycle()) {
        let cut = story.cut(percent)?;
        inside += usize::from(cut.objects > 0.0);
        println!(
            "| {number} | {} | {} | {} | {} | {} | {} |",
            cut.had,
            cut.objects,
            cut.held,
            cut.added,
            cut.repeated,
            cut.pause.as_millis()
        );
    }
    println!("\n{inside} of {CUTS} kills cut an object that the other copy continued.\n");
    println!("| | objects | lost | twice |");
    println!("|---|---|---|---|");
    story.faults_row("of these");
    Ok(())
}

pub(crate) fn run(kills: usize) -> Result<()> {
    let mut story = Story::start("video", VIDEO)?;
    let gaps = story.kill(kills)?;
    println!("| what happens | times | longest pause p50 / p95 / max, ms |");
    println!("|---|---|---|");
    println!(
        "| SIGKILL of the relay on the path, 33 ms objects (T3) | {} | {} |",
        gaps.len(),
        gaps.row()
    );
    println!("\n| | objects | lost | twice |");
    println!("|---|---|---|---|");
    story.faults_row("of these");
    drop(story);
    switch::run()?;
    cuts()?;
    calm::run()
}
