//! Identities and certificates of a Headwater node.
//!
//! A relay has one P-256 key for as long as its state directory lives ([`NodeKey`]); people pin that key by its
//! [`Fingerprint`]. From it the relay makes short-lived self-signed certificates, because browsers accept a pinned
//! certificate (`serverCertificateHashes`) only when it is ECDSA and valid for at most 14 days. [`Rotation`] always
//! knows the certificate in use and the one that follows, so both hashes can be published ahead. An operator with a
//! certificate of a public authority gives files instead ([`CertificateFiles`]). Either way a [`Resolver`] hands the
//! current certificate to rustls and can be changed while connections are open.
//!
//! Clients say whom they believe with [`ClientTrust`] and get a rustls configuration from [`client_config`].
//!
//! Apart from all that, [`mesh`] holds who a node is among relays: its Ed25519 key, the mesh's authority, invites and proofs.
//!
//! Nothing here reads the clock, starts a task or touches a process-wide default: time comes in as an argument, the
//! caller drives [`Rotation::advance`] and [`CertificateFiles::poll`], and the TLS provider is always named ([`provider`]).
//! No X.509 authority and no ACME.

mod certificate;
mod digest;
mod files;
mod key;
pub mod mesh;
mod resolver;
mod rotation;
mod server;
mod state;
mod trust;

pub use certificate::{Certificate, IssueError, MAX_VALIDITY, Validity, issue};
pub use digest::{CertificateHash, Fingerprint, ParseDigestError};
pub use files::{CertificateFiles, FilesError};
pub use key::{KeyError, NodeKey};
pub use resolver::Resolver;
pub use rotation::{Rotation, RotationError, Step};
pub use server::{provider, server_config};
pub use state::{StateDir, StateError, StateLock};
pub use trust::{ClientTrust, PinMismatch, TrustError, client_config, is_loopback_host};
