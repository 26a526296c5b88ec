//! What an object says of its frame: in front of it (hang) or in the object's properties (LOC, draft-ietf-moq-loc-04).
//!
//! The time of LOC is property 0x10, in units of property 0x08 or as the catalog says, else microseconds. A keyframe begins its
//! group, brings its decoder's configuration, or is marked as independent (RFC 9626). Not read: properties of the track, private
//! properties in the payload.

use bytes::Bytes;
use headwater_pubsub::wire::property::{PropertyValue, kind};

use super::{FrameError, Framing, MAX_DESCRIPTION, Object, Time};
use crate::media::MediaKind;

/// Times above this many microseconds are damage: the year 2255 if they count from 1970.
const MAX_MICROS: u128 = (1 << 53) - 1;
/// Independent frame, in the first byte of a frame marking.
const INDEPENDENT: u8 = 0x20;

/// A frame, and when it is shown.
pub(super) struct Frame<'a> {
    /// In ticks of the track's header.
    pub(super) pts: u64,
    pub(super) keyframe: bool,
    /// The decoder's configuration record, where the object brings one.
    pub(super) config: Option<&'a [u8]>,
    /// Empty: a mark that nothing comes until then.
    pub(super) data: Bytes,
}

pub(super) fn read<'a>(framing: &Framing, object: Object<'a>) -> Result<Frame<'a>, FrameError> {
    let sound = framing.kind == MediaKind::Audio;
    let ticks = |value, per_second| ticks(value, per_second, framing.timescale);
    match framing.time {
        Time::Front => {
            let (micros, data) = split(object.payload).ok_or(FrameError::NoTime)?;
            Ok(Frame {
                pts: ticks(micros, 1_000_000)?,
                keyframe: object.first || sound,
                config: None,
                data,
            })
        }
        Time::Property { per_second } => {
            let int = |kind| object.properties.get(kind).and_then(PropertyValue::int);
            let bytes = |kind| object.properties.get(kind).and_then(PropertyValue::bytes);
            let time = int(kind::LOC_TIMESTAMP).ok_or(FrameError::NoTime)?;
            let per_second = int(kind::LOC_TIMESCALE).unwrap_or(per_second);
            let config = bytes(kind::LOC_VIDEO_CONFIG).filter(|config| !sound && !config.is_empty());
            if let Some(config) = config.filter(|config| config.len() > MAX_DESCRIPTION) {
                return Err(FrameError::LargeConfig(config.len()));
            }
            let marked = bytes(kind::LOC_FRAME_MARKING)
                .and_then(<[u8]>::first)
                .is_some_and(|flags| flags & INDEPENDENT != 0);
            Ok(Frame {
                pts: ticks(time, per_second)?,
                keyframe: object.first || sound || marked || config.is_some(),
                config,
                data: object.payload.clone(),
            })
        }
    }
}

/// `value` of which there are `per_second`, in units of which there are `timescale`.
fn ticks(value: u64, per_second: u64, timescale: u32) -> Result<u64, FrameError> {
    let (value, per_second) = (u128::from(value), u128::from(per_second));
    if per_second == 0 || value * 1_000_000 / per_second > MAX_MICROS {
        return Err(FrameError::Time);
    }
    let ticks = (value * u128::from(timescale) + per_second / 2) / per_second;
    u64::try_from(ticks).map_err(|_large| FrameError::Time)
}

/// The time in front, and the rest.
fn split(object: &Bytes) -> Option<(u64, Bytes)> {
    let first = *object.first()?;
    let length = 1_usize << (first >> 6);
    let rest = object.get(1..length)?;
    let micros = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
        value << 8 | u64::from(*byte)
    });
    Some((micros, object.slice(length..)))
}
