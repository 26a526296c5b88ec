//! A session on its transport: the state machine behind a lock, the queues of its request streams, and the handle that
//! applications and relays hold.
//!
//! Calls on a [`SessionHandle`] act on the state machine at once and leave bytes in bounded queues; the driver's tasks write
//! them. Events come back through the [`Handler`], always from the session's tasks and never from within a call.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    clock::Clock,
    driver::{Driver, SessionEnd},
    egress::EgressQueue,
    ingest::{FillSink, Sink},
    transport::{PathStats, Transport},
};
use crate::{
    fanout::Sent,
    session::{Config, Event, Limits, RequestKey, Session, Side, Time, Transmit},
    wire::{EncodeError, PublishDoneCode, SessionCode, StreamCode, control::Setup, data::padding_datagram},
};

/// Most bytes that may wait for one request stream. A peer that does not read its answers loses the request.
const MAX_OUTBOX: usize = 1 << 20;
/// Bytes of padding in a datagram of it; acknowledged like any other, whatever its size.
const PADDING: usize = 4;

/// Who decides: told of everything that happens on a session. Called from the session's tasks without any lock of the session;
/// events of the control plane come one at a time and in order.
pub trait Handler: Send + Sync + 'static {
    /// Something happened on the control plane.
    fn event(&self, session: &SessionHandle, event: Event);
    /// Something happened on the data plane.
    fn data(&self, session: &SessionHandle, event: DataEvent);
    /// The session is over, for whatever reason, or its driver was dropped; nothing follows.
    fn ended(&self, _session: &SessionHandle, _end: &SessionEnd) {}
}

/// What the data plane tells the [`Handler`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DataEvent {
    /// A subscription that we serve has ended by itself (range over, too far behind, track ended). PUBLISH_DONE was sent.
    SubscriptionEnded {
        /// The subscription.
        key: RequestKey,
        /// Why, as PUBLISH_DONE said.
        code: PublishDoneCode,
    },
    /// A subscription that we serve has begun to send its first object.
    FirstObject {
        /// The subscription.
        key: RequestKey,
    },
    /// A fetch that we serve needs objects that are not here. The next hole of the fetch is told once this one is answered, by
    /// [`SessionHandle::fetch_again`] or [`SessionHandle::fetch_unknown`].
    FetchHole {
        /// The fetch.
        key: RequestKey,
        /// First location missing.
        start: crate::wire::Location,
        /// Last location missing, inclusive.
        end: crate::wire::Location,
    },
    /// A fetch that we serve is over.
    FetchEnded {
        /// The fetch.
        key: RequestKey,
    },
    /// The objects of a subscription of ours break the rules of tracks.
    Malformed {
        /// The subscription or fetch.
        key: RequestKey,
        /// What was wrong, for people.
        reason: String,
    },
    /// Everything that a subscription of ours still had under way at its PUBLISH_DONE has been received or given up.
    ReceptionEnded {
        /// The subscription.
        key: RequestKey,
    },
    /// A stream of a subscription of ours into [`Sink::Reader`] ended, after everything of it was put into the queue. Not told
    /// when the session ends.
    StreamEnded {
        /// The subscription.
        key: RequestKey,
        /// The group on the stream.
        group: u64,
        /// Why, if the stream was reset; `None`: by FIN.
        code: Option<StreamCode>,
    },
    /// The stream of a fetch of ours ended: `complete` if by FIN.
    FillEnded {
        /// The fetch.
        key: RequestKey,
        /// Whether everything the peer has was received.
        complete: bool,
    },
}

/// A session. Clones are the same session.
#[derive(Clone)]
pub struct SessionHandle {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionHandle")
            .field("remote", &self.shared.transport.remote_address())
            .finish()
    }
}

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

/// Objects and bytes of payload that went one way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    objects: AtomicU64,
    bytes: AtomicU64,
    timed_out: AtomicU64,
    /// How long the last object begun had been here, in nanoseconds and one more; 0: taken already.
    waited: AtomicU64,
}

impl Traffic {
    pub(crate) fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, sent: Sent) {
        if sent != Sent::default() {
            self.add(sent.objects, sent.bytes);
            self.timed_out.fetch_add(sent.timed_out, Ordering::Relaxed);
            if let Some(waited) = sent.waited {
                let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX - 1);
                self.waited.store(nanos.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    fn read(&self) -> Volume {
        Volume {
            objects: self.objects.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Objects and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Objects.
    pub objects: u64,
    /// Bytes of their payload.
    pub bytes: u64,
}

/// The state machine and what waits to be written.
pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) control: Outbox,
    pub(crate) requests: HashMap<RequestKey, Outbox>,
    pub(crate) opens: VecDeque<Open>,
    receptions: HashMap<RequestKey, Reception>,
    pub(crate) fills: HashMap<RequestKey, FillSink>,
    /// What FETCH_OK said of fetches whose stream has not ended.
    fetch_ends: HashMap<RequestKey, FetchEnd>,
    pub(crate) close: Option<(SessionCode, String)>,
    /// The peer's control stream has come.
    pub(crate) controlled: bool,
    /// Subscriptions that ended without ever having had a sink.
    ended: Vec<RequestKey>,
    /// Bytes of data streams that wait for their alias or request to become known, and how many there may be.
    pending: usize,
    max_pending: usize,
}

/// A subscription of ours whose objects are being received.
struct Reception {
    sink: Sink,
    /// Data streams seen so far, and those of them that are still open.
    seen: u64,
    open: u64,
    ending: Option<Ending>,
}

/// PUBLISH_DONE has come; streams may still be under way.
#[derive(Clone, Copy)]
struct Ending {
    /// Streams there are to be, if the publisher could tell.
    streams: Option<u64>,
    /// When to stop waiting for streams that do not show.
    patience: Time,
    /// When to stop waiting for streams that do not end.
    limit: Time,
}

/// How long streams announced by PUBLISH_DONE may take to show.
const LATE_STREAMS: Time = Time::from_secs(2);
/// How long streams that are open at PUBLISH_DONE may take to end.
const OPEN_STREAMS: Time = Time::from_secs(15);

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

/// What waits to be written on one stream.
#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<End>,
    stop: Option<StreamCode>,
    ready: Arc<Notify>,
}

/// How the sending half of a request stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finish,
    Reset(StreamCode),
}

/// What the task of a stream has to do next.
pub(crate) struct Work {
    pub(crate) end: Option<End>,
    pub(crate) stop: Option<StreamCode>,
}

impl Outbox {
    /// Queue bytes; false if there is no room for them.
    fn push(&mut self, bytes: Bytes) -> bool {
        let room = self.bytes + bytes.len() <= MAX_OUTBOX;
        if room {
            self.bytes += bytes.len();
            self.chunks.push_back(bytes);
        }
        self.ready.notify_one();
        room
    }

    /// Put what opens the stream before everything else.
    pub(crate) fn begin_with(&mut self, prefix: Bytes) {
        if !prefix.is_empty() {
            self.chunks.push_front(prefix);
        }
    }

    /// What there is to do. The queue is emptied into `chunks` once those are written: what the transport does not take stays
    /// here, where it is counted. The end is told when nothing is left before it.
    pub(crate) fn take(&mut self, chunks: &mut Vec<Bytes>) -> Work {
        if chunks.is_empty() {
            self.bytes = 0;
            chunks.extend(self.chunks.drain(..));
        }
        Work {
            end: match self.end {
                Some(End::Finish) if !self.chunks.is_empty() => None,
                end => end,
            },
            stop: self.stop.take(),
        }
    }

    /// Notified when there is something to take.
    pub(crate) fn ready(&self) -> Arc<Notify> {
        self.ready.clone()
    }
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

impl SessionHandle {
    /// A session on a transport whose handshake is done. Nothing moves before its driver runs.
    ///
    /// # Errors
    /// Our SETUP does not fit a message.
    pub fn new(
        transport: Transport,
        clock: Clock,
        side: Side,
        setup: Setup,
        limits: Limits,
    ) -> Result<Self, EncodeError> {
        Self::with(transport, clock, side, setup, limits, None)
    }

    /// The same, with an extension: if the peer's SETUP also has the option `extension`, which the caller has put into `setup`,
    /// both ends may use [extension parameters](crate::wire::parameter::ExtensionParameters).
    ///
    /// # Errors
    /// Our SETUP does not fit a message.
    pub fn with_extension(
        transport: Transport,
        clock: Clock,
        side: Side,
        setup: Setup,
        limits: Limits,
        extension: u64,
    ) -> Result<Self, EncodeError> {
        Self::with(transport, clock, side, setup, limits, Some(extension))
    }

    fn with(
        transport: Transport,
        clock: Clock,
        side: Side,
        setup: Setup,
        limits: Limits,
        extension: Option<u64>,
    ) -> Result<Self, EncodeError> {
        let config = Config {
            side,
            transport: transport.session_transport(),
            version: transport.version(),
            setup,
            extension,
            limits,
        };
        let session = Session::new(clock.now(), config)?;
        Ok(Self {
            shared: Shared::new(transport, clock, session, limits.early_bytes),
        })
    }

    /// What moves the session; `handler` is told of everything. Make one for each session.
    pub fn driver(&self, handler: Arc<dyn Handler>) -> Driver {
        Driver {
            handle: self.clone(),
            handler,
            running: true,
        }
    }

    /// Wait until [`SessionHandle::now`] says `time`. Cancel-safe.
    pub async fn sleep_until(&self, time: Time) {
        tokio::time::sleep_until(self.shared.clock.instant(time)).await;
    }

    /// Act on the session's state machine.
    pub fn act<T>(&self, action: impl FnOnce(&mut Session, Time) -> T) -> T {
        self.shared.act(|core, now| action(&mut core.session, now))
    }

    /// Close the session with a code and a reason for people.
    pub fn close(&self, code: SessionCode, reason: &str) {
        self.act(|session, _| session.close(code, reason));
    }

    /// The time by this session's clock.
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// The transport below.
    pub fn transport(&self) -> &Transport {
        &self.shared.transport
    }

    /// Objects received on this session, duplicates included.
    pub fn received(&self) -> Volume {
        self.shared.received.read()
    }

    /// Objects sent on this session.
    pub fn sent(&self) -> Volume {
        self.shared.sent.read()
    }

    /// Streams that were reset on this session because a delivery timeout had passed.
    pub fn timed_out(&self) -> u64 {
        self.shared.sent.timed_out.load(Ordering::Relaxed)
    }

    /// How long the last object that a subscription began to send had been here, once: a sample of the delay of this hop.
    pub fn take_hop_delay(&self) -> Option<Time> {
        let waited = self.shared.sent.waited.swap(0, Ordering::Relaxed);
        waited.checked_sub(1).map(Time::from_nanos)
    }

    /// What the transport knows of its path.
    pub fn path_stats(&self) -> PathStats {
        self.shared.transport.path_stats()
    }

    /// See [`Transport::export_keying_material`].
    pub fn export_keying_material(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        self.shared.transport.export_keying_material(label, context)
    }

    /// See [`Transport::accepts_datagrams`].
    pub fn accepts_datagrams(&self) -> bool {
        self.shared.transport.accepts_datagrams()
    }

    /// Send a padding datagram, which the peer discards; it keeps the path measured while nothing else is sent. False if
    /// the transport did not take it.
    pub fn send_padding(&self) -> bool {
        self.shared.transport.send_datagram(padding_datagram(PADDING))
    }

    /// Where the objects of a subscription of ours go. Data streams that arrive before this wait a moment for it.
    pub fn receive(&self, key: RequestKey, sink: Sink) {
        self.shared.core().receptions.insert(
            key,
            Reception {
                sink,
                seen: 0,
                open: 0,
                ending: None,
            },
        );
        self.shared.routes.notify_waiters();
    }

    /// PUBLISH_DONE came for a subscription of ours: once the streams it counts have come and ended, or a few seconds have
    /// passed, [`DataEvent::ReceptionEnded`] is given and the sink dropped. Without a sink that is at once.
    pub fn receive_rest(&self, key: RequestKey, streams: Option<u64>) {
        let now = self.now();
        let ending = Ending {
            streams,
            patience: now + LATE_STREAMS,
            limit: now + OPEN_STREAMS,
        };
        let mut core = self.shared.core();
        match core.receptions.get_mut(&key) {
            Some(reception) => reception.ending = Some(ending),
            None => core.ended.push(key),
        }
        drop(core);
        self.shared.driver.notify_one();
    }

    /// The subscription is over: its data streams find no sink any more.
    pub fn receive_no_more(&self, key: RequestKey) {
        let mut core = self.shared.core();
        core.receptions.remove(&key);
        core.fills.remove(&key);
        core.fetch_ends.remove(&key);
        drop(core);
        self.shared.routes.notify_waiters();
    }

    /// FETCH_OK came for a FETCH of ours: a gap before its end means that nothing exists there.
    pub fn fetch_accepted(&self, key: RequestKey, end: crate::wire::Location, end_of_track: bool) {
        self.shared
            .core()
            .fetch_ends
            .insert(key, FetchEnd { end, end_of_track });
        self.shared.routes.notify_waiters();
    }

    /// The fetch is over: its stream finds no sink any more.
    pub fn receive_fetch_no_more(&self, key: RequestKey) {
        let mut core = self.shared.core();
        core.fills.remove(&key);
        core.fetch_ends.remove(&key);
    }

    /// Where the objects of a FETCH of ours go.
    pub fn receive_fetch(&self, key: RequestKey, sink: FillSink) {
        self.shared.core().fills.insert(key, sink);
        self.shared.routes.notify_waiters();
    }
}
