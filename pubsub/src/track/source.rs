//! Where a track's objects come from: upstream subscriptions, or the original publisher.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::error::{Malformed, SourceError};
use super::group::{PayloadCursor, Place};
use super::state::{Debt, Incoming, State};
use super::{CopyStats, Time, Track};
use crate::wire::data::{Datagram, ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject};
use crate::wire::error::DecodeError;
use crate::wire::{Location, StreamCode};

/// One upstream subscription of a track, or its original publisher.
///
/// The source counts as alive until it and all its [`SubgroupWriter`]s are dropped.
#[derive(Debug)]
pub struct Source {
    life: Arc<Life>,
}

/// Counts a source as alive.
#[derive(Debug)]
struct Life {
    track: Arc<Track>,
    /// The newest object that it has begun to bring.
    newest: Mutex<Option<Location>>,
}

impl Life {
    fn newest(&self) -> MutexGuard<'_, Option<Location>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn brought(&self, at: Location) {
        let mut newest = self.newest();
        *newest = newest.max(Some(at));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.track.update(None, |state| {
            state.sources -= 1;
            state.news = true;
            if state.sources == 0 {
                for (_, at) in std::mem::take(&mut state.waiting) {
                    state.cut(at);
                }
            }
        });
    }
}

impl Source {
    pub(super) fn new(track: &Arc<Track>) -> Self {
        track.lock().sources += 1;
        Self {
            life: Arc::new(Life {
                track: Arc::clone(track),
                newest: Mutex::new(None),
            }),
        }
    }

    /// The largest location that came from this source, duplicates included: how far it is, compared to others.
    pub fn newest(&self) -> Option<Location> {
        *self.life.newest()
    }

    /// The track it feeds.
    pub fn track(&self) -> &Arc<Track> {
        &self.life.track
    }

    /// Begins a subgroup stream.
    ///
    /// # Errors
    ///
    /// [`SourceError::Malformed`] if the track is malformed already. Contradictions show at the first object.
    pub fn subgroup(&self, now: Time, header: &SubgroupHeader) -> Result<SubgroupWriter, SourceError> {
        let priority = self.track().update(Some(now), |state| match state.malformed {
            Some(problem) => Err(problem),
            None => Ok(header.priority.unwrap_or_else(|| state.default_priority())),
        })?;
        Ok(SubgroupWriter {
            life: Arc::clone(&self.life),
            header: *header,
            priority,
            joined: None,
            prev: None,
            current: None,
            open: true,
        })
    }

    /// Takes an object that came in a datagram.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    pub fn datagram(&self, now: Time, datagram: &Datagram) -> Result<(), SourceError> {
        let at = Location::new(datagram.group, datagram.object);
        self.life.brought(at);
        let len = datagram.payload.len() as u64;
        check_size(self.track(), len)?;
        self.track().update(Some(now), |state| {
            let incoming = Incoming {
                at,
                place: Place::Datagram,
                priority: datagram.priority.unwrap_or_else(|| state.default_priority()),
                status: datagram.status,
                properties: datagram.properties.clone(),
                len,
                prev: None,
                debt: Debt::Owed,
            };
            if !begin(state, &incoming)? {
                return Ok(());
            }
            if datagram.end_of_group {
                end_group(state, at.group, at.object.saturating_add(1))?;
            }
            let Some(object) = state.object(at) else {
                return Ok(());
            };
            if object.received == len {
                let same = PayloadCursor::default().matches(object, &datagram.payload);
                return if same {
                    Ok(())
                } else {
                    Err(state.condemn(Malformed::Copies).into())
                };
            }
            let stored = usize::try_from(object.received)
                .unwrap_or(usize::MAX)
                .min(datagram.payload.len());
            state.append(at, datagram.payload.slice(stored..));
            Ok(())
        })
    }
}

/// One upstream subgroup stream. Dropping it before [`Self::fin`] means that the stream was reset.
#[derive(Debug)]
pub struct SubgroupWriter {
    life: Arc<Life>,
    header: SubgroupHeader,
    priority: u8,
    joined: Option<Joined>,
    prev: Option<u64>,
    current: Option<Current>,
    open: bool,
}

/// The subgroup that the stream counts as a writer of.
#[derive(Clone, Copy, Debug)]
struct Joined {
    subgroup: u64,
    /// Birth of the group: the count is void if the group has left the cache since.
    birth: u64,
}

/// The object that the stream is inside of.
#[derive(Debug)]
struct Current {
    at: Location,
    len: u64,
    /// Payload bytes that this stream has brought.
    offset: u64,
    /// Where those bytes end in what is stored.
    stored: PayloadCursor,
    /// Of the stored object; `None`: it is not to be stored.
    birth: Option<u64>,
    /// How many of the stored bytes this stream has brought.
    added: u64,
    /// It has gone on where another stream had left the object.
    continued: bool,
}

impl SubgroupWriter {
    /// Takes the head of the next object on the stream.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    pub fn object(&mut self, now: Time, object: &SubgroupObject) -> Result<(), SourceError> {
        let track = Arc::clone(&self.life.track);
        self.life.brought(Location::new(self.header.group, object.id));
        check_size(&track, object.payload_len)?;
        track.update(Some(now), |state| {
            if self.current.is_some() {
                return Err(state.condemn(Malformed::Length).into());
            }
            let subgroup = self.join(state, object.id)?;
            let at = Location::new(self.header.group, object.id);
            let incoming = Incoming {
                at,
                place: Place::Subgroup(subgroup),
                priority: self.priority,
                status: object.status,
                properties: object.properties.clone(),
                len: object.payload_len,
                prev: self.prev,
                debt: Debt::Owed,
            };
            let taken = begin(state, &incoming)?;
            self.prev = Some(object.id);
            if object.payload_len > 0 {
                self.current = Some(Current::begin(state, at, object.payload_len, !taken));
            }
            Ok(())
        })
    }

    /// Takes the next bytes of the current object's payload.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    pub fn payload(&mut self, now: Time, bytes: Bytes) -> Result<(), SourceError> {
        let track = Arc::clone(&self.life.track);
        track.update(Some(now), |state| write_payload(state, &mut self.current, bytes))
    }

    /// The stream ended with FIN: the last object is the subgroup's final one.
    ///
    /// # Errors
    ///
    /// [`SourceError::Session`] if an object is incomplete; see also [`SourceError`].
    pub fn fin(mut self, now: Time) -> Result<(), SourceError> {
        let track = Arc::clone(&self.life.track);
        track.update(Some(now), |state| {
            let cut = self.current.is_some();
            self.leave(state);
            if cut {
                return Err(DecodeError::Truncated.into());
            }
            let (Some(joined), Some(last)) = (self.joined, self.prev) else {
                return Ok(());
            };
            if state.malformed.is_some() {
                return Ok(());
            }
            self.end_subgroup(state, joined.subgroup, last)?;
            state.touch_subgroup(self.header.group, joined.subgroup);
            Ok(())
        })
    }

    /// The stream was reset: an incomplete object waits for another source, or is cut.
    pub fn reset(mut self, now: Time, _code: StreamCode) {
        let track = Arc::clone(&self.life.track);
        track.update(Some(now), |state| self.leave(state));
    }

    /// Counts as a writer of the subgroup from its first object on, when its id is known for certain.
    fn join(&mut self, state: &mut State, first: u64) -> Result<u64, SourceError> {
        let group = self.header.group;
        if let Some(joined) = self.joined
            && state
                .groups
                .get(&group)
                .is_some_and(|group| group.birth == joined.birth)
        {
            return Ok(joined.subgroup);
        }
        let id = self
            .joined
            .map_or_else(|| subgroup_id(&self.header, first), |joined| joined.subgroup);
        if let Some(problem) = state.malformed {
            return Err(problem.into());
        }
        let is_first = self.header.first_object && self.prev.is_none();
        let (has_properties, ends_group) = (self.header.has_properties, self.header.end_of_group);
        let subgroup = match state.subgroup_mut(group, id, self.priority) {
            Ok(subgroup) => subgroup,
            Err(problem) => return Err(state.condemn(problem).into()),
        };
        subgroup.has_properties |= has_properties;
        subgroup.ends_group |= ends_group;
        subgroup.writers += 1;
        if is_first {
            subgroup.first = Some(first);
        }
        let held = state.group_mut(group);
        held.writers += 1;
        self.joined = Some(Joined {
            subgroup: id,
            birth: held.birth,
        });
        Ok(id)
    }

    fn end_subgroup(&self, state: &mut State, id: u64, last: u64) -> Result<(), SourceError> {
        let now = state.now;
        let ends_group = self.header.end_of_group;
        let Some(subgroup) = state
            .groups
            .get_mut(&self.header.group)
            .and_then(|group| group.subgroups.get_mut(&id))
        else {
            return Ok(());
        };
        let largest = subgroup.main.last();
        match subgroup.end {
            Some((end, _)) if end != last => return Err(state.condemn(Malformed::SubgroupEnds).into()),
            None if largest.is_some_and(|largest| largest > last) => {
                return Err(state.condemn(Malformed::AfterSubgroupEnd).into());
            }
            Some(_) => {}
            None => subgroup.end = Some((last, now)),
        }
        if ends_group {
            end_group(state, self.header.group, last.saturating_add(1))?;
        }
        Ok(())
    }

    /// Ends the stream's part in the object and the subgroup. Idempotent.
    fn leave(&mut self, state: &mut State) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let others = state.sources > 1;
        if let Some(current) = self.current.take() {
            current.leave(state, others);
        }
        let Some(joined) = self.joined else { return };
        let (group, now) = (self.header.group, state.now);
        let Some(held) = state
            .groups
            .get_mut(&group)
            .filter(|held| held.birth == joined.birth)
        else {
            return;
        };
        held.writers = held.writers.saturating_sub(1);
        held.stirred = Some(now);
        if let Some(subgroup) = held.subgroups.get_mut(&joined.subgroup) {
            subgroup.writers = subgroup.writers.saturating_sub(1);
            state.touch_subgroup(group, joined.subgroup);
        }
    }
}

impl Drop for SubgroupWriter {
    fn drop(&mut self) {
        if self.open {
            let track = Arc::clone(&self.life.track);
            track.update(None, |state| self.leave(state));
        }
    }
}

impl Current {
    fn begin(state: &mut State, at: Location, len: u64, ignored: bool) -> Self {
        let object = state
            .groups
            .get_mut(&at.group)
            .and_then(|group| group.objects.get_mut(&at.object));
        let object = object.filter(|_| !ignored);
        let birth = object.map(|object| {
            object.writers += 1;
            object.cut = false;
            object.birth
        });
        Self {
            at,
            len,
            offset: 0,
            stored: PayloadCursor::default(),
            birth,
            added: 0,
            continued: false,
        }
    }

    /// Counts bytes that are about to be stored behind `held` others.
    fn count(&mut self, copies: &mut CopyStats, held: u64, bytes: u64) {
        let others = held.saturating_sub(self.added);
        if others > 0 && !std::mem::replace(&mut self.continued, true) {
            copies.continued_objects += 1;
            copies.held_bytes += others;
        }
        if self.continued {
            copies.continued_bytes += bytes;
        }
        self.added += bytes;
    }

    /// The bytes are not kept: the object is known not to exist, or has left the cache since.
    fn is_stale(&self, state: &State) -> bool {
        let stored = state.object(self.at).map(|object| object.birth);
        self.birth.is_none() || self.birth != stored
    }

    fn leave(&self, state: &mut State, others: bool) {
        if !self.is_stale(state) {
            state.leave_object(self.at, others);
        }
    }
}

/// The object that a stream is inside of, for [`super::fill`] too.
#[derive(Debug, Default)]
pub(super) struct Cursor(Option<Current>);

impl Cursor {
    pub(super) fn begin(&mut self, state: &mut State, at: Location, len: u64, ignored: bool) {
        self.0 = (len > 0).then(|| Current::begin(state, at, len, ignored));
    }

    pub(super) const fn is_inside(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn write(&mut self, state: &mut State, bytes: Bytes) -> Result<(), SourceError> {
        write_payload(state, &mut self.0, bytes)
    }

    pub(super) fn leave(&mut self, state: &mut State, others: bool) {
        if let Some(current) = self.0.take() {
            current.leave(state, others);
        }
    }
}

/// Appends what is new of `bytes`, checks what is not.
fn write_payload(state: &mut State, slot: &mut Option<Current>, mut bytes: Bytes) -> Result<(), SourceError> {
    if let Some(problem) = state.malformed {
        return Err(problem.into());
    }
    let len = bytes.len() as u64;
    let Some(current) = slot
        .as_mut()
        .filter(|current| len <= current.len - current.offset)
    else {
        return Err(state.condemn(Malformed::Length).into());
    };
    let start = current.offset;
    current.offset += len;
    let (at, done, stale) = (current.at, current.offset == current.len, current.is_stale(state));
    if let Some(object) = state
        .object(at)
        .filter(|object| !stale && object.received >= start)
    {
        let known = usize::try_from(object.received - start)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let overlap = bytes.split_to(known);
        if !current.stored.matches(object, &overlap) {
            return Err(state.condemn(Malformed::Copies).into());
        }
        let held = object.received;
        state.stats.copies.repeated_bytes += known as u64;
        if !bytes.is_empty() {
            current.count(&mut state.stats.copies, held, bytes.len() as u64);
            state.append(at, bytes);
            if let Some(object) = state.object(at) {
                current.stored = PayloadCursor::end(object);
            }
        }
    }
    if done && let Some(current) = slot.take() {
        current.leave(state, false);
    }
    Ok(())
}

/// [`State::begin`], marking the track if it is malformed.
pub(super) fn begin(state: &mut State, incoming: &Incoming) -> Result<bool, SourceError> {
    if let Some(problem) = state.malformed {
        return Err(problem.into());
    }
    state.begin(incoming).inspect_err(|error| {
        if let SourceError::Malformed(problem) = error {
            state.condemn(*problem);
        }
    })
}

pub(super) fn check_size(track: &Track, len: u64) -> Result<(), SourceError> {
    let max = track.cache().limits().max_object;
    if len > max {
        Err(SourceError::TooLarge { len, max })
    } else {
        Ok(())
    }
}

/// No object of `group` has an id of `end` or more.
fn end_group(state: &mut State, group: u64, end: u64) -> Result<(), SourceError> {
    let held = state.group_mut(group);
    let beyond = held
        .objects
        .range(end..)
        .any(|(_, object)| object.status == ObjectStatus::Normal);
    held.end = Some(held.end.map_or(end, |known| known.min(end)));
    state.news = true;
    if beyond {
        Err(state.condemn(Malformed::AfterGroupEnd).into())
    } else {
        Ok(())
    }
}

const fn subgroup_id(header: &SubgroupHeader, first: u64) -> u64 {
    match header.subgroup {
        SubgroupId::Zero => 0,
        SubgroupId::FirstObject => first,
        SubgroupId::Explicit(id) => id,
    }
}
