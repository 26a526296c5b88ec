//! The memory that the tracks of a node share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{Time, Track};

/// How much a node keeps, and what of it is protected.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// Bytes of payload, properties and bookkeeping that may stay after an append. Default 256 MiB. At twice this, protection
    /// ends: then even the last groups of a track lose their oldest objects.
    pub budget: u64,
    /// Last groups of each track that stay within the budget's double. Default 2.
    pub min_groups: usize,
    /// Groups that grew less than this ago stay within the budget's double. Default 4 s.
    pub min_age: Duration,
    /// Largest object that is taken, in bytes of payload. Default 64 MiB.
    pub max_object: u64,
    /// Backlog in bytes beyond which a subscription without delivery timeouts ends. Default 32 MiB.
    pub max_lag: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            budget: 256 << 20,
            min_groups: 2,
            min_age: Duration::from_secs(4),
            max_object: 64 << 20,
            max_lag: 32 << 20,
        }
    }
}

/// How long an eviction that found only protected groups is not repeated, unless the total grew by a 64th of the budget.
const RETRY_MS: u64 = 250;

/// How far an eviction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Groups that nothing protects.
    Spare,
    /// Any group that is not being written.
    Protected,
    /// Objects of groups being written, oldest first.
    Written,
}

/// A budget of bytes shared by tracks. It holds no track alive.
///
/// Every append that leaves the total above the budget evicts, in the thread that appended, oldest groups of the least
/// recently used tracks first. No two track locks are ever held at once.
#[derive(Debug)]
pub struct Cache {
    limits: CacheLimits,
    bytes: AtomicU64,
    /// The total above which an eviction is tried: the budget, or more after one that found only protected groups.
    trigger: AtomicU64,
    /// When protected groups may have lost their protection, in milliseconds of [`Time`]: then the budget counts again.
    retry_ms: AtomicU64,
    evicting: AtomicBool,
    tracks: Mutex<Vec<Weak<Track>>>,
}

impl Cache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            bytes: AtomicU64::new(0),
            trigger: AtomicU64::new(limits.budget),
            retry_ms: AtomicU64::new(0),
            evicting: AtomicBool::new(false),
            tracks: Mutex::new(Vec::new()),
        })
    }

    /// The limits it was made with.
    pub const fn limits(&self) -> &CacheLimits {
        &self.limits
    }

    /// Bytes that all tracks hold now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_track(&self, track: &Arc<Track>) {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        // Doubling keeps the cost of looking for dead entries constant per track.
        if tracks.len() == tracks.capacity() {
            tracks.retain(|track| track.strong_count() > 0);
        }
        tracks.push(Arc::downgrade(track));
    }

    pub(super) fn adjust(&self, before: u64, after: u64) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Evicts if there is reason to. Called without any track lock held.
    pub(super) fn enforce(&self, now: Time) {
        let bytes = self.bytes();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let due =
            bytes > self.trigger.load(Ordering::Relaxed) || now_ms >= self.retry_ms.load(Ordering::Relaxed);
        if bytes <= self.limits.budget || !due || self.evicting.swap(true, Ordering::Acquire) {
            return;
        }
        let hard = self.limits.budget.saturating_mul(2);
        let tracks = self.by_use();
        self.evict(&tracks, now, Severity::Spare, self.limits.budget);
        self.evict(&tracks, now, Severity::Protected, hard);
        self.evict(&tracks, now, Severity::Written, hard);
        let left = self.bytes();
        let trigger = if left <= self.limits.budget {
            self.limits.budget
        } else {
            left + self.limits.budget / 64
        };
        self.trigger.store(trigger, Ordering::Relaxed);
        self.retry_ms
            .store(now_ms.saturating_add(RETRY_MS), Ordering::Relaxed);
        self.evicting.store(false, Ordering::Release);
    }

    fn by_use(&self) -> Vec<Arc<Track>> {
        let mut tracks: Vec<Arc<Track>> = {
            let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
            tracks.retain(|track| track.strong_count() > 0);
            tracks.iter().filter_map(Weak::upgrade).collect()
        };
        tracks.sort_by_cached_key(|track| track.last_used());
        tracks
    }

    fn evict(&self, tracks: &[Arc<Track>], now: Time, severity: Severity, target: u64) {
        for track in tracks {
            let excess = self.bytes().saturating_sub(target);
            if excess == 0 {
                return;
            }
            track.evict(now, severity, excess, &self.limits);
        }
    }
}
