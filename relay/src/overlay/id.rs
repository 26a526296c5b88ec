//! The nouns of the overlay: nodes, neighbours, sequence numbers, distances.

use std::fmt;
use std::num::NonZeroU32;

/// A node, by its ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// All of it as 64 hex digits, as certificates and the operator's interface have it.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The first eight bytes as hex: enough to tell nodes apart in a log.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// One session with a neighbour, numbered by the node and never reused: a neighbour that comes back is another one here, as
/// whatever was promised to its earlier session is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour(pub u64);

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Sequence number of an origin: its boot, then a count that it raises when a starved node asks. Later ones are greater.
///
/// Packed, as every neighbour of every origin has three of them: a fourth of each would be padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(4))]
pub struct Seq {
    /// Of the origin's boot: above all its earlier ones, by the clock in milliseconds where possible.
    pub epoch: u64,
    /// Within the boot.
    pub number: u32,
}

impl Seq {
    /// The next one of the same boot; saturates.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            epoch: self.epoch,
            number: self.number.saturating_add(1),
        }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", { self.epoch }, { self.number })
    }
}

/// What one hop costs the node that pulls over it, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u32);

impl Cost {
    /// Strict growth per hop is what keeps the graph free of cycles, so no hop is free.
    pub const MIN: Self = Self(500);
    /// Two seconds.
    pub const MAX: Self = Self(2_000_000);

    /// The nearest legal cost.
    pub const fn clamped(micros: u64) -> Self {
        if micros < Self::MIN.0 as u64 {
            Self::MIN
        } else if micros > Self::MAX.0 as u64 {
            Self::MAX
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX")]
            Self(micros as u32)
        }
    }

    /// In microseconds.
    pub const fn micros(self) -> u32 {
        self.0
    }
}

/// Sum of costs from a node to an origin, in microseconds. Finite: a retraction is no distance.
///
/// Kept as one more than that, so that `Option<Distance>` takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance(NonZeroU32);

impl Distance {
    /// The origin itself.
    pub const ZERO: Self = Self(NonZeroU32::MIN);
    /// A path of this length or more is none.
    pub const LIMIT: u32 = 60_000_000;

    /// `None` from [`LIMIT`](Self::LIMIT) on.
    pub const fn new(micros: u64) -> Option<Self> {
        if micros < Self::LIMIT as u64 {
            #[expect(clippy::cast_possible_truncation, reason = "below LIMIT")]
            Some(Self(NonZeroU32::MIN.saturating_add(micros as u32)))
        } else {
            None
        }
    }

    /// One hop further.
    pub const fn plus(self, cost: Cost) -> Option<Self> {
        Self::new(self.micros() as u64 + cost.0 as u64)
    }

    /// In microseconds.
    pub const fn micros(self) -> u32 {
        self.0.get() - 1
    }
}

/// How close a node is to an origin, as far as loops are concerned: a newer sequence number is closer than any distance.
/// Closer keys are **smaller**, so that the closest of many is their minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of the row.
    pub seq: Seq,
    /// At that sequence number.
    pub distance: Distance,
}

impl Key {
    /// Whether a pointer from the holder of `other` to the holder of `self` cannot close a cycle.
    pub fn closer_than(self, other: Self) -> bool {
        self < other
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.seq.cmp(&self.seq).then(self.distance.cmp(&other.distance))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
