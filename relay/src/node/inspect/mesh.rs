//! What the node tells of its mesh.

use std::collections::BTreeMap;

use headwater_certs::mesh::Role as End;
use headwater_pubsub::wire::TrackNamespace;

use super::super::mesh::session;
use super::super::state::{Shared, State};
use crate::hub::{Origin, SessionId, TrackId};
use crate::overlay::core::Overlay;
use crate::overlay::health;
use crate::overlay::id::NodeId;
use crate::overlay::routes::{Candidate, Role};
use crate::status::path::path_of;
use crate::status::{
    AskError, CandidateStatus, Health, MeshStatus, NamespaceRoutes, NeighbourStatus, Opened, OriginRoutes,
    RouteStatus,
};

/// The node's place in its mesh.
pub(super) fn place(shared: &Shared) -> Option<MeshStatus> {
    let membership = shared.mesh.as_ref()?.membership();
    let (epoch, cloned) = {
        let state = shared.state();
        let overlay = &state.mesh.as_ref()?.overlay;
        (overlay.epoch(), overlay.cloned().map(NodeId::to_hex).collect())
    };
    Some(MeshStatus {
        id: membership.mesh().to_string(),
        node: membership.node().to_string(),
        epoch,
        cloned,
        expires: membership.expires(),
    })
}

/// See [`Inspect::neighbours`](crate::status::Inspect::neighbours).
pub(super) fn neighbours(shared: &Shared) -> Vec<NeighbourStatus> {
    let state = shared.state();
    let Some(mesh) = &state.mesh else {
        return Vec::new();
    };
    let mut pulled = pulled(&state);
    mesh.overlay
        .neighbours()
        .filter_map(|view| {
            let id = session(view.neighbour);
            let entry = state.sessions.get(&id)?;
            let link = entry.link.as_ref()?;
            Some(NeighbourStatus {
                node: view.node.to_hex(),
                session: id.0,
                remote: entry.handle.transport().remote_address(),
                opened: match link.role {
                    End::Client => Opened::Dialled,
                    End::Server => Opened::Accepted,
                },
                since: shared.about.since + view.since,
                cost_us: view.cost_us,
                rtt_ms: view.srtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
                loss: view.loss,
                health: match link.detector.health() {
                    health::Health::Ok => Health::Ok,
                    health::Health::Suspect => Health::Suspect,
                    health::Health::Down => Health::Down,
                },
                gossip_sent_bytes: view.gossip.0,
                gossip_received_bytes: view.gossip.1,
                pulled: pulled.remove(&id).unwrap_or_default(),
            })
        })
        .collect()
}

/// The tracks of the mesh that each session brings, by name.
fn pulled(state: &State) -> BTreeMap<SessionId, Vec<String>> {
    let mut pulled: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for view in state.hub.tracks().filter(|view| view.origin != Origin::Here) {
        for session in state.hub.upstreams(view.track) {
            pulled.entry(session).or_default().push(view.name.to_string());
        }
    }
    pulled.values_mut().for_each(|names| names.sort());
    pulled
}

/// Origin, upstreams and children of a track.
pub(super) fn of_track(
    state: &State,
    track: TrackId,
    origin: Origin,
) -> (Option<String>, Vec<String>, Vec<String>) {
    let Some(mesh) = &state.mesh else {
        return (None, Vec::new(), Vec::new());
    };
    let nodes = |sessions: &mut dyn Iterator<Item = SessionId>| -> Vec<String> {
        sessions
            .filter_map(|id| mesh.overlay.node_of(super::super::mesh::neighbour(id)))
            .map(NodeId::to_hex)
            .collect()
    };
    let origin = match origin {
        Origin::Here => mesh.overlay.node(),
        Origin::Node(node) => node,
    };
    (
        Some(origin.to_hex()),
        nodes(&mut state.hub.upstreams(track)),
        nodes(&mut state.hub.children(track).into_iter()),
    )
}

/// See [`Inspect::routes`](crate::status::Inspect::routes).
pub(super) fn routes(shared: &Shared) -> Vec<RouteStatus> {
    let state = shared.state();
    let Some(mesh) = &state.mesh else {
        return Vec::new();
    };
    let overlay = &mesh.overlay;
    overlay
        .routes()
        .map(|view| RouteStatus {
            origin: view.origin.to_hex(),
            here: view.origin == overlay.node(),
            primary: view
                .primary
                .and_then(|neighbour| overlay.node_of(neighbour))
                .map(NodeId::to_hex),
            total_us: view.total_us,
            entries: view.entries as u64,
            wanted: view.wanted,
        })
        .collect()
}

/// The origin that clients of a namespace are served from: this node, else the nearest one.
pub(super) fn served_from(state: &State, namespace: &TrackNamespace) -> Result<NodeId, AskError> {
    let overlay = &state.mesh.as_ref().ok_or(AskError::NoMesh)?.overlay;
    overlay
        .origins_of(namespace)
        .into_iter()
        .min_by_key(|&origin| {
            let total = overlay.route(origin).total_us.unwrap_or(u32::MAX);
            (origin != overlay.node(), total, origin)
        })
        .ok_or_else(|| AskError::NotAnnounced(namespace.clone()))
}

/// See [`Inspect::route`](crate::status::Inspect::route).
pub(super) fn route(shared: &Shared, namespace: &TrackNamespace) -> Result<NamespaceRoutes, AskError> {
    let state = shared.state();
    let overlay = &state.mesh.as_ref().ok_or(AskError::NoMesh)?.overlay;
    let mut origins: Vec<OriginRoutes> = overlay
        .origins_of(namespace)
        .into_iter()
        .map(|origin| of_origin(overlay, origin))
        .collect();
    if origins.is_empty() {
        return Err(AskError::NotAnnounced(namespace.clone()));
    }
    // Clients are served from here, else from the nearest one.
    origins.sort_by_key(|it| (!it.here, it.total_us.unwrap_or(u32::MAX), it.origin.clone()));
    Ok(NamespaceRoutes {
        namespace: path_of(namespace),
        origins,
    })
}

fn of_origin(overlay: &Overlay, origin: NodeId) -> OriginRoutes {
    let view = overlay.route(origin);
    let mut candidates: Vec<CandidateStatus> =
        overlay.candidates(origin).into_iter().map(candidate).collect();
    candidates.sort_by_key(|it| (it.total_us.unwrap_or(u32::MAX), it.session));
    OriginRoutes {
        origin: origin.to_hex(),
        here: origin == overlay.node(),
        primary: view
            .primary
            .and_then(|neighbour| overlay.node_of(neighbour))
            .map(NodeId::to_hex),
        total_us: view.total_us,
        why: overlay.why(origin),
        candidates,
    }
}

fn candidate(candidate: Candidate) -> CandidateStatus {
    CandidateStatus {
        node: candidate.node.to_hex(),
        session: candidate.neighbour.0,
        distance_us: candidate.distance.map(|distance| distance.micros()),
        cost_us: candidate.cost.micros(),
        total_us: candidate.total.map(|total| total.micros()),
        feasible: candidate.feasible,
        suspect: candidate.suspect,
        full: candidate.full,
        role: candidate.role.map(|role| match role {
            Role::Primary => "primary",
            Role::Pending => "pending",
            Role::Track => "track",
            Role::Draining => "draining",
            Role::Tentative => "tentative",
        }),
    }
}
