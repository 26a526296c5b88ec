//! The walk through the range: objects written, absence told, holes found.

use bytes::Bytes;

use super::{Fetch, FetchStep};
use crate::fanout::scan::{Found, classify, has_objects};
use crate::track::{PayloadCursor, Place, State, Time, predecessor, successor};
use crate::wire::data::{FetchObject, RangeStatus};
use crate::wire::{GroupOrder, Location, StreamCode};

#[derive(Clone, Copy, Debug)]
pub(super) enum Position {
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
pub(super) struct Partial {
    at: Location,
    payload: PayloadCursor,
    left: u64,
}

/// Why a walk stops.
pub(super) enum Halt {
    Budget,
    Step(FetchStep),
}

impl Fetch {
    pub(super) fn step(
        &mut self,
        state: &State,
        now: Time,
        room: &mut usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Halt> {
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
        self.sent.objects += 1;
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
            self.sent.bytes += piece.len() as u64;
            out.push(piece);
        }
        self.partial = None;
        self.pass(at)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<Bytes>) {
        if !self.scratch.is_empty() {
            out.push(self.scratch.split().freeze());
        }
    }
}
