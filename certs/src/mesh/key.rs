//! Ed25519 keys (RFC 8032): public ones as names, secret ones that sign for a stated purpose.
//!
//! Each signature is made in a [`Context`], which is part of what is signed: a signature made for one purpose is worth
//! nothing for another. Public keys of small order are refused, because for them anybody can make signatures.

use std::fmt;
use std::str::FromStr;

use rcgen::{KeyPair, PKCS_ED25519};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::digest::from_hex;

/// Bytes in a public key.
const KEY_LEN: usize = 32;
/// Bytes in a signature.
pub(super) const SIGNATURE_LEN: usize = 64;
/// Before every signed text: this program's signatures fit no other program.
const DOMAIN: &[u8] = b"headwater ";

/// What a signature is made for; see [`NodeIdentity::sign`](super::NodeIdentity::sign).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context(&'static str);

impl Context {
    /// A purpose. Each has its own name, for example `"log head"`; a new layout of what is signed gets a new name.
    ///
    /// # Panics
    ///
    /// If the name is empty or holds a zero byte; in a `const`, the compiler says so.
    pub const fn new(name: &'static str) -> Self {
        assert!(!name.is_empty(), "a context needs a name");
        let mut rest = name.as_bytes();
        while let Some((byte, tail)) = rest.split_first() {
            assert!(*byte != 0, "the zero byte ends the name");
            rest = tail;
        }
        Self(name)
    }

    /// What is really signed: the name ends with the only zero byte before `bytes`, so no two contexts share a text.
    fn text(self, bytes: &[u8]) -> Vec<u8> {
        [DOMAIN, self.0.as_bytes(), b"\0", bytes].concat()
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; SIGNATURE_LEN]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        hex(self.0.get(..8).unwrap_or_default(), f)?;
        f.write_str("..)")
    }
}

/// The signature was not made by this key, in this context, over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not the key's")]
pub struct BadSignature;

/// Text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hex digits")]
pub struct ParseKeyError;

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Shown as 64 lower-case hex digits, and read from them in either case.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; KEY_LEN]);

        impl $name {
            /// The key with these bytes. Any are taken; those that are no key verify nothing.
            pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
                &self.0
            }

            /// Checks that the holder of this key signed `bytes` in `context`.
            ///
            /// # Errors
            ///
            /// [`BadSignature`], also if this is no usable key.
            pub fn verify(&self, context: Context, bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
                verify(&self.0, context, bytes, signature)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseKeyError;

            fn from_str(text: &str) -> Result<Self, ParseKeyError> {
                from_hex(text.trim()).map(Self).ok_or(ParseKeyError)
            }
        }
    };
}

public_key! {
    /// A node's name: its public key.
    NodeId
}
public_key! {
    /// A mesh's name: the public key of its authority.
    MeshId
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn verify(
    key: &[u8; KEY_LEN],
    context: Context,
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    if has_small_order(key) {
        return Err(BadSignature);
    }
    // ring refuses a scalar that is not reduced (RFC 8032, 5.1.7), so a signature has one form.
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&context.text(bytes), &signature.0)
        .map_err(|_unspecified| BadSignature)
}

/// Every encoding of a point whose order divides 8, the sign bit aside. Two of them are not canonical.
const SMALL_ORDER: [[u8; KEY_LEN]; 7] = [
    [0; KEY_LEN],
    starting(0x01, 0x00, 0x00),
    starting(0xec, 0xff, 0x7f),
    starting(0xed, 0xff, 0x7f),
    starting(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// `first`, 30 times `middle`, `last`.
const fn starting(first: u8, middle: u8, last: u8) -> [u8; KEY_LEN] {
    let mut key = [middle; KEY_LEN];
    key[0] = first;
    key[KEY_LEN - 1] = last;
    key
}

fn has_small_order(key: &[u8; KEY_LEN]) -> bool {
    let mut unsigned = *key;
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&unsigned)
}

/// A key pair that signs. `Debug` shows the public half.
pub(super) struct SecretKey {
    pair: Ed25519KeyPair,
    public: [u8; KEY_LEN],
}

/// Why a file holds no secret key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// No PEM with a private key.
    #[error(transparent)]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The key is of another kind, or its halves do not fit each other.
    #[error("no Ed25519 key in PKCS#8 version 2 ({0})")]
    Key(ring::error::KeyRejected),
}

impl SecretKey {
    /// A new one, with its text: PKCS#8 in PEM.
    pub(super) fn generate() -> Result<(Self, String), rcgen::Error> {
        let made = KeyPair::generate_for(&PKCS_ED25519)?;
        let pem = made.serialize_pem();
        let key =
            Self::from_pkcs8(made.serialized_der()).map_err(|_rejected| rcgen::Error::RingUnspecified)?;
        Ok((key, pem))
    }

    pub(super) fn from_pem(text: &[u8]) -> Result<Self, SecretKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text)?;
        Self::from_pkcs8(der.secret_pkcs8_der()).map_err(SecretKeyError::Key)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, ring::error::KeyRejected> {
        let pair = Ed25519KeyPair::from_pkcs8(der)?;
        let mut public = [0; KEY_LEN];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    pub(super) const fn public(&self) -> [u8; KEY_LEN] {
        self.public
    }

    pub(super) fn sign(&self, context: Context, bytes: &[u8]) -> Signature {
        let signature = self.pair.sign(&context.text(bytes));
        let mut fixed = [0; SIGNATURE_LEN];
        fixed.copy_from_slice(signature.as_ref());
        Signature(fixed)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(")?;
        hex(&self.public, f)?;
        f.write_str(")")
    }
}
