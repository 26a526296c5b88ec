//! The proof by which two nodes know each other: certificate, and a signature that is good for one connection.
//!
//! Each end signs the TLS exporter of the connection and its own [`Role`]: a proof that is recorded and sent on another
//! connection fails, and so does one that is sent back to its maker.

use std::time::SystemTime;

use super::admission::Exporter;
use super::certificate::{self, CertificateError, NodeCertificate};
use super::codec::{DecodeError, Reader, Writer};
use super::identity::NodeIdentity;
use super::key::{Context, NodeId, Signature};
use super::revocation::Revocations;

const PROOF: Context = Context::new("connection proof");

/// Which end of the connection a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It opened the connection.
    Client,
    /// It was dialled.
    Server,
}

impl Role {
    /// The other end's.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// A node's certificate and its signature over this connection. Reading one checks nothing but its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    certificate: NodeCertificate,
    signature: Signature,
}

/// A neighbour whose proof was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNode {
    /// Who it is.
    pub id: NodeId,
    /// What it may announce, and until when.
    pub certificate: NodeCertificate,
}

/// Why a proof is not accepted: the other end is an ordinary client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The bytes are no proof.
    #[error("the proof cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The certificate is not good.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authority took its membership back.
    #[error("the node {0} was revoked")]
    Revoked(NodeId),
    /// Made with another key, for another connection, or for the other end of this one.
    #[error("the proof was made with another key or for another connection")]
    BadSignature,
}

impl Proof {
    /// The proof of the node that is `role` on the connection of `exporter`.
    pub fn new(
        certificate: &NodeCertificate,
        identity: &NodeIdentity,
        exporter: &Exporter,
        role: Role,
    ) -> Self {
        Self {
            certificate: certificate.clone(),
            signature: identity.sign(PROOF, &text(exporter, role)),
        }
    }

    /// Checks the encoded proof of the other end, which is `role` on the connection of `exporter`, by the rules of the mesh
    /// whose revocations these are.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn verify(
        bytes: &[u8],
        exporter: &Exporter,
        role: Role,
        revocations: &Revocations,
        now: SystemTime,
    ) -> Result<VerifiedNode, ProofError> {
        let proof = Self::decode(bytes)?;
        let certificate = proof.certificate;
        certificate.verify(revocations.mesh(), now)?;
        let id = certificate.node();
        id.verify(PROOF, &text(exporter, role), &proof.signature)
            .map_err(|_bad| ProofError::BadSignature)?;
        if revocations.contains(id) {
            return Err(ProofError::Revoked(id));
        }
        Ok(VerifiedNode { id, certificate })
    }

    /// The binary form, at most 4.2 KiB.
    pub fn encode(&self) -> Vec<u8> {
        Writer::versioned()
            .bytes(&self.certificate.encode())
            .put(&self.signature.0)
            .finish()
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not exactly one proof.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let proof = Self {
            certificate: NodeCertificate::decode(reader.bytes(certificate::MAX_BYTES, "certificate")?)?,
            signature: Signature(reader.array()?),
        };
        reader.finish()?;
        Ok(proof)
    }
}

fn text(exporter: &Exporter, role: Role) -> Vec<u8> {
    [exporter.0.as_slice(), &[role.byte()]].concat()
}
