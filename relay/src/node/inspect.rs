//! What the node tells about itself, copied out at the moment of asking.

mod ask;
mod mesh;

use std::{collections::BTreeMap, sync::Arc};

use headwater_pubsub::wire::TrackNamespace;

use super::{state::Shared, tally::transport};
use crate::status::{
    AskError, Asking, Inspect, LocationStatus, NamespaceRoutes, NeighbourStatus, NodeStatus, OverlayStatus,
    Phase, RouteStatus, SessionStatus, TraceStatus, TrackStatus, Volume,
};

fn volume(volume: headwater_pubsub::net::Volume) -> Volume {
    Volume {
        objects: volume.objects,
        bytes: volume.bytes,
    }
}

/// The operator's view of a node.
pub(super) struct View(pub(super) Arc<Shared>);

impl Inspect for View {
    fn sessions(&self) -> Vec<SessionStatus> {
        let state = self.0.state();
        let counts: BTreeMap<_, _> = state
            .hub
            .sessions()
            .map(|view| {
                (
                    view.session,
                    (
                        view.subscriptions as u64,
                        (view.publications + view.opened) as u64,
                    ),
                )
            })
            .collect();
        state
            .sessions
            .iter()
            .map(|(id, session)| {
                let path = session.handle.path_stats();
                let (subscriptions, publications) = counts.get(id).copied().unwrap_or_default();
                SessionStatus {
                    id: id.0,
                    remote: session.handle.transport().remote_address(),
                    transport: transport(session),
                    implementation: session.info.implementation.clone(),
                    since: session.info.since,
                    subscriptions,
                    publications,
                    received: volume(session.handle.received()),
                    sent: volume(session.handle.sent()),
                    rtt_ms: Some(path.rtt.as_secs_f64() * 1000.0),
                }
            })
            .collect()
    }

    fn tracks(&self) -> Vec<TrackStatus> {
        let state = self.0.state();
        let mut tracks: Vec<_> = state
            .hub
            .tracks()
            .filter_map(|view| {
                let track = state.tracks.get(&view.track)?;
                let stats = track.stats();
                let (origin, upstreams, children) = mesh::of_track(&state, view.track, view.origin);
                Some(TrackStatus {
                    name: view.name.to_string(),
                    subscribers: view.subscribers as u64,
                    publishers: view.sources as u64,
                    origin,
                    upstreams,
                    children,
                    largest: track.largest().map(|at| LocationStatus {
                        group: at.group,
                        object: at.object,
                    }),
                    groups_cached: stats.groups as u64,
                    bytes_cached: stats.cached_bytes,
                    received: Volume {
                        objects: stats.objects,
                        bytes: stats.payload_bytes,
                    },
                })
            })
            .collect();
        tracks.sort_by(|a, b| a.name.cmp(&b.name));
        tracks
    }

    fn node(&self) -> NodeStatus {
        let shared = &self.0;
        let (received, sent) = shared.traffic();
        let (sessions, tracks) = {
            let state = shared.state();
            (state.sessions.len() as u64, state.tracks.len() as u64)
        };
        NodeStatus {
            name: shared.about.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: shared
                .about
                .fingerprint
                .map(|fingerprint| fingerprint.to_string()),
            mesh: mesh::place(shared),
            listen: vec![shared.about.listen],
            since: shared.about.since,
            sessions,
            tracks,
            cache_bytes: shared.cache.bytes(),
            cache_capacity: shared.config.cache.bytes,
            received,
            sent,
        }
    }

    fn phase(&self) -> Phase {
        self.0.phase()
    }

    fn neighbours(&self) -> Vec<NeighbourStatus> {
        mesh::neighbours(&self.0)
    }

    fn routes(&self) -> Vec<RouteStatus> {
        mesh::routes(&self.0)
    }

    fn route(&self, namespace: &TrackNamespace) -> Result<NamespaceRoutes, AskError> {
        mesh::route(&self.0, namespace)
    }

    fn trace(&self, namespace: &TrackNamespace) -> Asking<TraceStatus> {
        ask::trace(&self.0, namespace)
    }

    fn overlay(&self) -> Asking<OverlayStatus> {
        ask::overlay(&self.0)
    }
}
