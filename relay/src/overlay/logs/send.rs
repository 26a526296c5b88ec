//! What is said to neighbours about logs.

use std::time::Duration;

use bytes::BytesMut;
use headwater_pubsub::wire::EncodeError;

use super::Logs;
use super::link::{Feed, Link};
use super::origin::Origin;
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Fit, Have, LogPull, LogPush, MAX_CHUNK, ObjectWriter, Record};

/// Bytes of a push's changes.
pub(super) fn wire_len(push: &LogPush) -> u64 {
    let mut bytes = BytesMut::new();
    for change in &push.changes {
        // One that cannot be written was not read either.
        if change.encode(&mut bytes).is_err() {
            break;
        }
    }
    bytes.len() as u64
}

/// Whether everything for one origin was said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    All,
    /// More for this origin.
    Some,
    /// The object is full, or the neighbour has had its share.
    Stop,
}

impl Link {
    /// There is something to say about `origin` at once.
    pub(super) fn urge(&mut self, origin: NodeId) {
        self.urgent.insert(origin);
        self.blocked_until = Duration::ZERO;
    }
}

impl Logs {
    /// Writes what a neighbour is to hear now, after [`Output::Ready`](super::Output::Ready), as much as fits. An object with less
    /// room than 20 kB may stay empty although there is something to say.
    pub fn flush(&mut self, now: Duration, neighbour: Neighbour, object: &mut ObjectWriter<'_>) {
        let Some(mut link) = self.links.remove(&neighbour) else {
            return;
        };
        link.ready = false;
        if link.lazy_at <= now && !link.lazy.is_empty() {
            self.flush_versions(&mut link, object);
        }
        if link.lazy.is_empty() {
            link.introduced = true;
        }
        // One chunk per origin and round, so that a long log does not hold up the others.
        let mut stop = false;
        while !link.urgent.is_empty() && !stop {
            for id in link.urgent.clone() {
                match self.flush_origin(now, id, &mut link, object) {
                    Ok(Said::Some) => {}
                    // What cannot be encoded was never accepted; were it, it is better left out than repeated.
                    Ok(Said::All) | Err(_) => drop(link.urgent.remove(&id)),
                    Ok(Said::Stop) => {
                        stop = true;
                        break;
                    }
                }
            }
        }
        self.links.insert(neighbour, link);
        self.note_ready(now);
    }

    /// The versions of origins were said to a neighbour in ROUTE rows.
    pub fn told(&mut self, neighbour: Neighbour, have: Have) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            let peer = link.peer(have.origin);
            peer.told = peer.told.max((have.epoch, have.version));
        }
    }

    /// News of an origin's log: pushes it, or its version, to all but the neighbour it is from. `before`: where the log stood.
    pub(super) fn spread(&mut self, now: Duration, id: NodeId, before: (u64, u64), from: Option<Neighbour>) {
        let at = self.origins.get(&id).map_or((0, 0), Origin::at);
        // A new epoch says nothing before its first change.
        if at.1 == 0 {
            return;
        }
        let begins = before.0 < at.0 || before.1 == 0;
        for (&neighbour, link) in &mut self.links {
            let peer = link.peer(id);
            let current = peer.has >= before || begins && peer.has.0 < at.0;
            // Who lagged before catches up by asking, so that only one neighbour sends it the whole.
            if peer.has < at && (peer.left > 0 || peer.feed == Feed::Eager && current) {
                if peer.feed == Feed::Eager {
                    peer.left = u64::MAX;
                }
                link.urge(id);
            } else if peer.told < at && Some(neighbour) != from {
                link.say_later(id, now + self.limits.have_after);
            }
        }
    }

    fn flush_versions(&self, link: &mut Link, object: &mut ObjectWriter<'_>) {
        let haves: Vec<_> = link
            .lazy
            .iter()
            .filter_map(|&origin| {
                let (epoch, version) = self.origins.get(&origin)?.at();
                let told = link
                    .peers
                    .get(&origin)
                    .is_some_and(|peer| peer.told >= (epoch, version));
                (version > 0 && !told).then_some(Have {
                    origin,
                    epoch,
                    version,
                })
            })
            .collect();
        let said = object.haves(&haves);
        for have in haves.iter().take(said) {
            link.peer(have.origin).told = (have.epoch, have.version);
        }
        link.lazy = haves.iter().skip(said).map(|have| have.origin).collect();
    }

    fn flush_origin(
        &mut self,
        now: Duration,
        id: NodeId,
        link: &mut Link,
        object: &mut ObjectWriter<'_>,
    ) -> Result<Said, EncodeError> {
        let Some(origin) = self.origins.get(&id) else {
            return Ok(Said::All);
        };
        let (epoch, version) = origin.at();
        let mut peer = *link.peer(id);
        if peer.wanted != peer.said_wanted {
            let have = Have {
                origin: id,
                epoch,
                version,
            };
            let records = if peer.wanted == Feed::Eager {
                vec![Record::LogHave(vec![have]), Record::LogGraft(id)]
            } else {
                vec![Record::LogPrune(id)]
            };
            for record in &records {
                if object.push(record)? == Fit::Full {
                    return Ok(Said::Stop);
                }
            }
            peer.said_wanted = peer.wanted;
            if peer.wanted == Feed::Eager {
                peer.told = (epoch, version);
            }
        }
        *link.peer(id) = peer;
        if peer.pull {
            // Of a later epoch everything is wanted.
            let from = if peer.has.0 == epoch {
                version.saturating_add(1)
            } else {
                1
            };
            let pull = LogPull {
                origin: id,
                epoch: peer.has.0,
                from,
                max_bytes: self.limits.bytes.saturating_sub(self.bytes),
            };
            if object.push(&Record::LogPull(pull))? == Fit::Full {
                return Ok(Said::Stop);
            }
            link.peer(id).pull = false;
        }
        self.flush_push(now, id, link, object)
    }

    fn flush_push(
        &self,
        now: Duration,
        id: NodeId,
        link: &mut Link,
        object: &mut ObjectWriter<'_>,
    ) -> Result<Said, EncodeError> {
        let peer = *link.peer(id);
        let log = self.origins.get(&id).and_then(Origin::front);
        let Some(log) = log.filter(|log| peer.left > 0 && peer.has < log.at()) else {
            link.peer(id).left = 0;
            return Ok(Said::All);
        };
        let wanted = peer.left.min(MAX_CHUNK as u64);
        let Some(push) = log.push_from(peer.version(log.epoch()).saturating_add(1), wanted) else {
            link.peer(id).left = 0;
            return Ok(Said::All);
        };
        let (len, at) = (wire_len(&push), (push.head.epoch, push.head.version));
        if object.room() < usize::try_from(len).unwrap_or(usize::MAX) {
            return Ok(Said::Stop);
        }
        if !link.sending.take(now, len) {
            link.blocked_until = link.sending.ready_at(len);
            return Ok(Said::Stop);
        }
        if object.push(&Record::LogPush(push))? == Fit::Full {
            link.sending.give_back(len);
            return Ok(Said::Stop);
        }
        let peer = link.peer(id);
        peer.learn(at);
        peer.told = peer.told.max(at);
        if peer.left != u64::MAX {
            peer.left = peer.left.saturating_sub(len);
        }
        if at == log.at() || peer.left == 0 {
            peer.left = 0;
            return Ok(Said::All);
        }
        Ok(Said::Some)
    }
}
