//! The one place of this crate that reads a clock: state machines are told the time.

use std::time::{Duration, Instant};

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

    /// The instant at which [`Clock::now`] says `time`, for timers.
    pub fn instant(&self, time: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + time)
    }
}
