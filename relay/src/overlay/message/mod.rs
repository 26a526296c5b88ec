//! The records of the gossip between neighbours; `docs/gossip.md` is their specification.
//!
//! One MoQT track per direction carries objects of at most [`MAX_OBJECT`] bytes, and each object is a run of records
//! `type, length, body`. Unknown types are skipped, so that newer nodes can say more; a known record must be read to its last byte.
//! Node ids that repeat are replaced by aliases while an object is written and back while it is read ([`AliasWriter`],
//! [`AliasReader`]); nobody else meets them. Who may send what, and how often, is decided elsewhere.

mod alias;
mod field;
pub mod kind;
mod life;
mod link;
mod log;
mod member;
mod object;
mod pulls;
mod route;
mod view;

use bytes::BytesMut;
use headwater_pubsub::wire::{DecodeError, EncodeError};

use crate::overlay::id::NodeId;
pub use alias::{AliasReader, AliasWriter, MAX_ALIASES};
use field::{Body, In, Out};
pub use field::{Hash, Signature};
pub use life::Life;
pub use link::{DownHint, Hello, Link, Roles, VERSION};
pub use log::{Attributes, Change, Entry, Have, Head, LogPull, LogPush, MAX_CHUNK, MAX_CONTENT_KEY};
pub use member::{Credential, MAX_ADDRESS, MAX_ADDRESSES, MAX_CERTIFICATE, MAX_REVOCATION, PeerRecord};
pub use object::{Fit, ObjectReader, ObjectWriter};
pub use pulls::{MAX_PULLS, NamespaceHash, NodePulls, Pull, StatusPulls};
pub use route::{Beacon, Row, SEQ_REQ_TTL, SeqReq};
pub use view::{
    Hop, Last, LinkHealth, LinkSummary, MAX_LINKS, MAX_NODE_NAME, StatusRep, StatusReq, Summary, TRACE_TTL,
    TraceRep, TraceReq, Upstream,
};

/// Longest object in bytes.
pub const MAX_OBJECT: usize = 64 << 10;

/// One thing that a neighbour says. ALIAS is not among them: readers and writers of objects see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// HELLO
    Hello(Hello),
    /// SNAPSHOT_END
    SnapshotEnd,
    /// ECHO: the sender's clock in microseconds, from any start.
    Echo(u64),
    /// ECHO_REPLY: the clock of the ECHO that it answers.
    EchoReply(u64),
    /// LINK
    Link(Link),
    /// ROUTE
    Route(Vec<Row>),
    /// BEACON
    Beacon(Beacon),
    /// SEQ_REQ
    SeqReq(SeqReq),
    /// RESET_ACK, of this origin.
    ResetAck(NodeId),
    /// LOG_HAVE
    LogHave(Vec<Have>),
    /// LOG_PUSH
    LogPush(LogPush),
    /// LOG_PULL
    LogPull(LogPull),
    /// LOG_PRUNE, of this origin.
    LogPrune(NodeId),
    /// LOG_GRAFT, of this origin.
    LogGraft(NodeId),
    /// TRACE_REQ
    TraceReq(TraceReq),
    /// TRACE_REP
    TraceRep(TraceRep),
    /// STATUS_REQ
    StatusReq(StatusReq),
    /// STATUS_REP
    StatusRep(StatusRep),
    /// STATUS_PULLS
    StatusPulls(StatusPulls),
    /// DOWN_HINT
    DownHint(DownHint),
    /// PEERS
    Peers(Vec<PeerRecord>),
    /// DIGEST: a hash over what the sender sent last of each row and log version; `docs/gossip.md` says how it is taken.
    Digest(Hash),
    /// REVOKE or CERTIFICATE
    Credential(Credential),
    /// LIFE
    Life(Life),
}

impl Record {
    /// Its type on the wire.
    pub const fn kind(&self) -> u64 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::SnapshotEnd => kind::SNAPSHOT_END,
            Self::Echo(_) => kind::ECHO,
            Self::EchoReply(_) => kind::ECHO_REPLY,
            Self::Link(_) => kind::LINK,
            Self::Route(_) => kind::ROUTE,
            Self::Beacon(_) => kind::BEACON,
            Self::SeqReq(_) => kind::SEQ_REQ,
            Self::ResetAck(_) => kind::RESET_ACK,
            Self::LogHave(_) => kind::LOG_HAVE,
            Self::LogPush(_) => kind::LOG_PUSH,
            Self::LogPull(_) => kind::LOG_PULL,
            Self::LogPrune(_) => kind::LOG_PRUNE,
            Self::LogGraft(_) => kind::LOG_GRAFT,
            Self::TraceReq(_) => kind::TRACE_REQ,
            Self::TraceRep(_) => kind::TRACE_REP,
            Self::StatusReq(_) => kind::STATUS_REQ,
            Self::StatusRep(_) => kind::STATUS_REP,
            Self::StatusPulls(_) => kind::STATUS_PULLS,
            Self::DownHint(_) => kind::DOWN_HINT,
            Self::Peers(_) => kind::PEERS,
            Self::Digest(_) => kind::DIGEST,
            Self::Credential(credential) => credential.kind(),
            Self::Life(_) => kind::LIFE,
        }
    }

    /// The body; aliases that it needs first are left in `aliases`.
    fn body(&self, aliases: &mut AliasWriter) -> Result<BytesMut, EncodeError> {
        let mut out = Out {
            buf: BytesMut::new(),
            aliases,
        };
        match self {
            Self::Hello(body) => body.encode(&mut out)?,
            Self::SnapshotEnd => {}
            Self::Echo(clock) | Self::EchoReply(clock) => out.int(*clock),
            Self::Link(body) => body.encode(&mut out)?,
            Self::Route(rows) => encode_all(rows, &mut out)?,
            Self::Beacon(body) => body.encode(&mut out)?,
            Self::SeqReq(body) => body.encode(&mut out)?,
            Self::ResetAck(node) | Self::LogPrune(node) | Self::LogGraft(node) => drop(out.node(*node)),
            Self::LogHave(haves) => encode_all(haves, &mut out)?,
            Self::LogPush(body) => body.encode(&mut out)?,
            Self::LogPull(body) => body.encode(&mut out)?,
            Self::TraceReq(body) => body.encode(&mut out)?,
            Self::TraceRep(body) => body.encode(&mut out)?,
            Self::StatusReq(body) => body.encode(&mut out)?,
            Self::StatusRep(body) => body.encode(&mut out)?,
            Self::StatusPulls(body) => body.encode(&mut out)?,
            Self::DownHint(body) => body.encode(&mut out)?,
            Self::Peers(records) => encode_all(records, &mut out)?,
            Self::Digest(hash) => out.bytes(&hash.0),
            Self::Credential(credential) => credential.encode(&mut out)?,
            Self::Life(body) => body.encode(&mut out)?,
        }
        Ok(out.buf)
    }

    /// Reads a body to its end. `None`: a type that is not known, or ALIAS, which is noted.
    fn decode(kind: u64, input: &mut In<'_>) -> Result<Option<Self>, DecodeError> {
        let record = match kind {
            kind::HELLO => Self::Hello(Body::decode(input)?),
            kind::SNAPSHOT_END => Self::SnapshotEnd,
            kind::ECHO => Self::Echo(input.int()?),
            kind::ECHO_REPLY => Self::EchoReply(input.int()?),
            kind::LINK => Self::Link(Body::decode(input)?),
            kind::ALIAS => {
                while !input.is_empty() {
                    let (alias, id) = (input.int()?, input.id()?);
                    input.aliases.define(alias, id)?;
                }
                return Ok(None);
            }
            kind::ROUTE => Self::Route(decode_all(input)?),
            kind::BEACON => Self::Beacon(Body::decode(input)?),
            kind::SEQ_REQ => Self::SeqReq(Body::decode(input)?),
            kind::RESET_ACK => Self::ResetAck(input.node()?),
            kind::LOG_HAVE => Self::LogHave(decode_all(input)?),
            kind::LOG_PUSH => Self::LogPush(Body::decode(input)?),
            kind::LOG_PULL => Self::LogPull(Body::decode(input)?),
            kind::LOG_PRUNE => Self::LogPrune(input.node()?),
            kind::LOG_GRAFT => Self::LogGraft(input.node()?),
            kind::TRACE_REQ => Self::TraceReq(Body::decode(input)?),
            kind::TRACE_REP => Self::TraceRep(Body::decode(input)?),
            kind::STATUS_REQ => Self::StatusReq(Body::decode(input)?),
            kind::STATUS_REP => Self::StatusRep(Body::decode(input)?),
            kind::STATUS_PULLS => Self::StatusPulls(Body::decode(input)?),
            kind::DOWN_HINT => Self::DownHint(Body::decode(input)?),
            kind::PEERS => Self::Peers(decode_all(input)?),
            kind::DIGEST => Self::Digest(Hash(input.array()?)),
            kind::REVOKE => Self::Credential(Credential::revocation(input)?),
            kind::CERTIFICATE => Self::Credential(Credential::certificate(input)?),
            kind::LIFE => Self::Life(Body::decode(input)?),
            _ => return Ok(None),
        };
        input.reader.finish()?;
        Ok(Some(record))
    }
}

fn encode_all(items: &[impl Body], out: &mut Out<'_>) -> Result<(), EncodeError> {
    items.iter().try_for_each(|item| item.encode(out))
}

fn decode_all<T: Body>(input: &mut In<'_>) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !input.is_empty() {
        items.push(T::decode(input)?);
    }
    Ok(items)
}

#[cfg(test)]
pub(crate) mod strategy;
#[cfg(test)]
mod tests;
