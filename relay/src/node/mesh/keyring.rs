//! What the mesh's authority has signed, as far as it has come here: who is a member and may announce what, and who is out.
//!
//! Certificates come with the proofs of neighbours and with the gossip, revocations from the state directory and the gossip.
//! Nothing enters that the authority did not sign, so its own bounds on members and revocations bound this.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use headwater_certs::StateDir;
use headwater_certs::mesh::{
    Context, Membership, MeshId, NodeCertificate, NodeId as MemberId, NodeIdentity, Revocation,
    RevocationError, Revocations, StoreError,
};

use super::node_id;
use crate::node::WallClock;
use crate::overlay::core::{Keys, Unsigned};
use crate::overlay::id::NodeId;
use crate::overlay::message::{Credential, Entry, Signature};

const OVERLAY: Context = Context::new("overlay record");
/// Most certificates; an authority has no more members.
const MAX_MEMBERS: usize = 8192;

/// The keys of the overlay. Contexts keep its signatures apart from proofs and certificates.
pub(crate) struct Keyring {
    mesh: MeshId,
    identity: Arc<NodeIdentity>,
    wall: WallClock,
    known: Mutex<Known>,
}

struct Known {
    revocations: Arc<Revocations>,
    certificates: BTreeMap<MemberId, NodeCertificate>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("mesh", &self.mesh)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// That of a member who knows these revocations.
    pub(super) fn new(membership: &Membership, revocations: Revocations, wall: WallClock) -> Self {
        let keyring = Self {
            mesh: membership.mesh(),
            identity: Arc::clone(membership.identity()),
            wall,
            known: Mutex::new(Known {
                revocations: Arc::new(revocations),
                certificates: BTreeMap::new(),
            }),
        };
        // This node's own word is the same as everybody else's: nothing if it has expired.
        let _news = keyring.certify(membership.certificate().clone());
        keyring
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a certificate after checking it; whether it is news. One that is not valid now is none.
    pub(super) fn certify(&self, certificate: NodeCertificate) -> Result<bool, Unsigned> {
        certificate.verify_origin(self.mesh).map_err(|_error| Unsigned)?;
        if certificate.verify(self.mesh, self.wall.now()).is_err() {
            return Ok(false);
        }
        let node = certificate.node();
        let mut known = self.known();
        let present = known.certificates.get(&node);
        let later = present.is_none_or(|known| known.validity().not_after < certificate.validity().not_after);
        let room = present.is_some() || known.certificates.len() < MAX_MEMBERS;
        let news = later && room && !known.revocations.contains(node);
        if news {
            known.certificates.insert(node, certificate);
        }
        Ok(news)
    }

    /// Takes up what the state directory says of revoked nodes and was not known: the nodes.
    pub(super) fn reload(&self, dir: &StateDir) -> Result<Vec<MemberId>, StoreError> {
        let mut revocations = self.revocations();
        // Not under the lock: it reads a file.
        let news = Arc::make_mut(&mut revocations).reload(dir)?;
        let mut known = self.known();
        for record in news.iter().filter_map(|&node| revocations.get(node)) {
            // Checked already, and room for it was found.
            let _added = known.revoke(record.clone()).is_ok();
        }
        Ok(news)
    }

    /// The revocations known.
    pub(in crate::node) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.known().revocations)
    }

    /// Forgets the certificates that have ended: of whom.
    pub(super) fn expire(&self) -> Vec<MemberId> {
        let now = self.wall.now();
        let mut ended = Vec::new();
        self.known().certificates.retain(|&node, certificate| {
            let valid = now <= certificate.validity().not_after;
            if !valid {
                ended.push(node);
            }
            valid
        });
        ended
    }
}

impl Known {
    fn revoke(&mut self, record: Revocation) -> Result<bool, RevocationError> {
        let node = record.node();
        let news = Arc::make_mut(&mut self.revocations).add(record)?;
        self.certificates.remove(&node);
        Ok(news)
    }
}

const fn member(node: NodeId) -> MemberId {
    MemberId::from_bytes(node.0)
}

impl Keys for Keyring {
    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.identity.sign(OVERLAY, bytes).0)
    }

    fn verify(&self, node: NodeId, bytes: &[u8], signature: &Signature) -> bool {
        let signature = headwater_certs::mesh::Signature(signature.0);
        member(node).verify(OVERLAY, bytes, &signature).is_ok()
    }

    fn may_announce(&self, node: NodeId, entry: &Entry) -> bool {
        let namespace = match entry {
            Entry::Namespace(namespace) => namespace,
            Entry::Track(track) => track.namespace(),
        };
        self.known()
            .certificates
            .get(&member(node))
            .is_some_and(|certificate| certificate.rights().allow(namespace.fields()))
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.known().certificates.contains_key(&member(node))
    }

    fn learn(&self, credential: &Credential) -> Result<Option<NodeId>, Unsigned> {
        let (node, news) = match credential {
            Credential::Certificate(bytes) => {
                let certificate = NodeCertificate::decode(bytes).map_err(|_error| Unsigned)?;
                (certificate.node(), self.certify(certificate)?)
            }
            Credential::Revocation(bytes) => {
                let record = Revocation::decode(bytes).map_err(|_error| Unsigned)?;
                let node = record.node();
                match self.known().revoke(record) {
                    Ok(news) => (node, news),
                    // Nobody is to blame that the list is full.
                    Err(RevocationError::Full) => (node, false),
                    Err(_) => return Err(Unsigned),
                }
            }
        };
        Ok(news.then(|| node_id(node)))
    }

    fn credential(&self, node: NodeId) -> Option<Credential> {
        let known = self.known();
        let node = member(node);
        if let Some(record) = known.revocations.get(node) {
            return Some(Credential::Revocation(record.encode().into()));
        }
        let certificate = known.certificates.get(&node)?;
        Some(Credential::Certificate(Bytes::from(certificate.encode())))
    }

    fn credentialed(&self) -> BTreeSet<NodeId> {
        let known = self.known();
        let out = known.revocations.iter().map(Revocation::node);
        out.chain(known.certificates.keys().copied())
            .map(node_id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    use headwater_certs::mesh::{Authority, NamespacePrefix, Rights};
    use headwater_pubsub::wire::TrackNamespace;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const START: SystemTime = SystemTime::UNIX_EPOCH;

    /// A keyring at a date in days, its authority, and its directory.
    fn world(days: &Arc<AtomicU64>) -> (Keyring, Authority, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(dir.path()).unwrap();
        let (authority, membership) = Authority::create(&state, START + DAY).unwrap();
        let days = Arc::clone(days);
        let wall = WallClock::new(move || START + DAY * u32::try_from(days.load(Ordering::Relaxed)).unwrap());
        let none = Revocations::none(authority.mesh());
        (Keyring::new(&membership, none, wall), authority, dir)
    }

    fn certificate(authority: &Authority, day: u32, rights: Rights) -> (NodeId, Credential) {
        let certificate = authority.certify(MemberId::from_bytes([7; 32]), rights, START + DAY * day);
        (
            NodeId([7; 32]),
            Credential::Certificate(certificate.encode().into()),
        )
    }

    fn entry(fields: &[&str]) -> Entry {
        Entry::Namespace(TrackNamespace::new(fields).unwrap())
    }

    #[test]
    fn a_node_may_announce_what_its_certificate_says_until_it_ends() {
        let days = Arc::new(AtomicU64::new(1));
        let (keyring, authority, _dir) = world(&days);
        let anna = Rights::under([NamespacePrefix::new(["live", "anna"]).unwrap()]).unwrap();
        let (node, told) = certificate(&authority, 2, anna);
        assert!(!keyring.may_announce(node, &entry(&["live", "anna"])));
        assert_eq!(keyring.learn(&told), Ok(Some(node)));
        assert_eq!(keyring.learn(&told), Ok(None), "known already");
        assert_eq!(keyring.credential(node), Some(told));
        assert!(keyring.may_announce(node, &entry(&["live", "anna", "cam"])));
        assert!(!keyring.may_announce(node, &entry(&["live", "bob"])));
        let (_, earlier) = certificate(&authority, 1, Rights::All);
        assert_eq!(keyring.learn(&earlier), Ok(None), "the later one stays");
        days.store(33, Ordering::Relaxed);
        let ended = keyring.expire();
        assert!(ended.contains(&member(node)), "{ended:?}");
        assert!(!keyring.is_member(node));
        assert_eq!(keyring.learn(&earlier), Ok(None), "it has ended");
    }

    #[test]
    fn a_revoked_node_has_no_rights_and_gets_none() {
        let days = Arc::new(AtomicU64::new(1));
        let (keyring, authority, dir) = world(&days);
        let state = StateDir::create(dir.path()).unwrap();
        let (node, told) = certificate(&authority, 2, Rights::All);
        assert_eq!(keyring.learn(&told), Ok(Some(node)));
        authority.revoke(&state, member(node), START + DAY).unwrap();
        assert_eq!(keyring.reload(&state).unwrap(), [member(node)]);
        assert_eq!(keyring.reload(&state).unwrap(), []);
        assert!(!keyring.is_member(node));
        assert_eq!(keyring.learn(&told), Ok(None));
        assert!(!keyring.may_announce(node, &entry(&["live"])));
        assert!(matches!(
            keyring.credential(node),
            Some(Credential::Revocation(_))
        ));
    }

    #[test]
    fn what_another_authority_signed_is_no_credential() {
        let days = Arc::new(AtomicU64::new(1));
        let (keyring, ..) = world(&days);
        let stranger = Authority::generate().unwrap();
        let (node, told) = certificate(&stranger, 1, Rights::All);
        assert_eq!(keyring.learn(&told), Err(Unsigned));
        let nonsense = Credential::Revocation(Bytes::from_static(b"nonsense"));
        assert_eq!(keyring.learn(&nonsense), Err(Unsigned));
        assert!(!keyring.is_member(node));
    }
}
