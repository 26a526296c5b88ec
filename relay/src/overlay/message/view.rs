//! TRACE and STATUS: what people who look at the overlay ask for.
//!
//! Nodes and links only: no address, no namespace, nobody's name but the one that an operator gave the node.

use headwater_pubsub::wire::{DecodeError, EncodeError};

use super::field::{Body, In, Out, at_most};
use super::link::Roles;
use crate::overlay::id::NodeId;

/// Hops that a TRACE_REQ may travel.
pub const TRACE_TTL: u8 = 32;
/// Longest name of a node in bytes.
pub const MAX_NODE_NAME: usize = 64;
/// Most links in one summary.
pub const MAX_LINKS: usize = 64;

/// TRACE_REQ: by which path does the receiver pull an origin?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceReq {
    /// Chosen by the asker, unique in the session.
    pub request: u64,
    /// The origin.
    pub origin: NodeId,
    /// Hops left; begins at [`TRACE_TTL`].
    pub ttl: u8,
}

impl Body for TraceReq {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.request);
        out.node(self.origin);
        out.u8(self.ttl);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request: input.int()?,
            origin: input.node()?,
            ttl: input.u8()?,
        })
    }
}

/// One hop of a TRACE_REP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: NodeId,
    /// What it pulls the origin from; the origin itself and a node without route have none.
    pub upstream: Option<Upstream>,
}

/// The upstream of one [`Hop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The node pulled from.
    pub node: NodeId,
    /// What that hop costs, in microseconds.
    pub cost: u32,
    /// Smoothed round trip in microseconds.
    pub srtt: u32,
    /// For how long it has been the upstream, in milliseconds.
    pub since_ms: u64,
}

/// TRACE_REP: the path so far, first the node that was asked. The last hop has no upstream, or the trace ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRep {
    /// Of the TRACE_REQ.
    pub request: u64,
    /// At most [`TRACE_TTL`] + 1.
    pub hops: Vec<Hop>,
}

const MAX_HOPS: usize = TRACE_TTL as usize + 1;

impl Body for TraceRep {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        at_most("hops", self.hops.len(), MAX_HOPS)?;
        out.int(self.request);
        for hop in &self.hops {
            out.bytes(&hop.node.0);
            out.u8(u8::from(hop.upstream.is_some()));
            if let Some(upstream) = hop.upstream {
                out.bytes(&upstream.node.0);
                out.int(upstream.cost);
                out.int(upstream.srtt);
                out.int(upstream.since_ms);
            }
        }
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let request = input.int()?;
        let mut hops = Vec::new();
        while !input.is_empty() {
            if hops.len() == MAX_HOPS {
                return Err(DecodeError::Misplaced("more hops than a trace has"));
            }
            let node = input.id()?;
            let upstream = match input.u8()? {
                0 => None,
                1 => Some(Upstream {
                    node: input.id()?,
                    cost: input.int32("cost")?,
                    srtt: input.int32("round trip")?,
                    since_ms: input.int()?,
                }),
                value => {
                    return Err(DecodeError::InvalidValue {
                        field: "kind of hop",
                        value: value.into(),
                    });
                }
            };
            hops.push(Hop { node, upstream });
        }
        Ok(Self { request, hops })
    }
}

/// STATUS_REQ: summaries of the receiver and, while `ttl` lasts, of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusReq {
    /// Chosen by the asker, unique in the session.
    pub request: u64,
    /// Hops left; 0: the receiver only.
    pub ttl: u8,
}

impl Body for StatusReq {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.request);
        out.u8(self.ttl);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request: input.int()?,
            ttl: input.u8()?,
        })
    }
}

/// Whether media may come over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkHealth {
    /// It is alive.
    Ok,
    /// It was silent for longer than usual.
    Suspect,
    /// It was silent for so long that its routes were dropped.
    Down,
}

/// One neighbour in a [`Summary`], as the summarised node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSummary {
    /// The neighbour.
    pub node: NodeId,
    /// Whether it is alive.
    pub health: LinkHealth,
    /// What it costs to pull from it, in microseconds.
    pub cost: u32,
    /// Smoothed round trip in microseconds.
    pub srtt: u32,
    /// Loss of what it sends, in millionths.
    pub loss_ppm: u32,
}

/// One node in a STATUS_REP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The node.
    pub node: NodeId,
    /// What its operator calls it, at most [`MAX_NODE_NAME`] bytes; may be empty.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Load of its busiest resource, in thousandths.
    pub load: u32,
    /// Sessions with plain clients.
    pub clients: u64,
    /// Tracks that flow through it.
    pub tracks: u64,
    /// Its links, at most [`MAX_LINKS`].
    pub links: Vec<LinkSummary>,
}

impl Body for Summary {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        at_most("links", self.links.len(), MAX_LINKS)?;
        out.bytes(&self.node.0);
        out.prefixed("name of a node", self.name.as_bytes(), MAX_NODE_NAME)?;
        out.int(self.roles.0);
        out.int(self.uptime_s);
        out.int(self.load);
        out.int(self.clients);
        out.int(self.tracks);
        out.int(self.links.len() as u64);
        for link in &self.links {
            out.bytes(&link.node.0);
            out.u8(match link.health {
                LinkHealth::Ok => 0,
                LinkHealth::Suspect => 1,
                LinkHealth::Down => 2,
            });
            out.int(link.cost);
            out.int(link.srtt);
            out.int(link.loss_ppm);
        }
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let mut summary = Self {
            node: input.id()?,
            name: input.text("name of a node", MAX_NODE_NAME)?,
            roles: Roles(input.int()?),
            uptime_s: input.int()?,
            load: input.int32("load")?,
            clients: input.int()?,
            tracks: input.int()?,
            links: Vec::new(),
        };
        let count = input.int()?;
        if count > MAX_LINKS as u64 {
            return Err(DecodeError::InvalidValue {
                field: "number of links",
                value: count,
            });
        }
        for _ in 0..count {
            summary.links.push(LinkSummary {
                node: input.id()?,
                health: match input.u8()? {
                    0 => LinkHealth::Ok,
                    1 => LinkHealth::Suspect,
                    2 => LinkHealth::Down,
                    value => {
                        return Err(DecodeError::InvalidValue {
                            field: "health of a link",
                            value: value.into(),
                        });
                    }
                },
                cost: input.int32("cost")?,
                srtt: input.int32("round trip")?,
                loss_ppm: input.int32("loss")?,
            });
        }
        Ok(summary)
    }
}

/// Whether a STATUS_REP is the last one to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Last {
    /// Another one follows.
    No,
    /// The request is answered.
    Yes,
}

/// STATUS_REP: summaries of nodes, in as many records as they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRep {
    /// Of the STATUS_REQ.
    pub request: u64,
    /// Whether more follow.
    pub last: Last,
    /// The nodes; none twice in one answer.
    pub nodes: Vec<Summary>,
}

impl Body for StatusRep {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.request);
        out.u8(match self.last {
            Last::No => 0,
            Last::Yes => 1,
        });
        self.nodes.iter().try_for_each(|node| node.encode(out))
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let request = input.int()?;
        let last = match input.u8()? {
            0 => Last::No,
            1 => Last::Yes,
            value => {
                return Err(DecodeError::InvalidValue {
                    field: "last",
                    value: value.into(),
                });
            }
        };
        let mut nodes = Vec::new();
        while !input.is_empty() {
            nodes.push(Summary::decode(input)?);
        }
        Ok(Self { request, last, nodes })
    }
}
