//! What can be wrong with bytes, and with values that should become bytes.

use crate::wire::code::SessionCode;

/// Why bytes from the peer cannot be understood. Always the peer's fault, always fatal to the session: [`Self::code`] is what
/// to close it with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message, datagram or nested structure ended inside a field, or a stream ended inside an object.
    #[error("ends in the middle of a field")]
    Truncated,
    /// A message or nested structure is longer than its fields.
    #[error("{0} bytes beyond the last field")]
    Leftover(usize),
    /// A type that this version does not define, where unknown ones cannot be skipped.
    #[error("unknown {what} {value:#x}")]
    UnknownType {
        /// What kind of type: message, stream, parameter ...
        what: &'static str,
        /// The type received.
        value: u64,
    },
    /// A field holds a value that the draft forbids.
    #[error("{field} cannot be {value:#x}")]
    InvalidValue {
        /// The field.
        field: &'static str,
        /// The value received.
        value: u64,
    },
    /// A length exceeds the draft's limit, or ours where the draft has none.
    #[error("{field} of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The length received.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A delta leads outside of 0 to 2^64 - 1.
    #[error("{0} out of range")]
    OutOfRange(&'static str),
    /// Something is present twice, or where it may not be, or missing where it must be.
    #[error("{0}")]
    Misplaced(&'static str),
    /// A parameter in a message where it may not be, or twice.
    #[error("parameter {0:#x} is not allowed here")]
    MisplacedParameter(u64),
    /// A namespace or name breaks the draft's limits.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A key-value pair or token does not have the shape of its type.
    #[error("{0} is not well formed")]
    KeyValueFormatting(&'static str),
    /// The PATH setup option is not a URI path and query.
    #[error("PATH is not the path of a URI")]
    MalformedPath,
    /// The AUTHORITY setup option is not a URI authority.
    #[error("AUTHORITY is not the authority of a URI")]
    MalformedAuthority,
}

impl DecodeError {
    /// The code to close the session with (draft section "Termination").
    pub const fn code(&self) -> SessionCode {
        match self {
            Self::KeyValueFormatting(_) => SessionCode::KEY_VALUE_FORMATTING_ERROR,
            Self::MalformedPath => SessionCode::MALFORMED_PATH,
            Self::MalformedAuthority => SessionCode::MALFORMED_AUTHORITY,
            Self::Truncated
            | Self::Leftover(_)
            | Self::UnknownType { .. }
            | Self::InvalidValue { .. }
            | Self::TooLong { .. }
            | Self::OutOfRange(_)
            | Self::Misplaced(_)
            | Self::MisplacedParameter(_)
            | Self::Name(_) => SessionCode::PROTOCOL_VIOLATION,
        }
    }
}

/// Why a value cannot be put on the wire. Always the caller's fault; what was written to the buffer so far is not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field or a whole message is longer than the draft allows.
    #[error("{field} of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Fields contradict each other, or an object does not follow the one before.
    #[error("{0}")]
    Inconsistent(&'static str),
    /// Even property types hold an integer, odd ones bytes.
    #[error("property {0:#x} holds the wrong kind of value for its type")]
    PropertyShape(u64),
}

/// Why bytes are not a namespace or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// More than 32 namespace fields.
    #[error("a namespace has at most 32 fields")]
    TooManyFields,
    /// A namespace field without a byte.
    #[error("a namespace field has at least one byte")]
    EmptyField,
    /// Fields and name add up to more than 4096 bytes.
    #[error("a full track name has at most 4096 bytes")]
    TooLong,
}

/// Why a text is not the serialised form of a namespace or full track name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameTextError {
    /// A character that must be written as `.hh`.
    #[error("byte {0} of the text must be written as a period and two hex digits")]
    Character(usize),
    /// A period without two lower-case hex digits, or with those of a character that stands for itself.
    #[error("byte {0} of the text does not begin a canonical escape")]
    Escape(usize),
    /// No `--` between namespace and track name, or a hyphen after it.
    #[error("a full track name is a namespace, two hyphens and a track name")]
    Separator,
    /// The text is well formed, what it says is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
}
