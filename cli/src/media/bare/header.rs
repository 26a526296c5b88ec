//! A CMAF header from what a catalog says of a track whose frames come bare.

use std::num::NonZeroU32;

use bytes::{BufMut as _, Bytes, BytesMut};
use mp4_atom::Matrix;

use super::{Codec, Framing, Parameters, Time, Units};
use crate::media::mux::parse_init;
use crate::media::track::Display;
use crate::media::{MediaKind, SampleDefaults, TrackInfo, init_segment};

/// Every header has one track.
pub(super) const TRACK_ID: u32 = 1;
/// Opus in MP4 always counts at 48 kHz.
const OPUS_RATE: u32 = 48_000;
/// Times of pictures are written in microseconds, as WebCodecs has them.
const MICROS: u32 = 1_000_000;
/// What encoders of Opus hold back at the beginning, in samples, where nothing tells (libopus).
const PRE_SKIP: u16 = 312;

/// The words of a catalog for one track.
#[derive(Debug, Clone, Copy)]
pub(in crate::media) struct Described<'a> {
    pub(in crate::media) kind: MediaKind,
    pub(in crate::media) codec: &'a str,
    /// The decoder's configuration record, if there is one.
    pub(in crate::media) description: Option<&'a [u8]>,
    pub(in crate::media) width: Option<u32>,
    pub(in crate::media) height: Option<u32>,
    pub(in crate::media) sample_rate: Option<u32>,
    pub(in crate::media) channels: Option<u32>,
}

/// Of a record that no reader takes.
const DAMAGED: &str = "with a damaged description";

/// A sample entry and how its frames are timed and cut.
type Made = Result<(Bytes, Framing), &'static str>;

/// The header and framing of a track whose times are at `time`, or why it cannot be written into an MP4.
pub(in crate::media) fn header(track: &Described<'_>, time: Time) -> Made {
    let size = |size: Option<u32>| {
        size.and_then(|size| u16::try_from(size).ok())
            .filter(|size| *size > 0)
    };
    let (width, height) = (size(track.width), size(track.height));
    let (entry, framing) = match track.kind {
        MediaKind::Video => {
            let (width, height) = width.zip(height).ok_or("without the size of its pictures")?;
            video(track, time, width, height)?
        }
        MediaKind::Audio => audio(track, time)?,
    };
    let timescale = NonZeroU32::new(framing.timescale).ok_or("with no sample rate")?;
    let info = TrackInfo {
        kind: track.kind,
        id: TRACK_ID,
        timescale,
        codec: track.codec.to_owned(),
        width: track.width,
        height: track.height,
        framerate: None,
        sample_rate: track.sample_rate,
        channels: track.channels,
        bitrate: None,
        language: "und".to_owned(),
        sample_entry: entry,
        defaults: SampleDefaults::default(),
        display: Display {
            matrix: Matrix::default(),
            width: width.unwrap_or(0).into(),
            height: height.unwrap_or(0).into(),
        },
    };
    let header = init_segment(&info).map_err(|_large| "with a description too large")?;
    // What is in the catalog must not end the recording of the other tracks.
    parse_init(&header).map_err(|_damaged| DAMAGED)?;
    Ok((header, framing))
}

fn video(track: &Described<'_>, time: Time, width: u16, height: u16) -> Made {
    let fields: Vec<_> = track.codec.split('.').collect();
    let number = |at: usize, other: u8| -> u8 {
        let digits = fields
            .get(at)
            .map_or("", |field| field.trim_end_matches(['M', 'H']));
        digits.parse().unwrap_or(other)
    };
    let mut units = Units::Ready;
    let (format, configuration) = match (fields.first().copied().unwrap_or_default(), track.description) {
        ("avc1" | "avc3", _) => units_of(Codec::Avc, track, time, &mut units)?,
        ("hvc1" | "hev1", _) => units_of(Codec::Hevc, track, time, &mut units)?,
        ("vp8" | "vp08", _) => (b"vp08", vpcc(0, 0, 8)),
        ("vp9", _) => (b"vp09", vpcc(0, 10, 8)),
        ("vp09", _) => (b"vp09", vpcc(number(1, 0), number(2, 10), number(3, 8))),
        ("av01", _) => (
            b"av01",
            av1c(track.codec, number(1, 0), number(2, 0), number(3, 8)),
        ),
        _ => return Err("in a codec that is not understood so"),
    };
    let mut entry = BytesMut::with_capacity(86 + configuration.len());
    entry.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    entry.put_bytes(0, 16);
    entry.put_u16(width);
    entry.put_u16(height);
    // 72 dpi, one frame per sample, no name, 24 bits deep.
    entry.put_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1]);
    entry.put_bytes(0, 32);
    entry.put_slice(&[0, 24, 0xff, 0xff]);
    entry.put_slice(&configuration);
    let framing = Framing {
        kind: MediaKind::Video,
        timescale: MICROS,
        time,
        units,
    };
    Ok((boxed(format, &entry), framing))
}

/// The name of the sample entry and the configuration in it, for a codec with NAL units; says what these are in `units`.
fn units_of(
    codec: Codec,
    track: &Described<'_>,
    time: Time,
    units: &mut Units,
) -> Result<(&'static [u8; 4], Bytes), &'static str> {
    let (outside, inside, kind) = match codec {
        Codec::Avc => (b"avc1", b"avc3", b"avcC"),
        Codec::Hevc => (b"hvc1", b"hev1", b"hvcC"),
    };
    let (format, record) = if let Some(record) = track.description {
        let mut record = record.to_vec();
        if let Time::Property { .. } = time {
            let parameters = Parameters::read(codec, &record).ok_or(DAMAGED)?;
            *units = Units::Either(codec, Some(parameters));
            // Frames leave with lengths of four bytes.
            if let Some(length) = record.get_mut(codec.length_at()) {
                *length |= 3;
            }
        }
        (outside, record)
    } else {
        *units = match time {
            Time::Front => Units::StartCodes,
            Time::Property { .. } => Units::Either(codec, None),
        };
        let record = codec.record(track.codec).ok_or("with an unknown profile")?;
        (inside, record)
    };
    Ok((format, boxed(kind, &record)))
}

fn audio(track: &Described<'_>, time: Time) -> Made {
    let channels = track.channels.unwrap_or(2);
    let mut units = Units::Ready;
    let (format, rate, configuration) = match track.codec {
        "opus" if (1..=2).contains(&channels) => {
            let [high, low] = PRE_SKIP.to_be_bytes();
            let mut record = vec![0, u8::try_from(channels).unwrap_or(2), high, low];
            record.extend(track.sample_rate.unwrap_or(OPUS_RATE).to_be_bytes());
            // No gain, all channels in one stream.
            record.extend([0, 0, 0]);
            (b"Opus", OPUS_RATE, boxed(b"dOps", &record))
        }
        codec if codec.starts_with("mp4a.40.") => {
            let rate = track.sample_rate.ok_or("AAC without sample rate")?;
            let plain = || match time {
                Time::Property { .. } => aac_config(codec, rate, channels),
                Time::Front => None,
            };
            if track.description.is_none() {
                units = Units::Adts;
            }
            let config = track.description.map(<[u8]>::to_vec).or_else(plain);
            (
                b"mp4a",
                rate,
                esds(&config.ok_or("AAC that needs a description")?)?,
            )
        }
        "opus" => return Err("with more than two channels of Opus"),
        _ => return Err("in a codec that is not understood so"),
    };
    let mut entry = BytesMut::with_capacity(28 + configuration.len());
    entry.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    entry.put_bytes(0, 8);
    entry.put_u16(u16::try_from(channels).unwrap_or(2));
    entry.put_slice(&[0, 16, 0, 0, 0, 0]);
    // A rate that does not fit is in the configuration.
    entry.put_u16(u16::try_from(rate).unwrap_or(0));
    entry.put_u16(0);
    entry.put_slice(&configuration);
    let framing = Framing {
        kind: MediaKind::Audio,
        timescale: rate,
        time,
        units,
    };
    Ok((boxed(format, &entry), framing))
}

/// The `AudioSpecificConfig` of AAC that is not extended (ISO/IEC 14496-3), which follows from the catalog's words.
fn aac_config(codec: &str, rate: u32, channels: u32) -> Option<Vec<u8>> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350,
    ];
    let plain = codec.strip_prefix("mp4a.40.")?.parse::<u16>().ok();
    let object = plain.filter(|object| (1..=4).contains(object))?;
    let rate = u16::try_from(RATES.iter().position(|known| *known == rate)?).ok()?;
    let layout = match channels {
        8 => 7,
        _ => u16::try_from(channels)
            .ok()
            .filter(|channels| (1..=6).contains(channels))?,
    };
    Some((object << 11 | rate << 7 | layout << 3).to_be_bytes().to_vec())
}

/// A box of type `kind`; nothing here comes near 4 GiB, for catalogs are bounded.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + body.len());
    out.put_u32(u32::try_from(8 + body.len()).unwrap_or(u32::MAX));
    out.put_slice(kind);
    out.put_slice(body);
    out.freeze()
}

/// Configuration of VP8 and VP9: 4:2:0, BT.709.
fn vpcc(profile: u8, level: u8, depth: u8) -> Bytes {
    boxed(
        b"vpcC",
        &[1, 0, 0, 0, profile, level, depth << 4 | 0b10, 1, 1, 1, 0, 0],
    )
}

/// Configuration of AV1, 4:2:0; the sequence header is in the stream.
fn av1c(codec: &str, profile: u8, level: u8, depth: u8) -> Bytes {
    let tier = if codec.split('.').nth(2).is_some_and(|level| level.ends_with('H')) {
        0x80
    } else {
        0
    };
    let deep = u8::from(depth > 8) << 6 | u8::from(depth > 10) << 5;
    boxed(
        b"av1C",
        &[0x81, profile << 5 | level & 0x1f, tier | deep | 0b1100, 0],
    )
}

/// An elementary stream descriptor of AAC around its `AudioSpecificConfig` (ISO/IEC 14496-1).
fn esds(config: &[u8]) -> Result<Bytes, &'static str> {
    // Lengths are of one byte below 128.
    let length = u8::try_from(config.len())
        .ok()
        .filter(|length| (2..=64).contains(length))
        .ok_or("AAC with an odd description")?;
    let mut body = vec![0, 0, 0, 0, 3, length + 23, 0, 0, 0];
    // MPEG-4 audio, an audio stream, no sizes or rates told.
    body.extend([4, length + 15, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([5, length]);
    body.extend(config);
    body.extend([6, 1, 2]);
    Ok(boxed(b"esds", &body))
}
