//! The data streams of a session: opened as the peer allows, written as far as the transport takes.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    fanout::StreamKey,
    net::transport::{SendStream, Transport, TransportClosed, WriteFailed},
    session::RequestKey,
    wire::StreamCode,
};

/// Streams that may owe bytes to a full transport before no more are begun: with what one write gathers, a bound on the bytes
/// that a peer who does not read can make us hold outside the cache.
const MAX_BLOCKED: usize = 64;

/// A stream of a subscription, or the one stream (`None`) of a fetch.
pub(super) type OutKey = (RequestKey, Option<StreamKey>);

type Opening = Pin<Box<dyn Future<Output = Result<SendStream, TransportClosed>> + Send>>;
type Watch = Pin<Box<dyn Future<Output = OutKey> + Send>>;

/// Every data stream of a session, and one in reserve: that it is at hand shows that the peer allows another.
pub(super) struct Streams {
    transport: Transport,
    prefix: Bytes,
    outs: BTreeMap<OutKey, Out>,
    blocked: usize,
    spare: Option<SendStream>,
    opening: Option<Opening>,
    /// Ended by FIN, kept so that they can be reset until the peer has everything.
    finished: BTreeMap<OutKey, SendStream>,
    watches: FuturesUnordered<Watch>,
}

struct Out {
    send: SendStream,
    priority: i32,
    /// What QUIC knows: zero until it is told.
    told: i32,
    /// Nothing was written yet.
    fresh: bool,
    /// What the transport did not take yet.
    rest: Vec<Bytes>,
    ending: Ending,
    blocked: bool,
}

/// How a stream goes on behind a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// More may follow.
    Open,
    /// It ends.
    Fin,
    /// It ends, and [`Streams::poll_acknowledged`] tells when the peer has everything. Until then it can be reset.
    WatchedFin,
}

/// What became of a stream by a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It can take more.
    Free,
    /// The transport is full.
    Blocked,
    /// Everything and the end was written.
    Finished,
    /// The peer stopped it, or the connection is lost.
    Gone,
}

/// MoQT's small-is-urgent turned round for QUIC, subscriber before publisher priority. The lowest bit is for [`WRITTEN`]. The
/// default of both is zero, which QUIC need not be told.
pub(super) fn stream_priority(subscriber: u8, publisher: u8) -> i32 {
    let urgency = |subscriber: u8, publisher: u8| {
        (i32::from(u8::MAX - subscriber) << 8 | i32::from(u8::MAX - publisher)) << 1
    };
    urgency(subscriber, publisher) - urgency(DEFAULT, DEFAULT)
}

/// Priority of subscribers and publishers that say none (draft sections "Subscriber Priority" and "Publisher Priority").
const DEFAULT: u8 = 128;

/// Added to the priority of a stream whose end was written. What of it is lost goes out again before what was written later on
/// other streams of the same priority: QUIC would put it behind all of that, and on a path that cannot keep up the ends of
/// groups would come later and later.
const WRITTEN: i32 = 1;

impl Streams {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            prefix: transport.uni_prefix(),
            transport,
            outs: BTreeMap::new(),
            blocked: 0,
            spare: None,
            opening: None,
            finished: BTreeMap::new(),
            watches: FuturesUnordered::new(),
        }
    }

    /// Whether a stream may be begun now; the task is woken when that changes.
    pub(super) fn has_credit(&mut self, cx: &mut Context<'_>) -> bool {
        if self.blocked >= MAX_BLOCKED {
            return false;
        }
        if self.spare.is_none() && self.opening.is_none() {
            // Mostly there is one at once.
            match pin!(self.transport.open_uni()).poll(cx) {
                // With the connection lost the session is about to end.
                Poll::Ready(opened) => self.spare = opened.ok(),
                Poll::Pending => {
                    let transport = self.transport.clone();
                    self.opening = Some(Box::pin(async move { transport.open_uni().await }));
                }
            }
        }
        if let Some(opening) = &mut self.opening
            && let Poll::Ready(opened) = opening.as_mut().poll(cx)
        {
            self.opening = None;
            self.spare = opened.ok();
        }
        self.spare.is_some()
    }

    /// Begin a stream, which [`Self::has_credit`] has allowed.
    pub(super) fn open(&mut self, key: OutKey, priority: i32) {
        let Some(send) = self.spare.take() else { return };
        let out = Out {
            send,
            priority,
            told: 0,
            fresh: true,
            rest: Vec::new(),
            ending: Ending::Open,
            blocked: false,
        };
        self.outs.insert(key, out);
    }

    /// Hand `chunks` to a stream. Unless it can take more or is full, it is forgotten.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        key: OutKey,
        chunks: &mut Vec<Bytes>,
        ending: Ending,
    ) -> Flow {
        let Some(out) = self.outs.get_mut(&key) else {
            return Flow::Gone;
        };
        if std::mem::take(&mut out.fresh) && !self.prefix.is_empty() {
            chunks.insert(0, self.prefix.clone());
        }
        out.ending = ending;
        let flow = if out.rest.is_empty() {
            // Mostly the transport takes it all.
            let flow = out.flush(cx, chunks);
            out.rest.append(chunks);
            flow
        } else {
            out.rest.append(chunks);
            out.resume(cx)
        };
        self.went(key, flow)
    }

    /// Hand the transport what a stream owes.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>, key: OutKey) -> Flow {
        let Some(out) = self.outs.get_mut(&key) else {
            return Flow::Gone;
        };
        let flow = out.resume(cx);
        self.went(key, flow)
    }

    /// Keeps count of full streams, and forgets those that are over.
    fn went(&mut self, key: OutKey, flow: Flow) -> Flow {
        let Some(out) = self.outs.get_mut(&key) else {
            return flow;
        };
        let blocked = flow == Flow::Blocked;
        match (std::mem::replace(&mut out.blocked, blocked), blocked) {
            (false, true) => self.blocked += 1,
            (true, false) => self.blocked -= 1,
            _ => {}
        }
        if matches!(flow, Flow::Finished | Flow::Gone)
            && let Some(out) = self.outs.remove(&key)
            && flow == Flow::Finished
            && out.ending == Ending::WatchedFin
            && let Some(watch) = out.send.watch()
        {
            self.finished.insert(key, out.send);
            self.watches.push(Box::pin(async move {
                watch.await;
                key
            }));
        }
        flow
    }

    /// A watched stream that the peer has received to its end, or stopped.
    pub(super) fn poll_acknowledged(&mut self, cx: &mut Context<'_>) -> Option<OutKey> {
        if self.watches.is_empty() {
            return None;
        }
        while let Poll::Ready(Some(key)) = self.watches.poll_next_unpin(cx) {
            if self.finished.remove(&key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// Reset a stream, even behind its FIN if that is watched.
    pub(super) fn reset(&mut self, key: OutKey, code: StreamCode) {
        if let Some(mut out) = self.outs.remove(&key) {
            self.blocked -= usize::from(out.blocked);
            out.send.reset(code);
        } else if let Some(mut send) = self.finished.remove(&key) {
            send.reset(code);
        }
    }

    /// Reset every stream of a request that did not end; how many there were.
    pub(super) fn reset_all(&mut self, key: RequestKey, code: StreamCode) -> usize {
        let open: Vec<_> = self.of(key).copied().collect();
        for &key in &open {
            self.reset(key, code);
        }
        self.forget_finished(key);
        open.len()
    }

    /// Watch the ended streams of a request no more.
    pub(super) fn forget_finished(&mut self, key: RequestKey) {
        self.finished.retain(|(owner, _), _| *owner != key);
    }

    /// Streams that owe something, most urgent first.
    pub(super) fn blocked(&self) -> Vec<OutKey> {
        if self.blocked == 0 {
            return Vec::new();
        }
        let mut blocked: Vec<_> = self
            .outs
            .iter()
            .filter(|(_, out)| out.blocked)
            .map(|(key, out)| (-out.priority, *key))
            .collect();
        blocked.sort_unstable();
        blocked.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn is_blocked(&self, key: OutKey) -> bool {
        self.outs.get(&key).is_some_and(|out| out.blocked)
    }

    /// Whether a stream of the request is open.
    pub(super) fn has_any(&self, key: RequestKey) -> bool {
        self.of(key).next().is_some()
    }

    /// Open streams of a request.
    fn of(&self, key: RequestKey) -> impl Iterator<Item = &OutKey> {
        let behind = self.outs.range((key, None)..).map(|(key, _)| key);
        behind.take_while(move |(owner, _)| *owner == key)
    }
}

impl Out {
    /// Hands the transport what is owed.
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let mut rest = std::mem::take(&mut self.rest);
        let flow = self.flush(cx, &mut rest);
        self.rest = rest;
        flow
    }

    /// Hands the transport these chunks; those that it does not take are left.
    fn flush(&mut self, cx: &mut Context<'_>, chunks: &mut Vec<Bytes>) -> Flow {
        self.prioritise(0);
        chunks.retain(|chunk| !chunk.is_empty());
        while !chunks.is_empty() {
            match self.send.poll_write(cx, chunks) {
                Poll::Ready(Ok(_)) => chunks.retain(|chunk| !chunk.is_empty()),
                Poll::Ready(Err(WriteFailed::Stopped(code))) => {
                    self.send.reset(code);
                    return Flow::Gone;
                }
                Poll::Ready(Err(WriteFailed::Closed)) => return Flow::Gone,
                Poll::Pending => return Flow::Blocked,
            }
        }
        if self.ending != Ending::Open {
            // Only now: QUIC keeps what is queued in its place, and what is lost is queued anew.
            self.prioritise(WRITTEN);
            self.send.finish();
            return Flow::Finished;
        }
        Flow::Free
    }

    /// Each call to QUIC takes a lock: it is told only what it does not know.
    fn prioritise(&mut self, written: i32) {
        let priority = self.priority + written;
        if self.told != priority {
            self.send.set_priority(priority);
            self.told = priority;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_written_stream_goes_before_its_equals_and_nobody_else() {
        assert_eq!(stream_priority(DEFAULT, DEFAULT), 0);
        for (subscriber, publisher) in [(0, 0), (0, 255), (128, 127), (255, 0), (255, 254)] {
            let written = stream_priority(subscriber, publisher) + WRITTEN;
            assert!(written > stream_priority(subscriber, publisher));
            let more_urgent = [
                subscriber.checked_sub(1).map(|subscriber| (subscriber, 255)),
                publisher.checked_sub(1).map(|publisher| (subscriber, publisher)),
            ];
            for (subscriber, publisher) in more_urgent.into_iter().flatten() {
                assert!(written < stream_priority(subscriber, publisher));
            }
        }
    }
}
