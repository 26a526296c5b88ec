//! Peer records: a node tells where it can be dialled, signed, so that others may pass it on.

use super::address::{self, Address, MAX_ADDRESSES};
use super::codec::{DecodeError, Reader, Writer};
use super::identity::NodeIdentity;
use super::key::{BadSignature, Context, NodeId, Signature};

const RECORD: Context = Context::new("peer record");

/// A node and its addresses, the signature checked. Whether the node is a member shows when it is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    id: NodeId,
    addresses: Vec<Address>,
    role_bits: u8,
    time_ms: u64,
    signature: Signature,
}

/// A record that is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are no record.
    #[error("the peer record cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The node that it names did not sign it.
    #[error("the peer record was not signed by the node {0}")]
    Forged(NodeId),
}

impl PeerRecord {
    /// A node's record of itself: at most eight addresses, further ones are left out. `role_bits` are those of its
    /// HELLO. Of two records the one with the greater `time_ms` (Unix time in milliseconds) counts.
    pub fn sign(identity: &NodeIdentity, mut addresses: Vec<Address>, role_bits: u8, time_ms: u64) -> Self {
        addresses.truncate(MAX_ADDRESSES);
        let id = identity.id();
        let signature = identity.sign(RECORD, &body(id, &addresses, role_bits, time_ms).finish());
        Self {
            id,
            addresses,
            role_bits,
            time_ms,
            signature,
        }
    }

    /// Whose it is.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Where the node can be dialled, best first; none if it only dials.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// As in the node's HELLO; unknown bits are kept.
    pub const fn role_bits(&self) -> u8 {
        self.role_bits
    }

    /// When it was made, by the node's clock, in milliseconds since 1970. May be any number.
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The binary form, at most 2.2 KiB.
    pub fn encode(&self) -> Vec<u8> {
        body(self.id, &self.addresses, self.role_bits, self.time_ms)
            .put(&self.signature.0)
            .finish()
    }

    /// Reads the binary form and checks the signature.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::versioned(bytes)?;
        let record = Self {
            id: NodeId::from_bytes(reader.array()?),
            addresses: address::decode_list(&mut reader)?,
            role_bits: reader.u8()?,
            time_ms: reader.u64()?,
            signature: Signature(reader.array()?),
        };
        reader.finish()?;
        let body = body(record.id, &record.addresses, record.role_bits, record.time_ms).finish();
        record
            .id
            .verify(RECORD, &body, &record.signature)
            .map_err(|BadSignature| RecordError::Forged(record.id))?;
        Ok(record)
    }
}

fn body(id: NodeId, addresses: &[Address], role_bits: u8, time_ms: u64) -> Writer {
    address::encode_list(addresses, Writer::versioned().put(id.as_bytes()))
        .u8(role_bits)
        .u64(time_ms)
}
