//! A node's own key in the overlay, apart from its TLS key ([`NodeKey`](crate::NodeKey), which browsers must be able to
//! check and which operators may replace by a certificate of theirs).

use super::key::{Context, NodeId, SecretKey, Signature};
use super::store::{self, StoreError};
use crate::StateDir;

const FILE: &str = "node.key";

/// An ed25519 key pair, made once and kept. Its public half is the node's id; `Debug` shows no more than that.
#[derive(Debug)]
pub struct NodeIdentity(SecretKey);

impl NodeIdentity {
    /// Makes a key that is kept nowhere, for tests and throw-away nodes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Randomness`].
    pub fn generate() -> Result<Self, StoreError> {
        let (key, _pem) = SecretKey::generate().map_err(StoreError::Randomness)?;
        Ok(Self(key))
    }

    /// The key of this state directory, `None` if it has none yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is a file that cannot be read or understood.
    pub fn load(dir: &StateDir) -> Result<Option<Self>, StoreError> {
        Ok(store::load_key(dir, FILE)?.map(Self))
    }

    /// The key of this state directory, made and stored if it has none.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; an existing file is never overwritten.
    pub fn load_or_create(dir: &StateDir) -> Result<Self, StoreError> {
        store::load_or_create_key(dir, FILE).map(Self)
    }

    /// The public key.
    pub const fn id(&self) -> NodeId {
        NodeId::from_bytes(self.0.public())
    }

    /// Signs `bytes` for one purpose; [`NodeId::verify`] checks it.
    pub fn sign(&self, context: Context, bytes: &[u8]) -> Signature {
        self.0.sign(context, bytes)
    }
}
