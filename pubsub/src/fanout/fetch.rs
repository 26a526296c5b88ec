//! A downstream fetch: past objects in order, and the holes in what is known of them.

mod walk;

use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use walk::{Halt, Partial, Position};

use super::Sent;
use super::scan::inclusive;
use crate::track::{RangeSet, State, Time, Track};
use crate::wire::data::FetchWriter;
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
    sent: Sent,
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
            sent: Sent::default(),
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

    /// What was given out since the last call.
    pub fn take_sent(&mut self) -> Sent {
        std::mem::take(&mut self.sent)
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
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.track.lock().unregister(self.slot);
    }
}
