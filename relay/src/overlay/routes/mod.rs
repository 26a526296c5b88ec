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
//! pulls from a tentative upstream meanwhile. See the modules: `choose` decides, `spread` tells, `request` asks, `starve` and
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
mod neighbour;
mod output;
mod own;
mod request;
mod route;
mod spread;
mod starve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::id::{Cost, Distance, Key, Neighbour, NodeId, Seq};
use neighbour::Adjacent;
use own::{Adoption, EPOCH_LIMIT, Own};
use route::{Env, Link, Route, Told};

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
    origins: BTreeMap<NodeId, Route>,
    /// Outlives the route, so that interest may come first.
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
            origins: BTreeMap::new(),
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
        for route in self.origins.values_mut() {
            route.links.insert(at, Link::new(neighbour));
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
            route.want.retain(|&(asking, _)| asking != neighbour);
            route.recent.retain(|&(left, _)| left != neighbour);
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
                    .link(neighbour)
                    .is_some_and(|link| link.heard.distance.is_some())
                {
                    route.choose(env, Cause::Cost);
                }
            });
        }
    }

    /// A neighbour's row. In open mode its beacon was verified before.
    ///
    /// # Errors
    /// [`Refusal`]: the row changed nothing. Unless the variant says otherwise, the session may go on.
    pub fn row(
        &mut self,
        now: Duration,
        neighbour: Neighbour,
        origin: NodeId,
        row: Row,
    ) -> Result<(), Refusal> {
        let adjacent = self.adjacent(neighbour).ok_or(Refusal::NoNeighbour)?;
        if !adjacent.rows.take(now) {
            return Err(Refusal::Rows);
        }
        if row.seq.epoch >= EPOCH_LIMIT {
            return Err(Refusal::Epoch);
        }
        if row.distance == Some(Distance::ZERO) && adjacent.node != origin {
            return Err(Refusal::ZeroDistance);
        }
        if row.reset {
            adjacent.reset_acks.insert(origin);
            adjacent.hasten(now);
        }
        if origin == self.me {
            self.heard_of_myself(now, neighbour, row.seq);
        } else if self.admit(neighbour, origin, row.distance.is_some())? {
            self.with(now, origin, |route, env| route.receive(env, neighbour, row));
        }
        self.alert(now);
        Ok(())
    }

    /// A node is no origin any more, whatever it or others said: all rows about it count as retracted.
    pub fn bar(&mut self, now: Duration, origin: NodeId) {
        let heard: Vec<_> = self
            .origins
            .get(&origin)
            .filter(|route| !route.own)
            .into_iter()
            .flat_map(|route| &route.links)
            .filter(|link| link.heard.distance.is_some())
            .map(|link| (link.neighbour, link.heard.seq))
            .collect();
        for (neighbour, seq) in heard {
            let row = Row {
                seq,
                distance: None,
                full: false,
                reset: false,
            };
            if let Ok(true) = self.admit(neighbour, origin, false) {
                self.with(now, origin, |route, env| route.receive(env, neighbour, row));
            }
        }
        self.alert(now);
    }

    /// Makes room for a row. Returns whether there is anything to store.
    fn admit(&mut self, neighbour: Neighbour, origin: NodeId, finite: bool) -> Result<bool, Refusal> {
        let known = self.origins.get(&origin);
        let counted = known
            .and_then(|route| route.link(neighbour))
            .is_some_and(|link| link.heard.distance.is_some());
        if known.is_none() && !finite {
            return Ok(false);
        }
        let (known, most) = (known.is_some(), self.config.limits.origins_per_neighbour);
        if !known && self.origins.len() >= self.config.limits.origins {
            return Err(Refusal::Origins);
        }
        let adjacent = self.adjacent(neighbour).ok_or(Refusal::NoNeighbour)?;
        if finite && !counted {
            if adjacent.origins >= most {
                return Err(Refusal::OriginsOfNeighbour);
            }
            adjacent.origins += 1;
        } else if counted && !finite {
            adjacent.origins = adjacent.origins.saturating_sub(1);
        }
        if !known {
            self.create(origin);
        }
        Ok(true)
    }

    /// A neighbour wants a newer sequence number of an origin.
    ///
    /// # Errors
    /// [`Refusal`]: the request was ignored.
    pub fn seq_request(
        &mut self,
        now: Duration,
        neighbour: Neighbour,
        origin: NodeId,
        wanted: Seq,
        ttl: u8,
    ) -> Result<(), Refusal> {
        let adjacent = self.adjacent(neighbour).ok_or(Refusal::NoNeighbour)?;
        if !adjacent.asks.take(now) {
            return Err(Refusal::Requests);
        }
        if wanted.epoch >= EPOCH_LIMIT {
            return Err(Refusal::Epoch);
        }
        let limit = self.config.limits.requests_per_origin;
        let Some(route) = self.origins.get_mut(&origin) else {
            return Ok(());
        };
        if !route
            .link_mut(neighbour)
            .is_some_and(|link| link.asked.take(now, limit))
        {
            return Err(Refusal::RequestsOfOrigin);
        }
        if origin == self.me {
            self.requested_of_me(now, neighbour, wanted);
        } else {
            self.with(now, origin, |route, env| {
                route.requested(env, neighbour, wanted, ttl)
            });
        }
        self.alert(now);
        Ok(())
    }

    /// A neighbour obeyed a reset: it does not pull this origin from here.
    pub fn reset_ack(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.reset_acked(env, neighbour));
        self.alert(now);
    }

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

    /// Something here wants tracks of this origin, or nothing does any more. Children count on their own.
    pub fn interest(&mut self, now: Duration, origin: NodeId, interest: bool) {
        let changed = if interest {
            self.interests.insert(origin)
        } else {
            self.interests.remove(&origin)
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
        if child && !self.origins.contains_key(&origin) && self.origins.len() < self.config.limits.origins {
            self.create(origin);
        }
        self.with(now, origin, |route, env| {
            if let Some(link) = route.link_mut(neighbour) {
                link.child = child;
            }
            route.choose(env, Cause::Interest);
        });
        self.alert(now);
    }

    /// Asks to pull single tracks of an origin from this neighbour, beside the primary. Allowed only if that cannot close a
    /// cycle; then the neighbour binds the feasibility distance until [`release`](Self::release) or [`Output::Drop`]. Not
    /// counted: one release ends it, however often it was asked for.
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
        self.with(now, origin, |route, _| route.prove(neighbour));
    }

    /// The tentative upstream delivered nothing of the kind in time, or refused.
    pub fn tentative_failed(&mut self, now: Duration, neighbour: Neighbour, origin: NodeId) {
        self.with(now, origin, |route, env| route.disprove(env, neighbour));
        self.alert(now);
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
                .get_mut(&origin)
                .and_then(|route| route.row_for(neighbour));
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

    /// Every neighbour as a way to an origin, in the order of their sessions.
    pub fn candidates(&self, origin: NodeId) -> impl Iterator<Item = Candidate> + use<'_> {
        self.origins.get(&origin).into_iter().flat_map(|route| {
            route.paths(&self.neighbours).map(|(link, adjacent)| Candidate {
                neighbour: link.neighbour,
                node: adjacent.node,
                distance: link.heard.distance,
                cost: adjacent.cost,
                total: link.total(adjacent),
                feasible: link.heard.distance.is_some() && link.feasible(route.fd),
                suspect: adjacent.suspect,
                full: link.full,
                low: link.low.key(),
                role: link.role,
            })
        })
    }

    /// The upstream of the route to an origin.
    #[must_use]
    pub fn primary(&self, origin: NodeId) -> Option<Neighbour> {
        self.origins.get(&origin)?.primary
    }

    /// Length of the route to an origin; zero at the origin itself.
    #[must_use]
    pub fn total(&self, origin: NodeId) -> Option<Distance> {
        self.origins.get(&origin)?.total
    }

    /// The tentative upstream that brought fresh media, where there is no route.
    #[must_use]
    pub fn proved_tentative(&self, origin: NodeId) -> Option<Neighbour> {
        self.origins
            .get(&origin)
            .filter(|route| route.proved)?
            .holder(Role::Tentative)
    }

    /// What this node advertises for an origin: the key that its neighbours hear.
    #[must_use]
    pub fn advertised(&self, origin: NodeId) -> Option<Key> {
        self.origins.get(&origin)?.mine.key()
    }

    /// The closest key that this node ever advertised for an origin, and never will undercut without dropping upstreams.
    #[must_use]
    pub fn feasibility_distance(&self, origin: NodeId) -> Option<Key> {
        self.origins.get(&origin)?.fd
    }

    /// All origins heard of and not forgotten, in order.
    pub fn origins(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.origins.keys().copied()
    }

    /// This node's own sequence number, announced or not.
    #[must_use]
    pub const fn own_seq(&self) -> Seq {
        self.own.seq
    }

    fn position(&self, neighbour: Neighbour) -> Result<usize, usize> {
        self.neighbours
            .binary_search_by_key(&neighbour, |adjacent| adjacent.neighbour)
    }

    fn adjacent(&mut self, neighbour: Neighbour) -> Option<&mut Adjacent> {
        let at = self.position(neighbour).ok()?;
        self.neighbours.get_mut(at)
    }

    fn create(&mut self, origin: NodeId) {
        let interest = self.interests.contains(&origin);
        let route = Route::new(origin, &self.neighbours, interest, &self.config.timers);
        self.origins.insert(origin, route);
    }

    /// Runs `act` on a route, then looks after its place in the agenda, and drops it if nothing is left of it.
    fn with(&mut self, now: Duration, origin: NodeId, act: impl FnOnce(&mut Route, &mut Env<'_>)) {
        let Self {
            config,
            neighbours,
            origins,
            agenda,
            out,
            ..
        } = self;
        let Some(route) = origins.get_mut(&origin) else {
            return;
        };
        let mut env = Env {
            now,
            config,
            neighbours,
            out,
        };
        act(route, &mut env);
        schedule(agenda, route, &env);
        if route.is_blank(neighbours) {
            if let Some(wake) = route.wake {
                agenda.remove(&(wake, origin));
            }
            origins.remove(&origin);
        }
    }

    /// As [`with`](Self::with), for every route, in order.
    fn each(&mut self, now: Duration, mut act: impl FnMut(&mut Route, &mut Env<'_>)) {
        let Self {
            config,
            neighbours,
            origins,
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
        origins.retain(|_, route| {
            act(route, &mut env);
            schedule(agenda, route, &env);
            let blank = route.is_blank(env.neighbours);
            if let Some(wake) = route.wake.filter(|_| blank) {
                agenda.remove(&(wake, route.origin));
            }
            !blank
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

    /// The row that this node says about itself.
    fn publish(&mut self, now: Duration) {
        let (me, seq) = (self.me, self.own.seq);
        let distance = self.announced.then_some(Distance::ZERO);
        if !self.origins.contains_key(&me) {
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

    fn requested_of_me(&mut self, now: Duration, neighbour: Neighbour, wanted: Seq) {
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
    fn heard_of_myself(&mut self, now: Duration, neighbour: Neighbour, heard: Seq) {
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

/// Puts a route where it belongs in the agenda.
fn schedule(agenda: &mut BTreeSet<(Duration, NodeId)>, route: &mut Route, env: &Env<'_>) {
    let wake = route.deadline(env);
    if wake != route.wake {
        if let Some(old) = route.wake {
            agenda.remove(&(old, route.origin));
        }
        if let Some(new) = wake {
            agenda.insert((new, route.origin));
        }
        route.wake = wake;
    }
}
