//! A node's certificate: the mesh's authority says that a node is a member, until when, and what it may announce.
//!
//! Valid for 30 days, renewed from 10 days before the end. It begins a day before it was made, so that a member whose
//! clock is late accepts it at once; the ten days cover clocks that are early.

use std::time::{Duration, SystemTime};

use super::authority::Authority;
use super::codec::{DecodeError, Reader, Writer, whole_seconds};
use super::key::{Context, MeshId, NodeId, SIGNATURE_LEN, Signature};
use super::rights::Rights;
use crate::Validity;

const CERTIFICATE: Context = Context::new("node certificate");

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a certificate is good, counted from when it was made.
pub const CERTIFICATE_LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long before its end it is renewed.
pub const RENEW_BEFORE: Duration = Duration::from_secs(10 * 24 * 3600);
/// Clocks that are late by less than this accept a new certificate.
const SLACK: Duration = DAY;
/// Largest encoding: the fixed fields, and the largest rights.
pub(super) const MAX_BYTES: usize = 4096;

/// A membership, as the authority wrote it. Reading one checks nothing but its form: see [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    mesh: MeshId,
    node: NodeId,
    validity: Validity,
    rights: Rights,
    signature: Signature,
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Of another mesh.
    #[error("the certificate is of the mesh {0}, not of this one")]
    Foreign(MeshId),
    /// The mesh's authority did not sign it.
    #[error("the certificate was not signed by the mesh's authority")]
    Forged,
    /// It begins later.
    #[error("the certificate is not valid yet; compare the clocks of both nodes")]
    NotYet,
    /// It ended.
    #[error("the certificate has expired; the node needs a new invite")]
    Expired,
}

impl NodeCertificate {
    pub(super) fn issue(authority: &Authority, node: NodeId, rights: Rights, now: SystemTime) -> Self {
        let made = whole_seconds(now);
        let validity = Validity {
            not_before: made.checked_sub(SLACK).map_or(made, whole_seconds),
            not_after: made.checked_add(CERTIFICATE_LENGTH).map_or(made, whole_seconds),
        };
        let body = body(authority.mesh(), node, validity, &rights).finish();
        Self {
            mesh: authority.mesh(),
            node,
            validity,
            rights,
            signature: authority.sign(CERTIFICATE, &body),
        }
    }

    /// The mesh that it claims.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The node that it is for.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// From when and until when.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// What the node may announce.
    pub const fn rights(&self) -> &Rights {
        &self.rights
    }

    /// When the node should ask for the next one.
    pub fn renewal_due(&self) -> SystemTime {
        let end = self.validity.not_after;
        end.checked_sub(RENEW_BEFORE).unwrap_or(end)
    }

    /// Checks mesh and signature, whatever the time.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Foreign`] or [`CertificateError::Forged`].
    pub fn verify_origin(&self, mesh: MeshId) -> Result<(), CertificateError> {
        if self.mesh != mesh {
            return Err(CertificateError::Foreign(self.mesh));
        }
        let body = body(self.mesh, self.node, self.validity, &self.rights).finish();
        mesh.verify(CERTIFICATE, &body, &self.signature)
            .map_err(|_bad| CertificateError::Forged)
    }

    /// Checks that it is a certificate of `mesh` and valid `now`. Revocation is looked up apart.
    ///
    /// # Errors
    ///
    /// [`CertificateError`], the signature first: nothing is said about the dates of a forgery.
    pub fn verify(&self, mesh: MeshId, now: SystemTime) -> Result<(), CertificateError> {
        self.verify_origin(mesh)?;
        if now < self.validity.not_before {
            return Err(CertificateError::NotYet);
        }
        if now > self.validity.not_after {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }

    /// The binary form, at most 4 KiB.
    pub fn encode(&self) -> Vec<u8> {
        body(self.mesh, self.node, self.validity, &self.rights)
            .put(&self.signature.0)
            .finish()
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not exactly one certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let certificate = Self {
            mesh: MeshId::from_bytes(reader.array()?),
            node: NodeId::from_bytes(reader.array()?),
            validity: Validity {
                not_before: reader.time()?,
                not_after: reader.time()?,
            },
            rights: Rights::decode(&mut reader)?,
            signature: Signature(reader.array::<SIGNATURE_LEN>()?),
        };
        reader.finish()?;
        Ok(certificate)
    }
}

/// Everything that is signed.
fn body(mesh: MeshId, node: NodeId, validity: Validity, rights: &Rights) -> Writer {
    rights.encode(
        Writer::versioned()
            .put(mesh.as_bytes())
            .put(node.as_bytes())
            .time(validity.not_before)
            .time(validity.not_after),
    )
}
