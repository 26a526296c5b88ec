//! Requests for newer sequence numbers: passed on towards the origin, answered on the way back (sections 5.2.8 and 5.4).

use super::super::id::{Neighbour, Seq};
use super::output::Cause;
use super::route::{Env, Retry, Route, TTL};

impl Route {
    /// A neighbour wants a newer sequence number of an origin that is not this node.
    pub(super) fn requested(&mut self, env: &mut Env<'_>, from: Neighbour, wanted: Seq, ttl: u8) {
        self.remember(from, wanted);
        let before = self.mine;
        // Answers if the number is here already.
        self.spread(env, before, false);
        if !self.wanted()
            && self.waits(from)
            && let Some(fresh) = self.fresh(env, from, wanted)
        {
            // Only where no media flows: the lower feasibility distance would cut the present upstream off at once. A node
            // with media passes the request on, and its own primary brings the number.
            self.turn(env, fresh, Cause::Requested);
        }
        let coming = self
            .primary
            .and_then(|primary| self.link(env.neighbours, primary))
            .is_some_and(|link| link.heard.seq >= wanted);
        if self.waits(from) && !coming && ttl > 0 {
            self.forward(env, from, wanted, ttl - 1);
        }
    }

    /// One wish for each neighbour, the last one.
    pub(super) fn remember(&mut self, from: Neighbour, wanted: Seq) {
        let want = &mut self.unrest.edit().want;
        want.retain(|&(neighbour, _)| neighbour != from);
        want.push((from, wanted));
    }

    fn waits(&self, from: Neighbour) -> bool {
        self.unrest.want.iter().any(|&(neighbour, _)| neighbour == from)
    }

    /// A feasible neighbour that has the number already.
    fn fresh(&self, env: &Env<'_>, from: Neighbour, wanted: Seq) -> Option<Neighbour> {
        self.primary?;
        self.paths(env.neighbours)
            .filter(|(link, adjacent)| {
                adjacent.neighbour != from
                    && Some(adjacent.neighbour) != self.primary
                    && link.feasible(self.fd)
                    && link.heard.seq >= wanted
                    && !link.shunned(adjacent)
            })
            .filter_map(|(link, adjacent)| Some((link.total(adjacent)?, adjacent.neighbour)))
            .min()
            .map(|(_, neighbour)| neighbour)
    }

    fn forward(&mut self, env: &mut Env<'_>, from: Neighbour, wanted: Seq, ttl: u8) {
        if self
            .unrest
            .forwarded
            .is_some_and(|(seq, until)| seq >= wanted && env.now < until)
        {
            return;
        }
        self.unrest.edit().forwarded = Some((wanted, env.now + env.timers().request_retry));
        // A neighbour that asks its own downstream has no route: then anybody may have one.
        let primary = self.primary.filter(|&primary| primary != from);
        let (now, origin) = (env.now, self.origin);
        for (link, adjacent) in self.links.iter().zip(env.neighbours.iter_mut()) {
            let on_the_way = match primary {
                Some(primary) => adjacent.neighbour == primary,
                None => adjacent.neighbour != from && link.heard.distance.is_some(),
            };
            if on_the_way {
                adjacent.ask(now, origin, wanted, ttl);
            }
        }
    }

    /// A starved node asks everybody who has a path, and may try each of them again.
    pub(super) fn ask_all(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        self.ask.at = now + self.ask.wait;
        self.ask.wait = (self.ask.wait * 2).min(env.timers().request_max);
        let Some(fd) = self.fd else { return };
        let (origin, wanted) = (self.origin, fd.seq.next());
        self.unrest.edit().forwarded = Some((wanted, now + env.timers().request_retry));
        for (link, adjacent) in self.links.iter_mut().zip(env.neighbours.iter_mut()) {
            link.tried = false;
            if link.heard.distance.is_some() {
                adjacent.ask(now, origin, wanted, TTL);
            }
        }
    }

    /// A neighbour has a path that had none, so no request went there yet: a starved node asks it at once. One request for each
    /// such row, and the neighbour takes only so many of them.
    pub(super) fn ask_too(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        let (now, origin) = (env.now, self.origin);
        let Some(fd) = self.fd.filter(|_| self.primary.is_none()) else {
            return;
        };
        if let Some(adjacent) = env
            .neighbours
            .iter_mut()
            .find(|adjacent| adjacent.neighbour == neighbour)
        {
            adjacent.ask(now, origin, fd.seq.next(), TTL);
        }
        // The waits start anew.
        let retry = env.timers().request_retry;
        self.ask = Retry {
            at: self.ask.at.min(now + retry),
            wait: retry,
        };
    }

    /// What neighbours still wait for takes the new way too: the request may have ended at what was lost. One request for each
    /// change of the primary, with fewer hops to go than a new one.
    pub(super) fn forward_again(&mut self, env: &mut Env<'_>) {
        let Some(primary) = self.primary else { return };
        let others = self.unrest.want.iter().filter(|&&(from, _)| from != primary);
        let Some(&(from, wanted)) = others.max_by_key(|&&(_, wanted)| wanted) else {
            return;
        };
        if self
            .link(env.neighbours, primary)
            .is_some_and(|link| link.heard.seq < wanted)
        {
            self.forward(env, from, wanted, TTL / 2);
        }
    }

    /// Much better than the present path, but not feasible: ask there for a newer number, without haste.
    pub(super) fn optimise(&mut self, env: &mut Env<'_>) {
        let Some(target) = self.out_of_reach(env).filter(|_| self.wanted()) else {
            // The wait goes on where it was if the same happens soon again.
            self.unrest
                .clear(|unrest| unrest.optimum = unrest.optimum.filter(|retry| retry.at > env.now));
            return;
        };
        let timers = env.timers();
        let first = Retry {
            at: if self.is_left(env) {
                env.now
            } else {
                env.now + timers.optimum_after
            },
            wait: timers.optimum_retry,
        };
        let retry = *self.unrest.edit().optimum.get_or_insert(first);
        let Some(fd) = self.fd.filter(|_| retry.at <= env.now) else {
            return;
        };
        self.unrest.edit().optimum = Some(Retry {
            at: env.now + retry.wait,
            wait: (retry.wait * 2).min(timers.optimum_max),
        });
        let (now, origin) = (env.now, self.origin);
        if let Some(adjacent) = env
            .neighbours
            .iter_mut()
            .find(|adjacent| adjacent.neighbour == target)
        {
            adjacent.ask(now, origin, fd.seq.next(), TTL);
        }
    }

    /// The shortest path that is not feasible, if it is shorter than the present one by 15 %, or that one's neighbour is about
    /// to go.
    fn out_of_reach(&self, env: &Env<'_>) -> Option<Neighbour> {
        let current = u64::from(self.current(env)?.micros());
        self.paths(env.neighbours)
            .filter(|(link, adjacent)| !link.feasible(self.fd) && !link.child && !adjacent.leaving)
            .filter_map(|(link, adjacent)| Some((link.total(adjacent)?, adjacent.neighbour)))
            .min()
            .filter(|(total, _)| self.is_left(env) || u64::from(total.micros()) * 100 < current * 85)
            .map(|(_, neighbour)| neighbour)
    }
}
