//! The table of record types. All are below 0x80, so that a type takes one byte.

/// Who the sender is; first on the track.
pub const HELLO: u64 = 0x01;
/// All tables were sent once; from here on only changes.
pub const SNAPSHOT_END: u64 = 0x02;
/// Asks for an [`ECHO_REPLY`].
pub const ECHO: u64 = 0x03;
/// Gives the clock of an [`ECHO`] back.
pub const ECHO_REPLY: u64 = 0x04;
/// Packets sent and lost by the sender.
pub const LINK: u64 = 0x05;
/// Short numbers for node ids.
pub const ALIAS: u64 = 0x06;
/// Rows of the distance table.
pub const ROUTE: u64 = 0x07;
/// An origin's signature under its sequence number.
pub const BEACON: u64 = 0x08;
/// Asks for a newer sequence number.
pub const SEQ_REQ: u64 = 0x09;
/// The sender no longer pulls this origin from the receiver.
pub const RESET_ACK: u64 = 0x0a;
/// Versions of logs that the sender holds.
pub const LOG_HAVE: u64 = 0x10;
/// Entries of a log.
pub const LOG_PUSH: u64 = 0x11;
/// Asks for entries of a log.
pub const LOG_PULL: u64 = 0x12;
/// Push no more entries of this origin to me.
pub const LOG_PRUNE: u64 = 0x13;
/// Push entries of this origin to me again.
pub const LOG_GRAFT: u64 = 0x14;
/// Asks for the path to an origin.
pub const TRACE_REQ: u64 = 0x18;
/// The path, from the one asked to the origin.
pub const TRACE_REP: u64 = 0x19;
/// Asks for summaries of nodes.
pub const STATUS_REQ: u64 = 0x1a;
/// Summaries of nodes.
pub const STATUS_REP: u64 = 0x1b;
/// A neighbour seems dead: probe yours.
pub const DOWN_HINT: u64 = 0x1c;
/// Where nodes can be reached, signed by them.
pub const PEERS: u64 = 0x1d;
/// A hash over what the sender believes it has sent.
pub const DIGEST: u64 = 0x1e;
/// The mesh authority takes a node's certificates back.
pub const REVOKE: u64 = 0x1f;
/// The mesh authority makes a node a member.
pub const CERTIFICATE: u64 = 0x20;
/// A run of a node says that it lives.
pub const LIFE: u64 = 0x21;
/// From where nodes get what they serve, as a part of the answer to a [`STATUS_REQ`].
pub const STATUS_PULLS: u64 = 0x22;
