//! The bytes that have arrived and are not yet used.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Chunks below this are gathered: a writer of single bytes must not cost us a list node per byte.
const GATHER: usize = 1024;

/// A queue of chunks with the stream position of its front. What lies inside one chunk leaves as a slice of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    position: u64,
}

impl Queue {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if chunk.len() < GATHER {
            self.tail.extend_from_slice(&chunk);
        } else {
            self.settle();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stream position of the first byte that waits.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Copies the first bytes into `into` and returns those that were there.
    pub(super) fn peek<'a>(&self, into: &'a mut [u8]) -> &'a [u8] {
        let mut filled = 0;
        for (to, from) in into
            .iter_mut()
            .zip(self.chunks.iter().flatten().chain(self.tail.iter()))
        {
            *to = *from;
            filled += 1;
        }
        into.get(..filled).unwrap_or_default()
    }

    /// The next `n` bytes, or `None` while fewer wait.
    pub(super) fn take(&mut self, n: usize) -> Option<Bytes> {
        if n > self.len {
            return None;
        }
        self.settle();
        self.len -= n;
        self.position += n as u64;
        if let Some(front) = self.chunks.front_mut()
            && front.len() >= n
        {
            let taken = front.split_to(n);
            self.drop_empty();
            return Some(taken);
        }
        let mut taken = BytesMut::with_capacity(n);
        while taken.len() < n {
            let front = self.chunks.front_mut()?;
            taken.extend_from_slice(&front.split_to(front.len().min(n - taken.len())));
            self.drop_empty();
        }
        Some(taken.freeze())
    }

    /// Drops what waits before stream position `until`; true once the front has reached it.
    pub(super) fn skip_to(&mut self, until: u64) -> bool {
        let wanted = until.saturating_sub(self.position);
        let mut left = usize::try_from(wanted).map_or(self.len, |wanted| wanted.min(self.len));
        self.settle();
        self.len -= left;
        self.position += left as u64;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else {
                break;
            };
            let part = front.len().min(left);
            bytes::Buf::advance(front, part);
            left -= part;
            self.drop_empty();
        }
        self.position >= until
    }

    fn settle(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    fn drop_empty(&mut self) {
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }
}
