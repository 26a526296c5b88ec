//! A subscription's position in one lane of one subgroup, and the stream it writes there.

use bytes::{Bytes, BytesMut};

use super::filter::Range;
use super::{ORPHAN, Sent, StreamKey};
use crate::track::{Entry, Lane, LaneKey, Log, Object, PayloadCursor, State, StreamShape, Subgroup, Time};
use crate::wire::Location;
use crate::wire::data::{SubgroupHeader, SubgroupId};

/// Ids that may lie between two objects of a stream and still be looked at one by one, to prove that none belongs to the subgroup.
const MAX_PROVEN_GAP: u64 = 64;
/// Over MAX_CACHE_DURATION that live forwarding is given to find its turn.
const MAX_AGE_SLACK: Time = Time::from_millis(250);

/// A downstream stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) shape: StreamShape,
    /// Its last object will not be completed on it: nothing may follow.
    broken: bool,
}

/// The object whose payload is being written.
#[derive(Debug)]
pub(super) struct Partial {
    payload: PayloadCursor,
    sent: u64,
}

#[derive(Debug)]
pub(super) struct Cursor {
    /// The next entry of the log.
    pub(super) index: u64,
    /// Logged bytes that are behind it.
    pub(super) passed: u64,
    /// Logged bytes that are before it, when it last looked.
    pub(super) pending: u64,
    pub(super) stream: Option<Stream>,
    pub(super) partial: Option<Partial>,
    pub(super) priority: u8,
    pub(super) blocked: bool,
    /// Its moment in the timers.
    pub(super) timer: Option<Time>,
}

/// Limits and identity that all cursors of a subscription share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) range: Range,
    pub(super) track_alias: u64,
    pub(super) object_timeout: Option<Time>,
    pub(super) subgroup_timeout: Option<Time>,
    pub(super) now: Time,
    pub(super) budget: usize,
}

/// Why a cursor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing more is there yet.
    Drained,
    /// The budget is used up.
    Budget,
    /// The subgroup is complete on this stream.
    Fin,
    /// The stream cannot take what comes next and must be replaced.
    NotNext,
    /// A delivery timeout has passed.
    Expired,
    /// What is owed has left the cache.
    Evicted,
}

/// What a cursor wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) opened: bool,
    pub(super) bytes: usize,
    pub(super) sent: Sent,
    pub(super) stop: Stop,
}

impl Cursor {
    /// A cursor before the entry at `index`.
    pub(super) fn new(log: &Log, subgroup: &Subgroup, objects: &impl Fn(u64) -> u64, index: u64) -> Self {
        let ahead = log
            .iter_from(index)
            .map(|entry| entry.head.len() as u64 + entry.dead.unwrap_or_else(|| objects(entry.id)));
        Self {
            index,
            passed: log.total.saturating_sub(ahead.sum()),
            pending: 0,
            stream: None,
            partial: None,
            priority: subgroup.priority,
            blocked: false,
            timer: None,
        }
    }

    /// Something is there to write or to skip.
    pub(super) fn has_work(&self, log: &Log, subgroup: &Subgroup) -> bool {
        let ended = || {
            self.stream
                .as_ref()
                .is_some_and(|stream| is_final(stream, subgroup))
        };
        log.total > self.passed || self.index < log.end() || ended()
    }

    /// Writes what is ready, up to the budget, on one stream.
    pub(super) fn advance(
        &mut self,
        state: &State,
        key: LaneKey,
        terms: &Terms,
        next_stream: &mut u64,
        scratch: &mut BytesMut,
        out: &mut Vec<Bytes>,
    ) -> Progress {
        let mut progress = Progress {
            opened: false,
            sent: Sent::default(),
            bytes: 0,
            stop: Stop::Drained,
        };
        let Some(subgroup) = state
            .groups
            .get(&key.group)
            .and_then(|group| group.subgroups.get(&key.subgroup))
        else {
            progress.stop = Stop::Evicted;
            return progress;
        };
        let Some(log) = subgroup.log(key.lane) else {
            return progress;
        };
        loop {
            if progress.bytes >= terms.budget {
                progress.stop = Stop::Budget;
                return progress;
            }
            let step = self.entry(
                state,
                subgroup,
                log,
                key,
                terms,
                next_stream,
                scratch,
                out,
                &mut progress,
            );
            if let Some(stop) = step {
                progress.stop = stop;
                return progress;
            }
        }
    }

    /// One entry, or as much of it as is there; `None`: go on with the next.
    #[expect(clippy::too_many_arguments, reason = "the borrowed parts of one advance")]
    fn entry(
        &mut self,
        state: &State,
        subgroup: &Subgroup,
        log: &Log,
        key: LaneKey,
        terms: &Terms,
        next_stream: &mut u64,
        scratch: &mut BytesMut,
        out: &mut Vec<Bytes>,
        progress: &mut Progress,
    ) -> Option<Stop> {
        if self.index < log.base() {
            return Some(Stop::Evicted);
        }
        if self.stream.as_ref().is_some_and(|stream| stream.broken) {
            return Some(Stop::NotNext);
        }
        let Some(entry) = log.get(self.index) else {
            let done = key.lane == Lane::Main
                && self
                    .stream
                    .as_ref()
                    .is_some_and(|stream| is_final(stream, subgroup));
            return Some(if done { Stop::Fin } else { Stop::Drained });
        };
        if let Some(received) = entry.dead {
            let sent = self.partial.as_ref().map_or(0, |partial| partial.sent);
            if self.partial.is_none() {
                self.passed += entry.head.len() as u64;
            }
            self.passed += received.saturating_sub(sent);
            self.index += 1;
            self.abandon();
            return None;
        }
        let at = Location::new(key.group, entry.id);
        let Some(object) = state.object(at) else {
            return Some(Stop::Evicted);
        };
        if !terms.range.contains(at) {
            self.abandon();
            self.skip(entry.head.len(), object);
            return (!object.is_complete()).then_some(Stop::Drained);
        }
        if terms.is_late(object, subgroup) {
            return Some(Stop::Expired);
        }
        if self.partial.is_none() {
            if state
                .max_age()
                .is_some_and(|age| terms.now > object.arrived + age + MAX_AGE_SLACK)
            {
                return Some(Stop::Evicted);
            }
            let fits =
                |stream: &Stream| takes(stream, object) && is_next(state, at, entry.prev, stream.shape.last);
            if self.stream.as_ref().is_some_and(|stream| !fits(stream)) {
                return Some(Stop::NotNext);
            }
            let prefix = if self.stream.is_none() {
                progress.opened = true;
                Some(self.open(subgroup, key, entry.id, object, terms, next_stream))
            } else {
                None
            };
            if let Some(stream) = &mut self.stream {
                if let Some(header) = prefix {
                    header.encode(scratch);
                }
                progress.bytes += entry.head.put(entry.id, stream.shape, object, scratch, out);
                progress.sent.objects += 1;
                progress.sent.waited = Some(terms.now.saturating_sub(object.arrived));
                stream.shape.last = Some(entry.id);
            }
            self.passed += entry.head.len() as u64;
            self.partial = Some(Partial {
                payload: PayloadCursor::default(),
                sent: 0,
            });
        }
        self.payload(object, terms.budget, out, progress)
    }

    /// Leaves an object in the middle: the stream that has its beginning cannot go on.
    fn abandon(&mut self) {
        if self.partial.take().is_some()
            && let Some(stream) = &mut self.stream
        {
            stream.broken = true;
        }
    }

    fn payload(
        &mut self,
        object: &Object,
        budget: usize,
        out: &mut Vec<Bytes>,
        progress: &mut Progress,
    ) -> Option<Stop> {
        let partial = self.partial.as_mut()?;
        while partial.sent < object.len {
            let room = budget.saturating_sub(progress.bytes);
            if room == 0 {
                return Some(Stop::Budget);
            }
            let Some(piece) = partial.payload.next(object, room) else {
                return Some(Stop::Drained);
            };
            progress.bytes += piece.len();
            progress.sent.bytes += piece.len() as u64;
            partial.sent += piece.len() as u64;
            self.passed += piece.len() as u64;
            out.push(piece);
        }
        self.partial = None;
        self.index += 1;
        None
    }

    /// Passes an object that does not pass the filter. An incomplete one is passed again with what comes of it.
    fn skip(&mut self, head: usize, object: &Object) {
        if object.is_complete() {
            self.index += 1;
            self.passed += head as u64 + object.received;
        }
    }

    fn open(
        &mut self,
        subgroup: &Subgroup,
        key: LaneKey,
        id: u64,
        object: &Object,
        terms: &Terms,
        next_stream: &mut u64,
    ) -> SubgroupHeader {
        let has_properties = subgroup.has_properties || !object.properties.is_empty();
        self.stream = Some(Stream {
            key: StreamKey(*next_stream),
            shape: StreamShape {
                has_properties,
                last: None,
            },
            broken: false,
        });
        *next_stream += 1;
        SubgroupHeader {
            track_alias: terms.track_alias,
            group: key.group,
            subgroup: if key.subgroup == 0 {
                SubgroupId::Zero
            } else {
                SubgroupId::Explicit(key.subgroup)
            },
            priority: Some(subgroup.priority),
            has_properties,
            end_of_group: subgroup.ends_group && key.lane == Lane::Main,
            first_object: subgroup.first == Some(id),
        }
    }

    /// When the cursor must be looked at again although nothing arrives.
    pub(super) fn deadline(&self, state: &State, key: LaneKey, terms: &Terms) -> Option<Time> {
        let subgroup = state.groups.get(&key.group)?.subgroups.get(&key.subgroup)?;
        let waiting = self.next_live(subgroup.log(key.lane)?);
        if let Some(object) = waiting.and_then(|entry| state.object(Location::new(key.group, entry.id))) {
            // Late means later than the deadline.
            return terms
                .deadline(object, subgroup)
                .map(|deadline| deadline + Time::from_millis(1));
        }
        self.is_orphaned(subgroup)
            .then(|| self.timer.unwrap_or(terms.now + ORPHAN))
    }

    /// The entry to be written next, behind those that were cut off.
    fn next_live<'log>(&self, log: &'log Log) -> Option<&'log Entry> {
        log.iter_from(self.index).find(|entry| entry.dead.is_none())
    }

    /// The stream waits for objects that no source is about to bring. After a reset upstream they may still come from elsewhere
    /// (draft section "Closing Subgroup Streams").
    fn is_orphaned(&self, subgroup: &Subgroup) -> bool {
        self.stream.is_some() && subgroup.writers == 0
    }

    /// What the timer that has just passed was for.
    pub(super) fn overdue(&self, state: &State, key: LaneKey, terms: &Terms) -> Option<Overdue> {
        let subgroup = state.groups.get(&key.group)?.subgroups.get(&key.subgroup)?;
        let waiting = self.next_live(subgroup.log(key.lane)?);
        match waiting.and_then(|entry| state.object(Location::new(key.group, entry.id))) {
            Some(object) => terms.is_late(object, subgroup).then_some(Overdue::Delivery),
            None => self.is_orphaned(subgroup).then_some(Overdue::Orphan),
        }
    }
}

/// What has lasted too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A delivery timeout.
    Delivery,
    /// The wait for another source of the subgroup.
    Orphan,
}

impl Terms {
    fn deadline(&self, object: &Object, subgroup: &Subgroup) -> Option<Time> {
        let object = self.object_timeout.map(|timeout| object.arrived + timeout);
        let subgroup = self
            .subgroup_timeout
            .zip(subgroup.end)
            .map(|(timeout, (_, ended))| ended + timeout);
        object.into_iter().chain(subgroup).min()
    }

    /// draft "Delivery Timeouts and Data Reliability"
    pub(super) fn is_late(&self, object: &Object, subgroup: &Subgroup) -> bool {
        self.deadline(object, subgroup)
            .is_some_and(|deadline| self.now > deadline)
    }
}

/// The stream has the subgroup's final object. A FIN claims nothing about objects before the stream's first one: those came before
/// the subscription, or were on a stream that was reset.
fn is_final(stream: &Stream, subgroup: &Subgroup) -> bool {
    subgroup
        .end
        .is_some_and(|(end, _)| stream.shape.last == Some(end))
}

/// A stream without the PROPERTIES bit cannot carry an object that has some.
fn takes(stream: &Stream, object: &Object) -> bool {
    stream.shape.has_properties || object.properties.is_empty()
}

/// The object may follow `last` on a stream (draft section "Closing Subgroup Streams").
fn is_next(state: &State, at: Location, prev: Option<u64>, last: Option<u64>) -> bool {
    let Some(last) = last else { return true };
    if at.object <= last {
        return false;
    }
    if prev == Some(last) || at.object - last == 1 {
        return true;
    }
    if at.object - last > MAX_PROVEN_GAP {
        let first = Location::new(at.group, last.saturating_add(1));
        return state
            .absence
            .end_of(first)
            .is_some_and(|end| end >= Location::new(at.group, at.object - 1));
    }
    let place = state.object(at).map(|object| object.place);
    (last + 1..at.object)
        .map(|id| Location::new(at.group, id))
        .all(|between| match state.object(between) {
            Some(object) => Some(object.place) != place,
            None => state.absence.end_of(between).is_some(),
        })
}
