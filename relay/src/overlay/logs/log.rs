//! One stretch of one origin's log: changes that chain to a hash, and the versions at which the origin signed it.

use std::collections::BTreeMap;

use bytes::BytesMut;
use headwater_pubsub::wire::EncodeError;
use sha2::{Digest as _, Sha256};

use super::{Sign, Verify};
use crate::overlay::id::NodeId;
use crate::overlay::message::{Attributes, Change, Entry, Hash, Head, LogPush, MAX_CHUNK, Signature};

/// What a change costs in memory besides its bytes, about.
const OVERHEAD: u64 = 200;

/// Where a log was signed.
#[derive(Clone, Copy, Debug)]
struct Point {
    version: u64,
    /// Bytes of all changes up to here.
    end: u64,
    hash: Hash,
    signature: Signature,
}

/// Why a push cannot extend a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Changes before it are missing.
    Gap,
    /// All of it is held.
    Known,
    /// The origin did not sign this.
    Forged,
}

/// A log since it began or was compacted, in order and without gaps.
#[derive(Clone, Debug)]
pub(super) struct Log {
    origin: NodeId,
    epoch: u64,
    start: u64,
    snapshot: u64,
    /// Each with the bytes of all up to it.
    changes: Vec<(Change, u64)>,
    hash: Hash,
    points: Vec<Point>,
    entries: BTreeMap<Entry, Attributes>,
}

impl Log {
    pub(super) fn new(origin: NodeId, epoch: u64, start: u64, snapshot: u64) -> Self {
        let hash = Sha256::new()
            .chain_update(b"headwater log start 1\0")
            .chain_update(origin.0)
            .chain_update(epoch.to_be_bytes())
            .chain_update(start.to_be_bytes());
        Self {
            origin,
            epoch,
            start,
            snapshot,
            changes: Vec::new(),
            hash: Hash(hash.finalize().into()),
            points: Vec::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Epoch and version of the last change.
    pub(super) fn at(&self) -> (u64, u64) {
        (self.epoch, self.version())
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    fn version(&self) -> u64 {
        self.start + self.changes.len() as u64
    }

    pub(super) const fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) const fn entries(&self) -> &BTreeMap<Entry, Attributes> {
        &self.entries
    }

    /// Whether it holds at least what was there when it began, and so can replace an earlier one.
    pub(super) fn is_whole(&self) -> bool {
        self.changes.len() as u64 >= self.snapshot.max(1)
    }

    fn bytes(&self) -> u64 {
        self.changes.last().map_or(0, |(_, end)| *end)
    }

    /// What it takes in memory, about.
    pub(super) fn footprint(&self) -> u64 {
        self.bytes() + OVERHEAD * self.changes.len() as u64
    }

    /// About what a push adds to [`Self::footprint`] at most.
    pub(super) fn footprint_of(push: &LogPush) -> u64 {
        let bytes = push
            .changes
            .iter()
            .map(|change| encoded(change).map_or(0, |bytes| bytes.len() as u64));
        bytes.sum::<u64>() + OVERHEAD * push.changes.len() as u64
    }

    /// Takes the changes that follow those held, and gives them back.
    pub(super) fn extend(&mut self, push: LogPush, verify: &dyn Verify) -> Result<Vec<Change>, Unfit> {
        let next = self.version().saturating_add(1);
        let skip = next.checked_sub(push.from).ok_or(Unfit::Gap)?;
        let skip = usize::try_from(skip).map_err(|_longer_than_memory| Unfit::Known)?;
        if push.head.version < next {
            return Err(Unfit::Known);
        }
        let fresh: Vec<_> = push.changes.into_iter().skip(skip).collect();
        let mut hash = self.hash;
        let mut sizes = Vec::with_capacity(fresh.len());
        for change in &fresh {
            let bytes = encoded(change).map_err(|_cannot_be_signed| Unfit::Forged)?;
            hash = chain(hash, &bytes);
            sizes.push(bytes.len() as u64);
        }
        let head = Head { hash, ..push.head };
        if head != push.head
            || head.snapshot != self.snapshot
            || !verify.verify(self.origin, &head.signed_bytes(self.origin), push.signature)
        {
            return Err(Unfit::Forged);
        }
        for (change, size) in fresh.iter().zip(sizes) {
            self.append(change.clone(), size);
        }
        self.hash = hash;
        self.signed(push.signature);
        Ok(fresh)
    }

    /// Adds a change of our own, and signs.
    pub(super) fn write(&mut self, change: Change, sign: &dyn Sign) -> Result<(), EncodeError> {
        let bytes = encoded(&change)?;
        self.hash = chain(self.hash, &bytes);
        self.append(change, bytes.len() as u64);
        self.signed(sign.sign(&self.head().signed_bytes(self.origin)));
        Ok(())
    }

    /// The same entries as the beginning of a log of their own.
    pub(super) fn compacted(&self, epoch: u64, start: u64, sign: &dyn Sign) -> Result<Self, EncodeError> {
        let mut log = Self::new(self.origin, epoch, start, self.entries.len() as u64);
        for (entry, attributes) in &self.entries {
            log.write(Change::Add(entry.clone(), attributes.clone()), sign)?;
        }
        Ok(log)
    }

    /// Whether more than half of the changes say nothing any more.
    pub(super) fn is_mostly_removed(&self) -> bool {
        self.changes.len() > 2 * self.entries.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Changes from version `from` on, or from the start if that is later: about `max` bytes, but at least up to where the
    /// origin signed next.
    pub(super) fn push_from(&self, from: u64, max: u64) -> Option<LogPush> {
        let from = from.max(self.start + 1);
        let first = usize::try_from(from - self.start - 1).ok()?;
        let before = match first.checked_sub(1) {
            None => 0,
            Some(index) => self.changes.get(index)?.1,
        };
        let next = self.points.partition_point(|point| point.version < from);
        let limit = before + max.min(MAX_CHUNK as u64);
        let best = self
            .points
            .partition_point(|point| point.end <= limit)
            .saturating_sub(1)
            .max(next);
        let point = self.points.get(best)?;
        let last = usize::try_from(point.version - self.start).ok()?;
        Some(LogPush {
            origin: self.origin,
            from,
            changes: self
                .changes
                .get(first..last)?
                .iter()
                .map(|(change, _)| change.clone())
                .collect(),
            head: Head {
                version: point.version,
                hash: point.hash,
                ..self.head()
            },
            signature: point.signature,
        })
    }

    fn head(&self) -> Head {
        Head {
            epoch: self.epoch,
            start: self.start,
            snapshot: self.snapshot,
            version: self.version(),
            hash: self.hash,
        }
    }

    fn append(&mut self, change: Change, size: u64) {
        let end = self.bytes() + size;
        match &change {
            Change::Add(entry, attributes) => self.entries.insert(entry.clone(), attributes.clone()),
            Change::Remove(entry) => self.entries.remove(entry),
        };
        self.changes.push((change, end));
    }

    /// Keeps the signature under the head, and of earlier ones as many as it takes to cut the log into chunks anywhere.
    fn signed(&mut self, signature: Signature) {
        let point = Point {
            version: self.version(),
            end: self.bytes(),
            hash: self.hash,
            signature,
        };
        let before = self.points.iter().rev().nth(1).map_or(0, |point| point.end);
        if point.end - before <= MAX_CHUNK as u64 {
            self.points.pop();
        }
        self.points.push(point);
    }
}

fn encoded(change: &Change) -> Result<BytesMut, EncodeError> {
    let mut bytes = BytesMut::new();
    change.encode(&mut bytes)?;
    Ok(bytes)
}

fn chain(hash: Hash, change: &[u8]) -> Hash {
    Hash(
        Sha256::new()
            .chain_update(hash.0)
            .chain_update(change)
            .finalize()
            .into(),
    )
}
