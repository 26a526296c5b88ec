//! What a route has only at times: upstreams that drain, requests, the wait before it is forgotten.
//!
//! Most routes rest most of the time, and there are many. So all this is apart from the route, and takes room only while there
//! is something of it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::time::Duration;

use super::super::id::{Neighbour, Seq};
use super::route::Retry;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unrest {
    pub(super) draining: Vec<(Neighbour, Duration)>,
    /// Primaries left of the node's own will, and when.
    pub(super) recent: VecDeque<(Neighbour, Duration)>,
    /// Tracks that hinder the feasibility distance from falling are cut at this time.
    pub(super) vacate_by: Option<Duration>,
    /// The request for a better path, once one is seen.
    pub(super) optimum: Option<Retry>,
    /// Neighbours that asked, and for what: one entry each.
    pub(super) want: Vec<(Neighbour, Seq)>,
    /// The last request passed on, and until when it is not repeated.
    pub(super) forwarded: Option<(Seq, Duration)>,
    /// Since when there has been neither a path nor a child.
    pub(super) lost_since: Option<Duration>,
}

static NONE: Unrest = Unrest {
    draining: Vec::new(),
    recent: VecDeque::new(),
    vacate_by: None,
    optimum: None,
    want: Vec::new(),
    forwarded: None,
    lost_since: None,
};

/// The unrest of a route, if it has any. Reads as one without anything in it if not.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart(Option<Box<Unrest>>);

impl Deref for Apart {
    type Target = Unrest;

    fn deref(&self) -> &Unrest {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl Apart {
    /// To put something in.
    pub(super) fn edit(&mut self) -> &mut Unrest {
        self.0.get_or_insert_with(|| Box::new(NONE.clone()))
    }

    /// To take something out: nothing is done where there is nothing.
    pub(super) fn clear(&mut self, take: impl FnOnce(&mut Unrest)) {
        if let Some(unrest) = &mut self.0 {
            take(unrest);
        }
    }

    /// Lets go of what has no meaning any more by its time, and of the room for it all if nothing is left.
    pub(super) fn settle(&mut self, now: Duration, flip_window: Duration) {
        self.clear(|unrest| {
            unrest.recent.retain(|&(_, at)| at + flip_window > now);
            unrest.forwarded = unrest.forwarded.filter(|&(_, until)| now < until);
        });
        if self.0.as_deref() == Some(&NONE) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);

    #[test]
    fn room_is_taken_only_while_something_is_in_it() {
        let mut apart = Apart::default();
        apart.clear(|unrest| unrest.want.clear());
        assert!(apart.0.is_none(), "nothing to clear takes no room");
        apart.edit().vacate_by = Some(WINDOW);
        apart.settle(WINDOW * 9, WINDOW);
        assert_eq!(
            apart.vacate_by,
            Some(WINDOW),
            "only its owner knows when that is over"
        );
        apart.clear(|unrest| unrest.vacate_by = None);
        apart.settle(WINDOW * 9, WINDOW);
        assert!(apart.0.is_none());
    }

    #[test]
    fn what_has_passed_its_time_goes() {
        let (left, seq) = (Neighbour(1), Seq { epoch: 1, number: 1 });
        let mut apart = Apart::default();
        apart.edit().recent.push_back((left, Duration::ZERO));
        apart.edit().forwarded = Some((seq, WINDOW / 2));
        apart.settle(WINDOW / 2 - Duration::from_millis(1), WINDOW);
        assert!(apart.forwarded.is_some());
        apart.settle(WINDOW / 2, WINDOW);
        assert!(apart.forwarded.is_none());
        apart.settle(WINDOW - Duration::from_millis(1), WINDOW);
        assert_eq!(apart.recent, [(left, Duration::ZERO)]);
        apart.settle(WINDOW, WINDOW);
        assert!(apart.0.is_none());
    }
}
