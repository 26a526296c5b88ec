//! The certificate that TLS servers present, replaceable while they run.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One certificate and key for every name. Connections that are open keep what they were given.
#[derive(Debug)]
pub struct Resolver {
    /// Held for the copy of one pointer, never across anything that can panic.
    served: RwLock<Arc<CertifiedKey>>,
}

impl Resolver {
    /// Serves `certified` until it is replaced.
    pub fn new(certified: CertifiedKey) -> Arc<Self> {
        Arc::new(Self {
            served: RwLock::new(Arc::new(certified)),
        })
    }

    /// Handshakes that begin from now on get `certified`.
    pub fn replace(&self, certified: CertifiedKey) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }

    /// What is served now.
    pub fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
