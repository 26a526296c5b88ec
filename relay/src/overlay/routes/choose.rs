//! The choice of upstreams, and the feasibility distance that follows from it: the specification's section 5.2.
//!
//! Order matters here. Upstreams that lost their path go first, then the primary is settled, then what is advertised; the
//! feasibility distance falls only after every upstream that it would no longer allow has been dropped, and nothing is
//! marked for sending before that.

use std::time::Duration;

use super::super::id::{Distance, Key, Neighbour};
use super::output::{Cause, DropReason, Output, Role, Row};
use super::route::{Env, Link, Route, Told};

/// A path is better only if it is so by a tenth and by this many microseconds.
const MARGIN_MICROS: u32 = 1_000;

/// The outcome of the last decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    primary: Option<Neighbour>,
    total: Option<Distance>,
    mine: Told,
}

impl Route {
    /// What a decision is compared with afterwards. To be taken before anything changes.
    pub(super) const fn before(&self) -> Before {
        Before {
            primary: self.primary,
            total: self.total,
            mine: self.mine,
        }
    }

    /// Decides everything about this origin anew. To be called after whatever could change the outcome.
    pub(super) fn choose(&mut self, env: &mut Env<'_>, cause: Cause) {
        let before = self.before();
        self.decide(env, cause, before);
    }

    /// As [`choose`](Self::choose), for a change that already took away or exchanged the primary.
    pub(super) fn decide(&mut self, env: &mut Env<'_>, cause: Cause, before: Before) {
        if self.own {
            return;
        }
        self.drop_pathless(env);
        let lost = self.primary.is_none();
        if lost {
            self.promote(env);
        } else {
            self.consider(env);
        }
        self.advertise(env);
        self.starve(env);
        self.optimise(env);
        self.fade(env);
        if (self.primary, self.total) != (before.primary, before.total) {
            let (origin, primary, total) = (self.origin, self.primary, self.total);
            env.out.push_back(Output::RouteChanged {
                origin,
                primary,
                total,
                cause,
            });
        }
        if self.primary != before.primary {
            // The way to a newer sequence number is another one now, so requests may be repeated.
            self.unrest.clear(|unrest| unrest.forwarded = None);
            self.unhide(env, before.primary);
        }
        let forced = lost && before.primary.is_some();
        self.spread(env, before.mine, forced);
        if self.primary != before.primary {
            self.forward_again(env);
        }
    }

    /// Whoever retracted, or is too far by now, is no upstream.
    fn drop_pathless(&mut self, env: &mut Env<'_>) {
        let gone: Vec<Neighbour> = self
            .paths(env.neighbours)
            .filter(|(link, adjacent)| link.role.is_some() && link.total(adjacent).is_none())
            .map(|(_, adjacent)| adjacent.neighbour)
            .collect();
        for neighbour in gone {
            self.dismiss(env, neighbour, DropReason::Retracted);
        }
    }

    /// Without a primary: the pending one, else one that feeds already, else the best feasible one, at once.
    pub(super) fn promote(&mut self, env: &mut Env<'_>) {
        self.better_since = None;
        let best = self
            .paths(env.neighbours)
            .filter(|(link, _)| link.feasible(self.fd))
            .filter_map(|(link, adjacent)| {
                let total = link.total(adjacent)?;
                let pending = link.role == Some(Role::Pending);
                Some((
                    link.shunned(adjacent),
                    !pending,
                    !link.binds(),
                    total,
                    adjacent.neighbour,
                ))
            })
            .min();
        if let Some((.., neighbour)) = best {
            self.instate(env, neighbour);
        }
    }

    fn instate(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        self.enlist(env, neighbour, Role::Primary);
        self.primary = Some(neighbour);
    }

    /// A path that is clearly better than the primary's, and stays so, becomes the pending one.
    fn consider(&mut self, env: &mut Env<'_>) {
        if self.pending_until.is_some() {
            return;
        }
        let Some(best) = self.better(env) else {
            self.better_since = None;
            return;
        };
        let since = *self.better_since.get_or_insert(env.now);
        let waits = env.now < since + env.timers().switch_hold || env.now < self.dwell.at;
        if waits && !self.is_left(env) {
            return;
        }
        self.better_since = None;
        let flowing = self.link(env.neighbours, best).is_some_and(Link::binds);
        if self.wanted() && !flowing {
            self.pending_until = Some(env.now + env.timers().pending_max);
            self.enlist(env, best, Role::Pending);
        } else {
            self.switch(env, best);
        }
    }

    /// Whether the primary is about to go.
    pub(super) fn is_left(&self, env: &Env<'_>) -> bool {
        self.paths(env.neighbours)
            .any(|(_, adjacent)| Some(adjacent.neighbour) == self.primary && adjacent.leaving)
    }

    /// The best feasible neighbour, if it is better than the primary by the margin, or that one is about to go.
    fn better(&self, env: &Env<'_>) -> Option<Neighbour> {
        let current = self.current(env)?;
        let margin = (current.micros() / 10).max(MARGIN_MICROS);
        self.paths(env.neighbours)
            .filter(|(link, adjacent)| {
                Some(adjacent.neighbour) != self.primary && link.feasible(self.fd) && !link.shunned(adjacent)
            })
            .filter_map(|(link, adjacent)| Some((link.total(adjacent)?, adjacent.neighbour)))
            .min()
            .filter(|(total, _)| {
                total.micros().saturating_add(margin) < current.micros() || self.is_left(env)
            })
            .map(|(_, neighbour)| neighbour)
    }

    /// Length of the way through the primary.
    pub(super) fn current(&self, env: &Env<'_>) -> Option<Distance> {
        let primary = self.primary?;
        self.paths(env.neighbours)
            .find(|(_, adjacent)| adjacent.neighbour == primary)
            .and_then(|(link, adjacent)| link.total(adjacent))
    }

    /// Makes another neighbour the primary although the present one works.
    pub(super) fn switch(&mut self, env: &mut Env<'_>, to: Neighbour) {
        if let Some(from) = self.primary {
            let timers = env.timers();
            let flip = self.leave(env.now, timers.flip_window, from, to);
            self.dwell.wait = if flip {
                (self.dwell.wait * 2).min(timers.dwell_max)
            } else {
                timers.dwell
            };
            self.dwell.at = env.now + self.dwell.wait;
            if self.wanted() {
                let until = env.now + timers.drain;
                self.enlist(env, from, Role::Draining);
                self.unrest.edit().draining.push((from, until));
            } else {
                self.dismiss(env, from, DropReason::Replaced);
            }
        }
        self.instate(env, to);
    }

    /// Settles what this node says of itself, and lowers the feasibility distance to it where every upstream allows that.
    pub(super) fn advertise(&mut self, env: &mut Env<'_>) {
        self.total = self.current(env);
        let Some(truth) = self.truth(env) else {
            self.unhinder();
            self.mine.distance = None;
            return;
        };
        if self.fd.is_some_and(|fd| !truth.closer_than(fd)) {
            self.unhinder();
            self.mine = truth.into();
            return;
        }
        if self.clear_way(env, truth) {
            self.unhinder();
            self.fd = Some(truth);
            self.mine = truth.into();
        } else if let Some(fd) = self.fd {
            // Further than the truth is always safe: it is what this node said before.
            self.mine = Told {
                seq: fd.seq,
                distance: Some(fd.distance.max(truth.distance)),
            };
        }
    }

    /// Drops the upstreams that are not closer than `key`; those that feed tracks get time to move. Returns whether none is left.
    fn clear_way(&mut self, env: &mut Env<'_>, key: Key) -> bool {
        let hindering: Vec<(Neighbour, Role)> = self
            .paths(env.neighbours)
            .filter(|(link, adjacent)| link.binds() && Some(adjacent.neighbour) != self.primary)
            .filter(|(link, _)| !link.feasible(Some(key)))
            .filter_map(|(link, adjacent)| Some((adjacent.neighbour, link.role?)))
            .collect();
        let tracks = hindering.iter().any(|&(_, role)| role == Role::Track);
        let over = self.unrest.vacate_by.is_some_and(|by| by <= env.now);
        for &(neighbour, role) in &hindering {
            if role != Role::Track || over {
                self.dismiss(env, neighbour, DropReason::Lowered);
            }
        }
        if tracks && !over && self.unrest.vacate_by.is_none() {
            self.ask_to_vacate(env, &hindering);
        }
        !tracks || over
    }

    /// No track has to move any more.
    fn unhinder(&mut self) {
        self.unrest.clear(|unrest| unrest.vacate_by = None);
    }

    fn ask_to_vacate(&mut self, env: &mut Env<'_>, hindering: &[(Neighbour, Role)]) {
        let (origin, by) = (self.origin, env.now + env.timers().vacate);
        self.unrest.edit().vacate_by = Some(by);
        for &(neighbour, role) in hindering {
            if role == Role::Track {
                env.out.push_back(Output::Vacate {
                    origin,
                    neighbour,
                    by,
                });
            }
        }
    }

    /// The media of the pending upstream has caught up.
    pub(super) fn caught_up(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        if self.holder(env.neighbours, Role::Pending) != Some(neighbour) {
            return;
        }
        self.turn(env, neighbour, Cause::CaughtUp);
    }

    /// Switches, and draws the consequences.
    pub(super) fn turn(&mut self, env: &mut Env<'_>, to: Neighbour, cause: Cause) {
        let before = self.before();
        self.switch(env, to);
        self.decide(env, cause, before);
    }

    /// A pending upstream came to nothing: the next attempt waits as after a switch.
    fn refused(&mut self, now: Duration) {
        self.dwell.at = self.dwell.at.max(now + self.dwell.wait);
    }

    /// The media half has no use for a neighbour.
    pub(super) fn release(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        match self.link(env.neighbours, neighbour).and_then(|link| link.role) {
            None | Some(Role::Primary) => {}
            Some(Role::Tentative) => self.disprove(env, neighbour),
            Some(role) => {
                if role == Role::Pending {
                    self.refused(env.now);
                }
                self.dismiss(env, neighbour, DropReason::Released);
                self.choose(env, Cause::Released);
            }
        }
    }

    /// Timers of this part that ran out.
    pub(super) fn expire(&mut self, env: &mut Env<'_>, now: Duration) {
        let late = self
            .holder(env.neighbours, Role::Pending)
            .filter(|_| self.pending_until.is_some_and(|until| until <= now));
        if let Some(neighbour) = late {
            self.refused(now);
            self.dismiss(env, neighbour, DropReason::Late);
        }
        let drained: Vec<Neighbour> = self
            .unrest
            .draining
            .iter()
            .filter(|&&(_, until)| until <= now)
            .map(|&(neighbour, _)| neighbour)
            .collect();
        for neighbour in drained {
            self.dismiss(env, neighbour, DropReason::Drained);
        }
    }

    /// A row came.
    pub(super) fn receive(&mut self, env: &mut Env<'_>, neighbour: Neighbour, row: Row) {
        let before = self.before();
        if row.reset {
            self.dismiss(env, neighbour, DropReason::Reset);
        }
        let Some(link) = self.link_mut(env.neighbours, neighbour) else {
            return;
        };
        if row.reset {
            link.low = Told::default();
        }
        let appeared = link.heard.distance.is_none() && row.distance.is_some();
        link.heard = Told {
            seq: row.seq,
            distance: row.distance,
        };
        link.full = row.full;
        if let Some(key) = link.heard.key()
            && link.low.key().is_none_or(|low| key.closer_than(low))
        {
            link.low = key.into();
        }
        let starved = self.primary.is_none();
        self.decide(env, Cause::Row, before);
        if appeared && starved {
            self.ask_too(env, neighbour);
        }
    }

    /// Whether single tracks may be pulled from this neighbour, and takes it into use if so.
    pub(super) fn try_use(&mut self, env: &mut Env<'_>, neighbour: Neighbour) -> bool {
        // While the feasibility distance is about to fall, only neighbours that may stay then.
        let bound = if self.unrest.vacate_by.is_some() {
            self.truth(env)
        } else {
            self.fd
        };
        let path = self
            .paths(env.neighbours)
            .find(|(_, adjacent)| adjacent.neighbour == neighbour)
            .filter(|(link, adjacent)| link.total(adjacent).is_some() && link.feasible(bound))
            .map(|(link, _)| link.role);
        match path {
            None => false,
            Some(Some(Role::Primary | Role::Pending | Role::Track)) => true,
            Some(None | Some(Role::Draining | Role::Tentative)) => {
                self.enlist(env, neighbour, Role::Track);
                true
            }
        }
    }

    /// What this node would advertise if no track hindered it.
    fn truth(&self, env: &Env<'_>) -> Option<Key> {
        let distance = self.current(env)?;
        let seq = self
            .primary
            .and_then(|primary| self.link(env.neighbours, primary))
            .map(|link| link.heard.seq)?;
        Some(Key { seq, distance })
    }
}
