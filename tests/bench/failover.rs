//! Relays on the path of a track die or leave, and links change, while a viewer watches (T3, T4).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use headwater_tests::mesh::Fork;
use headwater_tests::stream::{Log, Pattern, publish};
use tokio::time::Instant;

use crate::figures::Times;

/// A video of 30 frames a second.
const VIDEO: Pattern = Pattern {
    pause: Duration::from_millis(33),
    bytes: 4000,
};
/// Objects so large that a relay dies in the middle of one.
const LARGE: Pattern = Pattern {
    pause: Duration::from_millis(500),
    bytes: 1 << 20,
};
/// Repetitions of what is not a kill.
const MOVES: usize = 6;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Three ways with round trips of 20 to 60 ms per link.
const DELAYS: [[Duration; 2]; 3] = [[ms(10), ms(15)], [ms(14), ms(18)], [ms(20), ms(30)]];

/// A rig with a viewer.
struct Story {
    fork: Fork,
    log: Arc<Log>,
}

impl Story {
    fn start(text: &str, pattern: Pattern) -> Result<Self> {
        let fork = Fork::start(&DELAYS)?;
        let publisher = fork.net.client(&fork.near)?;
        publish(&fork.net, &publisher, text, pattern)?;
        let viewer = fork.net.client(&fork.far)?;
        let log = Log::start(&fork.net, &viewer, text, pattern)?;
        std::thread::sleep(ms(3000));
        Ok(Self { fork, log })
    }

    /// Prints a row of the table.
    fn row(&self, what: &str, gaps: &Times) {
        let faults = self.log.faults();
        println!(
            "| {what} | {} | {} | {} | {} | {} |",
            gaps.len(),
            gaps.row(),
            self.log.len(),
            faults.lost,
            faults.twice
        );
    }

    /// Kills the relay on the path, again and again.
    fn kill(&mut self, times: usize, into: Duration) -> Result<Times> {
        let mut gaps = Times::default();
        for _ in 0..times {
            let log = Arc::clone(&self.log);
            let seen = log.len();
            let carrier = self.fork.carrier()?;
            if !into.is_zero() {
                // Just after the beginning of an object on its way.
                while log.len() == seen {
                    std::thread::sleep(ms(5));
                }
                std::thread::sleep(into);
            }
            let killed = Instant::now();
            carrier.node.kill()?;
            std::thread::sleep(ms(2000));
            gaps.push(log.longest_gap(killed));
            carrier.node.restart()?;
            std::thread::sleep(ms(2500));
        }
        Ok(gaps)
    }

    /// Lets the relay on the path leave in good order.
    fn drain(&mut self) -> Result<Times> {
        let mut gaps = Times::default();
        for _ in 0..MOVES {
            let log = Arc::clone(&self.log);
            let carrier = self.fork.carrier()?;
            let began = Instant::now();
            let relay = carrier.node.relay()?;
            relay.process.signal("TERM")?;
            relay.process.exit()?;
            gaps.push(log.longest_gap(began));
            carrier.node.restart()?;
            std::thread::sleep(ms(3000));
        }
        Ok(gaps)
    }

    /// Makes the far link of the relay on the path four times as long, then as long as it was.
    fn slow(&mut self) -> Result<(Times, Times)> {
        let (mut worse, mut better) = (Times::default(), Times::default());
        for _ in 0..MOVES / 3 {
            let log = Arc::clone(&self.log);
            let [_, link] = self.fork.carrier()?.links.clone();
            let delay = link.delay();
            for (delay, gaps) in [(delay * 4, &mut worse), (delay, &mut better)] {
                let began = Instant::now();
                link.set_delay(delay);
                // Costs move after 3 s when worse and 10 s when better; then a path must stay better, and dwell.
                std::thread::sleep(ms(22_000));
                gaps.push(log.longest_gap(began));
            }
        }
        Ok((worse, better))
    }
}

pub(crate) fn run(kills: usize) -> Result<()> {
    println!("| what happens | times | longest pause p50 / p95 / max, ms | objects | lost | twice |");
    println!("|---|---|---|---|---|---|");
    let mut story = Story::start("video", VIDEO)?;
    let gaps = story.kill(kills, Duration::ZERO)?;
    story.row("SIGKILL of the relay on the path, 33 ms objects", &gaps);
    let gaps = story.drain()?;
    story.row("SIGTERM of the relay on the path", &gaps);
    let (worse, better) = story.slow()?;
    story.row("its link becomes four times as slow", &worse);
    story.row("and as quick as it was", &better);
    drop(story);
    let mut story = Story::start("large", LARGE)?;
    let gaps = story.kill(MOVES, ms(520))?;
    story.row("SIGKILL inside a 1 MB object, one each 500 ms", &gaps);
    Ok(())
}
