//! Sizes and times as people write them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _, Visitor};

/// Text that is no size or time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// No whole number, or an unknown unit.
    #[error("{text:?} is no {what}")]
    Malformed {
        /// As it was given.
        text: String,
        /// What was expected, with an example.
        what: &'static str,
    },
    /// More than 64 bits can count.
    #[error("{text:?} is too large")]
    TooLarge {
        /// As it was given.
        text: String,
    },
}

/// Largest first: a value is shown in the largest unit that divides it.
const BYTE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DECIMAL_UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("", 1)];
/// In milliseconds.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a size: `256MiB`, `64 KiB`, `10MB` or plain bytes.
///
/// # Errors
///
/// [`QuantityError`] if it is no whole number with one of these units, or does not fit 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    parse(
        text,
        &[BYTE_UNITS, DECIMAL_UNITS].concat(),
        "size such as \"64KiB\", \"256MiB\" or \"1GiB\"",
    )
}

/// Reads a time: `250ms`, `5 s`, `10m` or `1h`.
///
/// # Errors
///
/// [`QuantityError`] if it is no whole number with one of these units, or does not fit 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    parse(
        text,
        &TIME_UNITS,
        "time such as \"250ms\", \"5s\", \"10m\" or \"1h\"",
    )
    .map(Duration::from_millis)
}

/// Writes a size so that [`parse_bytes`] reads the same.
pub fn format_bytes(bytes: u64) -> String {
    format(bytes, BYTE_UNITS, "B")
}

/// Writes a time so that [`parse_duration`] reads the same; parts of a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    format(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        TIME_UNITS,
        "s",
    )
}

fn parse(text: &str, units: &[(&str, u64)], what: &'static str) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Malformed {
        text: text.to_owned(),
        what,
    };
    let trimmed = text.trim();
    let (number, unit) = trimmed.split_at(
        trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len()),
    );
    let unit = unit.trim_start();
    let factor = units
        .iter()
        .find_map(|&(name, factor)| (name == unit).then_some(factor))
        .ok_or_else(malformed)?;
    if number.is_empty() {
        return Err(malformed());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| QuantityError::TooLarge {
            text: text.to_owned(),
        })
}

fn format(value: u64, units: [(&str, u64); 4], zero: &str) -> String {
    units
        .into_iter()
        .find(|&(_, factor)| value != 0 && value.is_multiple_of(factor))
        .map_or_else(
            || format!("0{zero}"),
            |(name, factor)| format!("{}{name}", value / factor),
        )
}

/// serde: a string for [`parse_duration`].
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// serde: a string for [`parse_bytes`], or a whole number of bytes.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as \"256MiB\" or a number of bytes")
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value).map_err(E::custom)
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u64, E> {
            parse_bytes(value).map_err(E::custom)
        }
    }

    from.deserialize_any(Bytes)
}

/// serde: an address with a port, `None` for `off`.
pub(super) fn address_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text == "off" {
        return Ok(None);
    }
    let wrong = |error| {
        D::Error::custom(format_args!(
            "{text:?} is no address with a port, nor \"off\": {error}"
        ))
    };
    text.parse().map(Some).map_err(wrong)
}

/// serde: a string, `None` if empty.
pub(super) fn non_empty<'de, D: Deserializer<'de>, T: From<String>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| T::from(text)))
}
