//! Who belongs to the mesh, as far as its authority's word has come here.
//!
//! The keys hold what the authority signed: a certificate of each member, a revocation of each node that was put out. Here it is
//! passed on, once for each session and before anything else of that node, and enforced: a node that is not a member has no route,
//! and nothing that it announces is shown.

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::Credential;

impl Overlay {
    /// A neighbour's copy of what the authority said.
    pub(super) fn credential(&mut self, from: Neighbour, credential: &Credential) -> Result<(), Misconduct> {
        if let Some(node) = self.identity.keys.learn(credential)? {
            self.standing(node, Some(from));
        }
        Ok(())
    }

    /// The authority's word on a node is news, or its membership ended.
    pub(super) fn standing(&mut self, node: NodeId, from: Option<Neighbour>) {
        for (&neighbour, link) in &mut self.links {
            if Some(neighbour) != from {
                link.credentials.insert(node);
                self.outputs.push_back(Output::Ready { neighbour });
            }
        }
        if !self.identity.keys.is_member(node) {
            self.routes.bar(self.now, node);
            self.members.expelled(node);
            self.beacons.remove(&node);
            self.forget_life(node);
        }
        self.logs.rights_changed(self.now, node);
        self.outputs.push_back(Output::Standing { node });
    }
}
