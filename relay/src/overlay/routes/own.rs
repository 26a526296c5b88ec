//! This node as an origin: its sequence number, and what to do when somebody else speaks in its name.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::id::{Distance, Neighbour, Seq};
use super::Routes;
use super::config::Config;
use super::output::{Alarm, Cause, Output};
use super::route::Told;

/// No clock of ours counts so many milliseconds; beyond it is nonsense that would use up the numbers there are.
pub(super) const EPOCH_LIMIT: u64 = 1 << 53;
/// So many adoptions within [`CLONE_WINDOW`] are the work of another node with the same key.
const CLONES: usize = 3;
const CLONE_WINDOW: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The node's own number and what bounds its growth.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) seq: Seq,
    /// No new number before this.
    free_at: Duration,
    /// A request came too early and is served then.
    pub(super) wish: Option<Seq>,
    hour: Duration,
    bumps: u32,
    adopted: VecDeque<Duration>,
}

/// What became of a number of this node that was heard from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adoption {
    /// It was an old one.
    Known,
    /// It was newer, so the node has an epoch above it now.
    Adopted,
    /// It was newer once too often, and is ignored.
    Cloned,
}

impl Own {
    pub(super) const fn new(epoch: u64) -> Self {
        Self {
            seq: Seq { epoch, number: 0 },
            free_at: Duration::ZERO,
            wish: None,
            hour: Duration::ZERO,
            bumps: 0,
            adopted: VecDeque::new(),
        }
    }

    /// Somebody wants `wanted`. Returns whether the number was raised now.
    ///
    /// Never by more than one: an honest node wants the successor of a number that it heard.
    pub(super) fn wished(&mut self, now: Duration, config: &Config, wanted: Seq) -> bool {
        let next = self.seq.next();
        if wanted <= self.seq || next == self.seq {
            return false;
        }
        if now < self.free_at {
            self.wish = Some(next);
            return false;
        }
        self.wish = None;
        if now >= self.hour + HOUR {
            (self.hour, self.bumps) = (now, 0);
        }
        if self.bumps >= config.limits.bumps_per_hour {
            return false;
        }
        self.bumps += 1;
        self.seq = next;
        self.free_at = now + config.timers.bump_min;
        true
    }

    /// Serves the request that came too early, if its time has come.
    pub(super) fn overdue(&mut self, now: Duration, config: &Config) -> bool {
        self.wish
            .is_some_and(|wanted| self.free_at <= now && self.wished(now, config, wanted))
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.wish.map(|_| self.free_at)
    }

    /// A number of this node came from elsewhere: one of an earlier life, if it is newer than the present one.
    fn heard(&mut self, now: Duration, seq: Seq) -> Adoption {
        if seq <= self.seq {
            return Adoption::Known;
        }
        self.adopted.retain(|&at| at + CLONE_WINDOW > now);
        if self.adopted.len() >= CLONES {
            return Adoption::Cloned;
        }
        self.adopted.push_back(now);
        self.seq = Seq {
            epoch: seq.epoch.saturating_add(1),
            number: 0,
        };
        Adoption::Adopted
    }
}

impl Routes {
    /// This node became an origin, as its log is not empty, or ceased to be one.
    pub fn announce(&mut self, now: Duration, announced: bool) {
        if announced == self.announced {
            return;
        }
        self.announced = announced;
        if announced {
            // Whoever starved meanwhile, or went further away, can use the new number at once.
            self.own.seq = self.own.seq.next();
        }
        self.publish(now);
    }

    /// The row that this node says about itself.
    pub(super) fn publish(&mut self, now: Duration) {
        let (me, seq) = (self.me, self.own.seq);
        let distance = self.announced.then_some(Distance::ZERO);
        if !self.origins.contains(me) {
            if distance.is_none() {
                return;
            }
            self.create(me);
        }
        if distance.is_some() {
            self.out.push_back(Output::OwnSeq { seq });
        }
        self.with(now, me, |route, env| {
            let before = route.mine;
            route.own = true;
            route.mine = Told { seq, distance };
            route.fd = route.mine.key().or(route.fd);
            if route.total != distance {
                route.total = distance;
                let (origin, total, cause) = (route.origin, route.total, Cause::Own);
                env.out.push_back(Output::RouteChanged {
                    origin,
                    primary: None,
                    total,
                    cause,
                });
            }
            route.spread(env, before, false);
        });
        self.alert(now);
    }

    pub(super) fn requested_of_me(&mut self, now: Duration, neighbour: Neighbour, wanted: Seq) {
        if !self.announced {
            return;
        }
        if wanted.epoch > self.own.seq.epoch {
            self.heard_of_myself(now, neighbour, wanted);
        }
        let wanted = wanted.min(self.own.seq.next());
        self.with(now, self.me, |route, env| {
            route.remember(neighbour, wanted);
            let mine = route.mine;
            route.spread(env, mine, false);
        });
        if self.own.wished(now, &self.config, wanted) {
            self.publish(now);
        }
    }

    /// Somebody has a number of this node: of an earlier life, or from a node with the same key.
    pub(super) fn heard_of_myself(&mut self, now: Duration, neighbour: Neighbour, heard: Seq) {
        match self.own.heard(now, heard) {
            Adoption::Known => {}
            Adoption::Adopted => {
                self.out.push_back(Output::Epoch {
                    epoch: self.own.seq.epoch,
                });
                self.publish(now);
                // A number alone is in no hurry, but nobody has a use for the old epoch.
                let (me, at) = (self.me, now + self.config.timers.flush);
                self.neighbours
                    .iter_mut()
                    .for_each(|adjacent| adjacent.mark(me, Some(at)));
            }
            Adoption::Cloned => self
                .out
                .push_back(Output::Alarm(Alarm::ClonedKey { heard, neighbour })),
        }
    }
}
