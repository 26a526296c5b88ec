//! Property types: the draft's registry, and those of the low overhead container (draft-ietf-moq-loc-04) that media tracks use.

/// Track, milliseconds: longest age of an object when its sending begins.
pub const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
/// Track, milliseconds: how long an object may be served from a cache.
pub const MAX_CACHE_DURATION: u64 = 0x04;
/// Track, milliseconds: longest time from the end of a subgroup until all of it is acknowledged.
pub const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
/// Track or object: a nested block that nobody on the way may alter.
pub const IMMUTABLE_PROPERTIES: u64 = 0x0B;
/// Track, 0 to 255: priority of subgroups and datagrams that carry none.
pub const DEFAULT_PUBLISHER_PRIORITY: u64 = 0x0E;
/// Track: the order of groups where the subscriber has no wish.
pub const DEFAULT_PUBLISHER_GROUP_ORDER: u64 = 0x22;
/// Track, 0 or 1: subscribers may ask for a new group.
pub const DYNAMIC_GROUPS: u64 = 0x30;
/// Object: how many groups before this one will never exist.
pub const PRIOR_GROUP_ID_GAP: u64 = 0x3C;
/// Object: how many objects before this one will never exist.
pub const PRIOR_OBJECT_ID_GAP: u64 = 0x3E;

/// Track properties that an endpoint must understand to handle the track.
pub const MANDATORY: std::ops::RangeInclusive<u64> = 0x4000..=0x7FFF;

/// LOC: units of the timestamp per second.
pub const LOC_TIMESCALE: u64 = 0x08;
/// LOC: video frame marking.
pub const LOC_FRAME_MARKING: u64 = 0x09;
/// LOC: audio level.
pub const LOC_AUDIO_LEVEL: u64 = 0x0C;
/// LOC: decoder configuration of video.
pub const LOC_VIDEO_CONFIG: u64 = 0x0D;
/// LOC: decoder configuration of audio.
pub const LOC_AUDIO_CONFIG: u64 = 0x0F;
/// LOC: capture timestamp.
pub const LOC_TIMESTAMP: u64 = 0x10;

/// Whether the transport itself understands a type.
pub(super) const fn is_known(kind: u64) -> bool {
    matches!(
        kind,
        OBJECT_DELIVERY_TIMEOUT
            | MAX_CACHE_DURATION
            | SUBGROUP_DELIVERY_TIMEOUT
            | IMMUTABLE_PROPERTIES
            | DEFAULT_PUBLISHER_PRIORITY
            | DEFAULT_PUBLISHER_GROUP_ORDER
            | DYNAMIC_GROUPS
            | PRIOR_GROUP_ID_GAP
            | PRIOR_OBJECT_ID_GAP
    )
}
