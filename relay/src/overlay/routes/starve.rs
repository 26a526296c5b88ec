//! Starvation: neighbours have paths, but none is feasible. The node retracts, asks for a newer sequence number, and meanwhile
//! pulls what is wanted from a *tentative* upstream (the specification's section 5.9).
//!
//! It asks whether or not anybody wants the origin: without a route the origin's namespaces are hidden here, so nobody would ever
//! come to want it.
//!
//! The tentative upstream may be used because media proves it: nobody below a node that is cut off can have newer objects than
//! that node had. Whether an object is such a proof is for the media half to say.

use super::super::id::Neighbour;
use super::output::{DropReason, Role};
use super::route::{Env, Link, Route};

impl Route {
    /// Starts, goes on with, or ends what a starved node does.
    pub(super) fn starve(&mut self, env: &mut Env<'_>) {
        let reason = if self.primary.is_some() {
            Some(DropReason::Superseded)
        } else if !self.any_path(env.neighbours) {
            Some(DropReason::Retracted)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.recover(env, reason);
            return;
        }
        if self.ask.at <= env.now {
            self.ask_all(env);
        }
        if self.wanted() {
            self.seek(env);
        } else {
            self.recover(env, DropReason::Unwanted);
        }
    }

    fn recover(&mut self, env: &mut Env<'_>, reason: DropReason) {
        if let Some(tentative) = self.holder(env.neighbours, Role::Tentative) {
            self.dismiss(env, tentative, reason);
        }
        if self.primary.is_some() {
            self.ask.wait = env.timers().request_retry;
            self.links.iter_mut().for_each(|link| link.tried = false);
        }
    }

    /// One tentative upstream at a time: the nearest that is neither known to hang below this node nor was tried in vain.
    fn seek(&mut self, env: &mut Env<'_>) {
        if self.holder(env.neighbours, Role::Tentative).is_some() {
            return;
        }
        let best = self
            .paths(env.neighbours)
            .filter(|(link, _)| !link.child && !link.tried && link.role.is_none())
            .filter_map(|(link, adjacent)| {
                let doubt = adjacent.suspect || adjacent.leaving;
                Some((doubt, link.total(adjacent)?, adjacent.neighbour))
            })
            .min();
        if let Some((.., neighbour)) = best {
            self.proved = false;
            self.enlist(env, neighbour, Role::Tentative);
        }
    }

    /// The tentative upstream brought something newer than this node ever had.
    pub(super) fn prove(&mut self, env: &Env<'_>, neighbour: Neighbour) {
        if self.holder(env.neighbours, Role::Tentative) == Some(neighbour) {
            self.proved = true;
        }
    }

    /// The tentative upstream brought nothing of the kind in time: the next one, if there is one.
    pub(super) fn disprove(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        if self.holder(env.neighbours, Role::Tentative) != Some(neighbour) {
            return;
        }
        self.dismiss(env, neighbour, DropReason::Failed);
        self.link_mut(env.neighbours, neighbour)
            .into_iter()
            .for_each(|link: &mut Link| link.tried = true);
        self.starve(env);
    }
}
