//! Identity and admission of a mesh (routing specification, sections 8 and 9).
//!
//! A node is its ed25519 key ([`NodeIdentity`]). A mesh is the key of its [`Authority`], which stands at one node: it
//! makes [`Invite`]s, lets a node in once for each ([`Request`], [`Answer`]), gives it a [`NodeCertificate`] for 30 days
//! that says what it may announce, renews that, and takes it back with a [`Revocation`]. Two nodes prove to each other
//! over an ordinary TLS connection that they are members ([`Proof`]); what a node tells of itself to be passed on is a
//! [`PeerRecord`]. Other parts sign with [`NodeIdentity::sign`] in a [`Context`] of their own.
//!
//! ```text
//! authority                          newcomer
//! Authority::invite --- by hand --> Invite::parse
//! Authority::admit  <-- Request --- Request::join      over a TLS connection to the pinned key
//!                   --- Answer ---> Membership::join, then Membership::prove towards every member
//! ```
//!
//! Everything but the loading and storing of files is a function of its arguments: the time, the TLS exporter and the
//! bytes come in. Clocks may be wrong by hours: certificates begin a day early and are renewed ten days before their
//! end, and the life of an invite is judged by the authority's clock alone. Nothing here opens a connection.
//!
//! Not here: a mesh with several authorities, hidden membership (who meets a member's certificate learns mesh and rights),
//! and the spreading of revocations.

mod address;
mod admission;
mod authority;
mod certificate;
mod codec;
mod identity;
mod invite;
mod key;
mod ledger;
mod membership;
mod proof;
mod record;
mod revocation;
mod rights;
mod store;

pub use address::{Address, MAX_ADDRESSES, ParseAddressError};
pub use admission::{Answer, EXPORTER_LABEL, Exporter, Refusal, Request};
pub use authority::{Authority, RevokeError};
pub use certificate::{CERTIFICATE_LENGTH, CertificateError, NodeCertificate, RENEW_BEFORE};
pub use codec::DecodeError;
pub use identity::NodeIdentity;
pub use invite::{Invite, InviteError, MakeInviteError, Office, Terms};
pub use key::{BadSignature, Context, MeshId, NodeId, ParseKeyError, SecretKeyError, Signature};
pub use ledger::{Ledger, Member};
pub use membership::{AnswerError, Membership};
pub use proof::{Proof, ProofError, Role, VerifiedNode};
pub use record::{PeerRecord, RecordError};
pub use revocation::{MAX_REVOCATIONS, Revocation, RevocationError, Revocations};
pub use rights::{MAX_PREFIX_BYTES, MAX_PREFIXES, NamespacePrefix, Prefixes, Rights, RightsError};
pub use store::StoreError;

#[cfg(test)]
mod tests;
