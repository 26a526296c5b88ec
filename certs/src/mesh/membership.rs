//! A node's own membership: its key, its certificate, and where that is renewed.
//!
//! The network part is the caller's: it sends [`Request`]s to the [`Office`] over a connection to the pinned key and hands
//! the answer's bytes in.

use std::sync::Arc;
use std::time::SystemTime;

use super::admission::{Answer, Exporter, Refusal, Request};
use super::certificate::{self, CertificateError, NodeCertificate};
use super::codec::{DecodeError, Reader, Writer};
use super::identity::NodeIdentity;
use super::invite::{Invite, Office};
use super::key::{MeshId, NodeId};
use super::proof::{Proof, Role};
use super::store::{self, StoreError};
use crate::{StateDir, StateError};

const FILE: &str = "mesh.membership";

const HERE: u8 = 0;
const AWAY: u8 = 1;

/// What a member has. `Debug` shows nothing secret.
#[derive(Debug, Clone)]
pub struct Membership {
    identity: Arc<NodeIdentity>,
    certificate: NodeCertificate,
    /// `None` at the authority's own node and at those that it enlisted.
    office: Option<Office>,
}

/// An answer that makes nobody a member. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The authority said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer is unreadable.
    #[error(
        "the answer of the mesh's authority cannot be read ({0}); run the same version of the program on both nodes"
    )]
    Malformed(#[from] DecodeError),
    /// The certificate is not of this mesh.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is for somebody else.
    #[error("the answer of the mesh's authority is for the node {0}, not for this one")]
    OtherNode(NodeId),
}

impl Membership {
    /// The membership that this state directory holds, `None` if the node is no member.
    ///
    /// An expired one is given too: the caller compares [`expires`](Self::expires).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the files cannot be used, or do not belong together.
    pub fn from_state(dir: &StateDir) -> Result<Option<Self>, StoreError> {
        let Some((certificate, office)) = store::load(dir, FILE, decode)? else {
            return Ok(None);
        };
        match NodeIdentity::load(dir)? {
            Some(identity) if identity.id() == certificate.node() => Ok(Some(Self {
                identity: Arc::new(identity),
                certificate,
                office,
            })),
            _ => Err(StoreError::OtherNode { path: dir.file(FILE) }),
        }
    }

    pub(super) fn without_office(identity: NodeIdentity, certificate: NodeCertificate) -> Self {
        Self {
            identity: Arc::new(identity),
            certificate,
            office: None,
        }
    }

    /// The membership that `answer` grants to the node that asked with `invite`.
    ///
    /// # Errors
    ///
    /// [`AnswerError`]. The dates are not looked at: a wrong clock here must not waste the invite.
    pub fn join(identity: Arc<NodeIdentity>, invite: &Invite, answer: &[u8]) -> Result<Self, AnswerError> {
        let certificate = granted(answer, invite.mesh(), identity.id())?;
        Ok(Self {
            identity,
            certificate,
            office: Some(invite.office().clone()),
        })
    }

    /// Takes up the certificate that `answer` grants. The caller stores the membership.
    ///
    /// # Errors
    ///
    /// [`AnswerError`]; the present certificate then stays.
    pub fn renew(&mut self, answer: &[u8]) -> Result<(), AnswerError> {
        self.certificate = granted(answer, self.mesh(), self.node())?;
        Ok(())
    }

    /// Keeps the membership in this state directory, whose node key it must be of. One of the same mesh is replaced.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherMesh`] if the node is a member elsewhere, [`StoreError`] if the directory fails.
    pub fn join_state(&self, dir: &StateDir) -> Result<(), StoreError> {
        let _lock = store::lock(dir)?;
        match Self::from_state(dir)? {
            Some(present) if present.mesh() != self.mesh() => {
                Err(StoreError::OtherMesh { mesh: present.mesh() })
            }
            _ => Ok(self.store(dir)?),
        }
    }

    pub(super) fn store(&self, dir: &StateDir) -> Result<(), StateError> {
        dir.write(FILE, &encode(&self.certificate, self.office.as_ref()))
    }

    /// The mesh.
    pub const fn mesh(&self) -> MeshId {
        self.certificate.mesh()
    }

    /// This node.
    pub const fn node(&self) -> NodeId {
        self.certificate.node()
    }

    /// The key that signs for this node.
    pub const fn identity(&self) -> &Arc<NodeIdentity> {
        &self.identity
    }

    /// The certificate.
    pub const fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// When it ends unless it is renewed.
    pub const fn expires(&self) -> SystemTime {
        self.certificate.validity().not_after
    }

    /// Where it is renewed; `None` at the authority's own node, which calls [`Authority::create`](super::Authority::create), and
    /// at one that was [enlisted](super::Authority::enlist).
    pub const fn office(&self) -> Option<&Office> {
        self.office.as_ref()
    }

    /// A request for the next certificate, for the connection of `exporter`.
    pub fn renewal(&self, exporter: &Exporter) -> Request {
        Request::renew(&self.certificate, &self.identity, exporter)
    }

    /// This node's proof as `role` on the connection of `exporter`.
    pub fn prove(&self, exporter: &Exporter, role: Role) -> Proof {
        Proof::new(&self.certificate, &self.identity, exporter, role)
    }
}

fn granted(answer: &[u8], mesh: MeshId, node: NodeId) -> Result<NodeCertificate, AnswerError> {
    match Answer::decode(answer)? {
        Answer::Refused(refusal) => Err(refusal.into()),
        Answer::Granted(certificate) => {
            certificate.verify_origin(mesh)?;
            if certificate.node() == node {
                Ok(certificate)
            } else {
                Err(AnswerError::OtherNode(certificate.node()))
            }
        }
    }
}

fn encode(certificate: &NodeCertificate, office: Option<&Office>) -> Vec<u8> {
    let writer = Writer::versioned().bytes(&certificate.encode());
    match office {
        None => writer.u8(HERE),
        Some(office) => office.encode(writer.u8(AWAY)),
    }
    .finish()
}

fn decode(bytes: &[u8]) -> Result<(NodeCertificate, Option<Office>), DecodeError> {
    let mut reader = Reader::versioned(bytes)?;
    let certificate = NodeCertificate::decode(reader.bytes(certificate::MAX_BYTES, "certificate")?)?;
    let office = match reader.u8()? {
        HERE => None,
        AWAY => Some(Office::decode(&mut reader)?),
        _ => return Err(DecodeError::Field("office")),
    };
    reader.finish()?;
    Ok((certificate, office))
}
