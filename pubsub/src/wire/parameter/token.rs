//! The Token structure (draft section "AUTHORIZATION TOKEN Parameter"); it also travels in SETUP.

use std::fmt;

use bytes::{BufMut, Bytes};

use super::Token;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::reader::Reader;
use crate::wire::varint;

const DELETE: u64 = 0x0;
const REGISTER: u64 = 0x1;
const USE_ALIAS: u64 = 0x2;
const USE_VALUE: u64 = 0x3;

/// Longest encoded token: a Setup Option's value and a message both end at 2^16 - 1 bytes.
const MAX_TOKEN: usize = 65_535;

impl Token {
    /// Appends the structure, without the length that precedes it in a parameter or option.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] if no message could hold it.
    pub fn encode(&self, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        match self {
            Self::Delete { alias } => {
                varint::encode(DELETE, buf);
                varint::encode(*alias, buf);
            }
            Self::Register { alias, kind, value } => {
                check_len(value)?;
                varint::encode(REGISTER, buf);
                varint::encode(*alias, buf);
                varint::encode(*kind, buf);
                buf.put_slice(value);
            }
            Self::UseAlias { alias } => {
                varint::encode(USE_ALIAS, buf);
                varint::encode(*alias, buf);
            }
            Self::UseValue { kind, value } => {
                check_len(value)?;
                varint::encode(USE_VALUE, buf);
                varint::encode(*kind, buf);
                buf.put_slice(value);
            }
        }
        Ok(())
    }

    /// Reads a token that fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::KeyValueFormatting`], whatever is wrong, as the draft asks.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes)).map_err(|_error| DecodeError::KeyValueFormatting("token"))
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let token = match reader.varint()? {
            DELETE => Self::Delete {
                alias: reader.varint()?,
            },
            REGISTER => Self::Register {
                alias: reader.varint()?,
                kind: reader.varint()?,
                value: reader.rest(),
            },
            USE_ALIAS => Self::UseAlias {
                alias: reader.varint()?,
            },
            USE_VALUE => Self::UseValue {
                kind: reader.varint()?,
                value: reader.rest(),
            },
            value => {
                return Err(DecodeError::UnknownType {
                    what: "token alias",
                    value,
                });
            }
        };
        reader.finish()?;
        Ok(token)
    }
}

const fn check_len(value: &Bytes) -> Result<(), EncodeError> {
    if value.len() > MAX_TOKEN {
        return Err(EncodeError::TooLong {
            field: "token",
            len: value.len(),
            max: MAX_TOKEN,
        });
    }
    Ok(())
}

impl fmt::Debug for Token {
    /// Values are secrets: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { alias } => f.debug_struct("Delete").field("alias", alias).finish(),
            Self::Register { alias, kind, value } => f
                .debug_struct("Register")
                .field("alias", alias)
                .field("kind", kind)
                .field("value", &format_args!("<{} bytes>", value.len()))
                .finish(),
            Self::UseAlias { alias } => f.debug_struct("UseAlias").field("alias", alias).finish(),
            Self::UseValue { kind, value } => f
                .debug_struct("UseValue")
                .field("kind", kind)
                .field("value", &format_args!("<{} bytes>", value.len()))
                .finish(),
        }
    }
}
