//! Routes to origins: a distance vector whose feasibility distance binds every upstream in use.
//!
//! An *origin* is a node where somebody publishes. Each node tells its neighbours how far it is from each origin, and pulls
//! tracks of that origin from neighbours that are closer. "Closer" is what keeps the graph of these pulls free of cycles at
//! every instant: a node remembers the closest key (sequence number of the origin, then distance) that it ever advertised, its
//! *feasibility distance*, and uses only neighbours of which it heard a closer one. Along every pointer the feasibility distance
//! falls strictly, whatever is lost, delayed or restarted, and however costs differ by direction.
//!
//! The condition is Babel's (RFC 8966 §3.5.1) with two changes. It holds for *all* upstreams in use, so that a subscription
//! that lags behind the route cannot close a cycle; and it is tested on the lowest key that a neighbour ever sent rather than on
//! its last one, by the same proof, which leaves fewer nodes without a legal neighbour. There are no periodic updates, as
//! sessions are reliable and ordered.
//!
//! A node whose neighbours have paths, none of them feasible, is *starved*: it retracts, asks for a newer sequence number and
//! pulls from a tentative upstream meanwhile. See the modules: `receive` takes what neighbours say and `local` what
//! this node wants, `choose` decides, `spread` tells, `request` asks, `own` speaks for this node as an origin, `starve` and
//! `forget` are what they say.
//!
//! What this does not do: frames and aliases, signatures (rows come in verified), subscriptions (they follow the outputs), load.
//!
//! # Contract
//!
//! Call a method, then drain [`Routes::poll`], and for each [`Output::Ready`] call [`Routes::next_flush`] until it returns
//! `None`, as far as the stream takes bytes. Call [`Routes::tick`] at [`Routes::deadline`]. The time given never runs
//! backwards. Nothing is queued per change: what a slow neighbour is owed is a set of origins.

mod choose;
mod config;
mod forget;
mod limits;
mod local;
mod neighbour;
mod output;
mod own;
mod receive;
mod request;
mod route;
mod spread;
mod starve;
mod table;
#[cfg(test)]
mod tests;
mod unrest;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::id::{Cost, Neighbour, NodeId};
use neighbour::{Adjacent, position};
use own::Own;
use route::{Env, Link, Route};
use table::Table;

pub(in crate::overlay) use limits::Bucket;

pub use config::{Config, Limits, Timers};
pub use output::{Alarm, Candidate, Cause, DropReason, Flush, Output, Refusal, Request, Role, Row};

/// The routes of one node. See the [module](self) for the contract.
#[derive(Clone, Debug)]
pub struct Routes {
    me: NodeId,
    config: Config,
    own: Own,
    announced: bool,
    /// Sorted.
    neighbours: Vec<Adjacent>,
    origins: Table,
    /// In origins without a route, so that interest may come first: a route knows of its own.
    interests: BTreeSet<NodeId>,
    /// Which route wants to be looked at, and when.
    agenda: BTreeSet<(Duration, NodeId)>,
    out: VecDeque<Output>,
}

impl Routes {
    /// Of the node `me`. `epoch` must be above every earlier one of the same key.
    #[must_use]
    pub fn new(me: NodeId, epoch: u64, config: Config) -> Self {
        Self {
            me,
            config,
            own: Own::new(epoch),
            announced: false,
            neighbours: Vec::new(),
            origins: Table::default(),
            interests: BTreeSet::new(),
            agenda: BTreeSet::new(),
            out: VecDeque::new(),
        }
    }

    /// A session with a neighbour stands and both ends are verified. Everything advertised becomes due for it. A session that
    /// is there already is left as it is.
    pub fn neighbour_up(&mut self, now: Duration, neighbour: Neighbour, node: NodeId, cost: Cost) {
        let Err(at) = self.position(neighbour) else { return };
        let mut adjacent = Adjacent::new(now, neighbour, node, cost, &self.config.limits);
        for route in self.origins.iter_mut() {
            route.links.reserve_exact(1);
            route.links.insert(at, Link::default());
            if route.mine.distance.is_some() {
                adjacent.mark(route.origin, Some(now));
            }
        }
        self.neighbours.insert(at, adjacent);
        self.alert(now);
    }

    /// A session ended. What was promised to it and by it is void.
    pub fn neighbour_down(&mut self, now: Duration, neighbour: Neighbour) {
        let Ok(at) = self.position(neighbour) else { return };
        self.neighbours.remove(at);
        self.each(now, |route, env| {
            let before = route.before();
            let link = route.links.remove(at);
            route.unrest.clear(|unrest| {
                unrest.want.retain(|&(asking, _)| asking != neighbour);
                unrest.recent.retain(|&(left, _)| left != neighbour);
            });
            if let Some(role) = link.role {
                let (origin, reason) = (route.origin, DropReason::Down);
                env.out.push_back(Output::Drop {
                    origin,
                    neighbour,
                    reason,
                });
                route.dismissed(neighbour, role);
            }
            route.decide(env, Cause::NeighbourDown, before);
        });
    }

    /// Suspicion about a session came up or is over. A suspected neighbour is not chosen while there is another; one in use stays.
    pub fn suspect(&mut self, now: Duration, neighbour: Neighbour, suspect: bool) {
        let Some(adjacent) = self.adjacent(neighbour) else {
            return;
        };
        if adjacent.suspect != suspect {
            adjacent.suspect = suspect;
            self.each(now, |route, env| route.choose(env, Cause::Suspicion));
        }
    }

    /// A neighbour said that it is about to go. It is used as long as there is nobody else; whoever is closer than its user may
    /// replace it, however much longer that way is, without waiting for it to last. There is no way back but a new session.
    pub fn leaving(&mut self, now: Duration, neighbour: Neighbour) {
        let Some(adjacent) = self.adjacent(neighbour) else {
            return;
        };
        if !std::mem::replace(&mut adjacent.leaving, true) {
            self.each(now, |route, env| route.choose(env, Cause::Leaving));
        }
    }

    /// The cost of the link to a neighbour changed.
    pub fn cost_changed(&mut self, now: Duration, neighbour: Neighbour, cost: Cost) {
        let Some(adjacent) = self.adjacent(neighbour) else {
            return;
        };
        if adjacent.cost != cost {
            adjacent.cost = cost;
            self.each(now, |route, env| {
                if route
                    .link(env.neighbours, neighbour)
                    .is_some_and(|link| link.heard.distance.is_some())
                {
                    route.choose(env, Cause::Cost);
                }
            });
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        if self.own.overdue(now, &self.config) {
            self.publish(now);
        }
        // Taken out before anything runs, so that a route is looked at once however soon it wants to be looked at again.
        let due: Vec<NodeId> = self
            .agenda
            .iter()
            .take_while(|&&(at, _)| at <= now)
            .map(|&(_, origin)| origin)
            .collect();
        for origin in due {
            self.with(now, origin, |route, env| {
                let before = route.before();
                route.expire(env, now);
                route.decide(env, Cause::Timer, before);
            });
        }
        self.alert(now);
    }

    /// When [`tick`](Self::tick) is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let flush = self
            .neighbours
            .iter()
            .filter(|adjacent| !adjacent.ready)
            .filter_map(|adjacent| adjacent.due)
            .min();
        [flush, self.own.deadline(), self.agenda.first().map(|&(at, _)| at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is due for a neighbour, at most `max_rows` rows of it, which count as sent from now on. `None`: all is sent, and
    /// [`Output::Ready`] tells when there is more. Whoever stops before that must come back by himself.
    pub fn next_flush(&mut self, now: Duration, neighbour: Neighbour, max_rows: usize) -> Option<Flush> {
        let at = self.position(neighbour).ok()?;
        let Self {
            neighbours, origins, ..
        } = self;
        let adjacent = neighbours.get_mut(at)?;
        if adjacent.due.is_none_or(|due| due > now) {
            adjacent.ready = false;
            return None;
        }
        let mut flush = Flush {
            reset_acks: std::mem::take(&mut adjacent.reset_acks).into_iter().collect(),
            ..Flush::default()
        };
        while flush.rows.len() < max_rows.max(1)
            && let Some(origin) = adjacent.dirty.pop_first()
        {
            let row = origins
                .get_mut(origin)
                .and_then(|route| route.row_for(neighbour, at));
            flush.rows.extend(row.map(|row| (origin, row)));
        }
        if adjacent.dirty.is_empty() {
            adjacent.due = None;
            adjacent.ready = false;
            let requests = std::mem::take(&mut adjacent.requests);
            flush.requests = requests
                .into_iter()
                .map(|(origin, (wanted, ttl))| Request { origin, wanted, ttl })
                .collect();
        }
        (!flush.is_empty()).then_some(flush)
    }

    /// The next thing to do or to log.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn position(&self, neighbour: Neighbour) -> Result<usize, usize> {
        position(&self.neighbours, neighbour)
    }

    fn adjacent(&mut self, neighbour: Neighbour) -> Option<&mut Adjacent> {
        let at = self.position(neighbour).ok()?;
        self.neighbours.get_mut(at)
    }

    fn create(&mut self, origin: NodeId) {
        let interest = self.interests.remove(&origin);
        let route = Route::new(origin, self.neighbours.len(), interest, &self.config.timers);
        self.origins.insert(route);
    }

    /// Runs `act` on a route, then looks after its place in the agenda, and drops it if nothing is left of it.
    fn with(&mut self, now: Duration, origin: NodeId, act: impl FnOnce(&mut Route, &mut Env<'_>)) {
        let Self {
            config,
            neighbours,
            origins,
            interests,
            agenda,
            out,
            ..
        } = self;
        let Some(route) = origins.get_mut(origin) else {
            return;
        };
        let mut env = Env {
            now,
            config,
            neighbours,
            out,
        };
        act(route, &mut env);
        if !settle(agenda, interests, route, &env) {
            origins.remove(origin);
        }
    }

    /// As [`with`](Self::with), for every route, in order.
    fn each(&mut self, now: Duration, mut act: impl FnMut(&mut Route, &mut Env<'_>)) {
        let Self {
            config,
            neighbours,
            origins,
            interests,
            agenda,
            out,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            neighbours,
            out,
        };
        origins.retain(|route| {
            act(route, &mut env);
            settle(agenda, interests, route, &env)
        });
        self.alert(now);
    }

    /// Tells the caller for whom something has become due.
    fn alert(&mut self, now: Duration) {
        for adjacent in &mut self.neighbours {
            if !adjacent.ready && adjacent.due.is_some_and(|due| due <= now) {
                adjacent.ready = true;
                self.out.push_back(Output::Ready(adjacent.neighbour));
            }
        }
    }
}

/// Puts a route where it belongs in the agenda, and takes back the room that it does not need any more. Returns whether there
/// is anything left of it; if not, the interest in its origin is kept without it.
fn settle(
    agenda: &mut BTreeSet<(Duration, NodeId)>,
    interests: &mut BTreeSet<NodeId>,
    route: &mut Route,
    env: &Env<'_>,
) -> bool {
    let blank = route.is_blank(env.neighbours);
    let wake = route.deadline(env).filter(|_| !blank);
    if wake != route.wake {
        if let Some(old) = route.wake {
            agenda.remove(&(old, route.origin));
        }
        if let Some(new) = wake {
            agenda.insert((new, route.origin));
        }
        route.wake = wake;
    }
    route.unrest.settle(env.now, env.timers().flip_window);
    if blank && route.interest {
        interests.insert(route.origin);
    }
    !blank
}
