//! Sessions over QUIC and WebTransport: the only part of this crate that knows tokio, sockets and clocks.

mod client;
mod clock;
mod congestion;
mod connection_id;
mod discovery;
mod driver;
mod egress;
mod endpoint;
mod ingest;
mod object_stream;
mod publisher;
mod queue;
mod reader;
mod session;
mod subscriber;
mod transport;

pub use client::{
    Client, ConnectError, ConnectOptions, Goaway, GoawayWatch, RequestEnd, RequestFailed, TrackStatus,
    TrackStatusOptions, attach, connect,
};
pub use clock::Clock;
pub use discovery::{NamespaceChange, NamespaceReader, TrackEvent, TrackOffer, TrackOffers};
pub use driver::{Driver, SessionEnd};
pub use egress::gather_wakes;
pub use endpoint::{
    ALPN_H3, AcceptError, Accepted, DialError, Dialer, EndpointError, EndpointSecret, PortSharing,
    QuicLimits, accept, bind, client, server,
};
pub use ingest::{FillSink, Sink};
pub use object_stream::{ObjectStream, ObjectStreamError};
pub use publisher::{
    GroupWriter, NamespacePublication, ObjectWriter, Publication, PublishOptions, PublishedTrack, StreamEnd,
    SubgroupWriter, TrackWriter,
};
pub use queue::{NotQueued, ObjectReceiver, ObjectSender, object_queue};
pub use reader::{MAX_READ_OBJECT, ReceivedObject};
pub use session::{DataEvent, Handler, SessionHandle, Volume};
pub use subscriber::{
    FetchCut, FetchEnd, FetchOptions, FetchReader, Ordered, OrderedOptions, Past, Position, SubscribeOptions,
    Subscriber, SubscriptionChange,
};
pub use transport::{PathStats, Transport, TransportClosed, plain};
