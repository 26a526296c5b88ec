//! AAC without a decoder configuration may come in ADTS (ISO/IEC 13818-7 and 14496-3), as WebCodecs has it then. In an MP4 it is bare.
//!
//! Not read: what the header says of the stream, which the catalog says too; more than one frame in an object.

use bytes::Bytes;

/// Bytes of a header, without and with a checksum.
const HEADER: usize = 7;
const HEADER_CHECKED: usize = 9;

/// A frame without its header, if it has one; `None` if that does not fit it. A bare frame does not begin as a header does: that
/// would be its end.
pub(super) fn frame(payload: &Bytes) -> Option<Bytes> {
    // Twelve bits of 1, then the version and a layer of 0.
    if !matches!(payload.as_ref(), [0xff, second, ..] if second & 0xf6 == 0xf0) {
        return Some(payload.clone());
    }
    let [_, second, _, high, middle, low, blocks, ..] = payload.as_ref() else {
        return None;
    };
    let length = usize::from(high & 3) << 11 | usize::from(*middle) << 3 | usize::from(low >> 5);
    let header = if second & 1 == 1 { HEADER } else { HEADER_CHECKED };
    let fits = length == payload.len() && length > header && blocks & 3 == 0;
    fits.then(|| payload.slice(header..))
}
