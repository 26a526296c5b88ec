//! SETUP: the first message of each control stream.

use bytes::{Bytes, BytesMut};

use super::Body;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::parameter::Token;
use crate::wire::property::{MAX_VALUE, Properties, PropertyError, PropertyValue};
use crate::wire::reader::Reader;

const PATH: u64 = 0x01;
const AUTHORIZATION_TOKEN: u64 = 0x03;
const MAX_AUTH_TOKEN_CACHE_SIZE: u64 = 0x04;
const AUTHORITY: u64 = 0x05;
const MOQT_IMPLEMENTATION: u64 = 0x07;

/// SETUP options. Those that the draft does not define are kept in [`Self::extensions`] and change nothing by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// PATH (0x01): path and query of the URI; only from a client on raw QUIC.
    pub path: Option<Bytes>,
    /// AUTHORITY (0x05): authority of the URI; only from a client on raw QUIC.
    pub authority: Option<Bytes>,
    /// AUTHORIZATION_TOKEN (0x03), in the order sent.
    pub authorization_tokens: Vec<Token>,
    /// MAX_AUTH_TOKEN_CACHE_SIZE (0x04) in bytes; absent means 0.
    pub max_auth_token_cache_size: Option<u64>,
    /// MOQT_IMPLEMENTATION (0x07), name and version of the sender; UTF-8 is expected but not guaranteed.
    pub implementation: Option<Bytes>,
    /// Every other option, possibly repeated: extensions that both sides may agree on, and grease.
    pub extensions: Properties,
}

impl Body for Setup {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        let mut options = Properties::builder();
        for (kind, value) in [
            (PATH, &self.path),
            (AUTHORITY, &self.authority),
            (MOQT_IMPLEMENTATION, &self.implementation),
        ] {
            if let Some(value) = value {
                options = options.bytes(kind, value.clone());
            }
        }
        for token in &self.authorization_tokens {
            let mut value = BytesMut::new();
            token.encode(&mut value)?;
            options = options.bytes(AUTHORIZATION_TOKEN, value.freeze());
        }
        if let Some(size) = self.max_auth_token_cache_size {
            options = options.int(MAX_AUTH_TOKEN_CACHE_SIZE, size);
        }
        for extension in self.extensions.iter() {
            let extension =
                extension.map_err(|_error| EncodeError::Inconsistent("unreadable setup extensions"))?;
            options = match extension.value {
                PropertyValue::Int(value) => options.int(extension.kind, value),
                PropertyValue::Bytes(value) => options.bytes(extension.kind, Bytes::copy_from_slice(value)),
            };
        }
        // Setup Options have the same form as properties, in a number space of their own.
        buf.extend_from_slice(options.build()?.as_bytes());
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let options = Properties::from_bytes(reader.rest());
        let mut setup = Self::default();
        let mut extensions = Properties::builder();
        for option in options.iter() {
            let option = option.map_err(option_error)?;
            match (option.kind, option.value) {
                (PATH, PropertyValue::Bytes(value)) => once(&mut setup.path, check_path(value)?)?,
                (AUTHORIZATION_TOKEN, PropertyValue::Bytes(value)) => {
                    setup.authorization_tokens.push(decode_token(value)?);
                }
                (MAX_AUTH_TOKEN_CACHE_SIZE, PropertyValue::Int(size)) => {
                    once(&mut setup.max_auth_token_cache_size, size)?
                }
                (AUTHORITY, PropertyValue::Bytes(value)) => {
                    once(&mut setup.authority, check_authority(value)?)?
                }
                (MOQT_IMPLEMENTATION, PropertyValue::Bytes(value)) => {
                    once(&mut setup.implementation, Bytes::copy_from_slice(value))?;
                }
                (kind, PropertyValue::Int(value)) => extensions = extensions.int(kind, value),
                (kind, PropertyValue::Bytes(value)) => {
                    extensions = extensions.bytes(kind, Bytes::copy_from_slice(value))
                }
            }
        }
        setup.extensions = extensions
            .build()
            .map_err(|_error| DecodeError::KeyValueFormatting("setup option"))?;
        Ok(setup)
    }
}

/// What an unreadable option means: a broken value of a type we know is told apart from the rest.
const fn option_error(error: PropertyError) -> DecodeError {
    match error {
        PropertyError::Truncated {
            kind:
                Some(PATH | AUTHORIZATION_TOKEN | MAX_AUTH_TOKEN_CACHE_SIZE | AUTHORITY | MOQT_IMPLEMENTATION),
        } => DecodeError::KeyValueFormatting("setup option"),
        PropertyError::Truncated { .. } => DecodeError::Truncated,
        PropertyError::TypeOverflow => DecodeError::OutOfRange("setup option type"),
        PropertyError::TooLong(len) => DecodeError::TooLong {
            field: "setup option",
            len,
            max: MAX_VALUE as u64,
        },
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Misplaced("a setup option is repeated")),
    }
}

fn decode_token(value: &[u8]) -> Result<Token, DecodeError> {
    match Token::decode(Bytes::copy_from_slice(value))? {
        // draft "AUTHORIZATION TOKEN Parameter": no alias exists yet that could be meant.
        Token::Delete { .. } | Token::UseAlias { .. } => {
            Err(DecodeError::Misplaced("a token alias is referred to in SETUP"))
        }
        token @ (Token::Register { .. } | Token::UseValue { .. }) => Ok(token),
    }
}

/// `path-abempty [ "?" query ]` of RFC 3986.
fn check_path(value: &[u8]) -> Result<Bytes, DecodeError> {
    let starts_well = matches!(value.first(), None | Some(b'/' | b'?'));
    if !starts_well || !is_uri_text(value, b":@/?") {
        return Err(DecodeError::MalformedPath);
    }
    Ok(Bytes::copy_from_slice(value))
}

/// The characters that an authority of RFC 3986 is made of; what it names is for the session to judge.
fn check_authority(value: &[u8]) -> Result<Bytes, DecodeError> {
    if !is_uri_text(value, b":@[]") {
        return Err(DecodeError::MalformedAuthority);
    }
    Ok(Bytes::copy_from_slice(value))
}

/// Whether `text` has only unreserved characters, sub-delimiters, percent escapes and `extra`.
fn is_uri_text(text: &[u8], extra: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match tail {
            [high, low, tail @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                tail
            }
            _ if byte.is_ascii_alphanumeric()
                || b"-._~!$&'()*+,;=".contains(&byte)
                || extra.contains(&byte) =>
            {
                tail
            }
            _ => return false,
        };
    }
    true
}
