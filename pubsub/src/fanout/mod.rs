//! What one subscription or one fetch sends next.
//!
//! A [`Subscription`] or [`Fetch`] reads one [`Track`](crate::track::Track) for one downstream request. It is polled for what to
//! write, in order of publisher priority, group order and subgroup, and answers with pieces of the cache's own `Bytes`: no object
//! is copied per subscriber, and no queue exists beside the cache. The waker given at construction is called at most once between
//! two polls that find nothing more.
//!
//! Sources in the draft: "Subscriptions", "Subscription Filters", "Priorities", "Delivery Timeouts and Data Reliability",
//! "Closing Subgroup Streams", "Fetch Handling".
//!
//! Streams, flow control, acknowledgements and the order among several requests belong to the caller, who tells of blocked,
//! stopped and acknowledged streams. Nothing here knows a clock: time comes in as [`Time`].

mod cursor;
mod fetch;
mod filter;
mod scan;
mod subscription;
mod timers;

use crate::track::Time;
use crate::wire::{PublishDoneCode, StreamCode};

pub use fetch::{Fetch, FetchError, FetchOptions, FetchStep};
pub use subscription::{SubscribeError, SubscribeOptions, Subscription, SubscriptionUpdate};

/// How long a stream that is to be reset without haste stays open, so that what was written on it can still arrive: a reset
/// discards what is not acknowledged.
const LINGER: Time = Time::from_secs(1);
/// How long a stream whose subgroup has lost its sources waits for another one.
const ORPHAN: Time = Time::from_secs(2);
/// How long after the end of its range a subscription waits for subgroups of that range that nobody has seen yet.
const SETTLE: Time = Time::from_secs(1);

/// Objects begun and bytes of payload given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Objects, counted when their head goes out.
    pub objects: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// Streams that were reset because a delivery timeout had passed.
    pub timed_out: u64,
    /// How long the last object begun had been here.
    pub waited: Option<Time>,
}

/// A stream of one subscription. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(u64);

/// Whether streams may be opened, as far as the caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamCredit {
    /// At least one.
    #[default]
    Available,
    /// None: what needs a new stream stays in the cache, and counts as behind.
    Exhausted,
}

/// A stream to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Subscriber priority of the subscription; lower is more urgent.
    pub subscriber_priority: u8,
    /// Publisher priority of the subgroup; lower is more urgent.
    pub publisher_priority: u8,
    /// Group ID.
    pub group: u64,
    /// Subgroup ID.
    pub subgroup: u64,
}

/// What a subscription sends next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// The bytes put into `out` go on `stream`.
    Write {
        /// Where to.
        stream: StreamKey,
        /// The stream is new, and the bytes begin with its header.
        open: Option<Open>,
        /// The stream ends behind the bytes, of which there may be none.
        fin: bool,
    },
    /// Reset the stream; it will not be named again.
    Reset {
        /// Which.
        stream: StreamKey,
        /// Why.
        code: StreamCode,
    },
    /// The one element put into `out` is a whole datagram.
    Datagram,
    /// The subscription is over; every stream was ended by FIN or reset. Nothing follows.
    Done {
        /// For PUBLISH_DONE.
        code: PublishDoneCode,
        /// Streams opened; `None` if some were reset, so that the subscriber may have seen fewer.
        stream_count: Option<u64>,
        /// For PUBLISH_DONE.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
