//! A downstream fetch: past objects in order, and the holes in what is known of them.

use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::scan::{Found, classify, has_objects, inclusive};
use crate::track::{PayloadCursor, Place, RangeSet, State, Time, Track, predecessor, successor};
use crate::wire::data::{FetchObject, FetchWriter, RangeStatus};
use crate::wire::{GroupOrder, Location, StreamCode};

/// Why a fetch cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The end lies before the start, nothing was published, or the start lies behind the largest object: INVALID_RANGE.
    #[error("there is nothing in the requested range")]
    InvalidRange,
    /// MALFORMED_TRACK.
    #[error("the track is malformed")]
    Malformed,
}

/// What a FETCH asks for.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// First location.
    pub start: Location,
    /// End Location as on the wire: the object after the last, or object 0 for the whole group.
    pub end: Location,
    /// GROUP_ORDER; ascending if absent from the message.
    pub order: GroupOrder,
    /// SUBSCRIBER_PRIORITY.
    pub priority: u8,
}

/// What a fetch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchStep {
    /// The bytes put into `out` go on the stream.
    Write {
        /// The stream ends behind the bytes. Nothing follows.
        fin: bool,
    },
    /// It cannot go on before somebody finds out about these locations, both inclusive: fetch them from upstream into
    /// [`Track::fill`], or give up on them with [`Fetch::unknown`]. Said again at each poll until then.
    Hole {
        /// First location that nothing is known of.
        start: Location,
        /// Last one.
        end: Location,
    },
    /// Nothing until the waker is called.
    Pending,
    /// Reset the stream. Nothing follows.
    Reset(StreamCode),
}

/// A fetch of a range of one track, for one downstream request.
///
/// Call [`Self::poll`] after creation, after each call of the waker and after [`Self::unknown`], until it gives no more
/// [`FetchStep::Write`].
#[derive(Debug)]
pub struct Fetch {
    track: Arc<Track>,
    slot: usize,
    request_id: u64,
    start: Location,
    /// Inclusive.
    end: Location,
    /// As asked for, and as answered once it is known, on the wire.
    wire_end: Location,
    range: Option<(Location, bool)>,
    /// How many ends of fetches upstream had told when it began.
    extents: u64,
    order: GroupOrder,
    priority: u8,
    writer: FetchWriter,
    began: bool,
    position: Position,
    partial: Option<Partial>,
    given_up: RangeSet,
    /// The last location that the stream accounts for.
    told: Option<Location>,
    scratch: BytesMut,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// Next location to look at; groups and objects ascend from here. In descending order: inside this group only.
    At(Location),
    /// Descending: every group above this location's is done, and nothing of its group is.
    Below(Location),
    /// Everything was told.
    End,
    /// FIN or reset was given.
    Done,
}

#[derive(Debug)]
struct Partial {
    at: Location,
    payload: PayloadCursor,
    left: u64,
}

/// Why a walk stops.
enum Halt {
    Budget,
    Step(FetchStep),
}

impl Fetch {
    /// Begins to fetch.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]. With no source alive, whether the range is valid may show only upstream.
    pub fn new(
        track: &Arc<Track>,
        now: Time,
        options: FetchOptions,
        waker: Waker,
        request_id: u64,
    ) -> Result<Self, FetchError> {
        let FetchOptions {
            start,
            end,
            order,
            priority,
        } = options;
        let mut state = track.lock();
        if state.malformed.is_some() {
            return Err(FetchError::Malformed);
        }
        let last = inclusive(end);
        let behind = state.is_live() && state.largest.is_none_or(|largest| start > largest);
        if last < start || behind {
            return Err(FetchError::InvalidRange);
        }
        track.mark_used(now);
        let mut fetch = Self {
            slot: state.register(waker),
            track: Arc::clone(track),
            request_id,
            start,
            end: last,
            wire_end: end,
            range: None,
            extents: state.extent.1,
            order,
            priority,
            writer: FetchWriter::new(order),
            began: false,
            position: Position::Below(last),
            partial: None,
            given_up: RangeSet::default(),
            told: None,
            scratch: BytesMut::new(),
        };
        fetch.resolve(&state);
        fetch.position = match order {
            GroupOrder::Ascending => Position::At(start),
            GroupOrder::Descending => Position::Below(fetch.end),
        };
        Ok(fetch)
    }

    /// The track.
    pub const fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Request ID of the FETCH.
    pub const fn request_id(&self) -> u64 {
        self.request_id
    }

    /// Subscriber priority of the FETCH.
    pub const fn priority(&self) -> u8 {
        self.priority
    }

    /// Takes another priority, of a REQUEST_UPDATE.
    pub const fn set_priority(&mut self, priority: u8) {
        self.priority = priority;
    }

    /// Calls another waker from now on.
    pub fn set_waker(&mut self, waker: Waker) {
        self.track.lock().replace_waker(self.slot, waker);
    }

    /// End Location (as on the wire) and End Of Track for FETCH_OK, as soon as they are known.
    pub const fn range(&self) -> Option<(Location, bool)> {
        self.range
    }

    /// Gives up on a hole, both ends inclusive: where it still is one, the stream says that it is unknown, and goes on.
    pub fn unknown(&mut self, start: Location, end: Location) {
        self.given_up.insert(start, end);
    }

    /// What to do next: at most about `budget` bytes, appended to `out`.
    pub fn poll(&mut self, now: Time, budget: usize, out: &mut Vec<Bytes>) -> FetchStep {
        let track = Arc::clone(&self.track);
        let mut state = track.lock();
        if matches!(self.position, Position::Done) {
            return FetchStep::Pending;
        }
        let before = out.len();
        if state.malformed.is_some() {
            return self.reset(StreamCode::MALFORMED_TRACK);
        }
        self.resolve(&state);
        if self.range.is_some() && self.end < self.start {
            return self.reset(StreamCode::UNKNOWN_OBJECT_STATUS);
        }
        if !self.began {
            self.began = true;
            self.writer.header(self.request_id, &mut self.scratch);
        }
        let mut room = budget.max(1);
        let halt = loop {
            if let Err(halt) = self.step(&state, now, &mut room, out) {
                break halt;
            }
        };
        self.flush(out);
        let wrote = out.len() > before;
        match halt {
            Halt::Step(FetchStep::Write { fin: true }) => {
                self.position = Position::Done;
                FetchStep::Write { fin: true }
            }
            Halt::Step(FetchStep::Reset(code)) => self.reset(code),
            Halt::Step(FetchStep::Write { .. }) | Halt::Budget => FetchStep::Write { fin: false },
            Halt::Step(_) if wrote => FetchStep::Write { fin: false },
            Halt::Step(step) => {
                state.arm(self.slot);
                step
            }
        }
    }

    fn reset(&mut self, code: StreamCode) -> FetchStep {
        self.position = Position::Done;
        FetchStep::Reset(code)
    }

    /// Finds out where the answer ends (draft section "FETCH_OK").
    fn resolve(&mut self, state: &State) {
        if self.range.is_some() {
            return;
        }
        let limit = if state.is_live() {
            state.largest
        } else if state.extent.1 != self.extents {
            state.extent.0.max(state.largest)
        } else {
            state.largest.filter(|&largest| largest >= self.end)
        };
        if let Some(limit) = limit {
            self.limit(state, limit);
        }
    }

    fn limit(&mut self, state: &State, limit: Location) {
        let last_of_track = state.absence.track_end().is_some() && limit <= self.end;
        if limit < self.end {
            self.end = limit;
            // The largest id there is has no id after it, but "the whole group" says the same.
            self.wire_end = Location::new(limit.group, limit.object.checked_add(1).unwrap_or(0));
            if let Position::Below(below) = self.position
                && limit < below
            {
                self.position = Position::Below(limit);
            }
        }
        self.range = Some((self.wire_end, last_of_track));
    }

    fn step(&mut self, state: &State, now: Time, room: &mut usize, out: &mut Vec<Bytes>) -> Result<(), Halt> {
        if self.partial.is_some() {
            return self.payload(state, room, out);
        }
        if *room == 0 {
            return Err(Halt::Budget);
        }
        match self.position {
            Position::At(at) => {
                let last = match self.order {
                    GroupOrder::Ascending => self.end,
                    GroupOrder::Descending => Location::new(at.group, u64::MAX).min(self.end),
                };
                if at > last {
                    self.pass(last)
                } else {
                    self.look(state, now, at, last, room, out)
                }
            }
            Position::Below(top) => self.descend(state, now, top),
            Position::End | Position::Done => {
                if self.range.is_none() {
                    self.range = Some((self.wire_end, false));
                }
                Err(Halt::Step(FetchStep::Write { fin: true }))
            }
        }
    }

    /// Looks at one location and what is like it behind.
    fn look(
        &mut self,
        state: &State,
        now: Time,
        at: Location,
        last: Location,
        room: &mut usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Halt> {
        match classify(state, at, last, now) {
            Found::Object => self.begin(state, at, room, out),
            Found::Wait => Err(Halt::Step(FetchStep::Pending)),
            Found::Absent(until) => self.pass(until),
            Found::Unknown(until) => {
                let Some(until) = self.given_up.end_of(at).map(|end| end.min(until)) else {
                    let next = self.given_up.next_covered(at).and_then(predecessor);
                    let end = next.map_or(until, |next| next.min(until));
                    return Err(Halt::Step(FetchStep::Hole { start: at, end }));
                };
                let expected = self.told.map_or(Some(self.start), successor);
                if self.order == GroupOrder::Ascending
                    && expected.is_some_and(|expected| expected < at)
                    && let Some(before) = predecessor(at)
                {
                    self.mark(before, RangeStatus::NonExistent);
                }
                self.mark(until, RangeStatus::Unknown);
                self.pass(until)
            }
        }
    }

    fn mark(&mut self, at: Location, status: RangeStatus) {
        // Positions only go forward, which is all that the writer asks for.
        if self.writer.end_of_range(at, status, &mut self.scratch).is_ok() {
            self.told = Some(at);
        }
    }

    /// Goes on behind `until`.
    fn pass(&mut self, until: Location) -> Result<(), Halt> {
        let next = successor(until).filter(|&next| next <= self.end);
        self.position = match (self.order, next) {
            (GroupOrder::Ascending, Some(next)) => Position::At(next),
            (GroupOrder::Ascending, None) => Position::End,
            (GroupOrder::Descending, Some(next)) if next.group == until.group => Position::At(next),
            (GroupOrder::Descending, _) => self.below(until.group),
        };
        Ok(())
    }

    /// What comes after `group` in descending order.
    fn below(&self, group: u64) -> Position {
        match group.checked_sub(1).filter(|&next| next >= self.start.group) {
            Some(next) => Position::Below(Location::new(next, u64::MAX)),
            None => Position::End,
        }
    }

    /// Descending: finds the next group, and accounts for missing ones.
    fn descend(&mut self, state: &State, now: Time, top: Location) -> Result<(), Halt> {
        let present = state
            .groups
            .range(self.start.group..=top.group)
            .rev()
            .find(|(_, group)| has_objects(group));
        let group = present.map(|(&id, _)| id);
        if group == Some(top.group) {
            self.position = Position::At(Location::new(top.group, 0).max(self.start));
            return Ok(());
        }
        let first = group.map_or(self.start, |group| Location::new(group + 1, 0));
        let (mut at, mut unknown) = (Some(first), false);
        while let Some(here) = at.filter(|&here| here <= top) {
            let until = match classify(state, here, top, now) {
                Found::Absent(until) => until,
                Found::Unknown(until) => {
                    let Some(given_up) = self.given_up.end_of(here) else {
                        return Err(Halt::Step(FetchStep::Hole {
                            start: here,
                            end: until,
                        }));
                    };
                    unknown = true;
                    given_up.min(until)
                }
                Found::Object | Found::Wait => here,
            };
            at = successor(until);
        }
        if unknown {
            let object = if first.group == top.group {
                top.object
            } else {
                u64::MAX
            };
            self.mark(Location::new(first.group, object), RangeStatus::Unknown);
        }
        self.position = self.below(first.group);
        Ok(())
    }

    fn begin(
        &mut self,
        state: &State,
        at: Location,
        room: &mut usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Halt> {
        let Some(object) = state.object(at) else {
            return self.pass(at);
        };
        let head = FetchObject {
            location: at,
            subgroup: match object.place {
                Place::Subgroup(id) => Some(id),
                Place::Datagram => None,
            },
            priority: object.priority,
            properties: object.properties.clone(),
            payload_len: object.len,
        };
        if self.writer.object(&head, &mut self.scratch).is_err() {
            return Err(Halt::Step(FetchStep::Reset(StreamCode::INTERNAL_ERROR)));
        }
        *room = room.saturating_sub(self.scratch.len());
        self.flush(out);
        self.told = Some(at);
        self.partial = Some(Partial {
            at,
            payload: PayloadCursor::default(),
            left: object.len,
        });
        Ok(())
    }

    fn payload(&mut self, state: &State, room: &mut usize, out: &mut Vec<Bytes>) -> Result<(), Halt> {
        let Some(partial) = &mut self.partial else {
            return Ok(());
        };
        let at = partial.at;
        let object = state.object(at);
        while partial.left > 0 {
            if *room == 0 {
                return Err(Halt::Budget);
            }
            let Some(piece) = object.and_then(|object| partial.payload.next(object, *room)) else {
                // It left the cache in the middle.
                return Err(Halt::Step(FetchStep::Reset(StreamCode::UNKNOWN_OBJECT_STATUS)));
            };
            *room = room.saturating_sub(piece.len());
            partial.left = partial.left.saturating_sub(piece.len() as u64);
            out.push(piece);
        }
        self.partial = None;
        self.pass(at)
    }

    fn flush(&mut self, out: &mut Vec<Bytes>) {
        if !self.scratch.is_empty() {
            out.push(self.scratch.split().freeze());
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.track.lock().unregister(self.slot);
    }
}
