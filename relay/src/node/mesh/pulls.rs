//! What this node tells the mesh of what it serves: hashes of namespaces, and the neighbours that they come from.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::TrackNamespace;

use super::super::state::State;
use super::neighbour;
use crate::hub::Origin;
use crate::overlay::id::NodeId;
use crate::overlay::message::{MAX_PULLS, NamespaceHash, Pull};

/// One namespace: how many are served tracks of it, and from where those come.
#[derive(Debug, Default)]
struct Served {
    subscribers: usize,
    /// `None`: from here.
    from: BTreeSet<Option<NodeId>>,
}

/// The namespaces served here, most subscribed first, and no more than are told.
pub(super) fn pulls(state: &State) -> Vec<Pull> {
    let Some(mesh) = &state.mesh else {
        return Vec::new();
    };
    let mut served: BTreeMap<&TrackNamespace, Served> = BTreeMap::new();
    for view in state.hub.namespaces() {
        // Who looks wants to see where it is published before anybody subscribes.
        served.entry(view.namespace).or_default().from.insert(None);
    }
    for view in state.hub.tracks() {
        let served = served.entry(view.name.namespace()).or_default();
        served.subscribers += view.subscribers;
        if view.origin == Origin::Here {
            served.from.extend((view.sources > 0).then_some(None));
        } else {
            let nodes = state.hub.upstreams(view.track);
            let nodes = nodes.filter_map(|session| mesh.overlay.node_of(neighbour(session)));
            served.from.extend(nodes.map(Some));
        }
    }
    let mut served: Vec<_> = served.into_iter().collect();
    served.sort_by_key(|(_, served)| std::cmp::Reverse(served.subscribers));
    served
        .into_iter()
        .flat_map(|(namespace, served)| served.from.into_iter().map(move |from| (namespace, from)))
        .take(MAX_PULLS)
        .map(|(namespace, from)| Pull {
            namespace: NamespaceHash::of(namespace),
            from,
        })
        .collect()
}
