//! Which servers a client believes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};

use crate::{CertificateHash, Fingerprint, KeyError, NodeKey, StateDir, provider};

/// Whom a client believes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientTrust {
    /// Whoever holds one of these keys, under any name and whatever its certificate's dates: the key is the identity.
    Pin(Vec<Fingerprint>),
    /// Certificates signed by an authority of this PEM file, for the name that was dialled.
    Ca(PathBuf),
    /// Certificates signed by an authority that the system believes, for the name that was dialled.
    System,
    /// Anybody. Traffic is encrypted, but perhaps to an impostor; callers should warn.
    Insecure,
}

/// A trust that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The authority's file cannot be read or is no PEM.
    #[error("cannot read certificates from {}: {source}; check --ca", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The file is readable, but no authority is in it.
    #[error("{} holds no usable certificate of an authority; check --ca", path.display())]
    EmptyCa {
        /// The file.
        path: PathBuf,
    },
    /// The system lists no authority.
    #[error("the system has no root certificates; install ca-certificates, or use --fingerprint or --ca")]
    NoSystemRoots,
    /// The authorities are unusable.
    #[error("the root certificates cannot be used: {0}")]
    Roots(#[from] rustls::client::VerifierBuilderError),
}

/// The server holds another key than the pinned one. Inside the [`rustls::Error`] of the failed handshake, see
/// [`PinMismatch::in_error`].
///
/// `Debug` is the same sentence as `Display`: rustls shows the former, and QUIC passes on nothing but that text.
#[derive(Clone, PartialEq, Eq)]
pub struct PinMismatch {
    /// The key that the server showed.
    pub presented: Fingerprint,
    /// The keys that would have been accepted.
    pub pinned: Vec<Fingerprint>,
    /// Whether one of the pins is the hash of the certificate: a frequent mix-up.
    pub certificate_hash_pinned: bool,
}

impl PinMismatch {
    /// The mismatch that made a handshake fail, if it was one.
    pub fn in_error(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
                cause.downcast_ref()
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for PinMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for PinMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the server's key has the fingerprint {}, expected ",
            self.presented
        )?;
        for (index, pin) in self.pinned.iter().enumerate() {
            write!(f, "{}{pin}", if index == 0 { "" } else { " or " })?;
        }
        if self.certificate_hash_pinned {
            f.write_str("; that is the hash of its certificate, which browsers use: pin the key's fingerprint instead")
        } else {
            f.write_str("; it is another server, or it has a new key: ask its operator")
        }
    }
}

impl std::error::Error for PinMismatch {}

impl ClientTrust {
    /// What to believe when the user said nothing: on this machine the key of the local relay, if `state` has one,
    /// elsewhere the system's authorities.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if there is a local key that cannot be read.
    pub fn for_host(host: &str, state: Option<&StateDir>) -> Result<Self, KeyError> {
        let key = match state {
            Some(dir) if is_loopback_host(host) => NodeKey::load(dir)?,
            _ => None,
        };
        Ok(key.map_or(Self::System, |key| Self::Pin(vec![key.fingerprint()])))
    }
}

/// Whether a URL's host always means this machine: `localhost`, a name under it, or a loopback address.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// TLS 1.3 for a client that believes `trust` and offers `alpn` in order of preference.
///
/// # Errors
///
/// [`TrustError`] if the authorities cannot be read.
pub fn client_config(trust: &ClientTrust, alpn: &[&[u8]]) -> Result<ClientConfig, TrustError> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        ClientTrust::Pin(pinned) => Arc::new(KeyVerifier {
            accepted: Accepted::Pinned(pinned.clone()),
            provider: Arc::clone(&provider),
        }),
        ClientTrust::Insecure => Arc::new(KeyVerifier {
            accepted: Accepted::Anybody,
            provider: Arc::clone(&provider),
        }),
        ClientTrust::Ca(path) => authorities(file_roots(path)?, &provider)?,
        ClientTrust::System => authorities(system_roots()?, &provider)?,
    };
    #[expect(
        clippy::expect_used,
        reason = "ring's provider has TLS 1.3 cipher suites and key exchanges"
    )]
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

fn authorities(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

fn file_roots(path: &Path) -> Result<RootCertStore, TrustError> {
    let fail = |source| TrustError::Ca {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(fail)? {
        roots.add_parsable_certificates([certificate.map_err(fail)?]);
    }
    if roots.is_empty() {
        Err(TrustError::EmptyCa {
            path: path.to_owned(),
        })
    } else {
        Ok(roots)
    }
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "skipped a root certificate of the system");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        Err(TrustError::NoSystemRoots)
    } else {
        Ok(roots)
    }
}

#[derive(Debug)]
enum Accepted {
    Pinned(Vec<Fingerprint>),
    Anybody,
}

/// Looks at the key alone; that the server holds it is proved by the handshake's signature, which is always checked.
#[derive(Debug)]
struct KeyVerifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented =
            Fingerprint::of_key(&ParsedCertificate::try_from(end_entity)?.subject_public_key_info());
        match &self.accepted {
            Accepted::Pinned(pinned) if !pinned.contains(&presented) => {
                let hash = CertificateHash::of(end_entity);
                let certificate_hash_pinned = pinned.iter().any(|pin| pin.as_bytes() == hash.as_bytes());
                let mismatch = PinMismatch {
                    presented,
                    pinned: pinned.clone(),
                    certificate_hash_pinned,
                };
                Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
            }
            Accepted::Pinned(_) | Accepted::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
