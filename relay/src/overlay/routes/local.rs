//! What the node itself wants, and what came of its subscriptions: interest, downstreams, upstreams of single tracks.

use std::time::Duration;

use super::super::id::{Neighbour, NodeId};
use super::Routes;
use super::output::Cause;

impl Routes {
    /// Something here wants tracks of this origin, or nothing does any more. Children count on their own.
    pub fn interest(&mut self, now: Duration, origin: NodeId, interest: bool) {
        let changed = match self.origins.get(origin) {
            Some(route) => route.interest != interest,
            None if interest => self.interests.insert(origin),
            None => self.interests.remove(&origin),
        };
        if changed {
            self.with(now, origin, |route, env| {
                route.interest = interest;
                route.choose(env, Cause::Interest);
            });
            self.alert(now);
        }
    }

    /// A downstream neighbour has its first firm subscription for this origin here, or has no more. Tentative ones do not count.
    pub fn child(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId, child: bool) {
        if child && !self.origins.contains(origin) && self.origins.len() < self.config.limits.origins {
            self.create(origin);
        }
        self.with(now, origin, |route, env| {
            if let Some(link) = route.link_mut(env.neighbours, neighbour) {
                link.child = child;
            }
            route.choose(env, Cause::Interest);
        });
        self.alert(now);
    }

    /// Asks to pull single tracks of an origin from this neighbour, beside the primary. Allowed only if that cannot close a
    /// cycle; then the neighbour binds the feasibility distance until [`release`](Self::release) or
    /// [`Output::Drop`](super::Output::Drop). Not counted: one release ends it, however often it was asked for.
    pub fn try_use(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) -> bool {
        let mut allowed = false;
        self.with(now, origin, |route, env| allowed = route.try_use(env, neighbour));
        self.alert(now);
        allowed
    }

    /// No track of an origin is pulled from this neighbour any more, and none will be. Ends every role but the primary's.
    pub fn release(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.release(env, neighbour));
        self.alert(now);
    }

    /// The media of the pending upstream caught up: it becomes the primary.
    pub fn media_caught_up(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.caught_up(env, neighbour));
        self.alert(now);
    }

    /// The tentative upstream delivered an object newer than any this node had when it lost its route.
    pub fn tentative_proved(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.prove(env, neighbour));
    }

    /// The tentative upstream delivered nothing of the kind in time, or refused.
    pub fn tentative_failed(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.disprove(env, neighbour));
        self.alert(now);
    }
}
