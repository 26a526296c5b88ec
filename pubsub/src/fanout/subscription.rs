//! A downstream subscription: what it is owed, and in which order it goes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::cursor::{Cursor, Overdue, Progress, Stop, Terms};
use super::filter::Range;
use super::timers::Timers;
use super::{LINGER, Open, SETTLE, StreamKey, Transmit};
use crate::track::{Lane, LaneKey, Place, State, Time, Track};
use crate::wire::data::Datagram;
use crate::wire::{Filter, GroupOrder, Location, PublishDoneCode, StreamCode};

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeOptions {
    /// SUBSCRIPTION_FILTER; `None`: everything that arrives.
    pub filter: Option<Filter>,
    /// FORWARD.
    pub forward: bool,
    /// SUBSCRIBER_PRIORITY.
    pub priority: u8,
    /// GROUP_ORDER; `None`: the track's.
    pub group_order: Option<GroupOrder>,
    /// OBJECT_DELIVERY_TIMEOUT; `None` or zero: the track's.
    pub object_timeout: Option<Time>,
    /// SUBGROUP_DELIVERY_TIMEOUT; `None` or zero: the track's.
    pub subgroup_timeout: Option<Time>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            filter: None,
            forward: true,
            priority: 128,
            group_order: None,
            object_timeout: None,
            subgroup_timeout: None,
        }
    }
}

/// What a REQUEST_UPDATE changes; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of SubscribeOptions")]
pub struct SubscriptionUpdate {
    pub filter: Option<Filter>,
    pub forward: Option<bool>,
    pub priority: Option<u8>,
    pub object_timeout: Option<Time>,
    pub subgroup_timeout: Option<Time>,
}

/// Why a subscription cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Every group of the filter has been published: INVALID_RANGE. Past objects come by FETCH.
    #[error("everything in the requested range has been published")]
    InvalidRange,
    /// MALFORMED_TRACK.
    #[error("the track is malformed")]
    Malformed,
}

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
/// Call [`Self::poll`] until it gives `None` after creation, after each call of the waker, after each change made through the
/// other methods, and at [`Self::next_timeout`]. Only objects that arrive after creation (or after FORWARD went from 0 to 1)
/// are sent; those before it, up to [`Self::joining_location`], come by a joining FETCH.
#[derive(Debug)]
pub struct Subscription {
    track: Arc<Track>,
    slot: usize,
    track_alias: u64,
    options: SubscribeOptions,
    order: GroupOrder,
    range: Range,
    joining: Option<Location>,
    phase: Phase,
    /// What of the track's arrival order has been looked at.
    seen: u64,
    datagrams_seen: u64,
    cursors: BTreeMap<LaneKey, Cursor>,
    /// Cursors that may have something to write and are not blocked.
    ready: BTreeSet<(Rank, LaneKey)>,
    streams: HashMap<StreamKey, LaneKey>,
    /// Subgroups that are not to be sent any more, by group.
    dropped: BTreeSet<(u64, u64)>,
    resets: VecDeque<(StreamKey, StreamCode)>,
    timers: Timers,
    /// Streams with FIN that are not acknowledged yet, and until when they must be.
    unacknowledged: HashMap<StreamKey, Time>,
    /// When the end of the range counts as reached.
    settled: Option<Time>,
    backlog: u64,
    opened: u64,
    next_stream: u64,
    any_reset: bool,
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
        let mut state = track.lock();
        if state.malformed.is_some() {
            return Err(SubscribeError::Malformed);
        }
        let range = Range::new(options.filter, state.largest);
        if range.is_over(state.largest) {
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
            joining: state.largest,
            phase: Phase::Active,
            seen: state.seq,
            datagrams_seen: state.seq,
            cursors: BTreeMap::new(),
            ready: BTreeSet::new(),
            streams: HashMap::new(),
            dropped: BTreeSet::new(),
            resets: VecDeque::new(),
            timers: Timers::default(),
            unacknowledged: HashMap::new(),
            settled: None,
            backlog: 0,
            opened: 0,
            next_stream: 0,
            any_reset: false,
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
        if matches!(self.phase, Phase::Active) {
            self.look(&state, now);
        }
        if let Some(reset) = self.next_reset(now) {
            return Some(reset);
        }
        if matches!(self.phase, Phase::Active)
            && let Some(transmit) = self.next_write(&state, now, budget, out)
        {
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

    /// Looks at what changed since the last time.
    fn look(&mut self, state: &State, now: Time) {
        if state.malformed.is_some() {
            return self.end(
                PublishDoneCode::MALFORMED_TRACK,
                StreamCode::MALFORMED_TRACK,
                "the track is malformed",
            );
        }
        if !self.options.forward {
            self.seen = state.seq;
            self.datagrams_seen = state.seq;
            return;
        }
        let seen = self.seen;
        if seen != state.seq {
            self.look_at_evictions(state, now);
            for (_, &key) in state.changed.range(seen + 1..) {
                self.visit(state, now, key, seen);
            }
            self.seen = state.seq;
        }
        while let Some(key) = self.timers.due_lane(now) {
            self.on_timer(state, now, key);
        }
        let terms = self.terms(state, now, 0);
        let patient = terms.object_timeout.is_none() && terms.subgroup_timeout.is_none();
        if patient && self.backlog > self.track.cache().limits().max_lag {
            self.end(
                PublishDoneCode::TOO_FAR_BEHIND,
                StreamCode::TOO_FAR_BEHIND,
                "the backlog exceeds the limit",
            );
        }
    }

    fn look_at_evictions(&mut self, state: &State, now: Time) {
        let seen = self.seen;
        let mut owed = state.evictions_forgotten > seen;
        for eviction in state
            .evictions
            .iter()
            .rev()
            .take_while(|eviction| eviction.seq > seen)
        {
            owed |= eviction.last_entry > seen && self.range.has_group(eviction.group);
        }
        // A group that left may be back already, and then knows nothing of these cursors.
        let stays = |key: &&LaneKey| {
            state
                .groups
                .get(&key.group)
                .is_some_and(|group| group.birth <= seen)
        };
        let gone: Vec<LaneKey> = self.cursors.keys().filter(|key| !stays(key)).copied().collect();
        for key in gone {
            owed |= self
                .cursors
                .get(&key)
                .is_some_and(|cursor| cursor.pending > 0 || cursor.partial.is_some());
            self.close_lane(key, now, StreamCode::CANCELLED);
        }
        if let Some((&first, _)) = state.groups.first_key_value() {
            self.dropped = self.dropped.split_off(&(first, 0));
        }
        if owed {
            self.fall_behind(state, now, None);
        }
    }

    /// Something owed is gone from the cache.
    fn fall_behind(&mut self, state: &State, now: Time, key: Option<LaneKey>) {
        let terms = self.terms(state, now, 0);
        if terms.object_timeout.is_none() && terms.subgroup_timeout.is_none() {
            self.end(
                PublishDoneCode::TOO_FAR_BEHIND,
                StreamCode::TOO_FAR_BEHIND,
                "objects left the cache before they were sent",
            );
        } else if let Some(key) = key {
            self.drop_subgroup(key.group, key.subgroup, StreamCode::DELIVERY_TIMEOUT);
        }
    }

    /// A lane changed: the cursor there, or a new one, has something to do.
    fn visit(&mut self, state: &State, now: Time, key: LaneKey, seen: u64) {
        if !self.range.has_group(key.group) || self.dropped.contains(&(key.group, key.subgroup)) {
            return;
        }
        let Some(group) = state.groups.get(&key.group) else {
            return;
        };
        let Some(subgroup) = group.subgroups.get(&key.subgroup) else {
            return;
        };
        let Some(log) = subgroup.log(key.lane) else { return };
        if !self.cursors.contains_key(&key) {
            if log.left_seq > seen {
                return self.fall_behind(state, now, Some(key));
            }
            if log.after(seen) == log.end() {
                return;
            }
            let received = |id| group.objects.get(&id).map_or(0, |object| object.received);
            self.cursors
                .insert(key, Cursor::new(log, subgroup, &received, seen));
        }
        let terms = self.terms(state, now, 0);
        let Some(cursor) = self.cursors.get_mut(&key) else {
            return;
        };
        let pending = log.total.saturating_sub(cursor.passed);
        self.backlog = (self.backlog + pending).saturating_sub(cursor.pending);
        cursor.pending = pending;
        if !cursor.blocked && cursor.has_work(log, subgroup) {
            self.ready.insert((rank(self.order, cursor, key), key));
        }
        let timer = cursor.deadline(state, key, &terms);
        self.timers.set_lane(key, cursor.timer, timer);
        cursor.timer = timer;
    }

    fn on_timer(&mut self, state: &State, now: Time, key: LaneKey) {
        let terms = self.terms(state, now, 0);
        let Some(cursor) = self.cursors.get_mut(&key) else {
            return;
        };
        cursor.timer = None;
        match cursor.overdue(state, key, &terms) {
            Some(Overdue::Delivery) => {
                self.drop_subgroup(key.group, key.subgroup, StreamCode::DELIVERY_TIMEOUT)
            }
            Some(Overdue::Orphan) => self.close_lane(key, now, StreamCode::CANCELLED),
            None => {
                cursor.timer = cursor.deadline(state, key, &terms);
                self.timers.set_lane(key, None, cursor.timer);
            }
        }
    }

    fn next_reset(&mut self, now: Time) -> Option<Transmit> {
        let linger = |timers: &mut Timers| timers.due_linger(now);
        let next = self
            .resets
            .pop_front()
            .or_else(|| linger(&mut self.timers))
            .or_else(|| {
                let stream = self.timers.due_acknowledgement(now)?;
                self.unacknowledged.remove(&stream);
                Some((stream, StreamCode::DELIVERY_TIMEOUT))
            });
        let (stream, code) = next?;
        self.any_reset = true;
        Some(Transmit::Reset { stream, code })
    }

    fn next_write(
        &mut self,
        state: &State,
        now: Time,
        budget: usize,
        out: &mut Vec<Bytes>,
    ) -> Option<Transmit> {
        let terms = self.terms(state, now, budget.max(1));
        loop {
            if let Some(reset) = self.next_reset(now) {
                return Some(reset);
            }
            if !matches!(self.phase, Phase::Active) {
                return None;
            }
            let best = self.ready.first().copied();
            if let Some(datagram) = self.next_datagram(state, &terms, best.map(|(rank, _)| rank.0), out) {
                return Some(datagram);
            }
            let (rank, key) = best?;
            let Some(cursor) = self.cursors.get_mut(&key) else {
                self.ready.remove(&(rank, key));
                continue;
            };
            let progress = cursor.advance(state, key, &terms, &mut self.next_stream, &mut self.scratch, out);
            if let Some(write) = self.settle(state, &terms, rank, key, progress) {
                return Some(write);
            }
        }
    }

    /// Books what a cursor did and draws the consequences of why it stopped.
    fn settle(
        &mut self,
        state: &State,
        terms: &Terms,
        rank: Rank,
        key: LaneKey,
        progress: Progress,
    ) -> Option<Transmit> {
        let cursor = self.cursors.get_mut(&key)?;
        let log = state
            .groups
            .get(&key.group)
            .and_then(|g| g.subgroups.get(&key.subgroup))
            .and_then(|s| s.log(key.lane));
        if let Some(log) = log {
            if progress.stop == Stop::Fin || (progress.stop == Stop::Drained && cursor.index + 1 >= log.end())
            {
                cursor.passed = log.total;
            }
            let pending = log.total.saturating_sub(cursor.passed);
            self.backlog = (self.backlog + pending).saturating_sub(cursor.pending);
            cursor.pending = pending;
        }
        let timer = cursor.deadline(state, key, terms);
        self.timers.set_lane(key, cursor.timer, timer);
        cursor.timer = timer;
        let stream = cursor.stream.as_ref().map(|stream| stream.key);
        let publisher_priority = cursor.priority;
        let wrote = progress.opened || progress.bytes > 0;
        match progress.stop {
            Stop::Budget => {}
            Stop::Drained => {
                self.ready.remove(&(rank, key));
                if cursor.stream.is_none()
                    && cursor.partial.is_none()
                    && log.is_none_or(|log| cursor.index >= log.end())
                {
                    self.forget_lane(key);
                }
            }
            Stop::Fin => self.finish_lane(state, terms, key),
            // What was written goes first; the cursor comes back to the same point.
            Stop::NotNext | Stop::Expired | Stop::Evicted if wrote => {}
            Stop::NotNext => {
                cursor.partial = None;
                if let Some(stream) = cursor.stream.take() {
                    self.streams.remove(&stream.key);
                    self.timers
                        .linger(terms.now + LINGER, stream.key, StreamCode::CANCELLED);
                }
            }
            Stop::Expired => self.drop_subgroup(key.group, key.subgroup, StreamCode::DELIVERY_TIMEOUT),
            Stop::Evicted => {
                self.ready.remove(&(rank, key));
                self.fall_behind(state, terms.now, Some(key));
            }
        }
        let stream = stream.filter(|_| wrote || progress.stop == Stop::Fin)?;
        let open = progress.opened.then_some(Open {
            subscriber_priority: self.options.priority,
            publisher_priority,
            group: key.group,
            subgroup: key.subgroup,
        });
        if progress.opened {
            self.opened += 1;
            if progress.stop != Stop::Fin {
                self.streams.insert(stream, key);
            }
        }
        Some(Transmit::Write {
            stream,
            open,
            fin: progress.stop == Stop::Fin,
        })
    }

    fn next_datagram(
        &mut self,
        state: &State,
        terms: &Terms,
        best: Option<u8>,
        out: &mut Vec<Bytes>,
    ) -> Option<Transmit> {
        let first = state
            .datagrams
            .partition_point(|entry| entry.seq <= self.datagrams_seen);
        for entry in state.datagrams.iter().skip(first) {
            let object = state
                .object(entry.at)
                .filter(|object| object.place == Place::Datagram);
            let timeout = smaller(terms.object_timeout, terms.subgroup_timeout);
            let timely = |arrived| timeout.is_none_or(|timeout| terms.now <= arrived + timeout);
            let Some(object) =
                object.filter(|object| self.range.contains(entry.at) && timely(object.arrived))
            else {
                self.datagrams_seen = entry.seq;
                continue;
            };
            if best.is_some_and(|best| best < object.priority) {
                return None;
            }
            self.datagrams_seen = entry.seq;
            let ends_group = state
                .groups
                .get(&entry.at.group)
                .is_some_and(|group| group.end == entry.at.object.checked_add(1));
            let datagram = Datagram {
                track_alias: self.track_alias,
                group: entry.at.group,
                object: entry.at.object,
                priority: Some(object.priority),
                end_of_group: ends_group && object.status == crate::wire::data::ObjectStatus::Normal,
                properties: object.properties.clone(),
                status: object.status,
                payload: object.payload(),
            };
            if datagram.encode(&mut self.scratch).is_ok() {
                out.push(self.scratch.split().freeze());
                return Some(Transmit::Datagram);
            }
        }
        None
    }

    /// Ends the subscription once the track has ended or the range is behind, and nothing is left to send.
    fn check_end(&mut self, state: &State, now: Time) {
        let busy = self
            .cursors
            .values()
            .any(|cursor| cursor.pending > 0 || cursor.partial.is_some());
        let ended = if let Some((code, reason)) = &state.ended {
            (!busy).then(|| (*code, reason.clone()))
        } else {
            self.range_is_behind(state, busy, now)
                .then(|| (PublishDoneCode::SUBSCRIPTION_ENDED, String::new()))
        };
        let Some((code, reason)) = ended else { return };
        for key in self.cursors.keys().copied().collect::<Vec<_>>() {
            self.close_lane(key, now, StreamCode::CANCELLED);
        }
        self.settled = None;
        self.phase = Phase::Ending { code, reason };
    }

    fn range_is_behind(&mut self, state: &State, busy: bool, now: Time) -> bool {
        let Some(end) = self.range.end_group else {
            return false;
        };
        let writing = || {
            state
                .groups
                .range(self.range.start.group..=end)
                .any(|(_, group)| group.writers > 0)
        };
        let behind = self.range.is_over(state.largest) && !busy && !writing();
        if !behind {
            self.settled = None;
            return false;
        }
        *self.settled.get_or_insert(now + SETTLE) <= now
    }

    /// Ends everything at once.
    fn end(&mut self, code: PublishDoneCode, stream_code: StreamCode, reason: &str) {
        self.drop_cursors(stream_code, |_, _| true);
        while let Some((stream, _)) = self.timers.due_linger(Time::MAX) {
            self.resets.push_back((stream, stream_code));
        }
        self.settled = None;
        self.phase = Phase::Ending {
            code,
            reason: reason.to_owned(),
        };
    }

    /// The subgroup is complete: its FIN goes out with this write.
    fn finish_lane(&mut self, state: &State, terms: &Terms, key: LaneKey) {
        let ended = state
            .groups
            .get(&key.group)
            .and_then(|g| g.subgroups.get(&key.subgroup))
            .and_then(|s| s.end);
        let stream = self.forget_lane(key);
        if let (Some(timeout), Some((_, ended)), Some(stream)) = (terms.subgroup_timeout, ended, stream) {
            let until = ended + timeout;
            self.unacknowledged.insert(stream, until);
            self.timers.acknowledge_until(until, stream);
        }
    }

    /// Resets the subgroup's streams at once and never opens it again.
    fn drop_subgroup(&mut self, group: u64, subgroup: u64, code: StreamCode) {
        self.dropped.insert((group, subgroup));
        for lane in [Lane::Main, Lane::Late] {
            if let Some(stream) = self.forget_lane(LaneKey {
                group,
                subgroup,
                lane,
            }) {
                self.resets.push_back((stream, code));
            }
        }
    }

    fn drop_cursors(&mut self, code: StreamCode, which: impl Fn(&Range, LaneKey) -> bool) {
        let keys: Vec<LaneKey> = self
            .cursors
            .keys()
            .copied()
            .filter(|&key| which(&self.range, key))
            .collect();
        for key in keys {
            if let Some(stream) = self.forget_lane(key) {
                self.resets.push_back((stream, code));
            }
        }
    }

    /// Gives up the lane; its stream is reset without haste.
    fn close_lane(&mut self, key: LaneKey, now: Time, code: StreamCode) {
        if let Some(stream) = self.forget_lane(key) {
            self.timers.linger(now + LINGER, stream, code);
        }
    }

    /// Removes the cursor; what becomes of its stream is the caller's decision.
    fn forget_lane(&mut self, key: LaneKey) -> Option<StreamKey> {
        let cursor = self.cursors.remove(&key)?;
        self.ready.remove(&(rank(self.order, &cursor, key), key));
        self.backlog = self.backlog.saturating_sub(cursor.pending);
        self.timers.set_lane(key, cursor.timer, None);
        let stream = cursor.stream?.key;
        self.streams.remove(&stream);
        Some(stream)
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
