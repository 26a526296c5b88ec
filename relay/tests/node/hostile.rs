//! Peers that break the rules, byte by byte: each is told which one, and nobody else on the node notices.

use bytes::{BufMut as _, Bytes};
use headwater_pubsub::wire::{
    FullTrackName, SessionCode, StreamCode,
    data::{PADDING_DATAGRAM, PADDING_STREAM},
    varint,
};

use crate::peer::{Healthy, Peer, SETUP, node, publish, run, subscribe, track};

/// A track that is not there.
fn nobody() -> FullTrackName {
    track("nobody", "nothing")
}

fn varint_bytes(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(value, &mut bytes);
    bytes
}

/// SUBSCRIBE with this body.
fn subscribe_body(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[0x03], length.as_slice(), body].concat()
}

#[test]
fn what_breaks_the_control_stream_is_told_and_closes_only_that_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let violations: &[(&str, &[u8])] = &[
            ("an unknown message", &[0x3f, 0x00, 0x00]),
            ("a second SETUP", SETUP),
            ("a request on the control stream", &[0x03, 0x00, 0x00]),
            ("a GOAWAY cut short", &[0x10, 0x00, 0x01, 0x00]),
        ];
        for (what, bytes) in violations {
            let mut peer = Peer::dial(&node).await;
            peer.uni(&[SETUP, bytes].concat()).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
            healthy.beats().await;
        }
        let mut twice = Peer::with_setup(&node).await;
        twice.uni(SETUP).await;
        assert_eq!(
            twice.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a second control stream"
        );
        let mut ended = Peer::with_setup(&node).await;
        ended
            .streams
            .first_mut()
            .expect("the control stream")
            .finish()
            .expect("open");
        assert_eq!(
            ended.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a finished control stream"
        );
        let mut reset = Peer::with_setup(&node).await;
        // The answer shows that SETUP was read: a reset that overtakes it leaves a stream that says nothing.
        reset.bidi(&subscribe(0, nobody())).await;
        let _refused = reset.answer(0).await;
        let control = reset.streams.first_mut().expect("the control stream");
        control.reset(0u32.into()).expect("open");
        assert_eq!(
            reset.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a reset control stream"
        );
        let mut cut = Peer::dial(&node).await;
        // The head of a GOAWAY whose four bytes do not all come.
        cut.uni(&[SETUP, &[0x10, 0x00, 0x04, 0x00]].concat()).await;
        let control = cut.streams.first_mut().expect("the control stream");
        control.finish().expect("open");
        assert_eq!(
            cut.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a control stream finished inside a message"
        );
        healthy.beats().await;
    });
}

#[test]
fn what_breaks_setup_is_told_and_closes_only_that_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let mut other = Peer::dial(&node).await;
        // A type that neither a control nor a data stream begins with.
        other.uni(&[0x03, 0x00, 0x00]).await;
        assert_eq!(
            other.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "first bytes that are not SETUP"
        );
        let mut early = Peer::dial(&node).await;
        early.bidi(SETUP).await;
        early.uni(SETUP).await;
        assert_eq!(
            early.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "SETUP on a request stream, before the real one"
        );
        let mut long = Peer::dial(&node).await;
        // PATH (1) of 16 bytes, of which SETUP holds one.
        long.uni(&[0xaf, 0x00, 0x00, 0x03, 0x01, 0x10, b'/']).await;
        assert_eq!(
            long.closed().await,
            SessionCode::KEY_VALUE_FORMATTING_ERROR,
            "an option longer than SETUP"
        );
        let mut path = Peer::dial(&node).await;
        // PATH (1), 3 bytes that do not begin with a slash.
        path.uni(&[0xaf, 0x00, 0x00, 0x05, 0x01, 0x03, b'a', b' ', b'b'])
            .await;
        assert_eq!(path.closed().await, SessionCode::MALFORMED_PATH);
        healthy.beats().await;
    });
}

#[test]
fn what_breaks_a_request_is_told_and_closes_only_that_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let too_many_fields = [&[0x00, 33][..], &[1, b'x'].repeat(33), &[0x00, 0x00]].concat();
        let long_name = [&[0x00, 0x01, 0x01, b'x', 0x90, 0x01][..], &[b'n'; 4097], &[0x00]].concat();
        let most = varint_bytes((1 << 62) - 1);
        let countless_fields = [&[0x00], most.as_slice(), &[1, b'x', 0x00, 0x00]].concat();
        let endless_field = [&[0x00, 0x01], most.as_slice(), b"x"].concat();
        let violations = [
            ("2^62 - 1 namespace fields", subscribe_body(&countless_fields)),
            (
                "a namespace field of 2^62 - 1 bytes",
                subscribe_body(&endless_field),
            ),
            ("an answer that nobody asked for", vec![0x07, 0x00, 0x01, 0x00]),
            ("SETUP as a request", SETUP.to_vec()),
            (
                "a length beyond the fields",
                subscribe_body(&[0x00, 0x01, 0x01, b'x', 0x01, b'y', 0x00, 0x00]),
            ),
            ("a length inside the fields", subscribe_body(&[0x00, 0x01, 0x01])),
            (
                "an empty namespace field",
                subscribe_body(&[0x00, 0x01, 0x00, 0x01, b'y', 0x00]),
            ),
            ("33 namespace fields", subscribe_body(&too_many_fields)),
            ("a name of 4098 bytes", subscribe_body(&long_name)),
            (
                "an unknown parameter",
                subscribe_body(&[0x00, 0x01, 0x01, b'x', 0x01, b'y', 0x01, 0x7b, 0x00]),
            ),
        ];
        for (what, bytes) in violations {
            let mut peer = Peer::with_setup(&node).await;
            peer.bidi(&bytes).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
            healthy.beats().await;
        }
        let mut odd = Peer::with_setup(&node).await;
        odd.bidi(&subscribe(1, nobody())).await;
        assert_eq!(
            odd.closed().await,
            SessionCode::INVALID_REQUEST_ID,
            "a server's Request ID"
        );
        let mut again = Peer::with_setup(&node).await;
        again.bidi(&subscribe(0, nobody())).await;
        again.bidi(&subscribe(0, nobody())).await;
        assert_eq!(
            again.closed().await,
            SessionCode::INVALID_REQUEST_ID,
            "a Request ID twice"
        );
        let mut shuffled = Peer::with_setup(&node).await;
        for (index, id) in [4, 0, 2].into_iter().enumerate() {
            shuffled.bidi(&subscribe(id, nobody())).await;
            let _refused = shuffled.answer(index).await;
        }
        assert!(
            shuffled.connection.close_reason().is_none(),
            "IDs may come out of order"
        );
        shuffled.bidi(&subscribe(0, nobody())).await;
        assert_eq!(
            shuffled.closed().await,
            SessionCode::INVALID_REQUEST_ID,
            "a Request ID again, after others out of order"
        );
        let mut cut = Peer::with_setup(&node).await;
        let whole = subscribe(0, nobody());
        cut.bidi(whole.get(..whole.len() - 1).expect("long enough")).await;
        let request = cut.streams.last_mut().expect("just opened");
        request.finish().expect("open");
        assert_eq!(
            cut.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a request stream finished inside a message"
        );
        healthy.beats().await;
    });
}

#[test]
fn what_breaks_the_data_plane_is_told_and_a_stray_stream_only_stopped() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        for (what, bytes) in [
            ("an unknown stream type", [0x03]),
            ("a reserved subgroup form", [0x16]),
        ] {
            let mut peer = Peer::with_setup(&node).await;
            peer.uni(&bytes).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
        }
        let unknown = Peer::with_setup(&node).await;
        unknown
            .connection
            .send_datagram(Bytes::from_static(&[0x10, 0x00]))
            .expect("datagrams");
        assert_eq!(
            unknown.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "an unknown datagram type"
        );

        let mut stray = Peer::with_setup(&node).await;
        // A subgroup of a track alias that nobody gave: alias 99, group 0, priority 0.
        stray.uni(&[0x10, 0x63, 0x00, 0x00, 0x00, 0x01, b'x']).await;
        let stopped = stray
            .streams
            .last()
            .expect("just opened")
            .stopped()
            .await
            .expect("connected");
        assert_eq!(
            stopped.map(|code| StreamCode::from(code.into_inner())),
            Some(StreamCode::CANCELLED)
        );
        assert!(stray.connection.close_reason().is_none(), "the session goes on");
        healthy.beats().await;
    });
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let silent = Peer::dial(&node).await;
        assert_eq!(silent.closed().await, SessionCode::CONTROL_MESSAGE_TIMEOUT);
        healthy.beats().await;
    });
}

#[test]
fn padding_is_read_and_forgotten() {
    let node = node();
    run(async {
        let mut peer = Peer::with_setup(&node).await;
        let mut stream = varint_bytes(PADDING_STREAM);
        stream.put_bytes(0xff, 100_000);
        peer.uni(&stream).await;
        let mut datagram = varint_bytes(PADDING_DATAGRAM);
        datagram.put_bytes(0xff, 100);
        peer.connection.send_datagram(datagram.into()).expect("datagrams");
        let padding = peer.streams.last_mut().expect("just opened");
        padding.finish().expect("open");
        assert_eq!(padding.stopped().await, Ok(None), "read to its end");
        peer.bidi(&subscribe(0, nobody())).await;
        let _refused = peer.answer(0).await;
        assert!(peer.connection.close_reason().is_none(), "the session goes on");
    });
}

#[test]
fn a_data_stream_finished_inside_an_object_closes_its_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let mut publisher = Peer::with_setup(&node).await;
        publisher.bidi(&publish(0, track("cut", "track"), 7)).await;
        let _accepted = publisher.answer(0).await;
        // Alias 7, group 0, priority 0; object 0 of 4 bytes, of which one comes.
        publisher.uni(&[0x10, 0x07, 0x00, 0x00, 0x00, 0x04, b'x']).await;
        let stream = publisher.streams.last_mut().expect("just opened");
        stream.finish().expect("open");
        assert_eq!(publisher.closed().await, SessionCode::PROTOCOL_VIOLATION);
        healthy.beats().await;
    });
}
