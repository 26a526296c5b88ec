//! Where stream codes live on the wire, and why a transport is gone.

use quinn::VarInt;
use web_transport_quinn::proto::{error_from_http3, error_to_http3};

use crate::wire::{SessionCode, StreamCode};

/// Where stream codes live on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeSpace {
    /// As they are.
    Quic,
    /// Mapped into HTTP/3 error codes.
    Http3,
}

impl CodeSpace {
    pub(super) fn encode(self, code: StreamCode) -> VarInt {
        let code = u64::from(code);
        let code = match self {
            Self::Quic => code,
            Self::Http3 => error_to_http3(u32::try_from(code).unwrap_or(0)),
        };
        VarInt::from_u64(code).unwrap_or(VarInt::MAX)
    }

    /// A code outside the space is INTERNAL_ERROR to us (draft section "Grease").
    pub(super) fn decode(self, code: VarInt) -> StreamCode {
        match self {
            Self::Quic => StreamCode::from(code.into_inner()),
            Self::Http3 => error_from_http3(code.into_inner()).map_or(StreamCode::INTERNAL_ERROR, |code| {
                StreamCode::from(u64::from(code))
            }),
        }
    }
}

/// Why a session's transport is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportClosed {
    /// The peer closed the session with a code and a reason.
    #[error("closed by the peer: {code}{}", Reason(.reason))]
    Peer {
        /// The session code.
        code: SessionCode,
        /// For people.
        reason: String,
    },
    /// We closed it.
    #[error("closed by us")]
    Local,
    /// Nothing was heard from the peer for the idle timeout.
    #[error("timed out: nothing was heard from the peer")]
    TimedOut,
    /// QUIC itself failed: reset, TLS alert, violation.
    #[error("connection lost: {0}")]
    Lost(String),
}

struct Reason<'a>(&'a str);

impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0.escape_debug())
        }
    }
}

impl TransportClosed {
    pub(super) fn from_quic(error: &quinn::ConnectionError, space: CodeSpace) -> Self {
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => {
                let code = match space {
                    CodeSpace::Quic => close.error_code.into_inner(),
                    CodeSpace::Http3 => error_from_http3(close.error_code.into_inner()).map_or(0, u64::from),
                };
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                Self::Peer {
                    code: SessionCode::from(code),
                    reason,
                }
            }
            quinn::ConnectionError::LocallyClosed => Self::Local,
            quinn::ConnectionError::TimedOut => Self::TimedOut,
            other => Self::Lost(other.to_string()),
        }
    }

    pub(super) fn from_web_transport(error: &web_transport_quinn::SessionError) -> Self {
        match error {
            web_transport_quinn::SessionError::ConnectionError(error) => {
                Self::from_quic(error, CodeSpace::Http3)
            }
            web_transport_quinn::SessionError::WebTransportError(
                web_transport_quinn::WebTransportError::Closed(code, reason),
            ) => Self::Peer {
                code: SessionCode::from(u64::from(*code)),
                reason: reason.clone(),
            },
            other => Self::Lost(other.to_string()),
        }
    }
}
