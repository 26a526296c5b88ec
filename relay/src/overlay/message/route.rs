//! ROUTE, BEACON and SEQ_REQ: rows of the distance table, and what keeps their sequence numbers honest and fresh.

use headwater_pubsub::wire::{DecodeError, EncodeError};

use super::field::{Body, Hash, In, Out, Signature, known_bits};
use crate::overlay::id::{Distance, NodeId, Seq};

/// Hops that a SEQ_REQ may travel.
pub const SEQ_REQ_TTL: u8 = 40;

const RETRACT: u8 = 0x01;
const FULL: u8 = 0x02;
const RESET: u8 = 0x04;
const BEACON_FOLLOWS: u8 = 0x08;
const WHOLE_SEQ: u8 = 0x10;

/// One row of ROUTE: how far the sender is from an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The origin.
    pub origin: NodeId,
    /// At which sequence number.
    pub seq: Seq,
    /// How far; `None` retracts the route.
    pub distance: Option<Distance>,
    /// The sender takes no new subscriptions.
    pub full: bool,
    /// The sender forgets the origin: stop to pull it from there, then answer RESET_ACK.
    pub reset: bool,
    /// A BEACON of this sequence number is in the same object.
    pub beacon_follows: bool,
    /// Version of the origin's log at the epoch of `seq`, as held by the sender.
    pub log_version: u64,
}

impl Body for Row {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        let alias = out.node(self.origin);
        let offset = out.aliases.offset(alias, self.seq);
        let flag = |set, bit| if set { bit } else { 0 };
        out.u8(flag(self.distance.is_none(), RETRACT)
            | flag(self.full, FULL)
            | flag(self.reset, RESET)
            | flag(self.beacon_follows, BEACON_FOLLOWS)
            | flag(offset.is_none(), WHOLE_SEQ));
        match offset {
            Some(offset) => out.int(offset),
            None => out.seq(self.seq),
        }
        if let Some(distance) = self.distance {
            out.int(distance.micros());
        }
        out.int(self.log_version);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let (alias, origin) = input.aliased()?;
        let flags = input.u8()?;
        known_bits(
            "flags of a row",
            flags,
            RETRACT | FULL | RESET | BEACON_FOLLOWS | WHOLE_SEQ,
        )?;
        let seq = if flags & WHOLE_SEQ == 0 {
            let offset = input.int()?;
            input.aliases.advance(alias, offset)?
        } else {
            let seq = input.seq()?;
            input.aliases.note(alias, seq);
            seq
        };
        Ok(Self {
            origin,
            seq,
            distance: if flags & RETRACT == 0 {
                Distance::new(input.int()?)
            } else {
                None
            },
            full: flags & FULL != 0,
            reset: flags & RESET != 0,
            beacon_follows: flags & BEACON_FOLLOWS != 0,
            log_version: input.int()?,
        })
    }
}

/// BEACON: an origin's word for its sequence number and for the head of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The origin.
    pub origin: NodeId,
    /// Its sequence number.
    pub seq: Seq,
    /// Version of its log when it signed.
    pub log_version: u64,
    /// Hash of the log at that version.
    pub log_head: Hash,
    /// Its wall clock when it signed, in milliseconds since 1970.
    pub time_ms: u64,
    /// By the origin, over [`Self::signed_bytes`].
    pub signature: Signature,
}

impl Beacon {
    /// What the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"headwater beacon 1\0".to_vec();
        bytes.extend_from_slice(&self.origin.0);
        bytes.extend_from_slice(&self.seq.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.seq.number.to_be_bytes());
        bytes.extend_from_slice(&self.log_version.to_be_bytes());
        bytes.extend_from_slice(&self.log_head.0);
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        bytes
    }
}

impl Body for Beacon {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.node(self.origin);
        out.seq(self.seq);
        out.int(self.log_version);
        out.bytes(&self.log_head.0);
        out.int(self.time_ms);
        out.bytes(&self.signature.0);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: input.node()?,
            seq: input.seq()?,
            log_version: input.int()?,
            log_head: Hash(input.array()?),
            time_ms: input.int()?,
            signature: Signature(input.array()?),
        })
    }
}

/// SEQ_REQ: somebody downstream starves and asks the origin for a sequence number of at least this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqReq {
    /// The origin.
    pub origin: NodeId,
    /// The least one that helps.
    pub wanted: Seq,
    /// Hops left; begins at [`SEQ_REQ_TTL`].
    pub ttl: u8,
}

impl Body for SeqReq {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.node(self.origin);
        out.seq(self.wanted);
        out.u8(self.ttl);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: input.node()?,
            wanted: input.seq()?,
            ttl: input.u8()?,
        })
    }
}
