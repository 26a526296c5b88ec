//! What neighbours say about logs.

use std::time::Duration;

use super::link::{Feed, Peer};
use super::log::{Log, Unfit};
use super::origin::Reach;
use super::{Logs, Output, Refusal};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Change, Have, LogPull, LogPush};

/// How a push relates to what is held.
enum Place {
    /// It may continue the log.
    Continue,
    /// It begins a later stretch.
    Begin,
    /// It is from an earlier stretch, or what precedes it is missing.
    Elsewhere,
}

/// What a push changed for those who look.
enum Seen {
    /// Nothing yet.
    Nothing,
    /// These entries.
    Changes(Vec<Change>),
    /// Another stretch took over.
    Everything,
}

impl Logs {
    /// LOG_HAVE, or the epoch and version of a ROUTE row.
    pub fn have(&mut self, now: Duration, from: Neighbour, have: Have) {
        let Have {
            origin: id,
            epoch,
            version,
        } = have;
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        if link.peers.len() >= self.limits.origins && !link.peers.contains_key(&id) {
            self.refuse(from, Refusal::Origins);
            return;
        }
        link.peer(id).learn((epoch, version));
        if id == self.me {
            if self.origins.get(&id).is_some_and(|own| own.at().0 < epoch) {
                self.outputs.push_back(Output::EpochTaken(epoch));
            }
            return;
        }
        self.check_behind(now, id);
        self.note_ready(now);
    }

    /// LOG_PUSH
    pub fn push(&mut self, now: Duration, from: Neighbour, push: LogPush) {
        let (id, at) = (push.origin, (push.head.epoch, push.head.version));
        let size = Log::footprint_of(&push);
        let Some(link) = self.links.get_mut(&from).filter(|_| id != self.me) else {
            return;
        };
        if !link.receiving.take(now, super::send::wire_len(&push)) {
            self.refuse(from, Refusal::Rate);
            return;
        }
        if self.origins.get(&id).is_some_and(|origin| at <= origin.at()) {
            self.learn(from, id, at);
            self.repeated(id, from);
            self.note_ready(now);
            return;
        }
        let refusal = if self.bytes.saturating_add(size) > self.limits.bytes {
            Some(Refusal::Memory)
        } else if !self.admit(now, id) {
            Some(Refusal::Origins)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.want(from, id, Feed::Lazy);
            self.refuse(from, reason);
            self.note_ready(now);
            return;
        }
        match self.store(id, push) {
            Ok((before, seen)) => {
                self.progress(now, id, from, at);
                match seen {
                    Seen::Nothing => {}
                    Seen::Changes(changes) => self.show_changes(now, id, &changes),
                    Seen::Everything => self.refresh(now, id),
                }
                self.spread(now, id, before, Some(from));
            }
            Err(Unfit::Gap | Unfit::Known) => self.learn(from, id, at),
            Err(Unfit::Forged) => {
                if let Some(link) = self.links.get_mut(&from) {
                    link.peer(id).has = (0, 0);
                }
                self.refuse(from, Refusal::Forged);
            }
        }
        self.check_behind(now, id);
        self.note_ready(now);
    }

    /// LOG_PULL
    pub fn pull(&mut self, now: Duration, from: Neighbour, pull: LogPull) {
        let known = self
            .origins
            .get(&pull.origin)
            .map_or((0, 0), |origin| origin.at());
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        // Even an older epoch is answered with what there is: it replaces what was asked for.
        if known.1 == 0 || known < (pull.epoch, pull.from) {
            return;
        }
        let peer = link.peer(pull.origin);
        peer.has = (pull.epoch, pull.from.saturating_sub(1));
        peer.left = pull.max_bytes.max(1);
        link.urge(pull.origin);
        self.note_ready(now);
    }

    /// LOG_PRUNE: the neighbour gets this origin's news elsewhere.
    pub fn prune(&mut self, now: Duration, from: Neighbour, origin: NodeId) {
        let known = self.origins.contains_key(&origin);
        if let Some(link) = self.links.get_mut(&from).filter(|_| known) {
            let peer = link.peer(origin);
            peer.feed = Feed::Lazy;
            peer.left = 0;
            let silent = peer.told;
            if self
                .origins
                .get(&origin)
                .is_some_and(|origin| origin.at() > silent)
            {
                link.say_later(origin, now + self.limits.have_after);
            }
        }
    }

    /// LOG_GRAFT: the neighbour wants this origin's news from us. What it has was said just before.
    pub fn graft(&mut self, now: Duration, from: Neighbour, origin: NodeId) {
        let at = self.origins.get(&origin).map_or((0, 0), |origin| origin.at());
        let link = self.links.get_mut(&from);
        // Of what nobody spoke about yet, eager is where everybody begins.
        if let Some(link) = link.filter(|link| link.peers.contains_key(&origin)) {
            let peer = link.peer(origin);
            peer.feed = Feed::Eager;
            if at.1 > 0 && peer.has < at {
                peer.left = u64::MAX;
                link.urge(origin);
            }
        }
        self.note_ready(now);
    }

    /// Says whether pushes of `origin` are wanted from a neighbour, if that is new.
    pub(super) fn want(&mut self, neighbour: Neighbour, origin: NodeId, wanted: Feed) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            let peer = link.peer(origin);
            peer.wanted = wanted;
            if peer.wanted != peer.said_wanted {
                link.urge(origin);
            }
        }
    }

    fn learn(&mut self, neighbour: Neighbour, origin: NodeId, at: (u64, u64)) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            link.peer(origin).learn(at);
        }
    }

    /// Takes what is new. Gives where the log stood before, and what that changed.
    fn store(&mut self, id: NodeId, push: LogPush) -> Result<((u64, u64), Seen), Unfit> {
        let verify = self.verify.as_ref();
        let origin = self.origins.get_mut(&id).ok_or(Unfit::Gap)?;
        let (before, used) = (origin.at(), origin.footprint());
        let place = match origin.front() {
            Some(log) if (log.epoch(), log.start()) == (push.head.epoch, push.head.start) => Place::Continue,
            _ if push.from == push.head.start + 1 => Place::Begin,
            _ => Place::Elsewhere,
        };
        let mut seen = Seen::Nothing;
        match (place, &mut origin.staged, &mut origin.current) {
            (Place::Begin, staged, _) => {
                let mut log = Log::new(id, push.head.epoch, push.head.start, push.head.snapshot);
                log.extend(push, verify)?;
                *staged = Some(log);
            }
            (Place::Continue, Some(log), _) => drop(log.extend(push, verify)?),
            (Place::Continue, None, Some(log)) => seen = Seen::Changes(log.extend(push, verify)?),
            (Place::Continue, None, None) | (Place::Elsewhere, ..) => return Err(Unfit::Gap),
        }
        if origin.staged.as_ref().is_some_and(Log::is_whole) {
            origin.current = origin.staged.take();
            seen = Seen::Everything;
        }
        self.bytes = self.bytes - used + origin.footprint();
        Ok((before, seen))
    }

    /// News came from a neighbour.
    fn progress(&mut self, now: Duration, id: NodeId, from: Neighbour, at: (u64, u64)) {
        if let Some(origin) = self.origins.get_mut(&id) {
            origin.deliverer = Some(from);
            if let Some(behind) = origin.behind.as_mut().filter(|behind| behind.asked == Some(from)) {
                behind.retry = self.limits.pull_retry;
                behind.at = now + behind.retry;
            }
        }
        if let Some(link) = self.links.get_mut(&from) {
            let peer: &mut Peer = link.peer(id);
            peer.learn(at);
            // It knows what it sent.
            peer.told = peer.told.max(at);
        }
    }

    /// A push came that brought nothing: of two that push the same, the primary keeps doing so.
    fn repeated(&mut self, id: NodeId, from: Neighbour) {
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        let primary = origin.primary.filter(|_| origin.reach == Reach::Up);
        if primary != Some(from) {
            self.want(from, id, Feed::Lazy);
        } else if let Some(other) = origin.deliverer.replace(from).filter(|other| *other != from) {
            self.want(other, id, Feed::Lazy);
        }
    }
}
