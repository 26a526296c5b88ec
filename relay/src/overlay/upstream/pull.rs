//! One track: who was asked for it, who answered, and what each has brought.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{COMMIT, RETRY, STALL};
use crate::overlay::id::{Neighbour, NodeId};

/// A location as (group, object).
pub type At = (u64, u64);

/// Objects after which the rhythm of a track is believed.
const STEADY: u32 = 8;

/// One neighbour that is asked for the track.
#[derive(Clone, Copy, Debug)]
struct Asked {
    state: State,
    /// The newest object it has brought.
    newest: Option<At>,
    /// When that came.
    at: Duration,
    /// It has brought what was the newest object of all at that time.
    level: bool,
    /// Wait before it is asked again after a refusal.
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Established {
        since: Duration,
    },
    /// It refused; asked again then.
    Refused {
        retry: Duration,
    },
}

/// The usual time between two objects, and how much it varies, as of a round trip (RFC 6298).
#[derive(Clone, Copy, Debug, Default)]
struct Rhythm {
    mean: Duration,
    deviation: Duration,
    gaps: u32,
}

impl Rhythm {
    fn learn(&mut self, gap: Duration) {
        if self.gaps == 0 {
            self.mean = gap;
        } else {
            self.deviation = (self.deviation * 3 + gap.abs_diff(self.mean)) / 4;
            self.mean = (self.mean * 7 + gap) / 8;
        }
        self.gaps = self.gaps.saturating_add(1);
    }

    const fn is_known(&self) -> bool {
        self.gaps >= STEADY
    }

    /// A longer pause is no accident. That of a conversation is as long as its longest ones are.
    fn longest(&self) -> Duration {
        (self.mean * 3).max(self.mean + self.deviation * 8).max(STALL)
    }
}

/// One wanted track.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) origin: NodeId,
    asked: BTreeMap<Neighbour, Asked>,
    newest: Option<At>,
    /// When the newest object came.
    at: Option<Duration>,
    /// Silence counts from here: a subscription that was only just accepted is given time.
    quiet_from: Duration,
    rhythm: Rhythm,
    /// The newest object when the last upstream was lost.
    before: Option<At>,
}

impl Pull {
    pub(super) fn new(origin: NodeId) -> Self {
        Self {
            origin,
            asked: BTreeMap::new(),
            newest: None,
            at: None,
            quiet_from: Duration::ZERO,
            rhythm: Rhythm::default(),
            before: None,
        }
    }

    pub(super) fn ask(&mut self, now: Duration, neighbour: Neighbour) {
        self.asked.insert(
            neighbour,
            Asked {
                state: State::Asked,
                newest: None,
                at: now,
                level: false,
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

    /// Those that are asked or serve it.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.asked
            .iter()
            .filter(|(_, asked)| !matches!(asked.state, State::Refused { .. }))
            .map(|(&neighbour, _)| neighbour)
    }

    pub(super) fn established(&mut self, now: Duration, neighbour: Neighbour) {
        if let Some(asked) = self.asked.get_mut(&neighbour)
            && asked.state == State::Asked
        {
            asked.state = State::Established { since: now };
            self.quiet_from = now;
        }
    }

    pub(super) fn lost(&mut self, now: Duration, neighbour: Neighbour) {
        if let Some(asked) = self.asked.get_mut(&neighbour) {
            asked.state = State::Refused {
                retry: now + asked.wait,
            };
            asked.wait = (asked.wait * 2).min(RETRY.1);
            asked.level = false;
        }
    }

    pub(super) fn seen(&mut self, now: Duration, neighbour: Neighbour, newest: At) {
        let Some(asked) = self
            .asked
            .get_mut(&neighbour)
            .filter(|asked| asked.newest < Some(newest))
        else {
            return;
        };
        asked.newest = Some(newest);
        asked.at = now;
        asked.wait = RETRY.0;
        asked.level |= self.newest <= Some(newest);
        if self.newest >= Some(newest) {
            return;
        }
        self.newest = Some(newest);
        if let Some(before) = self.at.replace(now) {
            self.rhythm.learn(now.saturating_sub(before));
        }
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

    /// Whether the neighbour may be relied on alone: it serves the track and has brought the newest object there was, or for a
    /// while all that there is.
    pub(super) fn is_carried_by(&self, now: Duration, neighbour: Neighbour) -> bool {
        let Some(asked) = self.asked.get(&neighbour) else {
            return false;
        };
        let State::Established { since } = asked.state else {
            return false;
        };
        let idle = self.at.is_none_or(|at| at <= since);
        let lasted = now >= since + COMMIT && (asked.newest.is_some() || idle);
        asked.level || self.newest.is_none() || lasted
    }

    /// Whether the neighbour brought something newer than all that was here when it was tried.
    pub(super) fn is_fresh_from(&self, neighbour: Neighbour) -> bool {
        self.asked
            .get(&neighbour)
            .is_some_and(|asked| asked.newest > self.before)
    }

    /// Whether nobody else has brought as much.
    pub(super) fn is_ahead(&self, neighbour: Neighbour) -> bool {
        let newest = |neighbour: Neighbour| self.asked.get(&neighbour).and_then(|asked| asked.newest);
        let others = self.asked.keys().filter(|&&other| other != neighbour);
        newest(neighbour) > others.filter_map(|&other| newest(other)).max()
    }

    /// When the neighbour last brought something that it had not brought before.
    pub(super) fn brought_at(&self, neighbour: Neighbour) -> Option<Duration> {
        let asked = self.asked.get(&neighbour)?;
        asked.newest.map(|_| asked.at)
    }

    /// Usual time between two objects, once that is known.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.rhythm.is_known().then_some(self.rhythm.mean)
    }

    /// When the track counts as silent, unless something comes.
    pub(super) fn silent_at(&self) -> Option<Duration> {
        let since = self.at?.max(self.quiet_from);
        self.rhythm.is_known().then(|| since + self.rhythm.longest())
    }

    /// Times at which an answer of the above may change by itself.
    pub(super) fn times(&self) -> impl Iterator<Item = Duration> + '_ {
        self.asked.values().filter_map(|asked| match asked.state {
            State::Asked => None,
            State::Established { since } => (!asked.level).then_some(since + COMMIT),
            State::Refused { retry } => Some(retry),
        })
    }
}
