//! Tracks in memory: the cache of a relay and the outbox of a publisher.
//!
//! A [`Track`] holds groups of objects, filled by [`Source`]s (one per upstream subscription, or the original publisher itself)
//! and by [`Fill`]s (results of fetches from upstream), and read by the subscriptions and fetches of [`fanout`](crate::fanout).
//! An object is stored once, whatever the number of sources and readers: sources are deduplicated by (group, object), and
//! an object that one source leaves in the middle is continued at its byte offset from any other copy. What was received by
//! subscription stands in an arrival order; a subscription is a set of positions in it, and the cache is its queue.
//! All tracks of a node share the byte budget of a [`Cache`].
//!
//! Sources in the draft: "Object Data Model", "Malformed Tracks", "Relays" (caching, multiple publishers, object handling),
//! "MAX CACHE DURATION", "Prior Group ID Gap", "Prior Object ID Gap".
//!
//! Nothing here knows sockets, tasks or clocks: time comes in as [`Time`], and readers are told of news through
//! [`Waker`](std::task::Waker)s, always after the track's lock is released. Who pulls a track from where, and when it is given
//! up, is decided elsewhere.

mod absence;
mod cache;
mod error;
mod fill;
mod group;
mod ranges;
mod resume;
mod source;
mod state;
mod wake;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use cache::{Cache, CacheLimits};
pub use error::{Malformed, SourceError};
pub use fill::Fill;
pub use source::{Source, SubgroupWriter};

pub(crate) use group::{Entry, Group, Lane, Log, Object, PayloadCursor, Place, StreamShape, Subgroup};
pub(crate) use ranges::{RangeSet, predecessor, successor};
pub(crate) use state::{LaneKey, State};

use self::cache::Severity;
use crate::wire::error::DecodeError;
use crate::wire::property::{Properties, TrackProperties};
use crate::wire::{FullTrackName, GroupOrder, Location, PublishDoneCode};

/// Time since a start that the caller chooses and keeps for all tracks of a node.
pub type Time = Duration;

/// Who knows what exists in a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// We publish it: what we neither have nor had does not exist.
    Original,
    /// Others publish it: what we do not have is unknown until somebody tells.
    Relay,
}

/// The live edge of a track at some moment: what was published before it belongs to the past, what comes after it is owed to a
/// [`Subscription`](crate::fanout::Subscription) that begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The largest location then: LARGEST_OBJECT of the message that states this edge.
    pub largest: Option<Location>,
    /// Where in the arrival order.
    pub(crate) seq: u64,
}

/// Counters of a track, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackStats {
    /// Objects stored.
    pub objects: u64,
    /// Copies of objects that were there already.
    pub duplicate_objects: u64,
    /// Objects that a fetch had told not to exist.
    pub ignored_objects: u64,
    /// Objects whose sources left in the middle.
    pub cut_objects: u64,
    /// Payload bytes stored.
    pub payload_bytes: u64,
    /// What became of payload that came more than once.
    pub copies: CopyStats,
    /// Groups that left the cache.
    pub evicted_groups: u64,
    /// Groups in the cache now.
    pub groups: usize,
    /// Bytes of the cache's budget held now.
    pub cached_bytes: u64,
    /// Sources that can still deliver.
    pub sources: usize,
    /// Subscriptions and fetches that read it.
    pub readers: usize,
}

/// What a track got from several sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// Objects that a source continued where another had left them, counted once for each such source.
    pub continued_objects: u64,
    /// Payload bytes of these that were here already.
    pub held_bytes: u64,
    /// Payload bytes that continued them.
    pub continued_bytes: u64,
    /// Payload bytes that were here already and came again.
    pub repeated_bytes: u64,
}

/// A track. Shared between threads; every method takes a short lock.
pub struct Track {
    name: FullTrackName,
    cache: Arc<Cache>,
    state: Mutex<State>,
    /// Nanoseconds of [`Time`] of the last append or read, for the order of eviction.
    used: AtomicU64,
}

impl Track {
    /// An empty track in `cache`.
    pub fn new(name: FullTrackName, authority: Authority, cache: &Arc<Cache>) -> Arc<Self> {
        let track = Arc::new(Self {
            name,
            cache: Arc::clone(cache),
            state: Mutex::new(State::new(authority)),
            used: AtomicU64::new(0),
        });
        cache.add_track(&track);
        track
    }

    /// Its name.
    pub const fn name(&self) -> &FullTrackName {
        &self.name
    }

    /// The cache it lives in.
    pub const fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Replaces the Track Properties, as received.
    ///
    /// # Errors
    ///
    /// Those of [`TrackProperties::parse`]; the properties stay as they were.
    pub fn set_properties(&self, properties: Properties) -> Result<(), DecodeError> {
        let view = TrackProperties::parse(&properties)?;
        self.lock().known = state::Known {
            raw: properties,
            view,
        };
        Ok(())
    }

    /// The Track Properties as received.
    pub fn properties(&self) -> Properties {
        self.lock().known.raw.clone()
    }

    /// The Track Properties that the transport acts on.
    pub fn known_properties(&self) -> TrackProperties {
        self.lock().known.view
    }

    /// The group order where a subscriber has no wish.
    pub fn default_group_order(&self) -> GroupOrder {
        self.lock().default_order()
    }

    /// Takes the LARGEST_OBJECT that an upstream states; smaller than what is known, it changes nothing.
    pub fn claim_largest(&self, largest: Location) {
        self.update(None, |state| state.raise_largest(largest));
    }

    /// The largest location known: of an object received by subscription, or claimed by an upstream.
    pub fn largest(&self) -> Option<Location> {
        self.lock().largest
    }

    /// The live edge now.
    pub fn edge(&self) -> Edge {
        self.lock().edge()
    }

    /// Ends the track for its subscriptions: they send what they still owe, then PUBLISH_DONE with `code`. The first call counts.
    pub fn end(&self, code: PublishDoneCode, reason: impl Into<String>) {
        let reason = reason.into();
        self.update(None, |state| {
            if state.ended.is_none() {
                state.ended = Some((code, reason));
                state.news = true;
            }
        });
    }

    /// [`Self::end`] was called, or the track is malformed.
    pub fn is_ended(&self) -> bool {
        let state = self.lock();
        state.ended.is_some() || state.malformed.is_some()
    }

    /// How the track broke the rules of tracks, if it did.
    pub fn malformed(&self) -> Option<Malformed> {
        self.lock().malformed
    }

    /// Counters.
    pub fn stats(&self) -> TrackStats {
        let state = self.lock();
        TrackStats {
            groups: state.groups.len(),
            cached_bytes: state.cost,
            sources: state.sources,
            readers: state.wakers.len(),
            ..state.stats
        }
    }

    /// When [`Self::expire`] has something to do next.
    pub fn deadline(&self) -> Option<Time> {
        let state = self.lock();
        let waiting = state.waiting.iter().map(|&(until, _)| until).min();
        let oldest = state.max_age().and_then(|age| {
            state
                .groups
                .values()
                .filter(|group| group.writers == 0)
                .map(|group| group.touched + age)
                .min()
        });
        waiting.into_iter().chain(oldest).min()
    }

    /// Gives up on objects whose rest did not come in time and drops groups that are older than MAX_CACHE_DURATION.
    pub fn expire(&self, now: Time) {
        self.update(Some(now), |state| {
            let mut due = Vec::new();
            state.waiting.retain(|&(until, at)| {
                if until <= now {
                    due.push(at);
                }
                until > now
            });
            for at in due {
                state.cut(at);
            }
            let Some(age) = state.max_age() else { return };
            let old = |group: &Group| group.writers == 0 && group.touched + age <= now;
            let ids: Vec<u64> = state
                .groups
                .iter()
                .filter(|(_, group)| old(group))
                .map(|(&id, _)| id)
                .collect();
            for id in ids {
                state.evict_group(id);
            }
        });
    }

    /// Opens a source: one upstream subscription, or the original publisher itself.
    pub fn source(self: &Arc<Self>) -> Source {
        Source::new(self)
    }

    /// Begins to store the result of a fetch from upstream for `start` to `end`, both inclusive, whose groups come in `order`.
    ///
    /// The objects are there for fetches and are not owed to subscriptions; [`Fill::repair`] makes them owed.
    pub fn fill(self: &Arc<Self>, start: Location, end: Location, order: GroupOrder) -> Fill {
        Fill::new(self, start, end, order)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is a bug that already ended its task; the maps stay readable for the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_used(&self, now: Time) {
        self.used.fetch_max(
            u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Changes the state, settles the budget, and wakes who waits once the lock is released.
    fn update<T>(&self, now: Option<Time>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        if let Some(now) = now {
            state.now = state.now.max(now);
        }
        let before = state.cost;
        let result = change(&mut state);
        self.cache.adjust(before, state.cost);
        let wake = if std::mem::take(&mut state.news) {
            state.wakers.take()
        } else {
            Vec::new()
        };
        let now = state.now;
        drop(state);
        for waker in wake {
            waker.wake();
        }
        self.mark_used(now);
        self.cache.enforce(now);
        result
    }

    /// Frees about `excess` bytes, as far as `severity` allows.
    fn evict(&self, now: Time, severity: Severity, excess: u64, limits: &CacheLimits) {
        let mut state = self.lock();
        let before = state.cost;
        let ids: Vec<u64> = state.groups.keys().copied().collect();
        let kept = if severity == Severity::Spare {
            ids.len().saturating_sub(limits.min_groups)
        } else {
            ids.len()
        };
        for &id in ids.iter().take(kept) {
            let freed = before - state.cost;
            if freed >= excess {
                break;
            }
            let Some(group) = state.groups.get(&id) else {
                continue;
            };
            match severity {
                Severity::Spare if now.saturating_sub(group.touched) < limits.min_age => {}
                Severity::Protected if group.writers > 0 => {}
                Severity::Spare | Severity::Protected => state.evict_group(id),
                Severity::Written => {
                    state.shed(id, excess - freed, false);
                    let freed = before - state.cost;
                    state.shed(id, excess.saturating_sub(freed), true);
                }
            }
        }
        self.cache.adjust(before, state.cost);
        let wake = if std::mem::take(&mut state.news) {
            state.wakers.take()
        } else {
            Vec::new()
        };
        drop(state);
        for waker in wake {
            waker.wake();
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.cache.adjust(state.cost, 0);
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track")
            .field("name", &self.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
