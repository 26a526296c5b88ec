//! The bytes of a data stream that arrived and were not read yet.
//!
//! Heads are read as a whole or not at all. A head that lies inside one pushed piece is read in place; one that straddles
//! pieces is gathered in a small buffer, and only that is copied. Payload never is.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::wire::error::DecodeError;
use crate::wire::varint;

/// Why a head could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    NeedMore,
    Bad(DecodeError),
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Bad(error)
    }
}

#[derive(Debug, Default)]
pub(super) struct Input {
    /// The beginning of a head whose end has not arrived: never more than the longest head.
    held: BytesMut,
    /// What follows `held`, in the pieces that were pushed.
    pieces: VecDeque<Bytes>,
}

impl Input {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.pieces.is_empty()
    }

    /// Reads one head with `parse`, which is called again from the head's start when more bytes have arrived.
    pub(super) fn head<T>(
        &mut self,
        parse: impl Fn(&mut Head<'_>) -> Result<T, Stop>,
    ) -> Result<Option<T>, DecodeError> {
        while let Some(mut piece) = self.pieces.pop_front() {
            let mut head = Head {
                held: &self.held,
                piece: &piece,
                at: 0,
            };
            match parse(&mut head) {
                Ok(value) => {
                    // `held` alone was too short before, so the head ends inside `piece`.
                    let used = head.at.saturating_sub(self.held.len());
                    piece.advance(used.min(piece.len()));
                    self.held = BytesMut::new();
                    if !piece.is_empty() {
                        self.pieces.push_front(piece);
                    }
                    return Ok(Some(value));
                }
                Err(Stop::NeedMore) => self.held.extend_from_slice(&piece),
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next payload bytes, at most `max`; to be called only between heads, when nothing is held.
    pub(super) fn payload(&mut self, max: u64) -> Option<Bytes> {
        let mut piece = self.pieces.pop_front()?;
        match usize::try_from(max) {
            Ok(max) if max < piece.len() => {
                let payload = piece.split_to(max);
                self.pieces.push_front(piece);
                Some(payload)
            }
            _ => Some(piece),
        }
    }
}

/// Reads the fields of one head.
#[derive(Debug)]
pub(super) struct Head<'a> {
    held: &'a [u8],
    piece: &'a Bytes,
    at: usize,
}

impl Head<'_> {
    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        let byte = self.rest().next().ok_or(Stop::NeedMore)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let decoded = match self.at.checked_sub(self.held.len()) {
            Some(skip) => varint::decode(self.piece.get(skip..).unwrap_or_default()),
            None => {
                let mut bytes = [0; varint::MAX_LEN];
                let len = bytes
                    .iter_mut()
                    .zip(self.rest())
                    .map(|(slot, byte)| *slot = byte)
                    .count();
                varint::decode(bytes.get(..len).unwrap_or_default())
            }
        };
        let (value, len) = decoded.ok_or(Stop::NeedMore)?;
        self.at += len;
        Ok(value)
    }

    /// The next `len` bytes: a slice of the piece, or a copy if they begin in the bytes held.
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, Stop> {
        if self.held.len() + self.piece.len() - self.at < len {
            return Err(Stop::NeedMore);
        }
        let bytes = match self.at.checked_sub(self.held.len()) {
            Some(skip) => self.piece.slice(skip..skip + len),
            None => self.rest().take(len).collect(),
        };
        self.at += len;
        Ok(bytes)
    }

    fn rest(&self) -> impl Iterator<Item = u8> {
        let piece_from = self.at.saturating_sub(self.held.len());
        let held = self.held.get(self.at..).unwrap_or_default();
        held.iter()
            .chain(self.piece.get(piece_from..).unwrap_or_default())
            .copied()
    }
}
