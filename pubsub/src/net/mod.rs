//! Sessions over QUIC and WebTransport: the only part of this crate that knows tokio, sockets and clocks.

mod clock;
mod driver;
mod egress;
mod endpoint;
mod ingest;
mod reader;
mod session;
mod transport;

pub use clock::Clock;
pub use driver::{Driver, SessionEnd};
pub use endpoint::{
    ALPN_H3, AcceptError, Accepted, DialError, Dialer, EndpointError, PortSharing, QuicLimits, accept, bind,
    client, server,
};
pub use ingest::{FillSink, Sink};
pub use reader::{MAX_READ_OBJECT, ReceivedObject};
pub use session::{DataEvent, Handler, SessionHandle, Volume};
pub use transport::{PathStats, Transport, TransportClosed};
