//! Times in order, and what is said of them.

use std::time::Duration;

/// Many of one kind.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort_unstable();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The least time that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// Median, 95th percentile and maximum in milliseconds.
    pub(crate) fn row(&self) -> String {
        format!(
            "{} / {} / {}",
            self.percentile(50).as_millis(),
            self.percentile(95).as_millis(),
            self.percentile(100).as_millis()
        )
    }
}
