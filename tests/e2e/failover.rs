//! A relay between publisher and viewer dies, or leaves: the viewer misses nothing and gets nothing twice.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use headwater_tests::mesh::Fork;
use headwater_tests::stream::{Faults, Log, Pattern, publish};
use tokio::time::Instant;

const VIDEO: Pattern = Pattern {
    pause: Duration::from_millis(33),
    bytes: 2000,
};
/// Far beyond what a move takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until this many more objects have come.
fn await_more(log: &Log, objects: usize) {
    let (wanted, began) = (log.len() + objects, Instant::now());
    while log.len() < wanted {
        assert!(began.elapsed() < PATIENCE, "{} of {wanted} objects", log.len());
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn relays_that_die_or_leave_on_the_path_cost_no_object() -> Result<()> {
    let way = |near, far| [Duration::from_millis(near), Duration::from_millis(far)];
    let mut fork = Fork::start(&[way(10, 15), way(14, 18), way(20, 30)])?;
    let publisher = fork.net.client(&fork.near)?;
    publish(&fork.net, &publisher, "video", VIDEO)?;
    let viewer = fork.net.client(&fork.far)?;
    let log = Log::start(&fork.net, &viewer, "video", VIDEO)?;
    await_more(&log, 60);
    fork.carrier()?.node.kill()?;
    await_more(&log, 60);
    let relay = fork.carrier()?.node.relay()?;
    relay.process.signal("TERM")?;
    assert_eq!(relay.process.exit()?, 0);
    await_more(&log, 90);
    assert_eq!(log.faults(), Faults::default());
    Ok(())
}
