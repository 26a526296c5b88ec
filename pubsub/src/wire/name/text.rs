//! The text form of names (draft section "Representing Namespace and Track Names").
//!
//! Fields are joined by a hyphen, two hyphens go before the track name; letters, digits and the underscore stand for
//! themselves, every other byte is a period and two lower-case hex digits. Each name has exactly one text and each accepted
//! text exactly one name, so texts can be compared instead of names.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::{FullTrackName, TrackName, TrackNamespace};
use crate::wire::error::NameTextError;

/// Whether a byte stands for itself.
const fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for &byte in bytes {
        if is_literal(byte) {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, ".{byte:02x}")?;
        }
    }
    Ok(())
}

/// Turns one piece of text, which begins at byte `at` of the whole, back into bytes.
fn parse_bytes(text: &[u8], at: usize) -> Result<Vec<u8>, NameTextError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let position = at + text.len() - rest.len();
        rest = if is_literal(byte) {
            bytes.push(byte);
            tail
        } else if byte == b'.' {
            let escaped = match *tail {
                [high, low, ..] => hex_digit(high)
                    .zip(hex_digit(low))
                    .map(|(high, low)| high << 4 | low),
                _ => None,
            };
            bytes.push(
                escaped
                    .filter(|&byte| !is_literal(byte))
                    .ok_or(NameTextError::Escape(position))?,
            );
            tail.get(2..).unwrap_or_default()
        } else {
            return Err(NameTextError::Character(position));
        };
    }
    Ok(bytes)
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for TrackNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields().enumerate() {
            if index > 0 {
                f.write_char('-')?;
            }
            write_bytes(f, field)?;
        }
        Ok(())
    }
}

impl FromStr for TrackNamespace {
    type Err = NameTextError;

    /// The empty text is the namespace without fields.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        let mut at = 0;
        let mut fields = Vec::new();
        for field in text.split('-') {
            fields.push(parse_bytes(field.as_bytes(), at)?);
            at += field.len() + 1;
        }
        Ok(Self::new(fields)?)
    }
}

impl fmt::Display for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(f, self.as_bytes())
    }
}

impl FromStr for TrackName {
    type Err = NameTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(parse_bytes(text.as_bytes(), 0)?)?)
    }
}

impl fmt::Display for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--{}", self.namespace, self.name)
    }
}

impl FromStr for FullTrackName {
    type Err = NameTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once("--").ok_or(NameTextError::Separator)?;
        if name.contains('-') {
            return Err(NameTextError::Separator);
        }
        let at = namespace.len() + 2;
        let name = TrackName::new(parse_bytes(name.as_bytes(), at)?)?;
        Ok(Self::new(namespace.parse()?, name)?)
    }
}

impl fmt::Debug for TrackNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
