//! LOG_HAVE, LOG_PUSH, LOG_PULL: entries of origins' logs, and who has how many.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use headwater_pubsub::wire::reader::Reader;
use headwater_pubsub::wire::{DecodeError, EncodeError, FullTrackName, TrackNamespace, varint};

use super::field::{Body, Hash, In, Out, Signature, at_most, known_bits};
use crate::overlay::id::NodeId;

/// Longest content key in bytes.
pub const MAX_CONTENT_KEY: usize = 64;
/// Most bytes of entries in one LOG_PUSH.
pub const MAX_CHUNK: usize = 16 << 10;

/// What an entry announces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// Tracks in this namespace, and in those that it is a prefix of.
    Namespace(TrackNamespace),
    /// One track whose namespace nobody announced: the draft forbids to infer it.
    Track(FullTrackName),
}

impl Entry {
    /// Whether whoever announced this may have the track.
    pub fn covers(&self, track: &FullTrackName) -> bool {
        match self {
            Self::Namespace(namespace) => track.namespace().has_prefix(namespace),
            Self::Track(name) => name == track,
        }
    }
}

/// What an origin says about an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Origins with the same key have the same content; empty: none.
    pub content_key: Bytes,
    /// How long after the last route to the origin the entry is still shown, if shorter than readers wait anyway; whole seconds.
    pub expiry: Option<Duration>,
}

/// One change of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The entry is there, or has new attributes.
    Add(Entry, Attributes),
    /// The entry is gone.
    Remove(Entry),
}

const REMOVE: u8 = 0x01;
const TRACK: u8 = 0x02;
const CONTENT_KEY: u8 = 0x04;
const EXPIRY: u8 = 0x08;

impl Change {
    /// The entry.
    pub const fn entry(&self) -> &Entry {
        match self {
            Self::Add(entry, _) | Self::Remove(entry) => entry,
        }
    }

    /// Appends the wire form, which is also what log hashes cover.
    ///
    /// # Errors
    ///
    /// A content key over [`MAX_CONTENT_KEY`].
    pub fn encode(&self, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        let mut flags = match self.entry() {
            Entry::Namespace(_) => 0,
            Entry::Track(_) => TRACK,
        };
        match self {
            Self::Remove(_) => flags |= REMOVE,
            Self::Add(_, attributes) => {
                at_most("content key", attributes.content_key.len(), MAX_CONTENT_KEY)?;
                if !attributes.content_key.is_empty() {
                    flags |= CONTENT_KEY;
                }
                if attributes.expiry.is_some() {
                    flags |= EXPIRY;
                }
            }
        }
        buf.put_u8(flags);
        match self.entry() {
            Entry::Namespace(namespace) => namespace.encode(buf),
            Entry::Track(track) => track.encode(buf),
        }
        if let Self::Add(_, attributes) = self {
            if !attributes.content_key.is_empty() {
                varint::encode(attributes.content_key.len() as u64, buf);
                buf.put_slice(&attributes.content_key);
            }
            if let Some(expiry) = attributes.expiry {
                varint::encode(expiry.as_secs(), buf);
            }
        }
        Ok(())
    }

    /// Reads the wire form; names are copied.
    ///
    /// # Errors
    ///
    /// Unknown flags, attributes of a removal, names beyond the draft's limits, [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        let known = if flags & REMOVE == 0 {
            TRACK | CONTENT_KEY | EXPIRY
        } else {
            TRACK | REMOVE
        };
        known_bits("flags of an entry", flags, known)?;
        let entry = if flags & TRACK == 0 {
            Entry::Namespace(TrackNamespace::decode(reader)?)
        } else {
            Entry::Track(FullTrackName::decode(reader)?)
        };
        if flags & REMOVE != 0 {
            return Ok(Self::Remove(entry));
        }
        let mut attributes = Attributes::default();
        if flags & CONTENT_KEY != 0 {
            let key = reader.prefixed("content key", MAX_CONTENT_KEY as u64)?;
            if key.is_empty() {
                return Err(DecodeError::Misplaced("an empty content key"));
            }
            attributes.content_key = Bytes::copy_from_slice(&key);
        }
        if flags & EXPIRY != 0 {
            attributes.expiry = Some(Duration::from_secs(reader.varint()?));
        }
        Ok(Self::Add(entry, attributes))
    }
}

/// One item of LOG_HAVE: the sender holds this origin's log up to `version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// The origin.
    pub origin: NodeId,
    /// Boot of the origin that the log is of.
    pub epoch: u64,
    /// Version of the last change held.
    pub version: u64,
}

impl Body for Have {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.node(self.origin);
        out.int(self.epoch);
        out.int(self.version);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: input.node()?,
            epoch: input.int()?,
            version: input.int()?,
        })
    }
}

/// What an origin signs: that at this version its log has this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The origin's boot.
    pub epoch: u64,
    /// Version after which this stretch of the log begins: 0, or where the origin compacted it last. Nothing before is needed.
    pub start: u64,
    /// How many changes after `start` repeat what was there before; only together do they replace it.
    pub snapshot: u64,
    /// Version of the last change covered.
    pub version: u64,
    /// Hash over all changes since `start`.
    pub hash: Hash,
}

impl Head {
    /// What the signature covers.
    pub fn signed_bytes(&self, origin: NodeId) -> Vec<u8> {
        let mut bytes = b"headwater log 1\0".to_vec();
        bytes.extend_from_slice(&origin.0);
        for field in [self.epoch, self.start, self.snapshot, self.version] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&self.hash.0);
        bytes
    }
}

/// LOG_PUSH: changes up to a version that the origin signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPush {
    /// The origin.
    pub origin: NodeId,
    /// Version of the first of `changes`, above `head.start`; they end at `head.version`.
    pub from: u64,
    /// The changes as they are on the wire, together at most [`MAX_CHUNK`] bytes. At least one.
    pub changes: Vec<Change>,
    /// What the origin signed.
    pub head: Head,
    /// By the origin, over [`Head::signed_bytes`].
    pub signature: Signature,
}

impl Body for LogPush {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        let count = self.changes.len() as u64;
        if count == 0
            || self.from <= self.head.start
            || self.from.checked_add(count - 1) != Some(self.head.version)
        {
            return Err(EncodeError::Inconsistent("changes that do not end at the head"));
        }
        out.node(self.origin);
        out.int(self.head.epoch);
        out.int(self.head.start);
        out.int(self.head.snapshot);
        out.int(self.from - self.head.start);
        let mut changes = BytesMut::new();
        for change in &self.changes {
            change.encode(&mut changes)?;
        }
        out.prefixed("changes", &changes, MAX_CHUNK)?;
        out.bytes(&self.head.hash.0);
        out.bytes(&self.signature.0);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let origin = input.node()?;
        let (epoch, start, snapshot) = (input.int()?, input.int()?, input.int()?);
        let first = input.int()?;
        let mut reader = Reader::new(input.reader.prefixed("changes", MAX_CHUNK as u64)?);
        let mut changes = Vec::new();
        while !reader.is_empty() {
            changes.push(Change::decode(&mut reader)?);
        }
        if first == 0 || changes.is_empty() {
            return Err(DecodeError::Misplaced("a push without changes"));
        }
        let from = start
            .checked_add(first)
            .ok_or(DecodeError::OutOfRange("version"))?;
        let version = from
            .checked_add(changes.len() as u64 - 1)
            .ok_or(DecodeError::OutOfRange("version"))?;
        Ok(Self {
            origin,
            from,
            changes,
            head: Head {
                epoch,
                start,
                snapshot,
                version,
                hash: Hash(input.array()?),
            },
            signature: Signature(input.array()?),
        })
    }
}

/// LOG_PULL: send me this origin's log from a version on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPull {
    /// The origin.
    pub origin: NodeId,
    /// Boot that is wanted.
    pub epoch: u64,
    /// First version wanted. One that was compacted away is answered from where the log begins.
    pub from: u64,
    /// About how many bytes of changes at most.
    pub max_bytes: u64,
}

impl Body for LogPull {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.node(self.origin);
        out.int(self.epoch);
        out.int(self.from);
        out.int(self.max_bytes);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: input.node()?,
            epoch: input.int()?,
            from: input.int()?,
            max_bytes: input.int()?,
        })
    }
}
