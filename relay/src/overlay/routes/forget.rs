//! Forgetting an origin that is gone: the specification's section 5.8.
//!
//! A feasibility distance may only be forgotten when nobody points here any more. Everybody who was ever told a distance gets a
//! reset and answers after it has stopped pulling; the session keeps order, so what was sent before is void by then. A node
//! that finds a route meanwhile calls the whole thing off; answers that are still on their way then count for nothing, and no
//! second reset goes to a neighbour before they have come.

use super::super::id::Neighbour;
use super::route::{Env, Route, Told};

impl Route {
    /// Starts the wait, the resets, or ends both.
    pub(super) fn fade(&mut self, env: &mut Env<'_>) {
        if self.primary.is_some() || self.fd.is_none() {
            self.end_wait();
            self.call_off();
            return;
        }
        if !self.resetting {
            if self.any_path(env.neighbours) || self.links.iter().any(|link| link.child) {
                self.end_wait();
                return;
            }
            let since = *self.unrest.edit().lost_since.get_or_insert(env.now);
            if env.now < since + env.timers().forget {
                return;
            }
            self.reset(env);
        }
        self.forget(env);
    }

    /// The wait before this origin is forgotten is over, or not needed.
    fn end_wait(&mut self) {
        self.unrest.clear(|unrest| unrest.lost_since = None);
    }

    fn call_off(&mut self) {
        if self.resetting {
            self.resetting = false;
            self.links.iter_mut().for_each(|link| link.reset_due = false);
        }
    }

    fn reset(&mut self, env: &mut Env<'_>) {
        self.resetting = true;
        self.end_wait();
        let (now, origin) = (env.now, self.origin);
        for (link, adjacent) in self.links.iter_mut().zip(env.neighbours.iter_mut()) {
            if link.told {
                link.reset_due = true;
                adjacent.mark(origin, Some(now));
            }
        }
    }

    /// Ends it once every neighbour has answered or is gone.
    fn forget(&mut self, env: &mut Env<'_>) {
        if self.links.iter().any(|link| link.reset_due || link.reset_unacked) {
            return;
        }
        self.resetting = false;
        self.fd = None;
        self.mine = Told::default();
        self.unrest.clear(|unrest| unrest.want.clear());
        // Nobody points here, so any neighbour that has found a path meanwhile will do.
        self.promote(env);
        self.advertise(env);
        self.starve(env);
    }

    /// A neighbour has stopped pulling from here.
    pub(super) fn reset_acked(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        let origin = self.origin;
        let Some(link) = self
            .link_mut(env.neighbours, neighbour)
            .filter(|link| link.reset_unacked)
        else {
            return;
        };
        link.reset_unacked = false;
        if link.reset_due
            && let Some(adjacent) = env
                .neighbours
                .iter_mut()
                .find(|adjacent| adjacent.neighbour == neighbour)
        {
            adjacent.mark(origin, Some(env.now));
        }
        self.choose(env, super::output::Cause::Timer);
    }
}
