//! Keys of simulated nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::overlay::core::{Identity, Keys, Unsigned};
use crate::overlay::id::NodeId;
use crate::overlay::message::{Credential, Entry, Roles, Signature};

pub(in crate::overlay::core) fn id(node: usize) -> NodeId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(node as u64 + 1).to_be_bytes());
    NodeId(bytes)
}

/// Signatures that anybody could make: what matters here is who checks what. Everybody is a member.
#[derive(Debug)]
pub(in crate::overlay::core) struct Toy(NodeId);

fn signature(node: NodeId, bytes: &[u8]) -> Signature {
    let half = Sha256::new().chain_update(node.0).chain_update(bytes).finalize();
    let mut whole = [0; 64];
    whole[..32].copy_from_slice(&half);
    Signature(whole)
}

impl Keys for Toy {
    fn sign(&self, bytes: &[u8]) -> Signature {
        signature(self.0, bytes)
    }

    fn verify(&self, node: NodeId, bytes: &[u8], theirs: &Signature) -> bool {
        signature(node, bytes) == *theirs
    }

    fn may_announce(&self, _: NodeId, _: &Entry) -> bool {
        true
    }

    fn is_member(&self, _: NodeId) -> bool {
        true
    }

    fn learn(&self, _: &Credential) -> Result<Option<NodeId>, Unsigned> {
        Ok(None)
    }

    fn credential(&self, _: NodeId) -> Option<Credential> {
        None
    }

    fn credentialed(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }
}

/// A relay that may do anything.
pub(in crate::overlay::core) fn identity(node: NodeId, epoch: u64, run: u64) -> Identity {
    Identity {
        node,
        epoch,
        run,
        roles: Roles::RELAY,
        price: 0,
        keys: Arc::new(Toy(node)),
        wall_ms: 0,
    }
}
