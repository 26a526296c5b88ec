//! The draft's variable-length integer, vi64 (draft section "Variable-Length Integers").
//!
//! It is not QUIC's: the count of leading one bits of the first byte is the number of bytes that follow, so one byte holds
//! seven bits, nine bytes hold all 64, and every length is legal for every value that fits. Encoded bytes must therefore never
//! be compared with each other.

use bytes::BufMut;

/// The most bytes one integer takes.
pub const MAX_LEN: usize = 9;

/// Bytes that [`encode`] writes for `value`: the fewest possible, 1 to 9.
pub const fn encoded_len(value: u64) -> usize {
    match u64::BITS - value.leading_zeros() {
        0..=7 => 1,
        8..=14 => 2,
        15..=21 => 3,
        22..=28 => 4,
        29..=35 => 5,
        36..=42 => 6,
        43..=49 => 7,
        50..=56 => 8,
        _ => MAX_LEN,
    }
}

/// Appends `value` in its shortest form.
///
/// # Panics
///
/// As [`BufMut`] does, when `buf` has a fixed size and no room left.
pub fn encode(value: u64, buf: &mut impl BufMut) {
    let len = encoded_len(value);
    if len == MAX_LEN {
        buf.put_u8(0xff);
        buf.put_u64(value);
    } else {
        // One less leading one bit than there are bytes.
        let prefix = !(0xff_u8 >> (len - 1));
        buf.put_uint(value | (u64::from(prefix) << (8 * (len - 1))), len);
    }
}

/// Reads an integer from the front of `bytes`: its value and how many bytes it took. `None`: more bytes are needed.
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let extra = first.leading_ones() as usize;
    let tail = rest.get(..extra)?;
    // The bits of the first byte after its ones and the zero that ends them; none from seven ones on.
    let head = u64::from(first) & (0x7f_u64 >> extra);
    let value = tail
        .iter()
        .fold(head, |value, &byte| (value << 8) | u64::from(byte));
    Some((value, extra + 1))
}

#[cfg(test)]
mod tests;
