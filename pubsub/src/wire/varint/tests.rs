use proptest::prelude::*;

use super::{MAX_LEN, decode, encode, encoded_len};

/// The table "Example Integer Encodings" of the draft.
const EXAMPLES: &[(&[u8], u64)] = &[
    (&[0x25], 37),
    (&[0x80, 0x25], 37),
    (&[0xbb, 0xbd], 15_293),
    (&[0xed, 0x7f, 0x3e, 0x7d], 226_442_877),
    (&[0xfa, 0xa1, 0xa0, 0xe4, 0x03, 0xd8], 2_893_212_287_960),
    (&[0xfc, 0x89, 0x98, 0xab, 0xc6, 0x6b, 0xc0], 151_288_809_941_952),
    (
        &[0xfe, 0xfa, 0x31, 0x8f, 0xa8, 0xe3, 0xca, 0x11],
        70_423_237_261_249_041,
    ),
    (&[0xff; 9], u64::MAX),
];

/// `value` in exactly `len` bytes, written without the code under test.
fn encode_in(value: u64, len: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes()[8 - len.min(8)..].to_vec();
    if len == MAX_LEN {
        bytes.insert(0, 0xff);
    } else {
        bytes[0] |= !(0xff_u8 >> (len - 1));
    }
    bytes
}

#[test]
fn the_examples_of_the_draft_decode() {
    for (bytes, value) in EXAMPLES {
        assert_eq!(decode(bytes), Some((*value, bytes.len())), "{bytes:02x?}");
    }
}

#[test]
fn the_shortest_form_grows_every_seven_bits() {
    for len in 1..MAX_LEN {
        let largest = (1_u64 << (7 * len)) - 1;
        assert_eq!(encoded_len(largest), len, "{largest:#x}");
        assert_eq!(encoded_len(largest + 1), len + 1, "{largest:#x} + 1");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_and_is_as_short_as_can_be(value in any::<u64>(), shift in 0_u32..64) {
        let value = value >> shift;
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        prop_assert_eq!(bytes.len(), encoded_len(value));
        prop_assert_eq!(decode(&bytes), Some((value, bytes.len())));
        prop_assert_eq!(&bytes, &encode_in(value, bytes.len()));
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end]), None);
        }
    }

    /// A peer may use any length that holds the value, the seven-byte form included.
    #[test]
    fn every_length_that_fits_is_accepted(value in any::<u64>(), shift in 0_u32..64) {
        let value = value >> shift;
        for len in encoded_len(value)..=MAX_LEN {
            prop_assert_eq!(decode(&encode_in(value, len)), Some((value, len)), "{} bytes", len);
        }
    }
}
