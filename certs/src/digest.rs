//! SHA-256 digests that people copy and paste: of a public key, and of a whole certificate.
//!
//! The two are different types, because pinning one where the other is meant fails only at the next handshake.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};

/// Bytes in a SHA-256 digest.
const LEN: usize = 32;

/// Text that is not a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 digest: 64 hex digits (colons allowed) or 44 characters of base64")]
pub struct ParseDigestError;

/// SHA-256 of a DER SubjectPublicKeyInfo: names a relay's key and so survives the renewal of its certificate.
///
/// Shown as 64 lower-case hex digits; read from hex (either case, colons allowed) or base64, with or without a
/// `sha256:` or `sha256/` prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; LEN]);

/// SHA-256 of a certificate's DER, the `value` of a browser's `serverCertificateHashes`. Changes with every renewal.
///
/// Shown and read like [`Fingerprint`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateHash([u8; LEN]);

impl Fingerprint {
    /// Digest of a public key.
    pub fn of_key(spki: &SubjectPublicKeyInfoDer<'_>) -> Self {
        Self(Sha256::digest(spki.as_ref()).into())
    }
}

impl CertificateHash {
    /// Digest of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

macro_rules! digest_text {
    ($name:ident) => {
        impl $name {
            /// The digest with these bytes.
            pub const fn from_bytes(bytes: [u8; LEN]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; LEN] {
                &self.0
            }

            /// 64 lower-case hex digits, the same as `Display`.
            pub fn to_hex(&self) -> String {
                self.to_string()
            }

            /// 44 characters of standard base64, as in curl's `--pinnedpubkey sha256//`.
            pub fn to_base64(&self) -> String {
                STANDARD.encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                parse(text).map(Self)
            }
        }
    };
}

digest_text!(Fingerprint);
digest_text!(CertificateHash);

fn parse(text: &str) -> Result<[u8; LEN], ParseDigestError> {
    let text = text.trim();
    let text = ["sha256//", "sha256/", "sha256:"]
        .into_iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    from_hex(text)
        .or_else(|| from_base64(text))
        .ok_or(ParseDigestError)
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let mut digits = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    for byte in &mut bytes {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(bytes)
}

fn from_base64(text: &str) -> Option<[u8; LEN]> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_people_paste_is_read() {
        let hash = CertificateHash::of(&CertificateDer::from(b"abc".as_slice()));
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        let colons = hex
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(":");
        let base64 = hash.to_base64();
        for text in [
            hex.to_owned(),
            colons,
            format!(" {hex}\n"),
            base64.clone(),
            base64.trim_end_matches('=').to_owned(),
            base64.replace('+', "-").replace('/', "_").replace('=', ""),
            format!("sha256//{base64}"),
            format!("sha256:{hex}"),
        ] {
            assert_eq!(text.parse(), Ok(hash), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            "",
            "zz",
            &hex[1..],
            &format!("{hex}0"),
            &format!("{hex}00"),
            "\u{20ac}",
            "AAAA",
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(ParseDigestError), "{text}");
        }
    }
}
