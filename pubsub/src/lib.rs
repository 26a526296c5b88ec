//! MoQ Transport (draft-18): codec, session, tracks and fan-out as plain state machines, and an async API over QUIC and WebTransport.

pub mod fanout;
#[cfg(feature = "net")]
pub mod net;
pub mod session;
pub mod track;
pub mod wire;
