//! Traces: by which path does a node pull an origin? `docs/gossip.md`, TRACE_REQ and TRACE_REP.
//!
//! A question follows the upstreams in use, a hop at a time, and the answer comes back the same way, each node putting its own
//! hop before those that it heard of. Whoever waits in vain says what it knows; the wait is shorter the further the question has
//! come, so that the answer of the last one alive is not missed. Nothing here is signed: a member can lie about the path behind
//! it, as it can about its distance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Hop, Record, TRACE_TTL, TraceRep, TraceReq, Upstream};

/// Questions to one neighbour in a second; twice as many are taken, as arrivals bunch.
pub(super) const PER_SECOND: u32 = 5;
/// Questions under way at one time, which bounds the table; beyond, a node answers with what it knows.
const OPEN: usize = 256;
/// How long the last hop waits, and how much longer each hop before it.
const WAIT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(200));

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// Somebody at this node, by the caller's number.
    Here(u64),
    There {
        neighbour: Neighbour,
        request: u64,
    },
}

/// A question that was passed on.
#[derive(Debug)]
struct Open {
    asker: Asker,
    hop: Hop,
    asked: Neighbour,
    until: Duration,
}

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: BTreeMap<u64, Open>,
    next: u64,
}

impl Traces {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.values().map(|open| open.until).min()
    }
}

impl Overlay {
    /// Somebody here asks.
    pub(super) fn trace(&mut self, request: u64, origin: NodeId) {
        self.follow(Asker::Here(request), origin, TRACE_TTL);
    }

    /// A neighbour asks.
    pub(super) fn trace_asked(&mut self, neighbour: Neighbour, asked: TraceReq) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&neighbour) else {
            return;
        };
        if !link.traces.1.take(now) {
            let reason = Misconduct::Flood("TRACE_REQ");
            self.outputs.push_back(Output::Refused { neighbour, reason });
            return;
        }
        let asker = Asker::There {
            neighbour,
            request: asked.request,
        };
        self.follow(asker, asked.origin, asked.ttl.min(TRACE_TTL));
    }

    fn follow(&mut self, asker: Asker, origin: NodeId, ttl: u8) {
        let (hop, upstream) = self.hop(origin);
        let now = self.now;
        let room = ttl > 0 && self.traces.open.len() < OPEN;
        let next = upstream
            .filter(|_| room)
            .and_then(|asked| Some((asked, self.links.get_mut(&asked)?)))
            .and_then(|(asked, link)| link.traces.0.take(now).then_some((asked, link)));
        let Some((asked, link)) = next else {
            return self.tell_trace(asker, vec![hop]);
        };
        let request = self.traces.next;
        self.traces.next += 1;
        link.say(Record::TraceReq(TraceReq {
            request,
            origin,
            ttl: ttl - 1,
        }));
        self.outputs.push_back(Output::Ready { neighbour: asked });
        let until = now + WAIT.0 + WAIT.1 * u32::from(ttl);
        self.traces.open.insert(
            request,
            Open {
                asker,
                hop,
                asked,
                until,
            },
        );
    }

    /// This node as a hop towards an origin, and the session that leads on.
    fn hop(&self, origin: NodeId) -> (Hop, Option<Neighbour>) {
        let node = self.identity.node;
        let used = self.routes.primary(origin).or_else(|| {
            self.routes
                .candidates(origin)
                .find(|candidate| candidate.role.is_some())
                .map(|candidate| candidate.neighbour)
        });
        let used = used.filter(|_| origin != node);
        let upstream = used.and_then(|neighbour| {
            let link = self.links.get(&neighbour)?;
            let since = self.upstreams.since(origin, neighbour).unwrap_or(self.now);
            Some(Upstream {
                node: link.node,
                cost: link.cost().micros(),
                srtt: u32::try_from(link.srtt().as_micros()).unwrap_or(u32::MAX),
                since_ms: u64::try_from(self.now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX),
            })
        });
        let next = used.filter(|_| upstream.is_some());
        (Hop { node, upstream }, next)
    }

    /// A neighbour answers.
    pub(super) fn trace_answered(&mut self, neighbour: Neighbour, answer: TraceRep) {
        let TraceRep { request, hops } = answer;
        // Late, or never asked for: nobody waits.
        if self
            .traces
            .open
            .get(&request)
            .is_none_or(|open| open.asked != neighbour)
        {
            return;
        }
        self.end_trace(request, hops);
    }

    /// Answers one question with what was heard of the hops behind this one.
    fn end_trace(&mut self, request: u64, behind: Vec<Hop>) {
        let Some(open) = self.traces.open.remove(&request) else {
            return;
        };
        let mut hops = vec![open.hop];
        hops.extend(behind);
        hops.truncate(usize::from(TRACE_TTL) + 1);
        self.tell_trace(open.asker, hops);
    }

    fn tell_trace(&mut self, asker: Asker, hops: Vec<Hop>) {
        match asker {
            Asker::Here(request) => self.outputs.push_back(Output::Traced { request, hops }),
            Asker::There { neighbour, request } => {
                self.answer(neighbour, Record::TraceRep(TraceRep { request, hops }));
            }
        }
    }

    /// Answers what waited too long.
    pub(super) fn tick_traces(&mut self) {
        let now = self.now;
        self.end_traces(|open| open.until <= now);
    }

    /// A session ended: what was asked there has no further answer.
    pub(super) fn trace_lost(&mut self, neighbour: Neighbour) {
        self.traces.open.retain(
            |_, open| !matches!(open.asker, Asker::There { neighbour: asker, .. } if asker == neighbour),
        );
        self.end_traces(|open| open.asked == neighbour);
    }

    fn end_traces(&mut self, which: impl Fn(&Open) -> bool) {
        let ended: Vec<u64> = self
            .traces
            .open
            .iter()
            .filter(|(_, open)| which(open))
            .map(|(&request, _)| request)
            .collect();
        ended
            .into_iter()
            .for_each(|request| self.end_trace(request, Vec::new()));
    }
}
