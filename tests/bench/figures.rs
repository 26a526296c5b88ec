//! Times in order, and what is said of them.

use std::time::Duration;

use headwater_pubsub::wire::Location;

/// Many of one kind.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort_unstable();
    }

    pub(crate) fn extend(&mut self, times: Vec<Duration>) {
        self.0.extend(times);
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

    /// How many are not longer than this.
    pub(crate) fn within(&self, limit: Duration) -> usize {
        self.0.partition_point(|&time| time <= limit)
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

/// A word for whether a target was reached.
pub(crate) const fn verdict(reached: bool) -> &'static str {
    if reached { "pass" } else { "**missed**" }
}

/// A quotient of counts.
pub(crate) fn ratio(count: usize, of: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    number(count) / number(of)
}

/// Locations in order as ranges of objects of a group, such as `7: 3-29`.
pub(crate) fn ranges(locations: &[Location]) -> String {
    let runs = locations.chunk_by(|a, b| a.group == b.group && a.object + 1 == b.object);
    let texts: Vec<String> = runs
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            Some(format!("{}: {}-{}", first.group, first.object, last.object))
        })
        .collect();
    texts.join(", ")
}
