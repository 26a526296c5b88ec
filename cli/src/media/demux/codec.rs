//! Sample entries: codec string, picture size, sound format (RFC 6381; ISO/IEC 14496-15 annex E; AV1, VP8 and VP9 in ISOBMFF).

use std::fmt::Write as _;

use mp4_atom::{Atom, Audio, Av1c, Avcc, Btrt, Decode, Dops, Esds, FourCC, Hvcc, Mp4a, VpcC};

use super::DemuxError;
use crate::media::MediaKind;
use crate::media::boxes::{Child, Children};

/// What a sample entry says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) codec: String,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) sample_rate: Option<u32>,
    pub(super) channels: Option<u32>,
    pub(super) bitrate: Option<u64>,
}

/// Bytes of a `VisualSampleEntry` before its child boxes.
const VISUAL: usize = 78;

/// Reads the sample entry `entry` of track `id`.
pub(super) fn describe(entry: &Child<'_>, kind: MediaKind, id: u32) -> Result<Entry, DemuxError> {
    let four: [u8; 4] = entry.kind.into();
    let name = || String::from_utf8_lossy(&four).trim().to_owned();
    let read = match (kind, &four) {
        (MediaKind::Video, b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" | b"vp08" | b"vp09") => {
            video(entry, &name())?
        }
        (MediaKind::Audio, b"mp4a" | b"Opus") => audio(entry)?,
        _ => None,
    };
    // `mp4a` alone would look like AAC, which is supported: it is the entry of MP3 and others, too.
    let foreign = || {
        if entry.kind == Mp4a::KIND {
            "mp4a without AAC".to_owned()
        } else {
            name()
        }
    };
    read.ok_or_else(|| DemuxError::UnsupportedCodec {
        codec: foreign(),
        kind,
        id,
    })
}

fn video(entry: &Child<'_>, name: &str) -> Result<Option<Entry>, DemuxError> {
    let short = DemuxError::Invalid("a video sample entry is too short");
    let (fixed, children) = entry.body.split_at_checked(VISUAL).ok_or(short)?;
    let at = |i: usize| {
        fixed
            .get(i..)
            .and_then(|rest| rest.first_chunk::<2>())
            .map(|v| u16::from_be_bytes(*v).into())
    };
    let mut read = Entry {
        width: at(24),
        height: at(26),
        ..Entry::default()
    };
    for child in Children(children) {
        let child = child?;
        match child.kind {
            Avcc::KIND => {
                let c: Avcc = leaf(&child)?;
                let (profile, compat, level) = (
                    c.avc_profile_indication,
                    c.profile_compatibility,
                    c.avc_level_indication,
                );
                read.codec = format!("{name}.{profile:02x}{compat:02x}{level:02x}");
            }
            Hvcc::KIND => read.codec = hevc(name, &leaf(&child)?),
            Av1c::KIND => read.codec = av1(&leaf(&child)?),
            // VP8 has one profile and no levels, and WebCodecs and both catalogs know it by this name alone.
            VpcC::KIND if name == "vp08" => "vp8".clone_into(&mut read.codec),
            VpcC::KIND => {
                let c: VpcC = leaf(&child)?;
                read.codec = format!("vp09.{:02}.{:02}.{:02}", c.profile, c.level, c.bit_depth);
            }
            Btrt::KIND => read.bitrate = bitrate(leaf(&child).ok().as_ref()),
            _ => {}
        }
    }
    if read.codec.is_empty() {
        return Err(DemuxError::Invalid("a video track has no decoder configuration"));
    }
    Ok(Some(read))
}

fn hevc(name: &str, c: &Hvcc) -> String {
    let space = ["", "A", "B", "C"]
        .get(usize::from(c.general_profile_space))
        .copied()
        .unwrap_or_default();
    let compat = u32::from_be_bytes(c.general_profile_compatibility_flags).reverse_bits();
    let tier = if c.general_tier_flag { 'H' } else { 'L' };
    let mut codec = format!(
        "{name}.{space}{}.{compat:x}.{tier}{}",
        c.general_profile_idc, c.general_level_idc
    );
    let constraints = &c.general_constraint_indicator_flags;
    let used = constraints
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        // Writing to a String cannot fail.
        let _ok = write!(codec, ".{byte:x}");
    }
    codec
}

fn av1(c: &Av1c) -> String {
    let tier = if c.seq_tier_0 { 'H' } else { 'M' };
    let depth = match (c.high_bitdepth, c.twelve_bit) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", c.seq_profile, c.seq_level_idx_0)
}

fn audio(entry: &Child<'_>) -> Result<Option<Entry>, DemuxError> {
    let mut rest = entry.body;
    let header = Audio::decode(&mut rest).map_err(|source| DemuxError::Malformed {
        kind: entry.kind,
        source,
    })?;
    let rate = header.sample_rate.integer();
    let mut read = Entry {
        sample_rate: (rate > 0).then_some(rate.into()),
        channels: Some(header.channel_count.into()),
        ..Entry::default()
    };
    let wave = FourCC::new(b"wave");
    for child in Children(rest) {
        let child = child?;
        if child.kind == wave {
            // QuickTime puts the decoder configuration one level deeper.
            for inner in Children(child.body) {
                audio_child(&mut read, &inner?)?;
            }
        } else {
            audio_child(&mut read, &child)?;
        }
    }
    // An mp4a without AAC inside (MP3, for example) leaves no codec: the caller names the entry.
    Ok((!read.codec.is_empty()).then_some(read))
}

fn audio_child(read: &mut Entry, child: &Child<'_>) -> Result<(), DemuxError> {
    match child.kind {
        Esds::KIND => aac(read, &leaf(child)?),
        Dops::KIND => {
            let c: Dops = leaf(child)?;
            "opus".clone_into(&mut read.codec);
            // Opus in MP4 always counts time at 48 kHz; the field in the box is only what the encoder was fed.
            read.sample_rate = Some(48_000);
            read.channels = Some(c.output_channel_count.into());
        }
        Btrt::KIND => read.bitrate = read.bitrate.or_else(|| bitrate(leaf(child).ok().as_ref())),
        _ => {}
    }
    Ok(())
}

fn aac(read: &mut Entry, esds: &Esds) {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
    ];
    const MPEG4_AUDIO: u8 = 0x40;
    let config = &esds.es_desc.dec_config;
    if config.object_type_indication != MPEG4_AUDIO {
        return;
    }
    let Some(specific) = &config.dec_specific else {
        return;
    };
    read.codec = format!("mp4a.40.{}", specific.profile);
    // A rate above 65535 does not fit the sample entry, so the configuration decides; explicit SBR halves it there.
    if read.sample_rate.is_none() {
        read.sample_rate = RATES.get(usize::from(specific.freq_index)).copied();
    }
    read.channels = match specific.chan_conf {
        0 => read.channels,
        7 => Some(8),
        n => Some(n.into()),
    };
    let rate = if config.avg_bitrate > 0 {
        config.avg_bitrate
    } else {
        config.max_bitrate
    };
    read.bitrate = (rate > 0).then_some(rate.into());
}

fn bitrate(btrt: Option<&Btrt>) -> Option<u64> {
    let btrt = btrt?;
    let rate = if btrt.avg_bitrate > 0 {
        btrt.avg_bitrate
    } else {
        btrt.max_bitrate
    };
    (rate > 0).then_some(rate.into())
}

/// Decodes a box that has no boxes inside.
pub(super) fn leaf<T: Atom>(child: &Child<'_>) -> Result<T, DemuxError> {
    T::decode(&mut &*child.whole).map_err(|source| DemuxError::Malformed {
        kind: child.kind,
        source,
    })
}
