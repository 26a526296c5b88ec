//! Sessions that this node opens to others of the mesh, each kept by a task that dials again.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::mesh::Role;
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{Dialer, client};
use headwater_pubsub::session::Side;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use super::super::listen;
use super::super::shard::quic_limits;
use super::super::state::Shared;
use crate::status::Phase;

/// First and last pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// A session that lasted this long was a good one: the next try is made at once.
const LASTING: Duration = Duration::from_secs(10);

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
    stop.cancelled().await;
    tasks.shutdown().await;
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
                let address = transport.remote_address().ip().to_canonical();
                let opened = listen::Opened {
                    transport,
                    side: Side::Client,
                    role: Role::Client,
                    setup: super::setup(Some(&peer)),
                };
                node = listen::session(&shared, opened, address).await.or(node);
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
