//! EXPIRES: a subscription that the other end will terminate is extended in time (draft section "EXPIRES Parameter").
//!
//! Whoever states EXPIRES, publisher or subscriber, is asked for more time by a REQUEST_UPDATE without parameters once three
//! quarters of it are over; the answer says how long that lasts. At most one such update is under way for a subscription, and
//! none is sent sooner than [`Limits::extend_pause`](super::Limits::extend_pause) after the last answer. The application hears
//! of it only if the other end refuses. One whose authorization has to be renewed as well sends an update of its own.

use std::time::Duration;

use super::event::RequestKey;
use super::update::Asker;
use super::{Session, Timer};
use crate::wire::Parameters;

impl Session {
    /// The peer will terminate a subscription after `ms`, from now on; `None` or 0: it does not say when.
    pub(super) fn expires(&mut self, key: RequestKey, ms: Option<u64>) {
        let timer = Timer::Extend(key);
        let Some(ms) = ms.filter(|&ms| ms > 0) else {
            self.timers.remove(&timer);
            return;
        };
        let span = Duration::from_millis(ms);
        let pause = (span - span / 4).max(self.config.limits.extend_pause);
        self.timers.insert(timer, self.now.saturating_add(pause));
    }

    /// Asks for more time.
    pub(super) fn extend(&mut self, key: RequestKey) {
        // One that is ending already, or whose stream we have closed, cannot be extended.
        let _ending = self
            .ask_update(key, Parameters::default(), Asker::Session)
            .is_err();
    }
}
