//! What a track holds of one group: objects by id, and per subgroup the order in which they arrived.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::Time;
use crate::wire::data::ObjectStatus;
use crate::wire::property::Properties;
use crate::wire::varint;

/// What a group costs beside its objects, for the budget.
pub(super) const GROUP_COST: u64 = 512;
/// What a subgroup costs beside its objects.
pub(super) const SUBGROUP_COST: u64 = 384;
/// What an object costs beside its payload and properties.
pub(super) const OBJECT_COST: u64 = 384;
/// What a piece of payload costs beside its bytes.
pub(super) const CHUNK_COST: u64 = 64;

/// Payload pieces shorter than this are copied, so that a few bytes do not keep a whole packet's buffer alive.
const COPY_BELOW: usize = 256;

/// Where an object belongs in its group: its forwarding preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Subgroup(u64),
    Datagram,
}

/// An object, whole or still arriving.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) place: Place,
    pub(crate) priority: u8,
    pub(crate) status: ObjectStatus,
    pub(crate) properties: Properties,
    /// Announced payload length.
    pub(crate) len: u64,
    /// Payload bytes stored.
    pub(crate) received: u64,
    pub(crate) chunks: Vec<Bytes>,
    /// When its first byte came.
    pub(crate) arrived: Time,
    /// Tells it from an earlier stay of the same object in the cache.
    pub(super) birth: u64,
    /// Streams that are inside this object now.
    pub(super) writers: u32,
    /// The lane that owes it to subscriptions.
    pub(super) logged: Option<Lane>,
    /// Its sources left in the middle, and nobody waits for the rest.
    pub(super) cut: bool,
}

impl Object {
    pub(crate) const fn is_complete(&self) -> bool {
        self.received == self.len
    }

    /// No subscription is owed it.
    pub(crate) const fn is_unlogged(&self) -> bool {
        self.logged.is_none()
    }

    /// Somebody may still deliver the rest.
    pub(crate) const fn is_awaited(&self) -> bool {
        !self.is_complete() && !self.cut
    }

    /// The stored payload in one piece; copied only if it came in several.
    pub(crate) fn payload(&self) -> Bytes {
        match &self.chunks[..] {
            [] => Bytes::new(),
            [only] => only.clone(),
            several => several.concat().into(),
        }
    }

    pub(super) fn cost(&self) -> u64 {
        let chunks = self.chunks.len() as u64;
        OBJECT_COST + self.received + self.properties.len() as u64 + chunks * CHUNK_COST
    }

    pub(super) fn append(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        let bytes = if bytes.len() < COPY_BELOW {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        self.chunks.push(bytes);
    }
}

/// Position in the payload of an object: whole chunks passed and bytes of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadCursor {
    chunk: usize,
    offset: usize,
}

impl PayloadCursor {
    /// Takes the next piece, at most `limit` bytes; `None` when nothing more is stored.
    pub(crate) fn next(&mut self, object: &Object, limit: usize) -> Option<Bytes> {
        let chunk = object.chunks.get(self.chunk)?;
        let end = chunk.len().min(self.offset.saturating_add(limit));
        let piece = if self.offset == 0 && end == chunk.len() {
            chunk.clone()
        } else {
            chunk.slice(self.offset..end)
        };
        self.offset = end;
        if end == chunk.len() {
            self.chunk += 1;
            self.offset = 0;
        }
        Some(piece)
    }

    /// Compares `bytes` with what is stored from here on and moves behind them.
    pub(super) fn matches(&mut self, object: &Object, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Some(piece) = self.next(object, bytes.len()) else {
                return false;
            };
            let Some((head, tail)) = bytes.split_at_checked(piece.len()) else {
                return false;
            };
            if head != &piece[..] {
                return false;
            }
            bytes = tail;
        }
        true
    }

    /// The end of what `object` has.
    pub(super) const fn end(object: &Object) -> Self {
        Self {
            chunk: object.chunks.len(),
            offset: 0,
        }
    }
}

/// A subgroup's objects arrive in ascending order; those that come late (smaller than one already there) go beside them, so that a
/// repair of the past and the live edge do not interrupt each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    Main,
    Late,
}

/// One object owed to subscriptions.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Position in the arrival order of the track.
    pub(crate) seq: u64,
    pub(crate) id: u64,
    /// The object right before it on the upstream stream that brought it.
    pub(crate) prev: Option<u64>,
    /// Cut off after this many payload bytes: not to be started, and not to be waited for.
    pub(crate) dead: Option<u64>,
    pub(crate) head: Head,
}

/// The bytes before an object's payload on a subgroup stream, written once for all subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The object that the delta in `bytes` is relative to; `None`: the first on a stream.
    after: Option<u64>,
    /// Bytes of the delta.
    delta_len: usize,
    /// The bytes carry a property block.
    has_properties: bool,
    bytes: Bytes,
}

impl Head {
    pub(super) fn new(id: u64, after: Option<u64>, has_properties: bool, object: &Object) -> Self {
        let delta = delta(id, after);
        let mut bytes = BytesMut::with_capacity(2 * varint::MAX_LEN + 2 + object.properties.len());
        varint::encode(delta, &mut bytes);
        let delta_len = bytes.len();
        put_rest(&mut bytes, has_properties, object);
        Self {
            after,
            delta_len,
            has_properties,
            bytes: bytes.freeze(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Puts the head as it must read on `stream` into `out`, behind what is in `scratch` already (a stream header). The shared bytes
    /// are used where they fit, `scratch` otherwise.
    pub(crate) fn put(
        &self,
        entry_id: u64,
        stream: StreamShape,
        object: &Object,
        scratch: &mut BytesMut,
        out: &mut Vec<Bytes>,
    ) -> usize {
        let same_form = stream.has_properties == self.has_properties;
        if scratch.is_empty() && stream.last == self.after && same_form {
            out.push(self.bytes.clone());
            return self.bytes.len();
        }
        varint::encode(delta(entry_id, stream.last), scratch);
        if same_form {
            scratch.put_slice(self.bytes.get(self.delta_len..).unwrap_or_default());
        } else {
            put_rest(scratch, stream.has_properties, object);
        }
        let head = scratch.split().freeze();
        let len = head.len();
        out.push(head);
        len
    }
}

/// What the form of an object's head depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamShape {
    pub(crate) has_properties: bool,
    /// The last object on the stream.
    pub(crate) last: Option<u64>,
}

const fn delta(id: u64, after: Option<u64>) -> u64 {
    match after {
        Some(after) => id.saturating_sub(after).saturating_sub(1),
        None => id,
    }
}

fn put_rest(buf: &mut BytesMut, has_properties: bool, object: &Object) {
    if has_properties {
        varint::encode(object.properties.len() as u64, buf);
        buf.put_slice(object.properties.as_bytes());
    }
    varint::encode(object.len, buf);
    if object.len == 0 {
        varint::encode(object.status.into_inner(), buf);
    }
}

/// The arrival order of one lane.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// Entries that left at the front.
    base: u64,
    /// Id of the last entry ever.
    last: Option<u64>,
    /// Largest `seq` of an entry that left.
    pub(crate) left_seq: u64,
    /// Heads and payload bytes logged so far, for the backlog of subscriptions.
    pub(crate) total: u64,
    /// This lane's place in the track's order of changes; 0: none.
    pub(super) changed: u64,
}

impl Log {
    pub(crate) fn get(&self, index: u64) -> Option<&Entry> {
        let index = index.checked_sub(self.base)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The index behind the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The index of the first entry that is still here.
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// The index of the first entry that came after `seq`.
    pub(crate) fn after(&self, seq: u64) -> u64 {
        self.base + self.entries.partition_point(|entry| entry.seq <= seq) as u64
    }

    pub(crate) fn iter_from(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(index.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }

    pub(super) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// `id` can be appended and keeps the order ascending (a dead last entry may be replaced by its own copy).
    pub(super) fn accepts(&self, id: u64) -> bool {
        match self.last {
            None => true,
            Some(last) if id > last => true,
            Some(last) => id == last && self.entries.back().is_some_and(|entry| entry.dead.is_some()),
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.total += entry.head.len() as u64;
        self.last = Some(entry.id);
        self.entries.push_back(entry);
    }

    pub(super) fn live_mut(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .rev()
            .find(|entry| entry.id == id && entry.dead.is_none())
    }

    /// Drops entries from the front while `gone` says so.
    pub(super) fn trim(&mut self, mut gone: impl FnMut(&Entry) -> bool) {
        while self.entries.front().is_some_and(&mut gone) {
            if let Some(entry) = self.entries.pop_front() {
                self.base += 1;
                self.left_seq = self.left_seq.max(entry.seq);
            }
        }
    }
}

/// A subgroup as its sources have shown it so far.
#[derive(Debug)]
pub(crate) struct Subgroup {
    pub(crate) priority: u8,
    /// A source's stream had the PROPERTIES bit.
    pub(crate) has_properties: bool,
    /// The first object ever published in it, if a source said so.
    pub(crate) first: Option<u64>,
    /// The final object, and when that became known.
    pub(crate) end: Option<(u64, Time)>,
    /// A source said that the final object is also the group's.
    pub(crate) ends_group: bool,
    /// Open source streams.
    pub(crate) writers: u32,
    pub(crate) main: Log,
    pub(crate) late: Option<Box<Log>>,
}

impl Subgroup {
    pub(super) fn new(priority: u8) -> Self {
        Self {
            priority,
            has_properties: false,
            first: None,
            end: None,
            ends_group: false,
            writers: 0,
            main: Log::default(),
            late: None,
        }
    }

    pub(crate) fn log(&self, lane: Lane) -> Option<&Log> {
        match lane {
            Lane::Main => Some(&self.main),
            Lane::Late => self.late.as_deref(),
        }
    }

    pub(super) fn log_mut(&mut self, lane: Lane) -> &mut Log {
        match lane {
            Lane::Main => &mut self.main,
            Lane::Late => self.late.get_or_insert_default(),
        }
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) objects: BTreeMap<u64, Object>,
    pub(crate) subgroups: BTreeMap<u64, Subgroup>,
    /// The smallest id known to be behind the group's end.
    pub(crate) end: Option<u64>,
    /// What its objects say about the groups before it.
    pub(super) prior_gap: Option<u64>,
    /// Open source streams.
    pub(crate) writers: u32,
    /// When it last grew.
    pub(super) touched: Time,
    /// When it last grew by subscription or lost a stream of one; `None`: all of it was fetched.
    pub(super) stirred: Option<Time>,
    /// Tells it from an earlier stay of the same group in the cache.
    pub(crate) birth: u64,
    /// What it costs the budget.
    pub(super) cost: u64,
    /// Largest `seq` of an entry in it. Datagrams do not count: one that is gone is lost, as any may be.
    pub(super) last_seq: u64,
}

impl Group {
    pub(super) fn new(birth: u64, now: Time) -> Self {
        Self {
            objects: BTreeMap::new(),
            subgroups: BTreeMap::new(),
            end: None,
            prior_gap: None,
            writers: 0,
            touched: now,
            stirred: None,
            birth,
            cost: GROUP_COST,
            last_seq: 0,
        }
    }
}
