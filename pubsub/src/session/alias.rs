//! Track aliases that the peer chose for subscriptions in which we are the subscriber (draft section "Track Alias").
//!
//! An alias outlives its subscription: objects that were under way still name it. The newest of these are remembered, so that
//! a late stream is told apart from one whose SUBSCRIBE_OK or PUBLISH has not arrived yet.

use std::collections::{BTreeMap, VecDeque};

use super::event::RequestKey;

/// What a track alias in a data stream or datagram from the peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasState {
    /// A subscription that is offered (PUBLISH not answered yet) or established.
    Live(RequestKey),
    /// A subscription that the publisher ended with PUBLISH_DONE: streams opened before may still arrive.
    Ending(RequestKey),
    /// A subscription that was cancelled or refused: discard.
    Retired,
    /// Nothing known: its subscription may be about to be announced. Hold briefly, within a bound.
    Unknown,
}

/// How a live alias ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AliasEnd {
    /// The publisher sent PUBLISH_DONE.
    Done,
    /// Anything else.
    Cancelled,
}

/// The table of aliases.
#[derive(Debug)]
pub(super) struct Aliases {
    entries: BTreeMap<u64, AliasState>,
    /// Aliases that ended, oldest first, each with its order of ending.
    ended: VecDeque<u64>,
    max_ended: usize,
}

impl Aliases {
    /// An empty table that remembers at most `max_ended` aliases that ended.
    pub(super) const fn new(max_ended: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            ended: VecDeque::new(),
            max_ended,
        }
    }

    pub(super) fn state(&self, alias: u64) -> AliasState {
        self.entries.get(&alias).copied().unwrap_or(AliasState::Unknown)
    }

    /// The live subscription that has `alias`.
    pub(super) fn live(&self, alias: u64) -> Option<RequestKey> {
        match self.entries.get(&alias) {
            Some(AliasState::Live(key)) => Some(*key),
            _ => None,
        }
    }

    /// Makes `alias` stand for `key`, also if it stood for something that ended.
    pub(super) fn insert(&mut self, alias: u64, key: RequestKey) {
        self.set(alias, AliasState::Live(key));
    }

    /// Ends `alias` if it is `key`'s.
    pub(super) fn end(&mut self, alias: u64, key: RequestKey, how: AliasEnd) {
        let owner =
            matches!(self.state(alias), AliasState::Live(owner) | AliasState::Ending(owner) if owner == key);
        if owner {
            let state = match how {
                AliasEnd::Done => AliasState::Ending(key),
                AliasEnd::Cancelled => AliasState::Retired,
            };
            self.set(alias, state);
        }
    }

    /// Remembers that `alias` was refused, unless it is live.
    pub(super) fn refuse(&mut self, alias: u64) {
        if self.live(alias).is_none() {
            self.set(alias, AliasState::Retired);
        }
    }

    fn set(&mut self, alias: u64, state: AliasState) {
        let before = self.entries.insert(alias, state);
        if matches!(before, Some(AliasState::Ending(_) | AliasState::Retired)) {
            self.ended.retain(|ended| *ended != alias);
        }
        if !matches!(state, AliasState::Live(_)) {
            self.ended.push_back(alias);
        }
        if self.ended.len() > self.max_ended
            && let Some(oldest) = self.ended.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RequestKey = RequestKey(1);

    #[test]
    fn an_alias_is_remembered_after_its_subscription_ended() {
        let mut aliases = Aliases::new(4);
        assert_eq!(aliases.state(5), AliasState::Unknown);
        aliases.insert(5, KEY);
        assert_eq!(aliases.state(5), AliasState::Live(KEY));
        aliases.end(5, RequestKey(2), AliasEnd::Cancelled);
        assert_eq!(aliases.state(5), AliasState::Live(KEY), "only its owner ends it");
        aliases.end(5, KEY, AliasEnd::Done);
        assert_eq!(aliases.state(5), AliasState::Ending(KEY));
        aliases.end(5, KEY, AliasEnd::Cancelled);
        assert_eq!(aliases.state(5), AliasState::Retired);
        aliases.insert(5, RequestKey(2));
        assert_eq!(aliases.state(5), AliasState::Live(RequestKey(2)));
        assert!(aliases.ended.is_empty());
    }

    #[test]
    fn only_the_newest_ended_aliases_are_remembered() {
        let mut aliases = Aliases::new(2);
        for alias in 0..4 {
            aliases.refuse(alias);
        }
        assert_eq!(aliases.state(1), AliasState::Unknown);
        assert_eq!(aliases.state(2), AliasState::Retired);
        assert_eq!(aliases.entries.len(), 2);
    }
}
