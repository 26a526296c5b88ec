//! Sessions that this node opens to others of the mesh: with those that were named, each kept by a task that dials again, and with
//! those that the overlay wants, dialled once.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::mesh::{NodeId, Role};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{Dialer, Transport, client};
use headwater_pubsub::session::Side;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use super::super::listen;
use super::super::shard::quic_limits;
use super::super::state::{Shared, State};
use crate::admin::RefusalReason;
use crate::overlay::core as overlay;
use crate::overlay::message::PeerRecord;
use crate::status::Phase;

/// First and last pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// A session that lasted this long was a good one: the next try is made at once.
const LASTING: Duration = Duration::from_secs(10);
/// How long one address of a peer may take to answer.
const VISIT: Duration = Duration::from_secs(3);
/// Peers that wait to be dialled, more than are tried at once.
const WAITING: usize = 16;

/// Keep sessions to the nodes that were named, until told to stop.
pub(in crate::node) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let Some(peers) = shared.mesh.as_ref().map(|mesh| mesh.peers.clone()) else {
        return stop.cancelled().await;
    };
    // Whoever proves a node key is believed, whatever certificate its port shows: the proof is bound to this very connection.
    let dialer = match (client(), client_config(&ClientTrust::Insecure, &[])) {
        (Ok(endpoint), Ok(tls)) => Dialer::new(endpoint, tls, quic_limits(&shared.config)),
        (Err(error), _) => {
            warn!(%error, "no socket to dial neighbours from");
            return stop.cancelled().await;
        }
        (_, Err(error)) => {
            warn!(%error, "no TLS settings to dial neighbours with");
            return stop.cancelled().await;
        }
    };
    let mut tasks = JoinSet::new();
    for peer in peers {
        tasks.spawn(keep(shared.clone(), dialer.clone(), peer));
    }
    let Some(mesh) = &shared.mesh else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = mesh.dials_due.notified() => {}
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
        while let Some(record) = shared.next_dial() {
            tasks.spawn(visit(shared.clone(), dialer.clone(), record));
        }
    }
    tasks.shutdown().await;
}

/// Dial a node that the overlay wants as a neighbour, at one address after the other; over with the session.
async fn visit(shared: Arc<Shared>, dialer: Dialer, record: PeerRecord) {
    let node = NodeId::from_bytes(record.node.0);
    for address in &record.addresses {
        let Ok(url) = Url::parse(address) else { continue };
        if url.scheme() != "moqt" || shared.phase() == Phase::Draining || shared.has_neighbour(node) {
            continue;
        }
        match tokio::time::timeout(VISIT, dialer.dial(&url)).await {
            Ok(Ok(transport)) => {
                greet(&shared, transport, &url).await;
                break;
            }
            Ok(Err(error)) => debug!(%address, %error, "peer not reached"),
            Err(_elapsed) => debug!(%address, "peer does not answer"),
        }
    }
    let mut state = shared.state();
    if let Some(mesh) = &mut state.mesh {
        let node = record.node;
        mesh.inputs.push_back(overlay::Input::DialFailed { node });
    }
    shared.drive(&mut state);
}

/// A session that we opened, to its end; the node it was with.
async fn greet(shared: &Arc<Shared>, transport: Transport, peer: &Url) -> Option<NodeId> {
    let address = transport.remote_address().ip();
    let opened = listen::Opened {
        transport,
        side: Side::Client,
        role: Role::Client,
        setup: super::setup(Some(peer)),
    };
    listen::session(shared, opened, address).await
}

impl Shared {
    /// The overlay wants a session with this node.
    pub(super) fn dial(&self, state: &mut State, record: PeerRecord) {
        if let (Some(mesh), Some(waiting)) = (&self.mesh, &mut state.mesh) {
            // Whoever is not dialled counts as not reached after a while.
            if waiting.dials.len() < WAITING {
                waiting.dials.push_back(record);
            } else {
                self.metrics.mesh.refused(RefusalReason::Dials);
            }
            mesh.dials_due.notify_one();
        }
    }

    fn next_dial(&self) -> Option<PeerRecord> {
        self.state().mesh.as_mut()?.dials.pop_front()
    }
}

/// Dial one node again and again.
async fn keep(shared: Arc<Shared>, dialer: Dialer, peer: Url) {
    let mut pause = PAUSE.0;
    let mut node = None;
    loop {
        if shared.phase() == Phase::Draining {
            return;
        }
        // The other side may have dialled us.
        if node.is_some_and(|node| shared.has_neighbour(node)) {
            tokio::time::sleep(PAUSE.1 / 8).await;
            continue;
        }
        let began = shared.clock.now();
        match dialer.dial(&peer).await {
            Ok(transport) => {
                node = greet(&shared, transport, &peer).await.or(node);
            }
            Err(error) => debug!(%peer, %error, "neighbour not reached"),
        }
        if shared.clock.now().saturating_sub(began) > LASTING {
            pause = PAUSE.0;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
