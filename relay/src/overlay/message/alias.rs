//! Short numbers for node ids, and the last sequence number sent with each; one table per session and direction.
//!
//! The sender numbers ids from 1 as it first needs them and says so in an ALIAS record before the record that does. When the table
//! is full it writes alias 0 and the whole id instead, so a table bounds memory and never what can be said.

use std::collections::BTreeMap;

use headwater_pubsub::wire::DecodeError;

use crate::overlay::id::{NodeId, Seq};

/// Most aliases of one direction; as many origins as a neighbour may have rows for.
pub const MAX_ALIASES: usize = 4096;

/// The sender's table.
#[derive(Debug, Default)]
pub struct AliasWriter {
    aliases: BTreeMap<NodeId, u64>,
    ids: Vec<(NodeId, Option<Seq>)>,
    /// Last sequence numbers as they were before the record being written, latest last.
    undo: Vec<(usize, Option<Seq>)>,
    /// Ids of this many were said, the rest have to be.
    said: usize,
}

/// What a record that was begun can be taken back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    ids: usize,
    undo: usize,
}

impl AliasWriter {
    /// The alias of `id`, given now if it had none; 0: the table is full.
    pub(super) fn alias(&mut self, id: NodeId) -> u64 {
        if let Some(&alias) = self.aliases.get(&id) {
            return alias;
        }
        if self.ids.len() >= MAX_ALIASES {
            return 0;
        }
        self.ids.push((id, None));
        let alias = self.ids.len() as u64;
        self.aliases.insert(id, alias);
        alias
    }

    /// Notes that `seq` is sent with `alias`. `Some`: the difference to the last one, which the receiver can add.
    pub(super) fn offset(&mut self, alias: u64, seq: Seq) -> Option<u32> {
        let index = usize::try_from(alias.checked_sub(1)?).ok()?;
        let (_, last) = self.ids.get_mut(index)?;
        let before = last.replace(seq);
        self.undo.push((index, before));
        let before = before.filter(|before| before.epoch == seq.epoch)?;
        seq.number.checked_sub(before.number)
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark {
            ids: self.ids.len(),
            undo: self.undo.len(),
        }
    }

    /// Forgets what was given and noted since `mark`, as it will not be sent.
    pub(super) fn take_back(&mut self, mark: Mark) {
        for (index, before) in self.undo.drain(mark.undo..).rev() {
            if let Some((_, last)) = self.ids.get_mut(index) {
                *last = before;
            }
        }
        for (id, _) in self.ids.drain(mark.ids..) {
            self.aliases.remove(&id);
        }
    }

    /// Aliases that were given and not said yet, with their ids.
    pub(super) fn unsaid(&self) -> impl Iterator<Item = (u64, NodeId)> {
        (self.said as u64 + 1..)
            .zip(self.ids.get(self.said..).unwrap_or_default())
            .map(|(alias, (id, _))| (alias, *id))
    }

    /// All aliases and sequence numbers are on their way.
    pub(super) fn commit(&mut self) {
        self.said = self.ids.len();
        self.undo.clear();
    }
}

/// The receiver's table.
#[derive(Debug, Default)]
pub struct AliasReader {
    ids: BTreeMap<u64, (NodeId, Option<Seq>)>,
}

impl AliasReader {
    /// `alias` means `id` from now on.
    pub(super) fn define(&mut self, alias: u64, id: NodeId) -> Result<(), DecodeError> {
        if alias == 0 || alias > MAX_ALIASES as u64 {
            return Err(DecodeError::InvalidValue {
                field: "alias",
                value: alias,
            });
        }
        if self.ids.insert(alias, (id, None)).is_some() {
            return Err(DecodeError::Misplaced("an alias given twice"));
        }
        Ok(())
    }

    /// What `alias` means.
    pub(super) fn id(&self, alias: u64) -> Result<NodeId, DecodeError> {
        self.ids
            .get(&alias)
            .map(|&(id, _)| id)
            .ok_or(DecodeError::Misplaced("an alias that was not given"))
    }

    /// Notes a sequence number received in full with `alias`; alias 0 has none to note.
    pub(super) fn note(&mut self, alias: u64, seq: Seq) {
        if let Some((_, last)) = self.ids.get_mut(&alias) {
            *last = Some(seq);
        }
    }

    /// The sequence number `offset` after the last one received with `alias`.
    pub(super) fn advance(&mut self, alias: u64, offset: u64) -> Result<Seq, DecodeError> {
        let (_, last) = self.ids.get_mut(&alias).ok_or(DecodeError::Misplaced(
            "a sequence offset to an alias that was not given",
        ))?;
        let seq = last
            .as_mut()
            .ok_or(DecodeError::Misplaced("a sequence offset to none"))?;
        seq.number = u32::try_from(offset)
            .ok()
            .and_then(|offset| seq.number.checked_add(offset))
            .ok_or(DecodeError::OutOfRange("sequence offset"))?;
        Ok(*seq)
    }
}
