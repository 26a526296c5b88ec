//! The accept loop of one endpoint, and the life of each session it accepts.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use headwater_certs::mesh::{NodeId, Role};
use headwater_pubsub::{
    net::{AcceptError, SessionEnd, SessionHandle, Transport, accept, gather_wakes, plain},
    session::{Limits, Side},
    wire::control::Setup,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    admission::Trust,
    mesh,
    shard::quic_limits,
    state::{Session, SessionHandler, SessionInfo, Shared},
};
use crate::{
    admin::{self, LimitName},
    hub::{Input, SessionId},
};

/// The window over which handshakes are counted.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// How long closing handshakes may take when everything else is over.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long after a session's close its last packets are still sent.
const LINGER: Duration = Duration::from_millis(100);

/// How many handshakes began in the current window.
struct HandshakeRate {
    window: Duration,
    count: u32,
}

impl HandshakeRate {
    /// Count one at `now`; false if there are more than `most` in this window.
    fn admit(&mut self, now: Duration, most: u32) -> bool {
        if now.saturating_sub(self.window) >= RATE_WINDOW {
            self.window = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}

/// Accept and serve sessions until told to stop.
pub(super) async fn run(shared: Arc<Shared>, endpoint: quinn::Endpoint, stop: CancellationToken) {
    let mut wakes = JoinSet::new();
    wakes.spawn(gather_wakes());
    // It is at home before the first session is.
    tokio::task::yield_now().await;
    let mut sessions = JoinSet::new();
    let mut rate = HandshakeRate {
        window: Duration::ZERO,
        count: 0,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                if let Some(incoming) = admit(&shared, &mut rate, incoming) {
                    sessions.spawn(serve(shared.clone(), incoming));
                }
            }
            Some(ended) = sessions.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
    // The sessions have been closed by the node; their goodbyes take a moment.
    let _late = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await.is_err();
    endpoint.close(0u32.into(), b"");
    endpoint.wait_idle().await;
    sessions.shutdown().await;
}

/// Whether to go on with a handshake, before it costs anything.
fn admit(shared: &Shared, rate: &mut HandshakeRate, incoming: quinn::Incoming) -> Option<quinn::Incoming> {
    let limits = &shared.config.limits;
    if shared.phase() == crate::status::Phase::Draining {
        incoming.refuse();
        return None;
    }
    let address = incoming.remote_address().ip().to_canonical();
    if let Err(limit) = shared.reserve(address) {
        shared.metrics.limit_hit(limit);
        debug!(%address, ?limit, "session refused");
        incoming.refuse();
        return None;
    }
    if !rate.admit(shared.clock.now(), limits.handshakes_per_second)
        && !incoming.remote_address_validated()
        && incoming.may_retry()
    {
        shared.metrics.limit_hit(LimitName::HandshakesPerSecond);
        shared.release(address);
        if let Err(error) = incoming.retry() {
            debug!(%error, "no retry");
        }
        return None;
    }
    Some(incoming)
}

/// One session from handshake to end.
async fn serve(shared: Arc<Shared>, incoming: quinn::Incoming) {
    let remote = plain(incoming.remote_address());
    let address = remote.ip();
    // A task keeps its size to its end, and a handshake needs more room than the session behind it.
    match Box::pin(accept(incoming, &quic_limits(&shared.config))).await {
        Ok(accepted) => {
            let opened = Opened {
                transport: accepted.transport,
                side: Side::Server,
                role: Role::Server,
                setup: setup(&shared),
            };
            session(&shared, opened, address).await;
        }
        Err(error) => {
            if matches!(error, AcceptError::TimedOut) {
                shared.metrics.limit_hit(LimitName::HandshakeTimeout);
            }
            debug!(%remote, %error, "no session");
        }
    }
    shared.release(address);
}

/// A connection on which a session is about to begin.
pub(super) struct Opened {
    pub(super) transport: Transport,
    pub(super) side: Side,
    pub(super) role: Role,
    pub(super) setup: Setup,
}

/// Our SETUP towards whoever dialled us.
fn setup(shared: &Shared) -> Setup {
    if shared.mesh.is_some() {
        return mesh::setup(None);
    }
    Setup {
        implementation: Some(concat!("headwater/", env!("CARGO_PKG_VERSION")).into()),
        ..Setup::default()
    }
}

/// The life of a session; the node it turned out to be with, if that proved who it is.
pub(super) async fn session(shared: &Arc<Shared>, opened: Opened, address: IpAddr) -> Option<NodeId> {
    let known = &shared.config.limits;
    let limits = Limits {
        setup_timeout: known.handshake_timeout,
        early_bytes: usize::try_from(known.pending_bytes).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let handle = match SessionHandle::with_extension(
        opened.transport,
        shared.clock,
        opened.side,
        opened.setup,
        limits,
        mesh::OPTION,
    ) {
        Ok(handle) => handle,
        Err(error) => {
            debug!(%error, "no session");
            return None;
        }
    };
    let role = match opened.role {
        Role::Client => admin::Role::Server,
        Role::Server => admin::Role::Client,
    };
    let (id, wake) = shared.add_session(&handle, role);
    if shared.phase() == crate::status::Phase::Draining {
        shared.ask_to_leave(&handle);
    }
    let handler = SessionHandler {
        id,
        node: shared.clone(),
        trust: Trust { address },
        role: opened.role,
    };
    let end = tokio::select! {
        end = handle.driver(Arc::new(handler)).run() => end,
        // Never ends by itself, but is over with the session.
        end = gossip(shared, id, &handle, wake) => end,
    };
    info!(session = id.0, %end, "session ended");
    let node = shared.remove_session(id, &end);
    // The close frame leaves with the endpoint's next transmission; dropping the connection at once could overtake it.
    tokio::time::sleep(LINGER).await;
    node
}

/// Gossip beside the session, if there is a mesh.
async fn gossip(
    shared: &Arc<Shared>,
    id: SessionId,
    handle: &SessionHandle,
    wake: Arc<Notify>,
) -> SessionEnd {
    if shared.mesh.is_some() {
        mesh::gossip::run(shared.clone(), id, handle.clone(), wake).await;
    }
    std::future::pending().await
}

/// Sessions by address, and how many there are in all.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    by_address: HashMap<IpAddr, u32>,
    total: u32,
}

impl Shared {
    /// Take a place for a session from `address`.
    fn reserve(&self, address: IpAddr) -> Result<(), LimitName> {
        let limits = &self.config.limits;
        let mut places = self.occupancy();
        if places.total >= limits.sessions {
            return Err(LimitName::Sessions);
        }
        let taken = places.by_address.get(&address).copied().unwrap_or(0);
        if taken >= limits.sessions_per_address && !address.is_loopback() {
            return Err(LimitName::SessionsPerAddress);
        }
        places.by_address.insert(address, taken + 1);
        places.total += 1;
        Ok(())
    }

    fn release(&self, address: IpAddr) {
        let mut places = self.occupancy();
        places.total = places.total.saturating_sub(1);
        if let Some(taken) = places.by_address.get_mut(&address) {
            *taken -= 1;
            if *taken == 0 {
                places.by_address.remove(&address);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "shown to people, never decided on")]
    fn add_session(&self, handle: &SessionHandle, role: admin::Role) -> (SessionId, Arc<Notify>) {
        let info = SessionInfo {
            since: std::time::SystemTime::now(),
            implementation: None,
        };
        let mut state = self.state();
        let id = SessionId(state.next_session);
        state.next_session += 1;
        let session = Session::new(handle.clone(), role, info);
        let wake = session.wake.clone();
        self.count_in(&session);
        state.sessions.insert(id, session);
        (id, wake)
    }

    fn remove_session(&self, id: SessionId, end: &SessionEnd) -> Option<NodeId> {
        let mut state = self.state();
        self.link_down(&mut state, id);
        let node = state
            .sessions
            .get(&id)
            .and_then(|entry| Some(entry.link.as_ref()?.node.as_ref()?.id));
        let gone = state.sessions.remove(&id);
        if let Some(session) = &gone {
            state.inputs.extend(
                session
                    .last_words(id, end)
                    .into_iter()
                    .map(|(request, done)| Input::Done { request, done }),
            );
        }
        if let Some(session) = gone {
            self.count_out(session);
        }
        state.inputs.push_back(Input::SessionDown { session: id });
        self.drive(&mut state);
        drop(state);
        self.left.notify_waiters();
        node
    }
}
