//! Namespaces as text with slashes: `live/cam` names the namespace `(live, cam)`, as the path of a broadcast's URL does.
//!
//! Fields are percent-encoded where they must be, so any bytes can be named.

use headwater_pubsub::wire::TrackNamespace;
use headwater_pubsub::wire::error::NameError;

/// Text that names no namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// An escape that is none.
    #[error("{0:?} has a broken escape: % must be followed by two hex digits")]
    Escape(String),
    /// Nothing between two slashes.
    #[error("{0:?} has an empty field: two slashes in a row")]
    EmptyField(String),
    /// Too many or too long fields.
    #[error("{text:?} is no namespace: {source}")]
    Name {
        /// As typed.
        text: String,
        /// Why.
        #[source]
        source: NameError,
    },
}

/// Fields separated by slashes; one at the start and one at the end say nothing.
///
/// # Errors
/// See [`PathError`].
pub fn parse_namespace(text: &str) -> Result<TrackNamespace, PathError> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    if bare.is_empty() {
        return Ok(TrackNamespace::empty());
    }
    let mut fields = Vec::new();
    for field in bare.split('/') {
        if field.is_empty() {
            return Err(PathError::EmptyField(text.to_owned()));
        }
        fields.push(unescape(field).ok_or_else(|| PathError::Escape(text.to_owned()))?);
    }
    TrackNamespace::new(fields).map_err(|source| PathError::Name {
        text: text.to_owned(),
        source,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || u8::try_from(char::from(rest.next()?).to_digit(16)?).ok();
        let high = digit()?;
        bytes.push(high << 4 | digit()?);
    }
    Some(bytes)
}

/// A namespace as it stands in a URL, without a slash at either end.
#[must_use]
pub fn path_of(namespace: &TrackNamespace) -> String {
    let mut path = String::new();
    for (index, field) in namespace.fields().enumerate() {
        if index > 0 {
            path.push('/');
        }
        for &byte in field {
            if byte.is_ascii_alphanumeric() || b"-._~@:!$&'()*+,;=".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, part) in [("a//b", "empty field"), ("a%zz", "hex digits")] {
            let error = parse_namespace(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_namespace_survives_its_path(fields in proptest::collection::vec(proptest::collection::vec(0u8.., 1..8), 0..5)) {
            let namespace = TrackNamespace::new(&fields).unwrap();
            proptest::prop_assert_eq!(parse_namespace(&path_of(&namespace)).unwrap(), namespace);
        }
    }
}
