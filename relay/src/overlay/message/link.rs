//! HELLO, LINK and DOWN_HINT: the two ends of a session, and the link between them.

use headwater_pubsub::wire::{DecodeError, EncodeError};

use super::field::{Body, In, Out};
use crate::overlay::id::NodeId;

/// The version of these records that this code writes.
pub const VERSION: u64 = 1;

/// What a node does in the overlay, as bits. Unknown ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(pub u64);

impl Roles {
    /// Takes part in routes; without it, a leaf.
    pub const RELAY: Self = Self(0x1);
    /// Holds the mesh's key: invites are redeemed there.
    pub const AUTHORITY: Self = Self(0x2);

    /// Whether all of `roles` are among these.
    pub const fn contains(self, roles: Self) -> bool {
        self.0 & roles.0 == roles.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, roles: Self) -> Self {
        Self(self.0 | roles.0)
    }
}

/// HELLO: who the sender is. First record of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the records; both ends use the smaller one.
    pub version: u64,
    /// The sender.
    pub node: NodeId,
    /// Of its boot.
    pub epoch: u64,
    /// What it does.
    pub roles: Roles,
    /// What its operator asks for a hop through it, in microseconds of distance.
    pub price: u32,
    /// Optional features that it understands; none is defined yet, unknown ones are ignored.
    pub features: u64,
}

impl Body for Hello {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.version);
        out.bytes(&self.node.0);
        out.int(self.epoch);
        out.int(self.roles.0);
        out.int(self.price);
        out.int(self.features);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: input.int()?,
            node: input.id()?,
            epoch: input.int()?,
            roles: Roles(input.int()?),
            price: input.int32("price")?,
            features: input.int()?,
        })
    }
}

/// LINK: counters of the sender's packets since the session began. Only the sender sees the losses of its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Packets sent.
    pub sent: u64,
    /// Of these, declared lost.
    pub lost: u64,
}

impl Body for Link {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.int(self.sent);
        out.int(self.lost);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sent: input.int()?,
            lost: input.int()?,
        })
    }
}

/// DOWN_HINT: the sender lost a neighbour with active tracks. It proves nothing; a receiver with the same neighbour probes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownHint {
    /// The first bytes of the neighbour's id.
    pub prefix: [u8; 8],
    /// How long the lost session lived, in milliseconds.
    pub age_ms: u64,
}

impl Body for DownHint {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.bytes(&self.prefix);
        out.int(self.age_ms);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            prefix: input.array()?,
            age_ms: input.int()?,
        })
    }
}
