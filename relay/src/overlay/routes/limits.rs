//! Token buckets.

use std::time::Duration;

/// So many per second, and a burst. Counts in thousandths, so that slow rates do not round to nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::overlay) struct Bucket {
    rate: u32,
    burst: u32,
    millis: u64,
    filled: Duration,
}

impl Bucket {
    pub(in crate::overlay) const fn new(now: Duration, rate: u32, burst: u32) -> Self {
        Self {
            rate,
            burst,
            millis: burst as u64 * 1_000,
            filled: now,
        }
    }

    /// Whether one more is allowed now.
    pub(in crate::overlay) fn take(&mut self, now: Duration) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.filled).as_millis()).unwrap_or(u64::MAX);
        // Only whole milliseconds are credited: the rest stays for the next call.
        if passed > 0 {
            self.filled += Duration::from_millis(passed);
            let gained = passed.saturating_mul(u64::from(self.rate));
            self.millis = self
                .millis
                .saturating_add(gained)
                .min(u64::from(self.burst) * 1_000);
        }
        let allowed = self.millis >= 1_000;
        if allowed {
            self.millis -= 1_000;
        }
        allowed
    }
}

/// A count within the running second, small enough to be kept for every neighbour of every origin.
///
/// Seconds are told apart within 18 hours. Beyond that a count may go on where another one ended, which refuses at worst what
/// comes within one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    second: u16,
    count: u16,
}

impl Second {
    /// Whether one more is allowed in this second.
    pub(super) fn take(&mut self, now: Duration, limit: u32) -> bool {
        let second = u16::try_from(now.as_secs() % (1 << 16)).unwrap_or_default();
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        let allowed = u32::from(self.count) < limit;
        if allowed {
            self.count = self.count.saturating_add(1);
        }
        allowed
    }
}
