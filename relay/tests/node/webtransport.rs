//! The WebTransport handshake, spoken by hand: HTTP/3 (RFC 9114) and QPACK (RFC 9204) with literals only, so that nothing of
//! the node's own HTTP/3 judges it.

use bytes::BytesMut;

use crate::{
    peer::{Peer, node, run},
    running::Running,
};

/// Control stream (0), SETTINGS (4) of 17 bytes: ENABLE_CONNECT_PROTOCOL (8), H3_DATAGRAM (0x33) and WEBTRANSPORT_MAX_SESSIONS
/// (0xc671706a) are 1, with the deprecated SETTINGS_ENABLE_WEBTRANSPORT (0x2b603742) for older servers.
const SETTINGS: &[u8] = &[
    0x00, 0x04, 18, 0x08, 0x01, 0x33, 0x01, 0xc0, 0, 0, 0, 0xc6, 0x71, 0x70, 0x6a, 0x01, 0xab, 0x60, 0x37,
    0x42, 0x01,
];

/// An integer with a prefix of `bits` bits below `flags` (RFC 7541 section 5.1), for values that need one more byte at most.
fn prefixed(flags: u8, bits: u32, value: usize, into: &mut Vec<u8>) {
    let most = (1usize << bits) - 1;
    let byte = |value: usize| u8::try_from(value).expect("short");
    if value < most {
        into.push(flags | byte(value));
    } else {
        assert!(value - most < 128, "one byte more");
        into.extend([flags | byte(most), byte(value - most)]);
    }
}

/// A HEADERS frame of literal field lines.
fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    // No dynamic table: required insert count 0, base 0.
    let mut section = vec![0, 0];
    for (name, value) in fields {
        prefixed(0x20, 3, name.len(), &mut section);
        section.extend(name.bytes());
        prefixed(0x00, 7, value.len(), &mut section);
        section.extend(value.bytes());
    }
    let length = u16::try_from(section.len()).expect("short") | 0x4000;
    [&[0x01], length.to_be_bytes().as_slice(), &section].concat()
}

/// What the node answers to CONNECT with these `WT-Available-Protocols`, and the peer that holds the session.
async fn connect(node: &Running, protocols: &str) -> (Peer, BytesMut) {
    let mut peer = Peer::attempt(node.address, "h3").await.expect("a handshake");
    peer.uni(SETTINGS).await;
    let authority = node.address.to_string();
    let request = headers(&[
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/"),
        (":protocol", "webtransport"),
        ("wt-available-protocols", protocols),
    ]);
    peer.bidi(&request).await;
    let mut answer = BytesMut::new();
    let stream = peer.answers.last_mut().expect("just opened");
    while whole(&answer).is_none() {
        let chunk = stream.read_chunk(usize::MAX, true).await.expect("connected");
        answer.extend_from_slice(&chunk.expect("an answer before the end").bytes);
    }
    assert_eq!(answer.first(), Some(&0x01), "HEADERS");
    (peer, answer)
}

/// The length of the first frame, once it is there in whole: a type of one byte, a length of one or two (RFC 9000 section 16).
fn whole(bytes: &[u8]) -> Option<usize> {
    let &[_, high, low, ..] = bytes else { return None };
    let length = match high >> 6 {
        0 => 2 + usize::from(high),
        1 => 3 + usize::from(u16::from_be_bytes([high & 0x3f, low])),
        _ => panic!("so long an answer"),
    };
    (bytes.len() >= length).then_some(length)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// `:status: 200` and `:status: 400`, entries 25 and 67 of QPACK's static table.
const STATUS_200: &[u8] = &[0xc0 | 25];
const STATUS_400: &[u8] = &[0xff, 67 - 63];

#[test]
fn available_protocols_with_moqt_18_are_answered_by_wt_protocol_moqt_18() {
    let node = node();
    run(async {
        for offer in ["\"moqt-18\"", "\"moqt-17\", \"moqt-18\", \"echo\""] {
            let (_session, answer) = connect(&node, offer).await;
            assert!(contains(&answer, STATUS_200), "{offer}: {answer:02x?}");
            let mut line = Vec::new();
            prefixed(0x20, 3, "wt-protocol".len(), &mut line);
            line.extend(b"wt-protocol");
            prefixed(0x00, 7, "\"moqt-18\"".len(), &mut line);
            line.extend(b"\"moqt-18\"");
            assert!(contains(&answer, &line), "{offer}: {answer:02x?}");
        }
    });
}

#[test]
fn available_protocols_without_one_of_ours_are_answered_by_400() {
    let node = node();
    run(async {
        let (_session, answer) = connect(&node, "\"moqt-17\"").await;
        assert!(contains(&answer, STATUS_400), "{answer:02x?}");
        assert!(!contains(&answer, b"wt-protocol"), "{answer:02x?}");
    });
}
