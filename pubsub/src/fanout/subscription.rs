//! A downstream subscription: what it is owed, and in which order it goes out.

mod end;
mod news;
mod options;
mod output;
mod resume;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, MutexGuard};
use std::task::Waker;

use bytes::{Bytes, BytesMut};

pub use options::{SubscribeError, SubscribeOptions, SubscriptionUpdate};

use super::cursor::{Cursor, Terms};
use super::filter::Range;
use super::timers::Timers;
use super::{Sent, StreamCredit, StreamKey, Transmit};
use crate::track::{Edge, Lane, LaneKey, State, Time, Track, successor};
use crate::wire::{GroupOrder, Location, PublishDoneCode, StreamCode};

/// Urgency among the lanes of one subscription: publisher priority, group in group order, subgroup.
type Rank = (u8, u64, u64, Lane);

#[derive(Debug)]
enum Phase {
    Active,
    /// Streams are being reset, then the subscription ends.
    Ending {
        code: PublishDoneCode,
        reason: String,
    },
    Done,
}

/// A subscription of one track by one downstream session.
///
/// Call [`Self::poll`] until it gives `None` or [is at rest](Self::is_at_rest): after creation, after each call of the waker,
/// after each change made through the other methods, and at [`Self::next_timeout`]. Only objects that arrive after creation (or after the [`Edge`] it is
/// given, or after FORWARD went from 0 to 1) are sent; those before it, up to [`Self::joining_location`], come by a joining FETCH.
/// [`Self::resume`] begins earlier.
#[derive(Debug)]
pub struct Subscription {
    track: Arc<Track>,
    slot: usize,
    track_alias: u64,
    options: SubscribeOptions,
    order: GroupOrder,
    range: Range,
    joining: Option<Location>,
    /// See [`Self::first_available`].
    first: Location,
    phase: Phase,
    /// What of the track's arrival order has been looked at.
    seen: u64,
    datagrams_seen: u64,
    cursors: BTreeMap<LaneKey, Cursor>,
    /// Cursors that may have something to write and are not blocked.
    ready: BTreeSet<(Rank, LaneKey)>,
    streams: BTreeMap<StreamKey, LaneKey>,
    /// Subgroups that are not to be sent any more, by group.
    dropped: BTreeSet<(u64, u64)>,
    resets: VecDeque<(StreamKey, StreamCode)>,
    timers: Timers,
    /// Streams with FIN that are not acknowledged yet, and until when they must be.
    unacknowledged: BTreeMap<StreamKey, Time>,
    /// When the end of the range counts as reached.
    settled: Option<Time>,
    backlog: u64,
    /// Of the backlog, what a resumption found and has not written: the lag is measured on top of it.
    replay: u64,
    sent: Sent,
    /// See [`Self::is_at_rest`].
    at_rest: bool,
    opened: u64,
    next_stream: u64,
    any_reset: bool,
    credit: StreamCredit,
    scratch: BytesMut,
}

impl Subscription {
    /// Subscribes to what arrives from now on.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn new(
        track: &Arc<Track>,
        now: Time,
        options: SubscribeOptions,
        waker: Waker,
        track_alias: u64,
    ) -> Result<Self, SubscribeError> {
        let state = track.lock();
        let edge = state.edge();
        Self::begin(track, state, edge, now, options, waker, track_alias)
    }

    /// Subscribes to what has arrived since `edge`, which a PUBLISH stated. Filters relative to the largest object mean the one
    /// that was stated, so that nothing falls between them and a joining FETCH. What has left the cache meanwhile ends it as it
    /// ends any subscription that is behind.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn since(
        track: &Arc<Track>,
        edge: Edge,
        now: Time,
        options: SubscribeOptions,
        waker: Waker,
        track_alias: u64,
    ) -> Result<Self, SubscribeError> {
        Self::begin(track, track.lock(), edge, now, options, waker, track_alias)
    }

    fn begin(
        track: &Arc<Track>,
        mut state: MutexGuard<'_, State>,
        edge: Edge,
        now: Time,
        options: SubscribeOptions,
        waker: Waker,
        track_alias: u64,
    ) -> Result<Self, SubscribeError> {
        if state.malformed.is_some() {
            return Err(SubscribeError::Malformed);
        }
        let range = Range::new(options.filter, edge.largest);
        if range.is_over(edge.largest) {
            return Err(SubscribeError::InvalidRange);
        }
        track.mark_used(now);
        Ok(Self {
            slot: state.register(waker),
            track: Arc::clone(track),
            track_alias,
            order: options.group_order.unwrap_or_else(|| state.default_order()),
            options,
            range,
            joining: edge.largest,
            first: edge
                .largest
                .and_then(successor)
                .unwrap_or_default()
                .max(range.start),
            phase: Phase::Active,
            seen: edge.seq,
            datagrams_seen: edge.seq,
            cursors: BTreeMap::new(),
            ready: BTreeSet::new(),
            streams: BTreeMap::new(),
            dropped: BTreeSet::new(),
            resets: VecDeque::new(),
            timers: Timers::default(),
            unacknowledged: BTreeMap::new(),
            settled: None,
            backlog: 0,
            replay: 0,
            sent: Sent::default(),
            at_rest: false,
            opened: 0,
            next_stream: 0,
            any_reset: false,
            credit: StreamCredit::default(),
            scratch: BytesMut::new(),
        })
    }

    /// The track.
    pub const fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// The largest location when it began, or when FORWARD last went from 0 to 1: LARGEST_OBJECT of the answer, and the end of
    /// a joining FETCH.
    pub const fn joining_location(&self) -> Option<Location> {
        self.joining
    }

    /// The first location that passes.
    pub const fn start(&self) -> Location {
        self.range.start
    }

    /// The last group that passes.
    pub const fn end_group(&self) -> Option<u64> {
        self.range.end_group
    }

    /// FORWARD.
    pub const fn forward(&self) -> bool {
        self.options.forward
    }

    /// Bytes that are in the cache and not yet handed out.
    pub const fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Names the track in the headers of streams and datagrams; to be called before the first [`Self::poll`].
    pub const fn set_track_alias(&mut self, track_alias: u64) {
        self.track_alias = track_alias;
    }

    /// What was given out since the last call.
    pub fn take_sent(&mut self) -> Sent {
        std::mem::take(&mut self.sent)
    }

    /// SUBSCRIBER_PRIORITY; lower is more urgent.
    pub const fn priority(&self) -> u8 {
        self.options.priority
    }

    /// Calls another waker from now on.
    pub fn set_waker(&mut self, waker: Waker) {
        self.track.lock().replace_waker(self.slot, waker);
    }

    /// Applies a REQUEST_UPDATE. Streams of what no longer passes are reset; a changed priority shows in streams opened later.
    /// With FORWARD from 0 to 1, [`Self::joining_location`] is taken anew and stopped subgroups may be opened again.
    pub fn update(&mut self, _now: Time, update: SubscriptionUpdate) {
        let track = Arc::clone(&self.track);
        let state = track.lock();
        self.options.priority = update.priority.unwrap_or(self.options.priority);
        self.options.object_timeout = update.object_timeout.or(self.options.object_timeout);
        self.options.subgroup_timeout = update.subgroup_timeout.or(self.options.subgroup_timeout);
        if let Some(filter) = update.filter {
            self.options.filter = Some(filter);
            self.range = Range::new(Some(filter), state.largest);
            self.settled = None;
            self.drop_cursors(StreamCode::CANCELLED, |range, key| !range.has_group(key.group));
        }
        match update.forward {
            Some(true) if !self.options.forward => {
                self.options.forward = true;
                self.joining = state.largest;
                self.seen = state.seq;
                self.datagrams_seen = state.seq;
                self.dropped.clear();
            }
            Some(false) if self.options.forward => {
                self.options.forward = false;
                self.drop_cursors(StreamCode::CANCELLED, |_, _| true);
            }
            _ => {}
        }
    }

    /// Whether [`Self::poll`] may open streams from now on. Those that are open go on in any case.
    pub const fn set_stream_credit(&mut self, credit: StreamCredit) {
        self.credit = credit;
    }

    /// Whether a stream that ended by FIN will be reset unless [`Self::acknowledged`] is called in time.
    pub fn awaits_acknowledgement(&self, stream: StreamKey) -> bool {
        self.unacknowledged.contains_key(&stream)
    }

    /// The transport takes nothing more on `stream` for now; others go on.
    pub fn block(&mut self, stream: StreamKey) {
        if let Some(&key) = self.streams.get(&stream)
            && let Some(cursor) = self.cursors.get_mut(&key)
        {
            cursor.blocked = true;
            let rank = rank(self.order, cursor, key);
            self.ready.remove(&(rank, key));
        }
    }

    /// The transport takes bytes on `stream` again.
    pub fn unblock(&mut self, stream: StreamKey) {
        if let Some(&key) = self.streams.get(&stream)
            && let Some(cursor) = self.cursors.get_mut(&key)
        {
            cursor.blocked = false;
            self.ready.insert((rank(self.order, cursor, key), key));
        }
    }

    /// The subscriber sent STOP_SENDING: the stream is reset, and its subgroup is not opened again.
    pub fn stopped(&mut self, stream: StreamKey) {
        if let Some(&key) = self.streams.get(&stream) {
            self.drop_subgroup(key.group, key.subgroup, StreamCode::CANCELLED);
        } else if let Some(until) = self.unacknowledged.remove(&stream) {
            self.timers.acknowledged(until, stream);
        }
    }

    /// All bytes of a stream that ended by FIN were acknowledged.
    pub fn acknowledged(&mut self, stream: StreamKey) {
        if let Some(until) = self.unacknowledged.remove(&stream) {
            self.timers.acknowledged(until, stream);
        }
    }

    /// When to poll again although nobody calls.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next().into_iter().chain(self.settled).min()
    }

    /// What to send next: at most about `budget` bytes, appended to `out`. `None`: nothing until the waker is called.
    pub fn poll(&mut self, now: Time, budget: usize, out: &mut Vec<Bytes>) -> Option<Transmit> {
        let track = Arc::clone(&self.track);
        let mut state = track.lock();
        self.at_rest = false;
        if matches!(self.phase, Phase::Active) {
            self.look(&state, now);
        }
        if let Some(reset) = self.next_reset(now) {
            return Some(reset);
        }
        if matches!(self.phase, Phase::Active)
            && let Some(transmit) = self.next_write(&state, now, budget, out)
        {
            self.at_rest = self.has_given_all(&state, now);
            if self.at_rest {
                state.arm(self.slot);
            }
            return Some(transmit);
        }
        if matches!(self.phase, Phase::Active) {
            self.check_end(&state, now);
        }
        if let Some(reset) = self.next_reset(now) {
            return Some(reset);
        }
        if !self.timers.is_lingering()
            && let Phase::Ending { code, reason } = &mut self.phase
        {
            let done = Transmit::Done {
                code: *code,
                stream_count: (!self.any_reset).then_some(self.opened),
                reason: std::mem::take(reason),
            };
            self.phase = Phase::Done;
            // draft "PUBLISH_DONE": delivery of what has its FIN may be left to the streams.
            self.unacknowledged.clear();
            self.timers.clear();
            return Some(done);
        }
        state.arm(self.slot);
        None
    }

    /// Whether what the last [`Self::poll`] gave was all: at the same moment the next would give `None`, unless another method
    /// has changed something since. The waker is set, so it can be spared. False says nothing.
    pub const fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    fn terms(&self, state: &State, now: Time, budget: usize) -> Terms {
        Terms {
            range: self.range,
            track_alias: self.track_alias,
            object_timeout: smaller(self.options.object_timeout, state.object_timeout()),
            subgroup_timeout: smaller(self.options.subgroup_timeout, state.subgroup_timeout()),
            now,
            budget,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.track.lock().unregister(self.slot);
    }
}

fn rank(order: GroupOrder, cursor: &Cursor, key: LaneKey) -> Rank {
    let group = match order {
        GroupOrder::Ascending => key.group,
        GroupOrder::Descending => u64::MAX - key.group,
    };
    (cursor.priority, group, key.subgroup, key.lane)
}

/// The smaller of two timeouts, of which zero is none.
fn smaller(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter()
        .chain(other)
        .filter(|timeout| !timeout.is_zero())
        .min()
}
