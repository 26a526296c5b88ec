//! Two clients, one at each end of a session over loopback: every story runs over raw QUIC and over WebTransport.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod cut;
mod discovery;
mod elsewhere;
mod ending;
mod fetch;
mod harness;
mod hole;
mod object_stream;
mod publish;
mod resume;
mod subscribe;
