//! The authority of a mesh: an ed25519 key at one node, which invites, admits, renews and revokes.
//!
//! Every decision about a request is [`Authority::decide`], a function of its arguments; [`Authority::admit`] adds the
//! files and makes sure that a used invite is on disk before anybody learns that it was accepted.

use std::time::SystemTime;

use super::admission::{Answer, Exporter, Refusal, Request};
use super::certificate::{CertificateError, NodeCertificate};
use super::identity::NodeIdentity;
use super::invite::{Invite, MakeInviteError, Terms};
use super::key::{Context, MeshId, NodeId, SecretKey, Signature};
use super::ledger::{Ledger, LedgerFull};
use super::membership::Membership;
use super::revocation::{Revocation, RevocationError, Revocations};
use super::rights::Rights;
use super::store::{self, StoreError};
use crate::StateDir;

const FILE: &str = "mesh.key";

/// The authority's key. `Debug` shows only its public half, the mesh's id.
#[derive(Debug)]
pub struct Authority(SecretKey);

/// A revocation that was not made. Nothing changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The files cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list does not take it.
    #[error(transparent)]
    Refused(#[from] RevocationError),
}

impl Authority {
    /// Makes an authority that is kept nowhere, for a mesh that ends with the process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Randomness`].
    pub fn generate() -> Result<Self, StoreError> {
        let (key, _pem) = SecretKey::generate().map_err(StoreError::Randomness)?;
        Ok(Self(key))
    }

    /// The authority that this state directory holds, `None` if it holds none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is a file that cannot be read or understood.
    pub fn load(dir: &StateDir) -> Result<Option<Self>, StoreError> {
        Ok(store::load_key(dir, FILE)?.map(Self))
    }

    /// The authority of this state directory, made if it holds none, and the node's own membership. What a crash
    /// left out is made up for.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherMesh`] if the node is a member elsewhere, [`StoreError`] if the files cannot be used.
    pub fn create(dir: &StateDir, now: SystemTime) -> Result<(Self, Membership), StoreError> {
        let _lock = store::lock(dir)?;
        let present = Membership::from_state(dir)?;
        let own = Self::load(dir)?;
        if let Some(member) = &present
            && own.as_ref().map(Self::mesh) != Some(member.mesh())
        {
            return Err(StoreError::OtherMesh { mesh: member.mesh() });
        }
        let authority = match own {
            Some(authority) => authority,
            None => Self(store::load_or_create_key(dir, FILE)?),
        };
        let membership = match present {
            Some(member) if now < member.certificate().renewal_due() => member,
            _ => authority.certify_itself(dir, now)?,
        };
        Ok((authority, membership))
    }

    /// Makes the certificate of the authority's own node, or renews it, and stores it.
    fn certify_itself(&self, dir: &StateDir, now: SystemTime) -> Result<Membership, StoreError> {
        let identity = NodeIdentity::load_or_create(dir)?;
        let certificate = self.certify(identity.id(), Rights::All, now);
        let mut ledger = Ledger::load(dir)?;
        ledger.prune(now);
        // The ledger's list of members is for people; the node needs no place in it to be one.
        if ledger.grant(&certificate, None, now).is_ok() {
            ledger.store(dir)?;
        }
        let membership = Membership::without_office(identity, certificate);
        membership.store(dir)?;
        Ok(membership)
    }

    /// The mesh's id: this key's public half.
    pub const fn mesh(&self) -> MeshId {
        MeshId::from_bytes(self.0.public())
    }

    pub(super) fn sign(&self, context: Context, bytes: &[u8]) -> Signature {
        self.0.sign(context, bytes)
    }

    /// A certificate for `node`, valid from a day ago for 30 days from `now`.
    pub fn certify(&self, node: NodeId, rights: Rights, now: SystemTime) -> NodeCertificate {
        NodeCertificate::issue(self, node, rights, now)
    }

    /// Makes the node of this state directory a member without an invite, for whoever holds both: several nodes in one
    /// process. It knows no office where its certificate is renewed, and this authority's ledger does not list it.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherMesh`] if the node is a member elsewhere, [`StoreError`] if the files cannot be used.
    pub fn enlist(&self, dir: &StateDir, rights: Rights, now: SystemTime) -> Result<Membership, StoreError> {
        let identity = NodeIdentity::load_or_create(dir)?;
        let certificate = self.certify(identity.id(), rights, now);
        let membership = Membership::without_office(identity, certificate);
        membership.join_state(dir)?;
        Ok(membership)
    }

    /// An invite. Nothing needs to be stored until it is used.
    ///
    /// # Errors
    ///
    /// [`MakeInviteError`].
    pub fn invite(&self, terms: Terms, now: SystemTime) -> Result<Invite, MakeInviteError> {
        Invite::issue(self, terms, now)
    }

    /// Decides about a request that came over the connection of `exporter`, and notes in `ledger` what it granted. The
    /// caller stores the ledger before it sends the answer.
    ///
    /// A node may repeat its request with an invite that it has used: the first answer may have been lost.
    pub fn decide(
        &self,
        request: &[u8],
        exporter: &Exporter,
        ledger: &mut Ledger,
        revocations: &Revocations,
        now: SystemTime,
    ) -> Answer {
        match self.grant(request, exporter, ledger, revocations, now) {
            Ok(certificate) => Answer::Granted(certificate),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn grant(
        &self,
        request: &[u8],
        exporter: &Exporter,
        ledger: &mut Ledger,
        revocations: &Revocations,
        now: SystemTime,
    ) -> Result<NodeCertificate, Refusal> {
        let request = Request::decode(request)?;
        if request.mesh() != self.mesh() {
            return Err(Refusal::Foreign);
        }
        request.verify(exporter).map_err(|_bad| Refusal::BadProof)?;
        if revocations.contains(request.node()) {
            return Err(Refusal::Revoked);
        }
        ledger.prune(now);
        let node = request.node();
        let rights = match &request {
            Request::Join { invite, .. } => {
                if now > invite.expires() {
                    return Err(Refusal::Expired);
                }
                if ledger.user(invite).is_some_and(|user| user != node) {
                    return Err(Refusal::Used);
                }
                invite.rights().clone()
            }
            Request::Renew { certificate, .. } => {
                certificate
                    .verify(self.mesh(), now)
                    .map_err(|error| match error {
                        CertificateError::Foreign(_) => Refusal::Foreign,
                        CertificateError::Forged => Refusal::Forged,
                        CertificateError::NotYet | CertificateError::Expired => Refusal::Expired,
                    })?;
                certificate.rights().clone()
            }
        };
        let certificate = self.certify(node, rights, now);
        let invite = match &request {
            Request::Join { invite, .. } => Some(invite),
            Request::Renew { .. } => None,
        };
        ledger
            .grant(&certificate, invite, now)
            .map_err(|LedgerFull| Refusal::Full)?;
        Ok(certificate)
    }

    /// [`decide`](Self::decide) with the files of this state directory: the encoded answer, what it granted on disk.
    ///
    /// Reads and writes files, and waits for their lock: not for a network thread.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was granted, answer with [`Refusal::Unavailable`].
    pub fn admit(
        &self,
        dir: &StateDir,
        request: &[u8],
        exporter: &Exporter,
        now: SystemTime,
    ) -> Result<Vec<u8>, StoreError> {
        let _lock = store::lock(dir)?;
        let mut ledger = Ledger::load(dir)?;
        let revocations = Revocations::load(dir, self.mesh())?;
        let answer = self.decide(request, exporter, &mut ledger, &revocations, now);
        if matches!(answer, Answer::Granted(_)) {
            ledger.store(dir)?;
        }
        Ok(answer.encode())
    }

    /// Revokes `node` and stores the record, which is the present one if the node was out already.
    ///
    /// # Errors
    ///
    /// [`RevokeError`].
    pub fn revoke(&self, dir: &StateDir, node: NodeId, now: SystemTime) -> Result<Revocation, RevokeError> {
        let _lock = store::lock(dir).map_err(StoreError::from)?;
        let mut list = Revocations::load(dir, self.mesh())?;
        let record = list.revoke(self, node, now)?;
        list.store(dir).map_err(StoreError::from)?;
        Ok(record)
    }
}
