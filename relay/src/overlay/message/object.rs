//! Objects of the gossip track: runs of records, written until they are full and read one by one.

use bytes::{BufMut as _, Bytes, BytesMut};
use headwater_pubsub::wire::reader::Reader;
use headwater_pubsub::wire::{DecodeError, EncodeError, varint};

use super::alias::{AliasReader, AliasWriter};
use super::field::{Body, In, Out};
use super::log::Have;
use super::member::PeerRecord;
use super::route::Row;
use super::{MAX_OBJECT, Record, kind};

/// Whether a record found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a record without room is for the next object"]
pub enum Fit {
    /// It is in the object.
    In,
    /// The object is as it was before: the record is for the next one.
    Full,
}

/// Writes records into one object. Objects that share an [`AliasWriter`] must arrive in the order in which they were written.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    aliases: &'a mut AliasWriter,
    buf: BytesMut,
    max: usize,
}

impl<'a> ObjectWriter<'a> {
    /// An empty object of at most `max_bytes`, or [`MAX_OBJECT`].
    pub fn new(aliases: &'a mut AliasWriter, max_bytes: usize) -> Self {
        Self {
            aliases,
            buf: BytesMut::new(),
            max: max_bytes.min(MAX_OBJECT),
        }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes that are left.
    pub fn room(&self) -> usize {
        self.max - self.buf.len()
    }

    /// Adds a record, unless it does not fit. One that does not fit an empty object of [`MAX_OBJECT`] never will.
    ///
    /// # Errors
    ///
    /// The record breaks a limit of its own, or contradicts itself; the object is as it was before.
    pub fn push(&mut self, record: &Record) -> Result<Fit, EncodeError> {
        let mark = self.aliases.mark();
        match record.body(self.aliases) {
            Ok(body) if self.append(record.kind(), &body) => Ok(Fit::In),
            Ok(_) => {
                self.aliases.take_back(mark);
                Ok(Fit::Full)
            }
            Err(error) => {
                self.aliases.take_back(mark);
                Err(error)
            }
        }
    }

    /// Adds a ROUTE with as many of the rows as fit, from the first, and says how many.
    pub fn rows(&mut self, rows: &[Row]) -> usize {
        self.fill(kind::ROUTE, rows)
    }

    /// Adds a LOG_HAVE with as many of the items as fit, from the first, and says how many.
    pub fn haves(&mut self, haves: &[Have]) -> usize {
        self.fill(kind::LOG_HAVE, haves)
    }

    /// Adds a PEERS with as many of the records as fit, from the first, and says how many. One that breaks its limits ends it.
    pub fn peers(&mut self, records: &[PeerRecord]) -> usize {
        self.fill(kind::PEERS, records)
    }

    /// The object. May be empty.
    pub fn finish(self) -> Bytes {
        self.buf.freeze()
    }

    fn fill(&mut self, kind: u64, items: &[impl Body]) -> usize {
        let mut body = BytesMut::new();
        let mut taken = 0;
        for item in items {
            let (mark, before) = (self.aliases.mark(), body.len());
            let mut out = Out {
                buf: body,
                aliases: self.aliases,
            };
            let result = item.encode(&mut out);
            body = out.buf;
            if result.is_err() || self.framed_len(kind, body.len()) > self.room() {
                self.aliases.take_back(mark);
                body.truncate(before);
                break;
            }
            taken += 1;
        }
        if taken > 0 {
            self.append(kind, &body);
        }
        taken
    }

    /// Bytes of a record with the ALIAS that must precede it.
    fn framed_len(&self, kind: u64, body: usize) -> usize {
        let frame = |kind, body: usize| varint::encoded_len(kind) + varint::encoded_len(body as u64) + body;
        let aliases: usize = self
            .aliases
            .unsaid()
            .map(|(alias, id)| varint::encoded_len(alias) + id.0.len())
            .sum();
        frame(kind, body)
            + if aliases == 0 {
                0
            } else {
                frame(kind::ALIAS, aliases)
            }
    }

    /// Adds a record and the ALIAS that must precede it; `false`: no room, and nothing is changed.
    fn append(&mut self, kind: u64, body: &[u8]) -> bool {
        if self.framed_len(kind, body.len()) > self.room() {
            return false;
        }
        let mut aliases = BytesMut::new();
        for (alias, id) in self.aliases.unsaid() {
            varint::encode(alias, &mut aliases);
            aliases.put_slice(&id.0);
        }
        if !aliases.is_empty() {
            self.frame(kind::ALIAS, &aliases);
        }
        self.frame(kind, body);
        self.aliases.commit();
        true
    }

    fn frame(&mut self, kind: u64, body: &[u8]) {
        varint::encode(kind, &mut self.buf);
        varint::encode(body.len() as u64, &mut self.buf);
        self.buf.put_slice(body);
    }
}

/// Reads the records of one object. After an error the session cannot be trusted further: aliases may be missing.
#[derive(Debug)]
pub struct ObjectReader<'a> {
    aliases: &'a mut AliasReader,
    reader: Reader,
}

impl<'a> ObjectReader<'a> {
    /// A reader at the first record.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] for more than [`MAX_OBJECT`] bytes.
    pub fn new(aliases: &'a mut AliasReader, object: Bytes) -> Result<Self, DecodeError> {
        if object.len() > MAX_OBJECT {
            return Err(DecodeError::TooLong {
                field: "gossip object",
                len: object.len() as u64,
                max: MAX_OBJECT as u64,
            });
        }
        Ok(Self {
            aliases,
            reader: Reader::new(object),
        })
    }

    /// The next record of a known type; `None`: the object is over.
    ///
    /// # Errors
    ///
    /// What the sender did wrong.
    pub fn poll(&mut self) -> Result<Option<Record>, DecodeError> {
        while !self.reader.is_empty() {
            let kind = self.reader.varint()?;
            let body = self.reader.prefixed("record", MAX_OBJECT as u64)?;
            let mut input = In {
                reader: Reader::new(body),
                aliases: self.aliases,
            };
            if let Some(record) = Record::decode(kind, &mut input)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
