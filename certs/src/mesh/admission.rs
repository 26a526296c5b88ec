//! What a node asks of the authority, and what it is answered: joining with an invite, renewing a certificate.
//!
//! A request is signed with the node's key over the TLS exporter of its connection, so it proves that the node has the
//! key, and is worth nothing on any other connection.

use std::fmt;

use super::certificate::{self, NodeCertificate};
use super::codec::{DecodeError, Reader, Writer};
use super::identity::NodeIdentity;
use super::invite::{self, Invite, InviteError};
use super::key::{BadSignature, Context, MeshId, NodeId, Signature};

const JOIN: Context = Context::new("join request");
const RENEW: Context = Context::new("renewal request");

const KIND_JOIN: u8 = 0;
const KIND_RENEW: u8 = 1;
const GRANTED: u8 = 0;

/// Label of the TLS exporter (RFC 8446, 7.5) whose 32 bytes requests and proofs are bound to; its context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-headwater-mesh";

/// 32 bytes that only the two ends of one TLS connection know. `Debug` hides them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Exporter(pub [u8; 32]);

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

/// What a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To become a member.
    Join {
        /// What it was given.
        invite: Invite,
        /// Who it is.
        node: NodeId,
        /// By the node.
        signature: Signature,
    },
    /// To stay one.
    Renew {
        /// The present certificate.
        certificate: NodeCertificate,
        /// By the node that it is for.
        signature: Signature,
    },
}

impl Request {
    /// A request to join, for the connection of `exporter`.
    pub fn join(invite: &Invite, identity: &NodeIdentity, exporter: &Exporter) -> Self {
        let node = identity.id();
        Self::Join {
            invite: invite.clone(),
            node,
            signature: identity.sign(JOIN, &join_text(exporter, invite, node)),
        }
    }

    /// A request to renew, for the connection of `exporter`.
    pub fn renew(certificate: &NodeCertificate, identity: &NodeIdentity, exporter: &Exporter) -> Self {
        Self::Renew {
            certificate: certificate.clone(),
            signature: identity.sign(RENEW, &renew_text(exporter, certificate)),
        }
    }

    /// Whose authority it is for.
    pub const fn mesh(&self) -> MeshId {
        match self {
            Self::Join { invite, .. } => invite.mesh(),
            Self::Renew { certificate, .. } => certificate.mesh(),
        }
    }

    /// Who asks.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Join { node, .. } => *node,
            Self::Renew { certificate, .. } => certificate.node(),
        }
    }

    /// Checks that the node has its key and asks over the connection of `exporter`.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] if not.
    pub fn verify(&self, exporter: &Exporter) -> Result<(), BadSignature> {
        match self {
            Self::Join {
                invite,
                node,
                signature,
            } => node.verify(JOIN, &join_text(exporter, invite, *node), signature),
            Self::Renew {
                certificate,
                signature,
            } => self
                .node()
                .verify(RENEW, &renew_text(exporter, certificate), signature),
        }
    }

    /// The binary form, at most 5 KiB.
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::versioned();
        match self {
            Self::Join {
                invite,
                node,
                signature,
            } => writer
                .u8(KIND_JOIN)
                .bytes(&invite.encode())
                .put(node.as_bytes())
                .put(&signature.0),
            Self::Renew {
                certificate,
                signature,
            } => writer
                .u8(KIND_RENEW)
                .bytes(&certificate.encode())
                .put(&signature.0),
        }
        .finish()
    }

    /// Reads the binary form; of the signatures it checks that of an invite only.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] or [`Refusal::Forged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |_error: DecodeError| Refusal::Malformed;
        let mut reader = Reader::versioned(bytes).map_err(malformed)?;
        let request = match reader.u8().map_err(malformed)? {
            KIND_JOIN => {
                let invite = reader.bytes(invite::MAX_BYTES, "invite").map_err(malformed)?;
                Self::Join {
                    invite: Invite::decode(invite).map_err(|error| match error {
                        InviteError::Forged => Refusal::Forged,
                        InviteError::NotAnInvite | InviteError::Malformed(_) => Refusal::Malformed,
                    })?,
                    node: NodeId::from_bytes(reader.array().map_err(malformed)?),
                    signature: Signature(reader.array().map_err(malformed)?),
                }
            }
            KIND_RENEW => {
                let certificate = reader
                    .bytes(certificate::MAX_BYTES, "certificate")
                    .map_err(malformed)?;
                Self::Renew {
                    certificate: NodeCertificate::decode(certificate).map_err(malformed)?,
                    signature: Signature(reader.array().map_err(malformed)?),
                }
            }
            _ => return Err(Refusal::Malformed),
        };
        reader.finish().map_err(malformed)?;
        Ok(request)
    }
}

fn join_text(exporter: &Exporter, invite: &Invite, node: NodeId) -> Vec<u8> {
    [&exporter.0, node.as_bytes(), invite.encode().as_slice()].concat()
}

fn renew_text(exporter: &Exporter, certificate: &NodeCertificate) -> Vec<u8> {
    [&exporter.0, certificate.encode().as_slice()].concat()
}

/// Why the authority says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not understand the request.
    #[error(
        "the mesh's authority does not understand the request; run the same version of the program on both nodes"
    )]
    Malformed,
    /// It speaks for another mesh.
    #[error("the node asked does not hold this mesh's authority; ask for a new invite")]
    Foreign,
    /// The invite or certificate is not its own.
    #[error("the mesh's authority has not signed this; ask for a new invite")]
    Forged,
    /// The node's signature is wrong, or made for another connection.
    #[error("the request was made with another key or for another connection; try again")]
    BadProof,
    /// Invite or certificate ended, by the authority's clock.
    #[error("the invite or certificate has expired; ask for a new invite")]
    Expired,
    /// Another node has used the invite.
    #[error("the invite was used by another node already; ask for a new one")]
    Used,
    /// The node is out.
    #[error("this node was revoked; its operator can join again only with a new node key and a new invite")]
    Revoked,
    /// The authority remembers no more members or invites.
    #[error("the mesh is full; ask the operator of the authority")]
    Full,
    /// The authority's disk fails.
    #[error("the mesh's authority cannot write its files; tell its operator, the invite stays good")]
    Unavailable,
    /// A reason that this version does not know.
    #[error("the mesh's authority refused for a reason that this version does not know ({0})")]
    Other(u8),
}

impl Refusal {
    const KNOWN: [(u8, Self); 9] = [
        (1, Self::Malformed),
        (2, Self::Foreign),
        (3, Self::Forged),
        (4, Self::BadProof),
        (5, Self::Expired),
        (6, Self::Used),
        (7, Self::Revoked),
        (8, Self::Full),
        (9, Self::Unavailable),
    ];

    fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            known => Self::KNOWN
                .iter()
                .find(|(_, refusal)| *refusal == known)
                .map_or(u8::MAX, |(code, _)| *code),
        }
    }

    fn of(code: u8) -> Self {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(Self::Other(code), |(_, refusal)| *refusal)
    }
}

/// What the authority answers. It comes over a connection to the pinned key, so a refusal needs no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Here is the certificate.
    Granted(NodeCertificate),
    /// No.
    Refused(Refusal),
}

impl Answer {
    /// The binary form, at most 4.1 KiB.
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::versioned();
        match self {
            Self::Granted(certificate) => writer.u8(GRANTED).bytes(&certificate.encode()),
            Self::Refused(refusal) => writer.u8(refusal.code()),
        }
        .finish()
    }

    /// Reads the binary form; the certificate is checked by [`Membership`](super::Membership).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not exactly one answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let answer = match reader.u8()? {
            GRANTED => {
                let certificate = reader.bytes(certificate::MAX_BYTES, "certificate")?;
                Self::Granted(NodeCertificate::decode(certificate)?)
            }
            code => Self::Refused(Refusal::of(code)),
        };
        reader.finish()?;
        Ok(answer)
    }
}
