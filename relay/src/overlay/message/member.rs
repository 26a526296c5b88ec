//! PEERS, CERTIFICATE and REVOKE: who belongs to the mesh, and where to find them.

use bytes::Bytes;
use headwater_pubsub::wire::{DecodeError, EncodeError};

use super::field::{Body, In, Out, Signature, at_most};
use super::kind;
use super::link::Roles;
use crate::overlay::id::NodeId;

/// Most addresses of one node.
pub const MAX_ADDRESSES: usize = 8;
/// Longest address in bytes.
pub const MAX_ADDRESS: usize = 256;
/// Longest certificate in bytes.
pub const MAX_CERTIFICATE: usize = 4096;
/// Longest revocation in bytes.
pub const MAX_REVOCATION: usize = 256;

/// One item of PEERS: where a node can be reached, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// The node.
    pub node: NodeId,
    /// Where to dial it, best first, as URIs; at most [`MAX_ADDRESSES`] of [`MAX_ADDRESS`] bytes.
    pub addresses: Vec<String>,
    /// What it does.
    pub roles: Roles,
    /// Its wall clock when it signed, in milliseconds since 1970; a later record replaces an earlier one.
    pub time_ms: u64,
    /// By the node, over [`Self::signed_bytes`].
    pub signature: Signature,
}

impl PeerRecord {
    /// What the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"headwater peer 1\0".to_vec();
        bytes.extend_from_slice(&self.node.0);
        bytes.extend_from_slice(&(self.addresses.len() as u64).to_be_bytes());
        for address in &self.addresses {
            bytes.extend_from_slice(&(address.len() as u64).to_be_bytes());
            bytes.extend_from_slice(address.as_bytes());
        }
        bytes.extend_from_slice(&self.roles.0.to_be_bytes());
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        bytes
    }
}

impl Body for PeerRecord {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        at_most("addresses", self.addresses.len(), MAX_ADDRESSES)?;
        out.bytes(&self.node.0);
        out.int(self.addresses.len() as u64);
        for address in &self.addresses {
            out.prefixed("address", address.as_bytes(), MAX_ADDRESS)?;
        }
        out.int(self.roles.0);
        out.int(self.time_ms);
        out.bytes(&self.signature.0);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let node = input.id()?;
        let count = input.int()?;
        if count > MAX_ADDRESSES as u64 {
            return Err(DecodeError::InvalidValue {
                field: "number of addresses",
                value: count,
            });
        }
        Ok(Self {
            node,
            addresses: (0..count)
                .map(|_| input.text("address", MAX_ADDRESS))
                .collect::<Result<_, _>>()?,
            roles: Roles(input.int()?),
            time_ms: input.int()?,
            signature: Signature(input.array()?),
        })
    }
}

/// REVOKE and CERTIFICATE: what the mesh's authority says of a node, as it wrote it. Its form and signature are the mesh's, not
/// the gossip's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The node is a member until then, and may announce this; at most [`MAX_CERTIFICATE`] bytes.
    Certificate(Bytes),
    /// The node is a member no more; at most [`MAX_REVOCATION`] bytes.
    Revocation(Bytes),
}

impl Credential {
    pub(super) const fn kind(&self) -> u64 {
        match self {
            Self::Certificate(_) => kind::CERTIFICATE,
            Self::Revocation(_) => kind::REVOKE,
        }
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Certificate(bytes) => out.prefixed("certificate", bytes, MAX_CERTIFICATE),
            Self::Revocation(bytes) => out.prefixed("revocation", bytes, MAX_REVOCATION),
        }
    }

    pub(super) fn certificate(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let bytes = input.reader.prefixed("certificate", MAX_CERTIFICATE as u64)?;
        Ok(Self::Certificate(bytes))
    }

    pub(super) fn revocation(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let bytes = input.reader.prefixed("revocation", MAX_REVOCATION as u64)?;
        Ok(Self::Revocation(bytes))
    }
}
