//! One track: who was asked for it, who answered, and what each has brought.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{RETRY, STALL};
use crate::overlay::id::{Neighbour, NodeId};

/// A location as (group, object).
pub type At = (u64, u64);

/// Objects after which the interval of a track is believed.
const STEADY: u32 = 8;

/// One neighbour that is asked for the track.
#[derive(Clone, Copy, Debug)]
struct Asked {
    state: State,
    /// The newest object it has brought.
    newest: Option<At>,
    /// Wait before it is asked again after a refusal.
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Established,
    /// It refused; asked again then.
    Refused {
        retry: Duration,
    },
}

/// One wanted track.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) origin: NodeId,
    asked: BTreeMap<Neighbour, Asked>,
    newest: Option<At>,
    /// When the newest object came.
    at: Option<Duration>,
    /// Usual time between two objects, and of how many that was learned.
    interval: (Duration, u32),
    /// The newest object when the last upstream was lost.
    before: Option<At>,
}

impl Pull {
    pub(super) const fn new(origin: NodeId) -> Self {
        Self {
            origin,
            asked: BTreeMap::new(),
            newest: None,
            at: None,
            interval: (Duration::ZERO, 0),
            before: None,
        }
    }

    pub(super) fn ask(&mut self, _now: Duration, neighbour: Neighbour) {
        self.asked.insert(
            neighbour,
            Asked {
                state: State::Asked,
                newest: None,
                wait: RETRY.0,
            },
        );
    }

    /// Whether it had been asked.
    pub(super) fn leave(&mut self, neighbour: Neighbour) -> bool {
        self.asked.remove(&neighbour).is_some()
    }

    pub(super) fn has(&self, neighbour: Neighbour) -> bool {
        self.asked.contains_key(&neighbour)
    }

    pub(super) fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.asked
            .iter()
            .filter(|(_, asked)| !matches!(asked.state, State::Refused { .. }))
            .map(|(&neighbour, _)| neighbour)
    }

    pub(super) fn established(&mut self, now: Duration, neighbour: Neighbour) {
        if let Some(asked) = self.asked.get_mut(&neighbour) {
            asked.state = State::Established;
            asked.wait = RETRY.0;
        }
        // Silence is counted from here, not from before the switch.
        self.at = self.at.map(|_| now);
    }

    pub(super) fn lost(&mut self, now: Duration, neighbour: Neighbour) {
        if let Some(asked) = self.asked.get_mut(&neighbour) {
            asked.state = State::Refused {
                retry: now + asked.wait,
            };
            asked.wait = (asked.wait * 2).min(RETRY.1);
        }
    }

    pub(super) fn seen(&mut self, now: Duration, neighbour: Neighbour, newest: At) {
        let Some(asked) = self.asked.get_mut(&neighbour) else {
            return;
        };
        asked.newest = asked.newest.max(Some(newest));
        if self.newest.is_some_and(|known| newest <= known) {
            return;
        }
        if let Some(before) = self.at.replace(now) {
            let gap = now.saturating_sub(before);
            let (mean, count) = self.interval;
            self.interval = if count == 0 {
                (gap, 1)
            } else {
                ((mean * 7 + gap) / 8, count.saturating_add(1))
            };
        }
        self.newest = Some(newest);
    }

    /// Remembers what is here: only something newer proves that a tentative upstream is not below us.
    pub(super) const fn remember(&mut self) {
        self.before = self.newest;
    }

    /// Neighbours to be asked once more.
    pub(super) fn retry(&mut self, now: Duration) -> Vec<Neighbour> {
        let mut due = Vec::new();
        for (&neighbour, asked) in &mut self.asked {
            if matches!(asked.state, State::Refused { retry } if retry <= now) {
                asked.state = State::Asked;
                due.push(neighbour);
            }
        }
        due
    }

    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.asked
            .values()
            .filter_map(|asked| match asked.state {
                State::Refused { retry } => Some(retry),
                State::Asked | State::Established => None,
            })
            .min()
    }

    fn brought(&self, neighbour: Neighbour) -> Option<At> {
        self.asked.get(&neighbour)?.newest
    }

    /// Whether the neighbour serves the track and has brought something, if there is anything.
    pub(super) fn is_fed_by(&self, neighbour: Neighbour) -> bool {
        let established = self
            .asked
            .get(&neighbour)
            .is_some_and(|asked| asked.state == State::Established);
        established && (self.newest.is_none() || self.brought(neighbour).is_some())
    }

    /// Whether the neighbour has brought the newest object there is.
    pub(super) fn is_level(&self, neighbour: Neighbour) -> bool {
        self.is_fed_by(neighbour) && self.brought(neighbour) == self.newest
    }

    /// Whether the neighbour brought something newer than all that was here when it was tried.
    pub(super) fn is_fresh_from(&self, neighbour: Neighbour) -> bool {
        self.brought(neighbour)
            .is_some_and(|newest| Some(newest) > self.before)
    }

    /// Usual time between two objects, once that is known.
    pub(super) fn interval(&self) -> Option<Duration> {
        (self.interval.1 >= STEADY).then_some(self.interval.0)
    }

    /// When the track counts as silent, unless something comes.
    pub(super) fn silent_at(&self) -> Option<Duration> {
        Some(self.at? + (self.interval()? * 3).max(STALL))
    }
}
