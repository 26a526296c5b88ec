//! What the tasks of a session share: the state machine behind a lock, and what waits beside it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;

use super::{
    outbox::{End, Outbox},
    traffic::Traffic,
};
use crate::{
    net::{
        clock::Clock,
        egress::EgressQueue,
        ingest::{FillSink, Sink},
        transport::Transport,
    },
    session::{RequestKey, Session, Time, Transmit},
    wire::{SessionCode, StreamCode},
};

/// What all tasks of one session share.
pub(crate) struct Shared {
    pub(crate) transport: Transport,
    pub(crate) clock: Clock,
    core: Mutex<Core>,
    /// Wakes the driver: events, opens or a close may wait.
    pub(crate) driver: Notify,
    /// Wakes data streams that wait for their track alias or fetch to become known.
    pub(crate) routes: Notify,
    pub(crate) egress: EgressQueue,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
}

/// The state machine and what waits to be written.
pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) control: Outbox,
    pub(crate) requests: HashMap<RequestKey, Outbox>,
    pub(crate) opens: VecDeque<Open>,
    pub(super) receptions: HashMap<RequestKey, Reception>,
    pub(crate) fills: HashMap<RequestKey, FillSink>,
    /// What FETCH_OK said of fetches whose stream has not ended.
    pub(super) fetch_ends: HashMap<RequestKey, FetchEnd>,
    pub(crate) close: Option<(SessionCode, String)>,
    /// The peer's control stream has come.
    pub(crate) controlled: bool,
    /// Subscriptions that ended without ever having had a sink.
    pub(super) ended: Vec<RequestKey>,
    /// Bytes of data streams that wait for their alias or request to become known, and how many there may be.
    pending: usize,
    max_pending: usize,
}

/// A subscription of ours whose objects are being received.
pub(super) struct Reception {
    pub(super) sink: Sink,
    /// Data streams seen so far, and those of them that are still open.
    pub(super) seen: u64,
    pub(super) open: u64,
    pub(super) ending: Option<Ending>,
}

/// PUBLISH_DONE has come; streams may still be under way.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// Streams there are to be, if the publisher could tell.
    pub(super) streams: Option<u64>,
    /// When to stop waiting for streams that do not show.
    pub(super) patience: Time,
    /// When to stop waiting for streams that do not end.
    pub(super) limit: Time,
}

/// How long streams announced by PUBLISH_DONE may take to show.
pub(super) const LATE_STREAMS: Time = Time::from_secs(2);
/// How long streams that are open at PUBLISH_DONE may take to end.
pub(super) const OPEN_STREAMS: Time = Time::from_secs(15);

impl Reception {
    fn is_over(&self, now: Time) -> bool {
        self.ending.is_some_and(|ending| {
            let all_seen =
                ending.streams.is_some_and(|streams| self.seen >= streams) || now >= ending.patience;
            (all_seen && self.open == 0) || now >= ending.limit
        })
    }

    fn next_timeout(&self, now: Time) -> Option<Time> {
        let ending = self.ending?;
        Some(if now < ending.patience {
            ending.patience
        } else {
            ending.limit
        })
    }
}

/// Where a FETCH of ours ends, from its FETCH_OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchEnd {
    /// As on the wire.
    pub(crate) end: crate::wire::Location,
    pub(crate) end_of_track: bool,
}

/// A request stream to open.
pub(crate) struct Open {
    pub(crate) key: RequestKey,
    /// Give up instead of waiting when the peer's stream limit is reached.
    pub(crate) if_credit: bool,
}

/// See [`Core::count_stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamChange {
    Came,
    Ended,
}

impl Shared {
    pub(crate) fn new(transport: Transport, clock: Clock, session: Session, max_pending: usize) -> Arc<Self> {
        let shared = Arc::new(Self {
            transport,
            clock,
            core: Mutex::new(Core {
                session,
                control: Outbox::default(),
                requests: HashMap::new(),
                opens: VecDeque::new(),
                receptions: HashMap::new(),
                fills: HashMap::new(),
                fetch_ends: HashMap::new(),
                close: None,
                controlled: false,
                ended: Vec::new(),
                pending: 0,
                max_pending,
            }),
            driver: Notify::new(),
            routes: Notify::new(),
            egress: EgressQueue::default(),
            received: Traffic::default(),
            sent: Traffic::default(),
        });
        shared.act(|_, _| ());
        shared
    }

    /// The core. A panic elsewhere while it was held has ended that task and will end the session; its state is still whole,
    /// since no call leaves it half done.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Act on the state machine, then hand on what it wants written and wake the driver for what it wants to say.
    pub(crate) fn act<T>(&self, action: impl FnOnce(&mut Core, Time) -> T) -> T {
        let now = self.clock.now();
        let mut core = self.core();
        let result = action(&mut core, now);
        core.flush();
        drop(core);
        self.driver.notify_one();
        result
    }
}

impl Core {
    /// Move everything the state machine wants transmitted into the streams' queues.
    fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            match transmit {
                Transmit::Control(bytes) => {
                    // SETUP and one GOAWAY always fit.
                    let _fits = self.control.push(bytes);
                }
                Transmit::Open {
                    key,
                    bytes,
                    if_credit,
                } => {
                    // The first message always fits.
                    let _fits = self.requests.entry(key).or_default().push(bytes);
                    self.opens.push_back(Open { key, if_credit });
                }
                Transmit::Write { key, bytes } => {
                    if let Some(outbox) = self.requests.get_mut(&key)
                        && !outbox.push(bytes)
                    {
                        // The peer does not read its answers: it loses the request.
                        self.session.recv_stop(key, StreamCode::EXCESSIVE_LOAD);
                    }
                }
                Transmit::Finish { key } => self.end(key, End::Finish),
                Transmit::Reset { key, code } => self.end(key, End::Reset(code)),
                Transmit::Stop { key, code } => {
                    if let Some(outbox) = self.requests.get_mut(&key) {
                        outbox.stop = Some(code);
                        outbox.ready.notify_one();
                    }
                }
                Transmit::Close { code, reason } => {
                    self.close.get_or_insert((code, reason));
                }
            }
        }
    }

    /// What FETCH_OK said, once it has come.
    pub(crate) fn take_fetch_end(&mut self, key: RequestKey) -> Option<FetchEnd> {
        self.fetch_ends.remove(&key)
    }

    /// The sink of a subscription of ours, for one more stream or datagram.
    pub(crate) fn sink(&self, key: RequestKey) -> Option<Sink> {
        self.receptions.get(&key).map(|reception| reception.sink.clone())
    }

    /// A data stream of the subscription has come or ended.
    pub(crate) fn count_stream(&mut self, key: RequestKey, change: StreamChange) {
        if let Some(reception) = self.receptions.get_mut(&key) {
            match change {
                StreamChange::Came => {
                    reception.seen += 1;
                    reception.open += 1;
                }
                StreamChange::Ended => reception.open = reception.open.saturating_sub(1),
            }
        }
    }

    /// Subscriptions of ours that are over by now, taken out.
    pub(crate) fn take_ended_receptions(&mut self, now: Time) -> Vec<RequestKey> {
        let over: Vec<_> = self
            .receptions
            .iter()
            .filter(|(_, reception)| reception.is_over(now))
            .map(|(key, _)| *key)
            .collect();
        over.iter().for_each(|key| {
            self.receptions.remove(key);
        });
        over.into_iter().chain(self.ended.drain(..)).collect()
    }

    /// Count bytes of a stream that has to wait; false if there is no room for them.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let room = self.pending + bytes <= self.max_pending;
        if room {
            self.pending += bytes;
        }
        room
    }

    /// The stream waits no more.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        self.pending = self.pending.saturating_sub(bytes);
    }

    /// When to look at the receptions again.
    pub(crate) fn next_reception_timeout(&self, now: Time) -> Option<Time> {
        self.receptions
            .values()
            .filter_map(|reception| reception.next_timeout(now))
            .min()
    }

    fn end(&mut self, key: RequestKey, end: End) {
        if let Some(outbox) = self.requests.get_mut(&key) {
            outbox.end = Some(end);
            outbox.ready.notify_one();
        }
    }
}
