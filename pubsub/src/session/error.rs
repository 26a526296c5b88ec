//! What can go wrong in a session, and whose fault it is.
//!
//! A [`Violation`] is the peer's: it closes the session with its code. [`RequestRefused`] and [`IllegalMove`] are ours: the
//! call did nothing, the session goes on.

use crate::wire::{DecodeError, EncodeError, SessionCode};

/// The peer broke a rule that ends the session (draft section "Termination").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: SessionCode,
    pub(super) reason: String,
}

impl Violation {
    pub(super) fn new(code: SessionCode, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
        }
    }

    pub(super) fn protocol(reason: &str) -> Self {
        Self::new(SessionCode::PROTOCOL_VIOLATION, reason)
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self {
            code: error.code(),
            reason: error.to_string(),
        }
    }
}

/// Why a new request of ours was not sent. Nothing was queued and no Request ID was used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestRefused {
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// The peer sent GOAWAY: ask elsewhere.
    #[error("the peer is going away")]
    GoingAway,
    /// This session already has a subscription to the track, with the same extension parameters, in which we have the same role, or an offer or request of the
    /// peer for it that we should answer instead.
    #[error("the session already has a subscription to this track in the same role")]
    Duplicate,
    /// The namespace is `.`, or is `.session` and the request would publish.
    #[error("the namespace is reserved")]
    Reserved,
    /// We told the peer by PUBLISH_BLOCKED that this track will not be published.
    #[error("the track was reported as blocked")]
    Blocked,
    /// A joining fetch names something else than a subscription of ours that is requested or established.
    #[error("a joining fetch needs a subscription of this session")]
    NotASubscription,
    /// A parameter is not allowed in this message.
    #[error("a parameter is not allowed in this message")]
    Parameter(#[source] DecodeError),
    /// The message cannot be encoded.
    #[error("the message cannot be encoded")]
    Encode(#[from] EncodeError),
}

/// Why an operation on an existing request is not legal now. Nothing was queued.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalMove {
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// The request has ended (perhaps just now, by the peer) or never was.
    #[error("no such request, or it has ended")]
    Ended,
    /// The request is of another kind, was already answered, or is not answered yet.
    #[error("not legal while the request is {state}")]
    State {
        /// What the request is.
        state: &'static str,
    },
    /// The name is not under the prefix of the namespace subscription.
    #[error("the name is not under the prefix asked for")]
    NotUnderPrefix,
    /// NAMESPACE would exceed the limit of namespaces per SUBSCRIBE_NAMESPACE.
    #[error("too many namespaces for one subscription")]
    TooManyNamespaces,
    /// GOAWAY was sent already, or has a URI although we are the client.
    #[error("GOAWAY cannot be sent twice, nor with a URI by a client")]
    Goaway,
    /// A parameter is not allowed in this message.
    #[error("a parameter is not allowed in this message")]
    Parameter(#[source] DecodeError),
    /// The message cannot be encoded.
    #[error("the message cannot be encoded")]
    Encode(#[from] EncodeError),
}
