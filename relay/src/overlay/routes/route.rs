//! What a node knows about one origin, and what it does with it.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::id::{Distance, Key, Neighbour, NodeId, Seq};
use super::config::{Config, Timers};
use super::neighbour::{Adjacent, position};
use super::output::{DropReason, Output, Role};
use super::unrest::Apart;

/// Hops that a request may travel.
pub(super) const TTL: u8 = 40;
/// Primaries remembered to tell a flip from a change for the better.
const RECENT: usize = 8;

/// A sequence number and a distance at it; without one, a retraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) seq: Seq,
    pub(super) distance: Option<Distance>,
}

impl Told {
    pub(super) fn key(self) -> Option<Key> {
        self.distance.map(|distance| Key {
            seq: self.seq,
            distance,
        })
    }
}

impl From<Key> for Told {
    fn from(key: Key) -> Self {
        Self {
            seq: key.seq,
            distance: Some(key.distance),
        }
    }
}

/// One neighbour, as far as one origin is concerned. There are origins times neighbours of these, so it is kept small, and
/// which neighbour it is shows in its place alone: see [`Route::links`].
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go on their own"
)]
pub(super) struct Link {
    /// The last row from it.
    pub(super) heard: Told,
    /// The closest row from it in this session; no distance stands for `FAR`.
    pub(super) low: Told,
    /// The last row to it.
    pub(super) sent: Told,
    pub(super) role: Option<Role>,
    pub(super) full: bool,
    /// It has firm subscriptions for this origin here.
    pub(super) child: bool,
    /// It was tentative in this starvation, in vain.
    pub(super) tried: bool,
    /// It asked, and gets a row even if that equals the last one.
    pub(super) answer: bool,
    /// It got a distance since its last reset, so it may point here.
    pub(super) told: bool,
    /// It must get a reset before this origin is forgotten.
    pub(super) reset_due: bool,
    /// It got one and has not answered.
    pub(super) reset_unacked: bool,
    pub(super) asked: super::limits::Second,
}

impl Link {
    /// Through this neighbour to the origin.
    pub(super) fn total(&self, adjacent: &Adjacent) -> Option<Distance> {
        self.heard
            .distance
            .and_then(|distance| distance.plus(adjacent.cost))
    }

    /// The feasibility condition. Tested on the closest row and not on the last one: what the neighbour holds as its own
    /// feasibility distance is at least as close as every row it ever sent.
    pub(super) fn feasible(&self, fd: Option<Key>) -> bool {
        self.low
            .key()
            .is_some_and(|low| fd.is_none_or(|fd| low.closer_than(fd)))
    }

    /// Whether it is an upstream that binds the feasibility distance.
    pub(super) fn binds(&self) -> bool {
        self.role.is_some_and(|role| role != Role::Tentative)
    }

    /// Not a candidate for a voluntary switch: of doubtful life, about to go, or without room.
    pub(super) fn shunned(&self, adjacent: &Adjacent) -> bool {
        adjacent.suspect || adjacent.leaving || (self.full && !self.binds())
    }
}

/// What a decision about one origin may look at and write to besides the origin's own state.
pub(super) struct Env<'a> {
    pub(super) now: Duration,
    pub(super) config: &'a Config,
    /// In the order of [`Route::links`], one for one.
    pub(super) neighbours: &'a mut [Adjacent],
    pub(super) out: &'a mut VecDeque<Output>,
}

impl Env<'_> {
    pub(super) const fn timers(&self) -> &Timers {
        &self.config.timers
    }
}

/// A wait that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// Not before this.
    pub(super) at: Duration,
    /// The wait after the next time.
    pub(super) wait: Duration,
}

/// Everything about one origin.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go on their own"
)]
pub(super) struct Route {
    pub(super) origin: NodeId,
    /// This node is the origin.
    pub(super) own: bool,
    /// One for each neighbour in session, in the order of [`Env::neighbours`].
    pub(super) links: Vec<Link>,
    /// The feasibility distance: the closest key that this node has advertised; `None` is `FAR`.
    pub(super) fd: Option<Key>,
    pub(super) primary: Option<Neighbour>,
    pub(super) total: Option<Distance>,
    /// What this node advertises.
    pub(super) mine: Told,
    pub(super) interest: bool,
    /// The pending upstream is given up at this time.
    pub(super) pending_until: Option<Duration>,
    /// Since when there has been a better path.
    pub(super) better_since: Option<Duration>,
    /// No voluntary switch before this time.
    pub(super) dwell: Retry,
    /// The request of a starved node.
    pub(super) ask: Retry,
    /// The tentative upstream brought something fresh.
    pub(super) proved: bool,
    /// Resets are on their way.
    pub(super) resetting: bool,
    /// When this route is looked at next, as the agenda has it.
    pub(super) wake: Option<Duration>,
    pub(super) unrest: Apart,
}

impl Route {
    pub(super) fn new(origin: NodeId, neighbours: usize, interest: bool, timers: &Timers) -> Self {
        Self {
            origin,
            own: false,
            links: vec![Link::default(); neighbours],
            fd: None,
            primary: None,
            total: None,
            mine: Told::default(),
            interest,
            pending_until: None,
            better_since: None,
            dwell: Retry {
                at: Duration::ZERO,
                wait: timers.dwell,
            },
            ask: Retry {
                at: Duration::ZERO,
                wait: timers.request_retry,
            },
            proved: false,
            resetting: false,
            wake: None,
            unrest: Apart::default(),
        }
    }

    pub(super) fn link(&self, neighbours: &[Adjacent], neighbour: Neighbour) -> Option<&Link> {
        self.links.get(position(neighbours, neighbour).ok()?)
    }

    pub(super) fn link_mut(&mut self, neighbours: &[Adjacent], neighbour: Neighbour) -> Option<&mut Link> {
        self.links.get_mut(position(neighbours, neighbour).ok()?)
    }

    /// Each link with the session it belongs to.
    pub(super) fn paths<'a>(
        &'a self,
        neighbours: &'a [Adjacent],
    ) -> impl Iterator<Item = (&'a Link, &'a Adjacent)> + use<'a> {
        self.links.iter().zip(neighbours)
    }

    /// Media flows, or should: some subscription here or a child wants this origin.
    pub(super) fn wanted(&self) -> bool {
        self.interest || self.links.iter().any(|link| link.child)
    }

    /// Some neighbour has a path, feasible or not.
    pub(super) fn any_path(&self, neighbours: &[Adjacent]) -> bool {
        self.paths(neighbours)
            .any(|(link, adjacent)| link.total(adjacent).is_some())
    }

    pub(super) fn holder(&self, neighbours: &[Adjacent], role: Role) -> Option<Neighbour> {
        self.paths(neighbours)
            .find(|(link, _)| link.role == Some(role))
            .map(|(_, adjacent)| adjacent.neighbour)
    }

    /// Gives a neighbour a role, and says so.
    pub(super) fn enlist(&mut self, env: &mut Env<'_>, neighbour: Neighbour, role: Role) {
        let origin = self.origin;
        let Some(link) = self
            .link_mut(env.neighbours, neighbour)
            .filter(|link| link.role != Some(role))
        else {
            return;
        };
        if let Some(old) = link.role.replace(role) {
            self.dismissed(neighbour, old);
        }
        env.out.push_back(Output::Use {
            origin,
            neighbour,
            role,
        });
    }

    /// Takes a neighbour's role away, whatever it is, and says so.
    pub(super) fn dismiss(&mut self, env: &mut Env<'_>, neighbour: Neighbour, reason: DropReason) {
        let origin = self.origin;
        if let Some(link) = self.link_mut(env.neighbours, neighbour)
            && let Some(role) = link.role.take()
        {
            env.out.push_back(Output::Drop {
                origin,
                neighbour,
                reason,
            });
            self.dismissed(neighbour, role);
        }
    }

    /// Clears what a role brings with it.
    pub(super) fn dismissed(&mut self, neighbour: Neighbour, role: Role) {
        match role {
            Role::Primary => self.primary = None,
            Role::Pending => self.pending_until = None,
            Role::Draining => self
                .unrest
                .clear(|unrest| unrest.draining.retain(|&(draining, _)| draining != neighbour)),
            Role::Tentative => self.proved = false,
            Role::Track => {}
        }
    }

    /// Remembers a primary that was left although it worked. Returns whether `to` had been left so lately that this is a flip.
    pub(super) fn leave(&mut self, now: Duration, window: Duration, from: Neighbour, to: Neighbour) -> bool {
        let recent = &mut self.unrest.edit().recent;
        recent.retain(|&(_, at)| at + window > now);
        let flip = recent.iter().any(|&(left, _)| left == to);
        recent.retain(|&(left, _)| left != from && left != to);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((from, now));
        flip
    }

    /// Nothing would be lost with it: no path, nothing advertised that anybody may still rely on, nobody waiting.
    pub(super) fn is_blank(&self, neighbours: &[Adjacent]) -> bool {
        !self.own
            && self.fd.is_none()
            && self.mine.distance.is_none()
            && !self.any_path(neighbours)
            && !self.links.iter().any(|link| {
                link.child || link.role.is_some() || link.reset_unacked || link.sent.distance.is_some()
            })
    }

    /// When this route must be looked at even if nothing happens.
    pub(super) fn deadline(&self, env: &Env<'_>) -> Option<Duration> {
        let timers = env.timers();
        let primary = self.primary.is_some();
        let starved = !self.own && !primary && self.any_path(env.neighbours);
        [
            self.pending_until,
            self.unrest.draining.iter().map(|&(_, until)| until).min(),
            self.better_since
                .filter(|_| self.pending_until.is_none())
                .map(|since| (since + timers.switch_hold).max(self.dwell.at)),
            self.unrest.vacate_by,
            starved.then_some(self.ask.at),
            self.unrest.optimum.filter(|_| primary).map(|retry| retry.at),
            self.unrest
                .lost_since
                .filter(|_| !self.resetting)
                .map(|since| since + timers.forget),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand origins and ten neighbours are to fit in 1 MB (T13), with allocations and the lists beside the routes.
    #[test]
    fn links_and_routes_at_rest_do_not_grow() {
        assert!(size_of::<Link>() <= 60, "{}", size_of::<Link>());
        assert!(size_of::<Route>() <= 232, "{}", size_of::<Route>());
        let route = Route::new(NodeId([1; 32]), 10, true, &Timers::default());
        assert_eq!(route.links.capacity(), 10);
    }
}
