//! What goes out next: resets, then datagrams and the most urgent lane.

use bytes::Bytes;

use super::{Phase, Rank, Subscription, smaller};
use crate::fanout::cursor::{Progress, Stop, Terms};
use crate::fanout::timers::Timers;
use crate::fanout::{LINGER, Open, StreamCredit, Transmit};
use crate::track::{LaneKey, Place, State, Time};
use crate::wire::StreamCode;
use crate::wire::data::{Datagram, ObjectStatus};

impl Subscription {
    pub(super) fn next_reset(&mut self, now: Time) -> Option<Transmit> {
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
        self.sent.timed_out += u64::from(code == StreamCode::DELIVERY_TIMEOUT);
        Some(Transmit::Reset { stream, code })
    }

    pub(super) fn next_write(
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
            let best = self.next_ready();
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

    /// Nothing is left to write, and no end is in sight that would have to be looked for.
    pub(super) fn has_given_all(&self, state: &State, now: Time) -> bool {
        let datagram_waits = || {
            let last = state.datagrams.back();
            last.is_some_and(|entry| entry.seq > self.datagrams_seen)
        };
        matches!(self.phase, Phase::Active)
            && self.ready.is_empty()
            && self.resets.is_empty()
            && state.ended.is_none()
            && self.range.end_group.is_none()
            && self.next_timeout().is_none_or(|timeout| timeout > now)
            && !datagram_waits()
    }

    /// The most urgent cursor that has something to do and may do it.
    fn next_ready(&self) -> Option<(Rank, LaneKey)> {
        let opened = |key| self.cursors.get(key).is_none_or(|cursor| cursor.stream.is_some());
        match self.credit {
            StreamCredit::Available => self.ready.first().copied(),
            StreamCredit::Exhausted => self.ready.iter().find(|(_, key)| opened(key)).copied(),
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
            self.replay = self.replay.min(self.backlog);
            cursor.pending = pending;
        }
        let timer = cursor.deadline(state, key, terms);
        self.timers.set_lane(key, cursor.timer, timer);
        cursor.timer = timer;
        let stream = cursor.stream.as_ref().map(|stream| stream.key);
        let publisher_priority = cursor.priority;
        self.sent.objects += progress.sent.objects;
        self.sent.bytes += progress.sent.bytes;
        self.sent.waited = progress.sent.waited.or(self.sent.waited);
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
                end_of_group: ends_group && object.status == ObjectStatus::Normal,
                properties: object.properties.clone(),
                status: object.status,
                payload: object.payload(),
            };
            if datagram.encode(&mut self.scratch).is_ok() {
                out.push(self.scratch.split().freeze());
                self.sent.objects += 1;
                self.sent.bytes += datagram.payload.len() as u64;
                return Some(Transmit::Datagram);
            }
        }
        None
    }
}
