//! What sources can do wrong.

use crate::wire::error::DecodeError;
use crate::wire::property::MalformedTrack;

/// How a track breaks the rules of tracks (draft section "Malformed Tracks").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Two objects of a subgroup have different publisher priorities.
    #[error("malformed track: a subgroup changes its priority")]
    Priority,
    /// An object came behind the final object of its subgroup.
    #[error("malformed track: an object after the end of its subgroup")]
    AfterSubgroupEnd,
    /// A subgroup ended by FIN at two different objects.
    #[error("malformed track: a subgroup with two ends")]
    SubgroupEnds,
    /// An object came behind the final object of its group, or a group ended before an object it has.
    #[error("malformed track: an object after the end of its group")]
    AfterGroupEnd,
    /// An object came behind the final object of the track, or the track ended before an object it has.
    #[error("malformed track: an object after the end of the track")]
    AfterTrackEnd,
    /// Two copies of an object differ in payload, priority or immutable properties.
    #[error("malformed track: two copies of an object differ")]
    Copies,
    /// Two copies of an object differ in subgroup or forwarding preference.
    #[error("malformed track: two copies of an object belong to different places")]
    Place,
    /// A gap covers an object that exists, or an object lies in a gap told before.
    #[error("malformed track: an object inside a gap")]
    Gap,
    /// The objects of a group tell different gaps before it.
    #[error("malformed track: a group with two gaps before it")]
    GroupGaps,
    /// Payload that is longer or shorter than announced.
    #[error("malformed track: a payload of another length than announced")]
    Length,
    /// The properties of an object.
    #[error(transparent)]
    Properties(#[from] MalformedTrack),
}

/// Why a source's bytes were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The track is malformed from now on, its subscriptions and fetches end; cancel it at this source. The offending object
    /// was not stored.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes break the protocol: close the session with the error's code. The track is unharmed.
    #[error(transparent)]
    Session(#[from] DecodeError),
    /// The object exceeds [`CacheLimits::max_object`](super::CacheLimits::max_object) and was not stored; stop this stream.
    #[error("an object of {len} bytes, above the limit of {max}")]
    TooLarge {
        /// Announced length.
        len: u64,
        /// The limit.
        max: u64,
    },
}
