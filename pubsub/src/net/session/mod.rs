//! A session on its transport: the state machine behind a lock, the queues of its request streams, and the handle that
//! applications and relays hold.
//!
//! Calls on a [`SessionHandle`] act on the state machine at once and leave bytes in bounded queues; the driver's tasks write
//! them. Events come back through the [`Handler`], always from the session's tasks and never from within a call.

mod core;
mod outbox;
mod traffic;

use std::sync::{Arc, atomic::Ordering};

use self::core::{Ending, FetchEnd, LATE_STREAMS, OPEN_STREAMS, Reception};
pub(crate) use self::core::{Shared, StreamChange};
pub(crate) use outbox::End;
pub use traffic::Volume;

use super::{
    clock::Clock,
    driver::{Driver, SessionEnd},
    ingest::{FillSink, Sink},
    transport::{PathStats, Transport},
};
use crate::{
    session::{Config, Event, Limits, RequestKey, Session, Side, Time},
    wire::{EncodeError, PublishDoneCode, SessionCode, StreamCode, control::Setup, data::padding_datagram},
};

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
