//! Decoder configuration records of H.264 and H.265 (ISO/IEC 14496-15) for tracks that have their parameter sets in the stream.

/// A codec whose frames are made of NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
}

impl Codec {
    /// The record without parameter sets that `codec` tells, a name as in ISO/IEC 14496-15 annex E. Lengths are of four bytes.
    pub(super) fn record(self, codec: &str) -> Option<Vec<u8>> {
        match self {
            Self::Avc => avc(codec),
            Self::Hevc => hevc(codec),
        }
    }

    /// Where a record says of how many bytes lengths are.
    pub(super) const fn length_at(self) -> usize {
        match self {
            Self::Avc => 4,
            Self::Hevc => 21,
        }
    }

    /// Whether a NAL unit with this first byte is a sequence parameter set.
    pub(super) const fn is_sequence(self, head: u8) -> bool {
        match self {
            Self::Avc => head & 0x1f == 7,
            Self::Hevc => head >> 1 & 0x3f == 33,
        }
    }
}

fn avc(codec: &str) -> Option<Vec<u8>> {
    let profile = u32::from_str_radix(codec.split('.').nth(1)?, 16).ok()?;
    let [_, profile, compatibility, level] = profile.to_be_bytes();
    Some(vec![1, profile, compatibility, level, 0xff, 0xe0, 0])
}

fn hevc(codec: &str) -> Option<Vec<u8>> {
    const MAIN_10: u8 = 2;
    let mut fields = codec.split('.').skip(1);
    let profile = fields.next()?;
    let digits = profile.trim_start_matches(['A', 'B', 'C']);
    let space = match profile.strip_suffix(digits)? {
        "" => 0,
        "A" => 1,
        "B" => 2,
        "C" => 3,
        _ => return None,
    };
    let profile: u8 = digits.parse().ok().filter(|profile| *profile < 32)?;
    // The name has these bits in reverse order.
    let compatibility = u32::from_str_radix(fields.next()?, 16).ok()?.reverse_bits();
    let level = fields.next()?;
    let tier = u8::from(level.starts_with('H'));
    let level: u8 = level.strip_prefix(['L', 'H'])?.parse().ok()?;
    let mut constraints = [0; 6];
    for (byte, field) in constraints.iter_mut().zip(fields) {
        *byte = u8::from_str_radix(field, 16).ok()?;
    }
    let depth = if profile == MAIN_10 { 2 } else { 0 };
    let mut record = vec![1, space << 6 | tier << 5 | profile];
    record.extend(compatibility.to_be_bytes());
    record.extend(constraints);
    // Nothing told of segmentation and parallelism; 4:2:0; no frame rate; one layer; no arrays.
    record.extend([
        level,
        0xf0,
        0,
        0xfc,
        0xfd,
        0xf8 | depth,
        0xf8 | depth,
        0,
        0,
        0x0f,
        0,
    ]);
    Some(record)
}
