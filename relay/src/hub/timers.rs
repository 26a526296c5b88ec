//! One table for every deadline of a hub.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::input::{RequestRef, SessionId, Tag, TrackId};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A waiting SUBSCRIBE stops waiting for a publisher to appear, or for one to answer.
    Wait(RequestRef),
    /// A request of the hub has to be answered.
    Answer(Tag),
    /// A publisher that refused SUBSCRIBE because its own PUBLISH is under way has to send it.
    Crossing(TrackId, SessionId),
    /// An upstream subscription has to confirm that it forwards again.
    Restart(TrackId, SessionId),
    /// A track without subscribers and fetches gives its sources back.
    Linger(TrackId),
    /// A track of the mesh without any source ends for neighbours, which can look for another way themselves.
    Cut(TrackId),
    /// It ends for everybody.
    Abandoned(TrackId),
    /// The budget of a FETCH for waiting is spent.
    Fill(RequestRef),
}

/// At most one deadline for each timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: BTreeMap<Timer, Duration>,
    order: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.cancel(timer);
        self.at.insert(timer, at);
        self.order.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Takes one timer that is due.
    pub(super) fn expired(&mut self, now: Duration) -> Option<Timer> {
        let &(at, timer) = self.order.first()?;
        (at <= now).then(|| {
            self.cancel(timer);
            timer
        })
    }
}
