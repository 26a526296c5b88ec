//! Revocations: the authority says that a node is no member any more, whatever its certificate says.
//!
//! Records are numbered from 1 by the authority and spread like its other announcements; whoever holds one enforces it,
//! earlier ones missing or not. A revoked key stays revoked: its owner may come back with a new key and a new invite.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::authority::Authority;
use super::codec::{DecodeError, Reader, Writer, whole_seconds};
use super::key::{Context, MeshId, NodeId, Signature};

const REVOCATION: Context = Context::new("revocation");

/// Bytes of one record.
const LEN: usize = 1 + 32 + 4 + 32 + 8 + 64;
/// Most nodes that one mesh can revoke: 600 kB on disk.
pub const MAX_REVOCATIONS: usize = 4096;

/// One signed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    mesh: MeshId,
    number: u32,
    node: NodeId,
    time: SystemTime,
    signature: Signature,
}

impl Revocation {
    fn issue(authority: &Authority, number: u32, node: NodeId, now: SystemTime) -> Self {
        let time = whole_seconds(now);
        let body = body(authority.mesh(), number, node, time).finish();
        Self {
            mesh: authority.mesh(),
            number,
            node,
            time,
            signature: authority.sign(REVOCATION, &body),
        }
    }

    /// Its place in the authority's list, from 1.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Who is out.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// When the authority said so, by its clock; for people only.
    pub const fn time(&self) -> SystemTime {
        self.time
    }

    /// The binary form, 141 bytes.
    pub fn encode(&self) -> Vec<u8> {
        body(self.mesh, self.number, self.node, self.time)
            .put(&self.signature.0)
            .finish()
    }

    /// Reads the binary form; the signature is checked by [`Revocations::add`].
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not exactly one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let record = Self {
            mesh: MeshId::from_bytes(reader.array()?),
            number: reader.u32()?,
            node: NodeId::from_bytes(reader.array()?),
            time: reader.time()?,
            signature: Signature(reader.array()?),
        };
        reader.finish()?;
        if record.number == 0 {
            return Err(DecodeError::Field("number"));
        }
        Ok(record)
    }
}

fn body(mesh: MeshId, number: u32, node: NodeId, time: SystemTime) -> Writer {
    Writer::versioned()
        .put(mesh.as_bytes())
        .u32(number)
        .put(node.as_bytes())
        .time(time)
}

/// A record that is not taken up. The list is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// Of another mesh.
    #[error("the revocation is of the mesh {0}, not of this one")]
    Foreign(MeshId),
    /// Not signed by the mesh's authority.
    #[error("the revocation was not signed by the mesh's authority")]
    Forged,
    /// The list is full.
    #[error("{MAX_REVOCATIONS} nodes are revoked already; make a new mesh and invite the members again")]
    Full,
}

/// Whom a mesh has revoked, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocations {
    mesh: MeshId,
    records: BTreeMap<NodeId, Revocation>,
}

impl Revocations {
    /// Of a mesh that has revoked nobody.
    pub const fn none(mesh: MeshId) -> Self {
        Self {
            mesh,
            records: BTreeMap::new(),
        }
    }

    /// The mesh.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Number of the newest record; 0 if there is none.
    pub fn version(&self) -> u32 {
        self.records.values().map(Revocation::number).max().unwrap_or(0)
    }

    /// Whether this node is out.
    pub fn contains(&self, node: NodeId) -> bool {
        self.records.contains_key(&node)
    }

    /// The record of this node, if it is out.
    pub fn get(&self, node: NodeId) -> Option<&Revocation> {
        self.records.get(&node)
    }

    /// All records, by node.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Revocation> {
        self.records.values()
    }

    /// Takes a record up after checking it: `true` if its node was not out before.
    ///
    /// # Errors
    ///
    /// [`RevocationError`].
    pub fn add(&mut self, record: Revocation) -> Result<bool, RevocationError> {
        if record.mesh != self.mesh {
            return Err(RevocationError::Foreign(record.mesh));
        }
        let body = body(record.mesh, record.number, record.node, record.time).finish();
        self.mesh
            .verify(REVOCATION, &body, &record.signature)
            .map_err(|_bad| RevocationError::Forged)?;
        // One record per node says it all; the first one stays, and with it the list's size has a bound.
        if self.contains(record.node) {
            return Ok(false);
        }
        if self.records.len() >= MAX_REVOCATIONS {
            return Err(RevocationError::Full);
        }
        self.records.insert(record.node, record);
        Ok(true)
    }

    /// Makes and adds the next record; the node's present one if it is out already.
    pub(super) fn revoke(
        &mut self,
        authority: &Authority,
        node: NodeId,
        now: SystemTime,
    ) -> Result<Revocation, RevocationError> {
        if let Some(present) = self.records.get(&node) {
            return Ok(present.clone());
        }
        let record = Revocation::issue(authority, self.version().saturating_add(1), node, now);
        self.add(record.clone())?;
        Ok(record)
    }

    /// The binary form, at most 600 kB: the records one after the other.
    pub fn encode(&self) -> Vec<u8> {
        self.iter().flat_map(Revocation::encode).collect()
    }

    /// Takes up what another list's binary form has beyond this one, after checking those signatures: the nodes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], also for a record that the mesh's authority did not sign. What came before that is taken up.
    pub(super) fn add_all(&mut self, bytes: &[u8]) -> Result<Vec<NodeId>, DecodeError> {
        let (records, []) = bytes.as_chunks::<LEN>() else {
            return Err(DecodeError::Truncated);
        };
        let mut news = Vec::new();
        for record in records {
            let record = Revocation::decode(record)?;
            let node = record.node;
            if !self.contains(node) {
                self.add(record)
                    .map_err(|_refused| DecodeError::Field("revocation"))?;
                news.push(node);
            }
        }
        Ok(news)
    }

    /// Reads the binary form and checks every signature.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], also for a record that the mesh's authority did not sign.
    pub fn decode(mesh: MeshId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut revocations = Self::none(mesh);
        revocations.add_all(bytes)?;
        Ok(revocations)
    }
}
