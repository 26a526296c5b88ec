//! NAL units of H.264 and H.265: however they are set apart, each comes to stand behind its length in four bytes.
//!
//! Byte streams (annex B of ITU-T H.264 and H.265) have start codes, what WebCodecs calls `avc` and `hevc` has lengths, and the
//! configuration record (ISO/IEC 14496-15) says of how many bytes and holds the parameter sets.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::records::Codec;

/// Bytes of our lengths.
const LENGTH: usize = 4;
/// Bytes of a record of H.265 before the number of its arrays.
const HEVC_FIELDS: usize = 22;

/// What a configuration record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes of a length in the frames: 1, 2 or 4.
    length: usize,
    /// The parameter sets, each behind its length in four bytes.
    sets: Bytes,
}

impl Parameters {
    /// Reads a record; `None` if it is none.
    pub(super) fn read(codec: Codec, record: &[u8]) -> Option<Self> {
        let length = usize::from(record.get(codec.length_at())? & 3) + 1;
        let mut sets = BytesMut::with_capacity(record.len() + 16);
        match codec {
            Codec::Avc => avc_sets(record, &mut sets),
            Codec::Hevc => hevc_sets(record, &mut sets),
        }?;
        let sets = sets.freeze();
        (length != 3).then_some(Self { length, sets })
    }

    pub(super) const fn sets(&self) -> &Bytes {
        &self.sets
    }
}

fn avc_sets(record: &[u8], sets: &mut BytesMut) -> Option<()> {
    let [1, _, _, _, _, sequences, rest @ ..] = record else {
        return None;
    };
    let rest = take_sets(rest, (sequences & 0x1f).into(), sets)?;
    let (pictures, rest) = rest.split_first()?;
    take_sets(rest, (*pictures).into(), sets)?;
    Some(())
}

fn hevc_sets(record: &[u8], sets: &mut BytesMut) -> Option<()> {
    let (fields, rest) = record.split_at_checked(HEVC_FIELDS)?;
    let (arrays, mut rest) = rest.split_first()?;
    for _ in 0..*arrays {
        let [_, high, low, behind @ ..] = rest else {
            return None;
        };
        rest = take_sets(behind, u16::from_be_bytes([*high, *low]), sets)?;
    }
    (fields.first() == Some(&1)).then_some(())
}

/// Takes `count` parameter sets, each behind its length in two bytes; gives what follows them.
fn take_sets<'a>(mut rest: &'a [u8], count: u16, sets: &mut BytesMut) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let length = u16::from_be_bytes(*length);
        let (set, behind) = behind.split_at_checked(length.into())?;
        sets.put_u32(length.into());
        sets.put_slice(set);
        rest = behind;
    }
    Some(rest)
}

/// The units of a frame of LOC behind lengths of four bytes. With `parameters` it has lengths, as they say; without, either form
/// (draft-ietf-moq-loc-04, "Length Prefixes in Payload"): a length of one is a start code.
pub(super) fn of_either(frame: &Bytes, parameters: Option<&Parameters>) -> Option<Bytes> {
    let length = parameters.map_or(LENGTH, |parameters| parameters.length);
    if length == LENGTH && frame.starts_with(&[0, 0, 0, 1]) {
        return of_stream(frame);
    }
    let lengths = of_lengths(frame, length);
    if parameters.is_none() && lengths.is_none() && frame.starts_with(&[0, 0, 1]) {
        return of_stream(frame);
    }
    lengths
}

/// Whether a frame whose units have lengths of four bytes brings its parameter sets.
pub(super) fn has_parameters(codec: Codec, frame: &[u8]) -> bool {
    Units::new(frame, LENGTH)
        .map_while(|unit| unit)
        .any(|unit| unit.first().is_some_and(|head| codec.is_sequence(*head)))
}

/// Each unit of a frame with lengths of `length` bytes; `None` if they do not add up.
fn of_lengths(frame: &Bytes, length: usize) -> Option<Bytes> {
    if length == LENGTH {
        return Units::new(frame, length)
            .all(|unit| unit.is_some())
            .then(|| frame.clone());
    }
    let mut out = BytesMut::with_capacity(frame.len() + 64);
    for unit in Units::new(frame, length) {
        put(&mut out, unit?)?;
    }
    Some(out.freeze())
}

/// Each unit of a byte stream; `None` if there is none.
pub(super) fn of_stream(stream: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(stream.len() + 16);
    let mut rest = stream.get(start_code(stream)? + 3..)?;
    loop {
        let end = start_code(rest);
        let unit = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        // Zeros before a start code belong to it; a NAL unit never ends in one.
        let used = unit
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if let Some(unit) = unit.get(..used).filter(|unit| !unit.is_empty()) {
            put(&mut out, unit)?;
        }
        match end.and_then(|end| rest.get(end + 3..)) {
            Some(next) => rest = next,
            None => return (!out.is_empty()).then(|| out.freeze()),
        }
    }
}

fn put(out: &mut BytesMut, unit: &[u8]) -> Option<()> {
    out.put_u32(u32::try_from(unit.len()).ok()?);
    out.extend_from_slice(unit);
    Some(())
}

/// Where three bytes are 0, 0, 1.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

/// The units of a frame with lengths of `length` bytes. One that is empty or goes beyond the frame is `None`, and the last.
struct Units<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Units<'a> {
    const fn new(rest: &'a [u8], length: usize) -> Self {
        Self { rest, length }
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut take = || {
            let (length, behind) = self.rest.split_at_checked(self.length)?;
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let (unit, behind) = behind.split_at_checked(length)?;
            self.rest = behind;
            (!unit.is_empty()).then_some(unit)
        };
        let unit = take();
        if unit.is_none() {
            self.rest = &[];
        }
        Some(unit)
    }
}
