//! LIFE: that a node runs, in its own words.

use headwater_pubsub::wire::{DecodeError, EncodeError};

use super::field::{Body, In, Out, Signature};
use crate::overlay::id::NodeId;

const CLONED: u8 = 0x1;

/// LIFE: one run of a node. A number that each run draws tells two runs of one key apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The node.
    pub node: NodeId,
    /// Of two records of a node the one with the higher count is in force; of equal ones, that of the greater run.
    pub count: u64,
    /// Drawn at random when the node started.
    pub run: u64,
    /// The other run whose record this one was made to outbid, which is then known to this run; 0 if there was none.
    pub above: u64,
    /// This run knows that another one of the same key lives at the same time.
    pub cloned: bool,
    /// By the node, over [`Self::signed_bytes`].
    pub signature: Signature,
}

impl Life {
    /// What the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"headwater life 1\0".to_vec();
        bytes.extend_from_slice(&self.node.0);
        for number in [self.count, self.run, self.above, u64::from(self.cloned)] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// What orders the records of one node.
    pub(in crate::overlay) const fn rank(&self) -> (u64, u64) {
        (self.count, self.run)
    }
}

impl Body for Life {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError> {
        out.bytes(&self.node.0);
        out.int(self.count);
        out.bytes(&self.run.to_be_bytes());
        out.bytes(&self.above.to_be_bytes());
        out.u8(if self.cloned { CLONED } else { 0 });
        out.bytes(&self.signature.0);
        Ok(())
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: input.id()?,
            count: input.int()?,
            run: u64::from_be_bytes(input.array()?),
            above: u64::from_be_bytes(input.array()?),
            cloned: match input.u8()? {
                0 => false,
                CLONED => true,
                other => {
                    return Err(DecodeError::InvalidValue {
                        field: "flags of a life",
                        value: other.into(),
                    });
                }
            },
            signature: Signature(input.array()?),
        })
    }
}
