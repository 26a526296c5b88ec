//! STATUS_PULLS: from where a node gets what it serves, without names.
//!
//! A broadcast is told by a short hash of its namespace: who knows a namespace, or guesses it, finds it; from the hash alone
//! nobody reads it.

use std::fmt;

use bytes::BytesMut;
use headwater_pubsub::wire::{DecodeError, EncodeError, TrackNamespace};
use sha2::{Digest as _, Sha256};

use super::field::{Body, In, Out, at_most};
use crate::overlay::id::NodeId;

/// Most pulls that one node tells of.
pub const MAX_PULLS: usize = 32;
/// What is hashed before the namespace, so that the hash is good for nothing else.
const LABEL: &[u8] = b"headwater pull 1\0";
const HERE: u8 = 0;
const NEIGHBOUR: u8 = 1;

/// A namespace that only who knows it recognizes: the first bytes of a hash over its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceHash(pub [u8; 8]);

impl NamespaceHash {
    /// Of a namespace.
    pub fn of(namespace: &TrackNamespace) -> Self {
        let mut wire = BytesMut::new();
        namespace.encode(&mut wire);
        let hash = Sha256::new().chain_update(LABEL).chain_update(&wire).finalize();
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(hash) {
            *to = from;
        }
        Self(first)
    }
}

/// In lower-case hex.
impl fmt::Display for NamespaceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One broadcast at a node, and from where tracks of it come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its namespace.
    pub namespace: NamespaceHash,
    /// The neighbour that it is pulled from; `None`: it is published at this node.
    pub from: Option<NodeId>,
}

/// What one node pulls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePulls {
    /// The node.
    pub node: NodeId,
    /// At most [`MAX_PULLS`], most subscribed first. While a node changes over, a broadcast is there once per neighbour.
    pub pulls: Vec<Pull>,
}

impl Body for NodePulls {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        at_most("pulls", self.pulls.len(), MAX_PULLS)?;
        out.bytes(&self.node.0);
        out.int(self.pulls.len() as u64);
        for pull in &self.pulls {
            out.bytes(&pull.namespace.0);
            match pull.from {
                None => out.u8(HERE),
                Some(node) => {
                    out.u8(NEIGHBOUR);
                    out.bytes(&node.0);
                }
            }
        }
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let node = input.id()?;
        let count = input.int()?;
        if count > MAX_PULLS as u64 {
            return Err(DecodeError::InvalidValue {
                field: "number of pulls",
                value: count,
            });
        }
        let mut pulls = Vec::new();
        for _ in 0..count {
            let namespace = NamespaceHash(input.array()?);
            let from = match input.u8()? {
                HERE => None,
                NEIGHBOUR => Some(input.id()?),
                value => {
                    return Err(DecodeError::InvalidValue {
                        field: "kind of pull",
                        value: value.into(),
                    });
                }
            };
            pulls.push(Pull { namespace, from });
        }
        Ok(Self { node, pulls })
    }
}

/// STATUS_PULLS: what nodes pull that the next STATUS_REP tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPulls {
    /// Of the STATUS_REQ.
    pub request: u64,
    /// The nodes; who is not here pulls nothing.
    pub nodes: Vec<NodePulls>,
}

impl Body for StatusPulls {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.request);
        self.nodes.iter().try_for_each(|node| node.encode(out))
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let request = input.int()?;
        let mut nodes = Vec::new();
        while !input.is_empty() {
            nodes.push(NodePulls::decode(input)?);
        }
        Ok(Self { request, nodes })
    }
}
