//! URLs of broadcasts: where to dial, and which namespace is meant.
//!
//! `moqt://host:port/a/b` names the namespace `(a, b)`; the path on the wire is then `/`. With `--namespace` the URL's
//! path belongs to the server and is sent as it is. Fields are percent-decoded, so any bytes can be named.

use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};
use headwater_relay::status::path::PathError;
pub use headwater_relay::status::path::{parse_namespace, path_of};
use url::Url;

/// A URL that names no broadcast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No URL at all.
    #[error("{url:?} is no URL: {source}; write it like moqt://host:4443/live/cam")]
    Malformed {
        /// As typed.
        url: String,
        /// Why.
        #[source]
        source: url::ParseError,
    },
    /// Neither of the two schemes.
    #[error("{scheme}:// is not supported: use moqt:// for raw QUIC or https:// for WebTransport")]
    Scheme {
        /// As typed.
        scheme: String,
    },
    /// No host.
    #[error("{0:?} names no host; write it like moqt://host:4443/live/cam")]
    Host(String),
    /// User name, password or fragment, which mean nothing here.
    #[error("{0} in a URL has no meaning here; leave it out")]
    Meaningless(&'static str),
    /// The path names no namespace.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Too long a name of a track.
    #[error("{text:?} is no track of it: {source}")]
    Name {
        /// As typed.
        text: String,
        /// Why.
        #[source]
        source: headwater_pubsub::wire::error::NameError,
    },
}

/// Where to dial and what to ask for there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is dialled; its path is what the server gets to see.
    pub url: Url,
    /// The namespace, perhaps without fields.
    pub namespace: TrackNamespace,
}

impl Target {
    /// Reads a URL as typed, and the value of `--namespace`.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, TargetError> {
        let mut url = Url::parse(text).map_err(|source| TargetError::Malformed {
            url: text.to_owned(),
            source,
        })?;
        if !matches!(url.scheme(), "moqt" | "https") {
            return Err(TargetError::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(TargetError::Host(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Meaningless("a user name or password"));
        }
        if url.fragment().is_some() {
            return Err(TargetError::Meaningless("a fragment (#...)"));
        }
        let namespace = match namespace {
            Some(fields) => parse_namespace(fields)?,
            None => {
                let namespace = parse_namespace(url.path())?;
                url.set_path("/");
                namespace
            }
        };
        Ok(Self { url, namespace })
    }

    /// Host and port, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.port())
    }

    /// The UDP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(443)
    }

    /// The full name of a track of the broadcast.
    ///
    /// # Errors
    /// The name is too long.
    pub fn track(&self, name: &str) -> Result<FullTrackName, TargetError> {
        TrackName::new(name)
            .and_then(|track| FullTrackName::new(self.namespace.clone(), track))
            .map_err(|source| TargetError::Name {
                text: name.to_owned(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(target: &Target) -> Vec<&[u8]> {
        target.namespace.fields().collect()
    }

    #[test]
    fn the_path_is_the_namespace() {
        for url in [
            "moqt://host:4443/live/cam",
            "https://host:4443/live/cam",
            "moqt://host:4443/live/cam/",
        ] {
            let target = Target::parse(url, None).unwrap();
            assert_eq!(fields(&target), [b"live".as_slice(), b"cam"], "{url}");
            assert_eq!((target.url.path(), target.port()), ("/", 4443), "{url}");
        }
    }

    #[test]
    fn with_namespace_the_path_belongs_to_the_server() {
        let target = Target::parse("https://host/access/token?x=1", Some("a/b%2Fc")).unwrap();
        assert_eq!(fields(&target), [b"a".as_slice(), b"b/c"]);
        assert_eq!(
            (target.url.path(), target.url.query()),
            ("/access/token", Some("x=1"))
        );
    }

    #[test]
    fn a_port_is_443_unless_given() {
        assert_eq!(Target::parse("moqt://host/x", None).unwrap().place(), "host:443");
        assert_eq!(Target::parse("https://host/x", None).unwrap().place(), "host:443");
        assert_eq!(
            Target::parse("moqt://[::1]:7/x", None).unwrap().place(),
            "[::1]:7"
        );
    }

    #[test]
    fn no_path_is_the_empty_namespace() {
        for url in ["moqt://host", "moqt://host/", "https://host"] {
            assert!(Target::parse(url, None).unwrap().namespace.is_empty(), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_advice() {
        for (url, part) in [
            ("host/live", "moqt://host:4443/live/cam"),
            ("http://host/live", "https://"),
            ("moqt:///live", "names no host"),
            ("moqt://me@host/live", "user name"),
            ("moqt://host/live#x", "fragment"),
            ("moqt://host/a//b", "empty field"),
            ("moqt://host/a%zz", "hex digits"),
        ] {
            let error = Target::parse(url, None).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_namespace_survives_its_url(fields in proptest::collection::vec(proptest::collection::vec(0u8.., 1..8), 0..5)) {
            let namespace = TrackNamespace::new(&fields).unwrap();
            let dots = fields.iter().any(|field| field == b"." || field == b"..");
            let path = path_of(&namespace);
            if !dots {
                let url = format!("moqt://h/{path}");
                proptest::prop_assert_eq!(&Target::parse(&url, None).unwrap().namespace, &namespace);
            }
            proptest::prop_assert_eq!(Target::parse("moqt://h", Some(&path)).unwrap().namespace, namespace);
        }
    }
}
