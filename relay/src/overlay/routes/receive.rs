//! What neighbours say: rows, requests and answers to resets, checked against the limits before a route sees them.

use std::time::Duration;

use super::super::id::{Distance, Neighbour, NodeId, Seq};
use super::Routes;
use super::output::{Refusal, Row};
use super::own::EPOCH_LIMIT;

impl Routes {
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
            .get(origin)
            .filter(|route| !route.own)
            .into_iter()
            .flat_map(|route| route.paths(&self.neighbours))
            .filter(|(link, _)| link.heard.distance.is_some())
            .map(|(link, adjacent)| (adjacent.neighbour, link.heard.seq))
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
        let known = self.origins.get(origin);
        let counted = known
            .and_then(|route| route.link(&self.neighbours, neighbour))
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
        let Some(route) = self.origins.get_mut(origin) else {
            return Ok(());
        };
        if !route
            .link_mut(&self.neighbours, neighbour)
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
}
