//! Gossip over a session: one stream each way, for as long as the session lives.

use std::sync::Arc;

use bytes::Bytes;
use headwater_pubsub::net::{ObjectReceiver, SessionHandle};
use headwater_pubsub::wire::data::{SubgroupHeader, SubgroupId};
use headwater_pubsub::wire::{Location, SessionCode};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::super::state::Shared;
use super::neighbour;
use crate::admin::{GossipWay, MisconductKind};
use crate::hub::SessionId;
use crate::overlay::core as overlay;

/// Most urgent among streams of its kind.
const PRIORITY: u8 = 0;

/// Why a session's gossip is over, and with it the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("no stream for gossip")]
    NoStream,
    #[error("the neighbour reads no gossip")]
    NotRead,
    #[error("more objects of gossip than a stream numbers")]
    Full,
    #[error("a gap in the gossip")]
    Gap,
    #[error("the neighbour's gossip ended")]
    Ended,
}

/// Carry gossip once the session is with a neighbour. Never ends by itself; dropped with the session.
pub(in crate::node) async fn run(
    shared: Arc<Shared>,
    id: SessionId,
    handle: SessionHandle,
    wake: Arc<Notify>,
) {
    let (alias, receiver) = loop {
        wake.notified().await;
        if let Some(found) = ready(&shared, id) {
            break found;
        }
    };
    let broken = tokio::select! {
        why = send(&shared, id, &handle, alias, &wake) => why,
        why = receive(&shared, id, receiver) => why,
    };
    let node = shared
        .state()
        .mesh
        .as_ref()
        .and_then(|mesh| mesh.overlay.node_of(neighbour(id)));
    match broken {
        Broken::Gap => {
            warn!(session = id.0, ?node, reason = %broken, "neighbour misbehaves: session closed");
            shared.metrics.mesh.misconduct(MisconductKind::Gossip);
            handle.close(SessionCode::PROTOCOL_VIOLATION, &broken.to_string());
        }
        _ => {
            debug!(session = id.0, ?node, reason = %broken, "gossip ended");
            handle.close(SessionCode::INTERNAL_ERROR, &broken.to_string());
        }
    }
    std::future::pending().await
}

/// Alias and queue, once the neighbour is up.
fn ready(shared: &Shared, id: SessionId) -> Option<(u64, ObjectReceiver)> {
    let mut state = shared.state();
    let link = state.sessions.get_mut(&id)?.link.as_mut()?;
    if !link.up {
        return None;
    }
    Some((link.serves?.alias, link.receiver.take()?))
}

async fn send(
    shared: &Arc<Shared>,
    id: SessionId,
    handle: &SessionHandle,
    alias: u64,
    wake: &Notify,
) -> Broken {
    let header = SubgroupHeader {
        track_alias: alias,
        group: 0,
        subgroup: SubgroupId::Zero,
        priority: Some(PRIORITY),
        has_properties: false,
        end_of_group: false,
        first_object: true,
    };
    let Ok(mut stream) = handle.open_object_stream(header, PRIORITY).await else {
        return Broken::NoStream;
    };
    for object in 0.. {
        let bytes = loop {
            // The overlay is asked again for each object: what changed since is in it.
            let bytes = next(shared, id);
            match bytes {
                Some(bytes) => break bytes,
                None => wake.notified().await,
            }
        };
        shared.metrics.mesh.gossip(GossipWay::Sent, bytes.len() as u64);
        if stream.write(object, bytes).await.is_err() {
            return Broken::NotRead;
        }
    }
    Broken::Full
}

/// The next object for a neighbour, if anything is due to it.
fn next(shared: &Shared, id: SessionId) -> Option<Bytes> {
    let mut state = shared.state();
    let before = state.deadline();
    let mesh = state.mesh.as_mut()?;
    let bytes = mesh.overlay.gossip(neighbour(id));
    let outputs: Vec<_> = std::iter::from_fn(|| mesh.overlay.poll()).collect();
    for output in outputs {
        shared.apply_overlay(&mut state, output);
    }
    shared.drive(&mut state);
    // What was held back for want of credit is due later, and only the timer knows.
    if state.deadline() != before {
        shared.timer.notify_one();
    }
    bytes
}

async fn receive(shared: &Arc<Shared>, id: SessionId, mut receiver: ObjectReceiver) -> Broken {
    let mut next = 0;
    while let Some(object) = receiver.recv().await {
        // One stream, objects in order: anything else is a gap, after which nothing can be trusted.
        if object.location != Location::new(0, next) {
            return Broken::Gap;
        }
        next += 1;
        shared
            .metrics
            .mesh
            .gossip(GossipWay::Received, object.payload.len() as u64);
        let mut state = shared.state();
        if let Some(mesh) = &mut state.mesh {
            mesh.inputs.push_back(overlay::Input::Gossip {
                neighbour: neighbour(id),
                object: object.payload,
            });
        }
        shared.drive(&mut state);
    }
    Broken::Ended
}
