//! Self-signed certificates as browsers want them for `serverCertificateHashes`: ECDSA P-256, at most 14 days
//! (W3C WebTransport, "Verify a certificate hash").

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::CertificateError;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};

use crate::{CertificateHash, NodeKey, provider};

/// Longest validity a browser accepts for a pinned certificate.
pub const MAX_VALIDITY: Duration = Duration::from_secs(14 * 24 * 3600);

/// Names every node answers to, beside the ones its operator gives.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The year 2200: X.509 dates and the arithmetic on them are safe before it, and no sane clock is beyond.
const LATEST: Duration = Duration::from_secs(7_258_118_400);

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A name that is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address; correct --tls-name")]
    Name {
        /// As it was given.
        name: String,
    },
    /// Empty, or longer than browsers accept.
    #[error("a certificate is valid for more than 0 s and at most 14 days, not {} s", .0.as_secs())]
    Validity(Duration),
    /// The clock is before 1970 or after 2200.
    #[error("the system clock is before 1970 or after 2200; set it")]
    Clock,
    /// The signature failed.
    #[error("cannot sign a certificate: {0}")]
    Sign(#[source] rcgen::Error),
}

/// From when until when, both included, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Starts at `not_before` and lasts `length`.
    pub fn starting(not_before: SystemTime, length: Duration) -> Self {
        Self {
            not_before,
            not_after: not_before.checked_add(length).unwrap_or(not_before),
        }
    }

    /// Whether `now` is inside.
    pub fn contains(&self, now: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// How long it lasts; zero if it ends before it starts.
    pub fn length(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// Reads the dates of any X.509 certificate; `None` if it is none.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let algorithms = provider().signature_verification_algorithms;
        // rustls gives no dates, but names the one that a moment violates: ask at both ends of time.
        let verdict = |at: Duration| {
            let now = UnixTime::since_unix_epoch(at);
            match verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &RootCertStore::empty(),
                &[],
                now,
                algorithms.all,
            ) {
                Err(rustls::Error::InvalidCertificate(error)) => Some(error),
                _ => None,
            }
        };
        let time = |at: UnixTime| UNIX_EPOCH.checked_add(Duration::from_secs(at.as_secs()));
        let not_before = match verdict(Duration::ZERO)? {
            CertificateError::NotValidYetContext { not_before, .. } => time(not_before)?,
            _ => UNIX_EPOCH,
        };
        let not_after = match verdict(Duration::from_secs(u64::MAX))? {
            CertificateError::ExpiredContext { not_after, .. } => time(not_after)?,
            _ => return None,
        };
        Some(Self {
            not_before,
            not_after,
        })
    }
}

/// A certificate of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
}

impl Certificate {
    /// The certificate itself.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// From when until when it may be served.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// What browsers pin.
    pub fn hash(&self) -> CertificateHash {
        CertificateHash::of(&self.der)
    }

    /// Whether a client that dials `name` accepts it, dates and trust aside.
    pub fn covers(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else {
            return false;
        };
        ParsedCertificate::try_from(&self.der)
            .is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
    }

    /// Reads back what [`to_pem`](Self::to_pem) wrote; `None` if it is no certificate.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let validity = Validity::of(&der)?;
        Some(Self { der, validity })
    }

    /// One PEM block.
    pub(crate) fn to_pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }
}

/// Signs a certificate for `names` (DNS names or IP addresses) and for localhost, 127.0.0.1 and ::1.
///
/// # Errors
///
/// [`IssueError`] if a name or the validity is not usable.
pub fn issue(key: &NodeKey, names: &[String], validity: Validity) -> Result<Certificate, IssueError> {
    let length = validity.length();
    if length.is_zero() || length > MAX_VALIDITY {
        return Err(IssueError::Validity(length));
    }
    let mut params = CertificateParams::default();
    let (not_before, not_after) = (
        whole_seconds(validity.not_before)?,
        whole_seconds(validity.not_after)?,
    );
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + not_before;
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + not_after;
    params.subject_alt_names = alternative_names(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Headwater relay");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(serial(key, not_before, not_after));
    let der = params
        .self_signed(key.pair())
        .map_err(IssueError::Sign)?
        .der()
        .clone();
    Ok(Certificate {
        der,
        validity: Validity {
            not_before: UNIX_EPOCH + not_before,
            not_after: UNIX_EPOCH + not_after,
        },
    })
}

/// `names` as they go into the certificate.
fn alternative_names(names: &[String]) -> Result<Vec<SanType>, IssueError> {
    let mut found: Vec<SanType> = Vec::new();
    for name in OWN_NAMES.into_iter().chain(names.iter().map(String::as_str)) {
        let entry = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                DnsName::try_from(name.strip_prefix("*.").unwrap_or(name))
                    .ok()
                    .and_then(|_| name.try_into().ok())
                    .ok_or_else(|| IssueError::Name {
                        name: name.to_owned(),
                    })?,
            ),
        };
        if !found.contains(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// A serial number of its own for each certificate: Firefox refuses two certificates of one issuer with one number.
fn serial(key: &NodeKey, not_before: Duration, not_after: Duration) -> SerialNumber {
    let mut hash = Sha256::new();
    hash.update(key.fingerprint().as_bytes());
    hash.update(not_before.as_secs().to_be_bytes());
    hash.update(not_after.as_secs().to_be_bytes());
    // RFC 5280 section 4.1.2.2: positive and at most 20 bytes.
    let mut bytes: Vec<u8> = hash.finalize().into_iter().take(16).collect();
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    SerialNumber::from(bytes)
}

fn whole_seconds(time: SystemTime) -> Result<Duration, IssueError> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) if since < LATEST => Ok(Duration::from_secs(since.as_secs())),
        _ => Err(IssueError::Clock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_790_000_000)
    }

    #[test]
    fn a_certificate_covers_its_names_and_dates() {
        let key = NodeKey::generate().unwrap();
        let validity = Validity::starting(now(), 13 * DAY);
        let names = ["relay.example", "*.wild.example", "192.0.2.7", "localhost"].map(str::to_owned);
        let certificate = issue(&key, &names, validity).unwrap();
        for name in [
            "localhost",
            "127.0.0.1",
            "::1",
            "relay.example",
            "a.wild.example",
            "192.0.2.7",
        ] {
            assert!(certificate.covers(name), "{name}");
        }
        assert!(!certificate.covers("other.example") && !certificate.covers("192.0.2.8"));
        assert_eq!(certificate.validity(), validity);
        assert_eq!(Validity::of(certificate.der()), Some(validity));
        assert_eq!(
            Certificate::from_pem(certificate.to_pem().as_bytes()),
            Some(certificate.clone())
        );
        key.certified(&certificate).unwrap();
        assert!(NodeKey::generate().unwrap().certified(&certificate).is_err());
    }

    #[test]
    fn what_browsers_would_refuse_is_not_made() {
        let key = NodeKey::generate().unwrap();
        let make = |names: &[&str], from, length| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            issue(&key, &names, Validity::starting(from, length)).map(drop)
        };
        assert!(make(&[], now(), 14 * DAY).is_ok());
        let too_long = 14 * DAY + Duration::from_secs(1);
        assert!(
            matches!(make(&[], now(), too_long), Err(IssueError::Validity(length)) if length == too_long)
        );
        assert!(matches!(
            make(&[], now(), Duration::ZERO),
            Err(IssueError::Validity(_))
        ));
        assert!(matches!(
            make(&[], UNIX_EPOCH - DAY, 2 * DAY),
            Err(IssueError::Clock)
        ));
        for name in ["", "a b", "http://x", "a:4443", "caf\u{e9}.example", "-"] {
            assert!(
                matches!(make(&[name], now(), DAY), Err(IssueError::Name { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn foreign_bytes_are_no_certificate() {
        assert_eq!(Validity::of(&CertificateDer::from(b"0\x03abc".as_slice())), None);
        assert_eq!(
            Certificate::from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None
        );
    }
}
