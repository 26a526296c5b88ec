//! What the node finds out by asking its neighbours.

use headwater_pubsub::wire::TrackNamespace;

use super::super::name::printable;
use super::super::state::Shared;
use crate::overlay::core::Portrait;
use crate::overlay::id::NodeId;
use crate::overlay::message::{Hop, LinkHealth, LinkSummary, Pull};
use crate::status::path::path_of;
use crate::status::{
    AskError, Asking, Health, HopStatus, OverlayLink, OverlayNode, OverlayPull, OverlayStatus, TraceOutcome,
    TraceStatus,
};

/// See [`Inspect::trace`](crate::status::Inspect::trace).
pub(super) fn trace(shared: &Shared, namespace: &TrackNamespace) -> Asking<TraceStatus> {
    let name = path_of(namespace);
    let mut state = shared.state();
    let asked = super::mesh::served_from(&state, namespace)
        .and_then(|origin| Ok((origin, shared.trace(&mut state, origin).ok_or(AskError::Busy)?)));
    Box::pin(async move {
        let (origin, answer) = asked?;
        let hops = answer.await.map_err(|_dropped| AskError::Busy)?;
        Ok(told(name, origin, &hops))
    })
}

fn told(namespace: String, origin: NodeId, hops: &[Hop]) -> TraceStatus {
    let outcome = match hops.last() {
        Some(last) if last.node == origin => TraceOutcome::Reached,
        Some(last) if last.upstream.is_none() => TraceOutcome::NoRoute,
        _ => TraceOutcome::NoAnswer,
    };
    let costs = hops.iter().filter_map(|hop| hop.upstream);
    TraceStatus {
        namespace,
        origin: origin.to_hex(),
        outcome,
        total_us: costs.map(|upstream| u64::from(upstream.cost)).sum(),
        hops: hops.iter().copied().map(hop).collect(),
    }
}

fn hop(hop: Hop) -> HopStatus {
    let upstream = hop.upstream;
    HopStatus {
        node: hop.node.to_hex(),
        upstream: upstream.map(|upstream| upstream.node.to_hex()),
        cost_us: upstream.map(|upstream| upstream.cost),
        rtt_ms: upstream.and_then(|upstream| millis(upstream.srtt)),
        since_ms: upstream.map(|upstream| upstream.since_ms),
    }
}

/// See [`Inspect::overlay`](crate::status::Inspect::overlay).
pub(super) fn overlay(shared: &Shared) -> Asking<OverlayStatus> {
    let mut state = shared.state();
    let me = state.mesh.as_ref().map(|mesh| mesh.overlay.node());
    let answer = shared.survey(&mut state);
    Box::pin(async move {
        let asked = me.ok_or(AskError::NoMesh)?.to_hex();
        let nodes = answer
            .ok_or(AskError::Busy)?
            .await
            .map_err(|_dropped| AskError::Busy)?;
        let nodes = nodes.into_iter().map(node).collect();
        Ok(OverlayStatus { asked, nodes })
    })
}

fn node(portrait: Portrait) -> OverlayNode {
    let summary = portrait.summary;
    OverlayNode {
        node: summary.node.to_hex(),
        // Of other nodes, who may have written anything.
        name: printable(&summary.name),
        uptime_s: summary.uptime_s,
        load: f64::from(summary.load) / 1000.0,
        clients: summary.clients,
        tracks: summary.tracks,
        links: summary.links.into_iter().map(link).collect(),
        pulls: portrait.pulls.into_iter().map(pull).collect(),
    }
}

fn pull(pull: Pull) -> OverlayPull {
    OverlayPull {
        hash: pull.namespace.to_string(),
        from: pull.from.map(NodeId::to_hex),
    }
}

fn link(link: LinkSummary) -> OverlayLink {
    OverlayLink {
        node: link.node.to_hex(),
        health: match link.health {
            LinkHealth::Ok => Health::Ok,
            LinkHealth::Suspect => Health::Suspect,
            LinkHealth::Down => Health::Down,
        },
        cost_us: link.cost,
        rtt_ms: millis(link.srtt),
        loss: f64::from(link.loss_ppm) / 1e6,
    }
}

/// Microseconds as milliseconds; none if nothing was measured.
fn millis(micros: u32) -> Option<f64> {
    (micros > 0).then(|| f64::from(micros) / 1000.0)
}
