//! The one place of this crate that reads a clock: state machines are told the time.

use std::time::{Duration, Instant};

/// Whoever waits for longer than the clock can say waits for ever.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Time since a fixed start, shared by everything that must agree on it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    #[expect(
        clippy::new_without_default,
        reason = "two clocks are two starts; a default would hide that"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The instant at which [`Clock::now`] says `time`, for timers; beyond what the clock can say, a century later than its start.
    pub fn instant(&self, time: Duration) -> tokio::time::Instant {
        let instant = self.start.checked_add(time);
        tokio::time::Instant::from_std(instant.unwrap_or_else(|| self.start + CENTURY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_never_comes_has_an_instant() {
        let clock = Clock::new();
        assert!(clock.instant(Duration::MAX) > clock.instant(Duration::from_secs(1 << 30)));
    }
}
