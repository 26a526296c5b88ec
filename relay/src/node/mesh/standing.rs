//! Keeping up with the authority: whom it has put out, and whose certificate has ended.
//!
//! `moq mesh revoke` writes into the state directory of the authority's node, which is looked at every [`LOOK`]. From there a
//! revocation travels with the gossip; every node keeps it and closes its sessions with that node.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::mesh::{NodeId as MemberId, StoreError};
use headwater_pubsub::wire::SessionCode;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::super::state::{Shared, State};
use super::chores::Chore;
use super::start::EXPIRED;
use super::{Mesh, node_id};
use crate::overlay::core::{self as overlay, Keys as _};
use crate::overlay::id::NodeId;

/// How often dates and the list of revocations are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Look until told to stop.
pub(in crate::node) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let looking = shared.clone();
        let looked = tokio::task::spawn_blocking(move || looking.mesh.as_ref().map(Mesh::look));
        match looked.await {
            Ok(Some(Ok(changed))) => shared.tell_standing(&changed),
            Ok(Some(Err(error))) => warn!(%error, "the list of revoked nodes is not read"),
            Ok(None) => {}
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => return,
        }
    }
}

impl Mesh {
    /// Nodes whose standing changed since the last look. Reads a file.
    fn look(&self) -> Result<Vec<MemberId>, StoreError> {
        let mut changed = self.keyring.expire();
        changed.extend(self.keyring.reload(&self.dir)?);
        Ok(changed)
    }

    /// Keeps the revocations that are known now. Writes a file.
    pub(super) fn keep_revocations(&self) -> Result<(), StoreError> {
        self.keyring.revocations().keep(&self.dir)
    }
}

impl Shared {
    /// Tells the overlay of nodes whose standing changed.
    pub(super) fn tell_standing(&self, nodes: &[MemberId]) {
        if nodes.is_empty() {
            return;
        }
        let mut state = self.state();
        if let Some(mesh) = &mut state.mesh {
            let inputs = nodes
                .iter()
                .map(|&node| overlay::Input::Standing { node: node_id(node) });
            mesh.inputs.extend(inputs);
        }
        self.drive(&mut state);
    }

    /// Closes sessions with a node that is a member no more, and keeps its revocation.
    pub(super) fn standing_changed(&self, state: &mut State, node: NodeId) {
        let Some(mesh) = &self.mesh else { return };
        if mesh.keyring.is_member(node) {
            return;
        }
        let member = MemberId::from_bytes(node.0);
        let revoked = mesh.keyring.revocations().contains(member);
        let why = if revoked {
            // Beyond the bound of the queue the next one keeps this one too.
            let _full = self.chores.try_send(Chore::Revocations).is_err();
            "the node was revoked"
        } else {
            "the node's membership has expired"
        };
        if member == mesh.membership().node() {
            let todo = if revoked {
                "this key never gets in again"
            } else {
                EXPIRED
            };
            error!(why, todo, "this node is no member of its mesh any more");
        } else {
            info!(%node, why, "no member any more");
        }
        let with_it: Vec<_> = state
            .sessions
            .iter()
            .filter(|(_, entry)| {
                let link = entry.link.as_ref();
                link.and_then(|link| link.node.as_ref())
                    .is_some_and(|with| with.id == member)
            })
            .map(|(&id, entry)| (id, entry.handle.clone()))
            .collect();
        for (id, handle) in with_it {
            self.link_down(state, id);
            handle.close(SessionCode::UNAUTHORIZED, why);
        }
    }
}
