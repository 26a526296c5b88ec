//! Error and status codes: newtypes that keep unknown values, which peers may send at any time (draft section "Grease").

use std::fmt;

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident, unknown as $fallback:ident, {
        $($(#[$code_meta:meta])* $code:ident = $value:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            $($(#[$code_meta])* pub const $code: Self = Self($value);)+

            /// Every code that the draft defines, with its name.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$code, stringify!($code)),)+];

            /// A code as received, known or not.
            pub const fn new(code: u64) -> Self {
                Self(code)
            }

            /// The number on the wire.
            pub const fn into_inner(self) -> u64 {
                self.0
            }

            /// The draft's name of the code, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($code)),)+
                    _ => None,
                }
            }

            /// The code to act on: itself if the draft defines it, else INTERNAL_ERROR.
            #[must_use]
            pub const fn known(self) -> Self {
                if self.name().is_some() { self } else { Self::$fallback }
            }
        }

        impl From<u64> for $name {
            fn from(code: u64) -> Self {
                Self(code)
            }
        }

        impl From<$name> for u64 {
            fn from(code: $name) -> Self {
                code.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

codes! {
    /// Why a session ended (draft section "Session Termination Error Codes").
    SessionCode, unknown as INTERNAL_ERROR, {
        /// The session ended without an error.
        NO_ERROR = 0x0,
        /// Specific to the implementation; also what unknown codes mean.
        INTERNAL_ERROR = 0x1,
        /// The client may not open a session.
        UNAUTHORIZED = 0x2,
        /// The peer did what the draft forbids.
        PROTOCOL_VIOLATION = 0x3,
        /// A Request ID of the wrong parity, or used before.
        INVALID_REQUEST_ID = 0x4,
        /// A Track Alias that another track has.
        DUPLICATE_TRACK_ALIAS = 0x5,
        /// A key-value pair that does not have the shape of its type.
        KEY_VALUE_FORMATTING_ERROR = 0x6,
        /// PATH from a server, on WebTransport, or not served here.
        INVALID_PATH = 0x8,
        /// PATH is not the path of a URI.
        MALFORMED_PATH = 0x9,
        /// The peer did not close in time after GOAWAY.
        GOAWAY_TIMEOUT = 0x10,
        /// The peer did not answer a control message in time.
        CONTROL_MESSAGE_TIMEOUT = 0x11,
        /// The peer did not go on with a data stream in time.
        DATA_STREAM_TIMEOUT = 0x12,
        /// Registered tokens exceed the limit we set.
        AUTH_TOKEN_CACHE_OVERFLOW = 0x13,
        /// A token alias that is in use.
        DUPLICATE_AUTH_TOKEN_ALIAS = 0x14,
        /// No common version.
        VERSION_NEGOTIATION_FAILED = 0x15,
        /// A token that cannot be read by the rules of its type.
        MALFORMED_AUTH_TOKEN = 0x16,
        /// No token has this alias.
        UNKNOWN_AUTH_TOKEN_ALIAS = 0x17,
        /// The token's time is over.
        EXPIRED_AUTH_TOKEN = 0x18,
        /// AUTHORITY from a server, on WebTransport, or not served here.
        INVALID_AUTHORITY = 0x19,
        /// AUTHORITY is not the authority of a URI.
        MALFORMED_AUTHORITY = 0x1A,
    }
}

codes! {
    /// Why a request was refused (draft section "REQUEST_ERROR Codes").
    RequestErrorCode, unknown as INTERNAL_ERROR, {
        /// Specific to the implementation; also what unknown codes mean.
        INTERNAL_ERROR = 0x0,
        /// Not allowed to do this.
        UNAUTHORIZED = 0x1,
        /// Nothing came in time.
        TIMEOUT = 0x2,
        /// The endpoint does not do such requests.
        NOT_SUPPORTED = 0x3,
        /// A token that cannot be read by the rules of its type.
        MALFORMED_AUTH_TOKEN = 0x4,
        /// The token's time is over.
        EXPIRED_AUTH_TOKEN = 0x5,
        /// The endpoint is leaving.
        GOING_AWAY = 0x6,
        /// Overloaded; see the retry interval.
        EXCESSIVE_LOAD = 0x9,
        /// No such track or namespace.
        DOES_NOT_EXIST = 0x10,
        /// The range cannot be served.
        INVALID_RANGE = 0x11,
        /// The track breaks the rules of tracks.
        MALFORMED_TRACK = 0x12,
        /// The session has a subscription to this track in this role.
        DUPLICATE_SUBSCRIPTION = 0x19,
        /// The subscriber does not want it.
        UNINTERESTED = 0x20,
        /// The prefix overlaps another one of the session.
        PREFIX_OVERLAP = 0x30,
        /// The prefix matches too many namespaces.
        NAMESPACE_TOO_LARGE = 0x31,
        /// The joining fetch names no subscription.
        INVALID_JOINING_REQUEST_ID = 0x32,
        /// The track has a mandatory property that is not understood.
        UNSUPPORTED_EXTENSION = 0x33,
        /// Try elsewhere; the message says where.
        REDIRECT = 0x34,
    }
}

codes! {
    /// Why a subscription ended (draft section "PUBLISH_DONE Codes").
    PublishDoneCode, unknown as INTERNAL_ERROR, {
        /// Specific to the implementation; also what unknown codes mean.
        INTERNAL_ERROR = 0x0,
        /// No longer allowed.
        UNAUTHORIZED = 0x1,
        /// The track is no longer published.
        TRACK_ENDED = 0x2,
        /// The end of the subscription's range was reached.
        SUBSCRIPTION_ENDED = 0x3,
        /// One side is leaving.
        GOING_AWAY = 0x4,
        /// The subscriber is too slow.
        TOO_FAR_BEHIND = 0x5,
        /// The subscription's time is over.
        EXPIRED = 0x6,
        /// A REQUEST_UPDATE failed.
        UPDATE_FAILED = 0x8,
        /// Overloaded.
        EXCESSIVE_LOAD = 0x9,
        /// The track breaks the rules of tracks.
        MALFORMED_TRACK = 0x12,
    }
}

codes! {
    /// Why a stream was reset or stopped (draft section "Stream Reset Error Codes").
    StreamCode, unknown as INTERNAL_ERROR, {
        /// Specific to the implementation; also what unknown codes mean.
        INTERNAL_ERROR = 0x0,
        /// One side no longer wants it.
        CANCELLED = 0x1,
        /// A delivery timeout passed.
        DELIVERY_TIMEOUT = 0x2,
        /// The session is closing.
        SESSION_CLOSED = 0x3,
        /// The endpoint is leaving.
        GOING_AWAY = 0x4,
        /// The subscriber is too slow.
        TOO_FAR_BEHIND = 0x5,
        /// The status of the next object of a fetch cannot be found out.
        UNKNOWN_OBJECT_STATUS = 0x6,
        /// The token's time is over.
        EXPIRED_AUTH_TOKEN = 0x7,
        /// Overloaded.
        EXCESSIVE_LOAD = 0x9,
        /// The track breaks the rules of tracks.
        MALFORMED_TRACK = 0x12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_are_kept_and_mean_internal_error() {
        let grease = RequestErrorCode::new(0x9d);
        assert_eq!(grease.into_inner(), 0x9d);
        assert_eq!(grease.known(), RequestErrorCode::INTERNAL_ERROR);
        assert_eq!(grease.to_string(), "0x9d");
        assert_eq!(SessionCode::new(0x11c).known(), SessionCode::new(1));
        assert_eq!(StreamCode::new(0x12).known(), StreamCode::MALFORMED_TRACK);
        assert_eq!(format!("{:?}", PublishDoneCode::new(5)), "TOO_FAR_BEHIND");
    }
}
