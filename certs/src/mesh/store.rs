//! The mesh's files in the state directory.
//!
//! | file | holds | written by |
//! |---|---|---|
//! | `node.key` | the node's ed25519 key, PKCS#8 in PEM | the first start |
//! | `mesh.membership` | the node's certificate, and where it is renewed | joining, renewal |
//! | `mesh.revocations` | records of who is out | `moq mesh revoke` at the authority, the relay elsewhere |
//! | `mesh.key` | the authority's ed25519 key, PKCS#8 in PEM; at one node only | `moq mesh create` |
//! | `mesh.ledger` | used invites, members; at that node only | redemption |
//! | `mesh.lock` | nothing; held by whoever changes one of the others | |

use std::path::PathBuf;

use super::codec::DecodeError;
use super::key::{MeshId, NodeId, SecretKey, SecretKeyError};
use super::ledger::Ledger;
use super::revocation::Revocations;
use crate::state::StateLock;
use crate::{StateDir, StateError};

const REVOCATIONS: &str = "mesh.revocations";
const LEDGER: &str = "mesh.ledger";
const LOCK: &str = "mesh.lock";

/// A file of the mesh that cannot be used. Nothing on disk changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A key's file holds something else.
    #[error("{} holds no Ed25519 private key: {source}; restore it from a backup", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SecretKeyError,
    },
    /// Another file holds something else.
    #[error("{} cannot be used: {source}; restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The certificate is for a key that the node does not have (any more).
    #[error(
        "the membership in {} is for another node key; restore node.key, or delete the file and join with a new invite",
        path.display()
    )]
    OtherNode {
        /// The membership's file.
        path: PathBuf,
    },
    /// The node belongs to another mesh.
    #[error("this node is a member of the mesh {mesh}; use another --state-dir for another mesh")]
    OtherMesh {
        /// The mesh it is a member of.
        mesh: MeshId,
    },
    /// The system gave no randomness.
    #[error("cannot make a key: {0}")]
    Randomness(#[source] rcgen::Error),
}

/// Held while files are read in order to be written again.
pub(super) fn lock(dir: &StateDir) -> Result<StateLock, StateError> {
    dir.lock(LOCK)
}

pub(super) fn load_key(dir: &StateDir, file: &str) -> Result<Option<SecretKey>, StoreError> {
    let Some(contents) = dir.read(file)? else {
        return Ok(None);
    };
    SecretKey::from_pem(&contents)
        .map(Some)
        .map_err(|source| StoreError::Key {
            path: dir.file(file),
            source,
        })
}

/// The key of this file, made if there is none. Of processes that make it at once, all get the same.
pub(super) fn load_or_create_key(dir: &StateDir, file: &str) -> Result<SecretKey, StoreError> {
    if let Some(key) = load_key(dir, file)? {
        return Ok(key);
    }
    let (key, pem) = SecretKey::generate().map_err(StoreError::Randomness)?;
    if dir.write_new(file, pem.as_bytes())? {
        return Ok(key);
    }
    Ok(load_key(dir, file)?.unwrap_or(key))
}

/// Reads a file with `decode`.
pub(super) fn load<T>(
    dir: &StateDir,
    file: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, StoreError> {
    let contents = dir.read(file)?;
    contents
        .map(|contents| decode(&contents))
        .transpose()
        .map_err(|source| StoreError::Malformed {
            path: dir.file(file),
            source,
        })
}

impl Revocations {
    /// Those that this state directory holds for `mesh`, every signature checked.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a list that cannot be read must not be taken for an empty one.
    pub fn load(dir: &StateDir, mesh: MeshId) -> Result<Self, StoreError> {
        let list = load(dir, REVOCATIONS, |bytes| Self::decode(mesh, bytes))?;
        Ok(list.unwrap_or_else(|| Self::none(mesh)))
    }

    /// Takes up what this state directory holds beyond this list: the nodes. Cheap if that is nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing that is known is lost by it.
    pub fn reload(&mut self, dir: &StateDir) -> Result<Vec<NodeId>, StoreError> {
        let news = load(dir, REVOCATIONS, |bytes| self.add_all(bytes))?;
        Ok(news.unwrap_or_default())
    }

    /// Keeps the list in this state directory, beside what others have put there meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the file is as it was.
    pub fn keep(&self, dir: &StateDir) -> Result<(), StoreError> {
        let _lock = lock(dir)?;
        let mut all = self.clone();
        all.reload(dir)?;
        Ok(all.store(dir)?)
    }

    /// Keeps the list in this state directory.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub fn store(&self, dir: &StateDir) -> Result<(), StateError> {
        dir.write(REVOCATIONS, &self.encode())
    }
}

impl Ledger {
    /// That of this state directory, empty if it has none.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a ledger that cannot be read must not be taken for an empty one.
    pub fn load(dir: &StateDir) -> Result<Self, StoreError> {
        Ok(load(dir, LEDGER, Self::decode)?.unwrap_or_default())
    }

    pub(super) fn store(&self, dir: &StateDir) -> Result<(), StateError> {
        dir.write(LEDGER, &self.encode())
    }
}
