//! An invite: one line of text that lets one node into a mesh, once, for a time.
//!
//! It says where the node that holds the authority is, which TLS key it has and which mesh it speaks for, so whoever
//! follows it can be deceived by nobody on the way. It is signed, so the authority needs to remember only those that were
//! used. Whoever holds the line can use it: it is to be handed over like a password.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::address::{self, Address, MAX_ADDRESSES};
use super::authority::Authority;
use super::codec::{DecodeError, Reader, Writer, whole_seconds};
use super::key::{BadSignature, Context, MeshId, SIGNATURE_LEN, Signature};
use super::rights::Rights;
use crate::Fingerprint;

const INVITE: Context = Context::new("invite");

/// Before the text form.
const PREFIX: &str = "headwater-invite:";
/// Largest binary form: eight addresses of the longest names, and the largest rights.
pub(super) const MAX_BYTES: usize = 4608;
/// Longest text, with room for white space around it.
const MAX_TEXT: usize = 8192;
/// Bytes of a nonce: nobody guesses one, and no two are alike.
const NONCE_LEN: usize = 16;

/// What makes an invite usable once. `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    pub(super) const fn as_bytes(&self) -> &[u8; NONCE_LEN] {
        &self.0
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }

    /// A new one from the system's randomness.
    pub(super) fn random() -> Result<Self, ring::error::Unspecified> {
        let random = ring::rand::generate::<[u8; NONCE_LEN]>(&ring::rand::SystemRandom::new())?;
        Ok(Self(random.expose()))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// Where a mesh is joined and its certificates are renewed: the node that holds the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Office {
    /// Of the TLS key that the node shows.
    pub fingerprint: Fingerprint,
    /// To be tried in order; one to eight.
    pub addresses: Vec<Address>,
}

impl Office {
    pub(super) fn encode(&self, writer: Writer) -> Writer {
        address::encode_list(&self.addresses, writer.put(self.fingerprint.as_bytes()))
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let office = Self {
            fingerprint: Fingerprint::from_bytes(reader.array()?),
            addresses: address::decode_list(reader)?,
        };
        if office.addresses.is_empty() {
            return Err(DecodeError::Field("list of addresses"));
        }
        Ok(office)
    }
}

/// What the authority promises in an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Where it is redeemed.
    pub office: Office,
    /// How long from now, in whole seconds.
    pub valid: Duration,
    /// What the new member may announce.
    pub rights: Rights,
}

/// An invite, its signature checked against the mesh that it names. `Debug` hides what makes it usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    mesh: MeshId,
    office: Office,
    nonce: Nonce,
    expires: SystemTime,
    rights: Rights,
    signature: Signature,
}

/// Text or bytes that are no usable invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// It does not look like one.
    #[error("this is no invite: it begins with \"{PREFIX}\"; ask for the line that moq mesh invite prints")]
    NotAnInvite,
    /// Parts are missing or were changed.
    #[error("the invite is damaged ({0}); copy the whole line again")]
    Malformed(DecodeError),
    /// Signed by nobody, or changed since.
    #[error("the invite is damaged or forged: its signature is wrong; copy the whole line again")]
    Forged,
}

/// An invite that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MakeInviteError {
    /// Nowhere to go, or too many places.
    #[error("an invite carries 1 to {MAX_ADDRESSES} addresses")]
    Addresses,
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Invite {
    pub(super) fn issue(
        authority: &Authority,
        terms: Terms,
        now: SystemTime,
    ) -> Result<Self, MakeInviteError> {
        if !(1..=MAX_ADDRESSES).contains(&terms.office.addresses.len()) {
            return Err(MakeInviteError::Addresses);
        }
        let expires = now.checked_add(terms.valid).unwrap_or(now);
        let mut invite = Self {
            mesh: authority.mesh(),
            office: terms.office,
            nonce: Nonce::random().map_err(|_none| MakeInviteError::Randomness)?,
            expires: whole_seconds(expires),
            rights: terms.rights,
            signature: Signature([0; SIGNATURE_LEN]),
        };
        invite.signature = authority.sign(INVITE, &invite.body().finish());
        Ok(invite)
    }

    /// Reads the text form, white space around it allowed.
    ///
    /// The expiry is not looked at: only the authority's clock decides.
    ///
    /// # Errors
    ///
    /// [`InviteError`] says whether it is something else or was damaged.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or(InviteError::NotAnInvite)?;
        if text.len() > MAX_TEXT {
            return Err(InviteError::Malformed(DecodeError::Trailing));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_base64| InviteError::Malformed(DecodeError::Field("text")))?;
        Self::decode(&bytes)
    }

    /// The mesh it lets into.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Where it is redeemed.
    pub const fn office(&self) -> &Office {
        &self.office
    }

    /// Until when, by the authority's clock.
    pub const fn expires(&self) -> SystemTime {
        self.expires
    }

    /// What the new member may announce.
    pub const fn rights(&self) -> &Rights {
        &self.rights
    }

    pub(super) const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The binary form, at most 4.5 KiB.
    pub fn encode(&self) -> Vec<u8> {
        self.body().put(&self.signature.0).finish()
    }

    /// Reads the binary form and checks the signature.
    ///
    /// # Errors
    ///
    /// [`InviteError`]; an invite of another mesh is none, the caller compares [`mesh`](Self::mesh).
    pub fn decode(bytes: &[u8]) -> Result<Self, InviteError> {
        let invite = Self::read(bytes).map_err(InviteError::Malformed)?;
        invite
            .mesh
            .verify(INVITE, &invite.body().finish(), &invite.signature)
            .map_err(|BadSignature| InviteError::Forged)?;
        Ok(invite)
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let invite = Self {
            mesh: MeshId::from_bytes(reader.array()?),
            office: Office::decode(&mut reader)?,
            nonce: Nonce::decode(&mut reader)?,
            expires: reader.time()?,
            rights: Rights::decode(&mut reader)?,
            signature: Signature(reader.array()?),
        };
        reader.finish()?;
        Ok(invite)
    }

    fn body(&self) -> Writer {
        let writer = Writer::versioned().put(self.mesh.as_bytes());
        let writer = self
            .office
            .encode(writer)
            .put(self.nonce.as_bytes())
            .time(self.expires);
        self.rights.encode(writer)
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.encode()))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        Self::parse(text)
    }
}
