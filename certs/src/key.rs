//! The key of a node: one P-256 key pair, made at the first start and kept.

use std::fmt;
use std::path::PathBuf;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::{Certificate, Fingerprint, StateDir, StateError, provider};

/// Name of the key's file in the state directory: PKCS#8 in PEM.
const FILE: &str = "relay.key";

/// A node key that cannot be had. The file, if there is one, was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file holds something else.
    #[error(
        "{} holds no P-256 private key in PEM (PKCS#8): {source}; restore it from a backup, or delete it to get a new \
         identity, whose fingerprint clients must then be told",
        path.display()
    )]
    Malformed {
        /// The key's file.
        path: PathBuf,
        /// Why it was not understood.
        source: rcgen::Error,
    },
    /// The system gave no randomness.
    #[error("cannot make a key: {0}")]
    Generate(#[source] rcgen::Error),
    /// rustls does not take the key for this certificate.
    #[error("the certificate does not belong to the key: {0}")]
    Mismatch(#[source] rustls::Error),
}

/// A node's private key. `Debug` shows only its fingerprint.
pub struct NodeKey {
    pair: KeyPair,
    fingerprint: Fingerprint,
}

impl NodeKey {
    /// Makes a key that is kept nowhere, for tests and throw-away nodes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generate`] if the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self::new)
            .map_err(KeyError::Generate)
    }

    /// The key of this state directory, `None` if it has none yet.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if there is a file that cannot be read or understood.
    pub fn load(dir: &StateDir) -> Result<Option<Self>, KeyError> {
        let Some(contents) = dir.read(FILE)? else {
            return Ok(None);
        };
        let pem = String::from_utf8_lossy(&contents);
        KeyPair::from_pem_and_sign_algo(&pem, &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Some(Self::new(pair)))
            .map_err(|source| KeyError::Malformed {
                path: dir.file(FILE),
                source,
            })
    }

    /// The key of this state directory, made and stored if it has none.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; an existing file is never overwritten.
    pub fn load_or_create(dir: &StateDir) -> Result<Self, KeyError> {
        if let Some(key) = Self::load(dir)? {
            return Ok(key);
        }
        let key = Self::generate()?;
        if dir.write_new(FILE, key.pair.serialize_pem().as_bytes())? {
            tracing::info!(fingerprint = %key.fingerprint, path = %dir.file(FILE).display(), "made a node key");
            return Ok(key);
        }
        // Another process was faster: its key is the node's.
        Ok(Self::load(dir)?.unwrap_or(key))
    }

    fn new(pair: KeyPair) -> Self {
        let fingerprint = Fingerprint::of_key(&SubjectPublicKeyInfoDer::from(pair.subject_public_key_info()));
        Self { pair, fingerprint }
    }

    /// A secret of this key for one purpose: the same as long as the key is, and telling nothing of it.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"headwater secret\0");
        digest.update(purpose.as_bytes());
        digest.update(b"\0");
        digest.update(self.pair.serialized_der());
        digest.finalize().into()
    }

    /// Digest of the public key: what clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Key and certificate in the form rustls serves.
    ///
    /// # Errors
    ///
    /// [`KeyError::Mismatch`] if the certificate was made from another key.
    pub fn certified(&self, certificate: &Certificate) -> Result<CertifiedKey, KeyError> {
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.pair.serialize_der()));
        CertifiedKey::from_der(vec![certificate.der().clone()], private, &provider())
            .map_err(KeyError::Mismatch)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        assert!(NodeKey::load(&dir).unwrap().is_none());
        let first = NodeKey::load_or_create(&dir).unwrap();
        let second = NodeKey::load_or_create(&dir).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_ne!(first.fingerprint(), NodeKey::generate().unwrap().fingerprint());
    }

    #[test]
    fn a_foreign_file_is_reported_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        dir.write(FILE, b"not a key").unwrap();
        let error = NodeKey::load_or_create(&dir).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        assert_eq!(dir.read(FILE).unwrap().unwrap(), b"not a key");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = NodeKey::generate().unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!(
                "NodeKey {{ fingerprint: Fingerprint({}), .. }}",
                key.fingerprint()
            )
        );
    }
}
