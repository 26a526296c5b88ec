//! Other nodes that a page may turn to when this one ends: a page that plays cannot ask once its relay is gone, so it asks when
//! it begins.

use std::sync::{PoisonError, RwLock};

use headwater_certs::CertificateHash;
use serde::Serialize;
use url::Url;

/// Most nodes that are told of: a page tries them one after another.
pub const MAX_ALTERNATES: usize = 16;
/// What stands before the hash in an address's fragment, as in the addresses of pages.
const HASH: &str = "sha256=";

/// One other node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alternate {
    /// Where WebTransport sessions are opened: `https://HOST:PORT/`.
    url: String,
    /// Hash of its certificate, if browsers are to know it by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Alternate {
    /// The node at `url`, whose certificate has this hash if it is to be pinned.
    pub fn new(url: &Url, hash: Option<CertificateHash>) -> Self {
        let mut plain = url.clone();
        plain.set_fragment(None);
        Self {
            url: plain.into(),
            sha256: hash.map(|hash| hash.to_hex()),
        }
    }

    /// Reads `https://HOST:PORT/`, followed by `#sha256=HASH` for a certificate that is to be pinned.
    ///
    /// # Errors
    /// [`AlternateError`], which says what to write.
    pub fn parse(text: &str) -> Result<Self, AlternateError> {
        let wrong = || AlternateError(text.to_owned());
        let url = Url::parse(text).map_err(|_not_a_url| wrong())?;
        let named = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "https" || url.host().is_none() || named {
            return Err(wrong());
        }
        let hash = match url.fragment() {
            None => None,
            Some(fragment) => Some(
                fragment
                    .strip_prefix(HASH)
                    .and_then(|digits| digits.parse().ok())
                    .ok_or_else(wrong)?,
            ),
        };
        Ok(Self::new(&url, hash))
    }
}

/// An address that no page could use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address for pages: write https://HOST:PORT/, and #sha256=HASH behind it to pin the certificate"
)]
pub struct AlternateError(String);

/// The nodes that are told of; may be replaced while the node runs.
#[derive(Debug, Default)]
pub struct Alternates {
    known: RwLock<Vec<Alternate>>,
}

impl Alternates {
    /// Tells of these, best first; of the first [`MAX_ALTERNATES`] if there are more.
    pub fn replace(&self, mut alternates: Vec<Alternate>) {
        alternates.truncate(MAX_ALTERNATES);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = alternates;
    }

    pub(super) fn get(&self) -> Vec<Alternate> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_with_and_without_a_hash() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (text, told) in [
            (
                "https://b.example:4443".to_owned(),
                serde_json::json!({ "url": "https://b.example:4443/" }),
            ),
            (
                format!("https://[::1]:1/#sha256={hash}"),
                serde_json::json!({ "url": "https://[::1]:1/", "sha256": hash }),
            ),
        ] {
            let alternate = Alternate::parse(&text).unwrap();
            assert_eq!(serde_json::to_value(alternate).unwrap(), told, "{text}");
        }
    }

    #[test]
    fn an_address_that_no_page_could_use_is_refused() {
        for text in [
            "",
            "b.example:4443",
            "http://b.example/",
            "moqt://b.example/",
            "https://user@b.example/",
            "https://b.example/#sha256=12",
            "https://b.example/#other",
        ] {
            let error = Alternate::parse(text).unwrap_err().to_string();
            assert!(error.contains("https://HOST:PORT/"), "{text}: {error}");
        }
    }

    #[test]
    fn no_more_are_told_than_a_page_would_try() {
        let alternates = Alternates::default();
        let one = Alternate::parse("https://b.example/").unwrap();
        alternates.replace(vec![one; MAX_ALTERNATES + 1]);
        assert_eq!(alternates.get().len(), MAX_ALTERNATES);
    }
}
