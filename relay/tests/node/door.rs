//! Who gets one of the node's places for sessions, and when it is free again.

use std::{net::SocketAddr, time::Duration};

use headwater_pubsub::wire::Version;
use headwater_relay::config::{Config, Limits};
use tokio::net::UdpSocket;

use crate::{
    peer::{Peer, SETUP_TIME, run},
    running::Running,
};

/// Pause between two tries of a refused client.
const AGAIN: Duration = Duration::from_millis(20);

/// A node with few places.
fn with_places(sessions: u32) -> Running {
    Running::start(Config {
        threads: 1,
        limits: Limits {
            sessions,
            handshake_timeout: SETUP_TIME,
            ..Limits::default()
        },
        ..Config::default()
    })
}

async fn attempt(node: &Running) -> Result<Peer, quinn::ConnectionError> {
    Peer::attempt(node.address, Version::Draft18.alpn()).await
}

/// Asks until there is a place.
async fn place(node: &Running) -> Peer {
    loop {
        match attempt(node).await {
            Ok(peer) => return peer,
            Err(refused) => assert!(is_refusal(&refused), "{refused}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn is_refusal(error: &quinn::ConnectionError) -> bool {
    matches!(error, quinn::ConnectionError::ConnectionClosed(close)
        if u64::from(close.error_code) == 0x02)
}

#[test]
fn sessions_beyond_the_limit_are_refused_until_one_leaves() {
    let node = with_places(2);
    run(async {
        let mut first = attempt(&node).await.expect("a place");
        first.uni(crate::peer::SETUP).await;
        let second = attempt(&node).await.expect("a place");
        let third = attempt(&node).await.err().expect("no place is left");
        assert!(is_refusal(&third), "{third}");
        assert!(first.connection.close_reason().is_none());
        second.connection.close(0u32.into(), b"");
        let _third = place(&node).await;
        assert!(first.connection.close_reason().is_none());
    });
}

#[test]
fn datagrams_that_are_no_handshake_cost_no_place() {
    let node = with_places(1);
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        // Version 1, connection IDs of 8 bytes and none, no token, a length of 1178; the rest decrypts to nothing.
        let head: &[u8] = &[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9a];
        let mut initial = head.to_vec();
        initial.resize(1200, 0xa5);
        let junk: [&[u8]; 5] = [&[], &[0x00], &[0x40; 60], &[0xff; 1200], &initial];
        for _ in 0..20 {
            for datagram in junk {
                socket.send_to(datagram, node.address).await.expect("sent");
            }
        }
        let peer = place(&node).await;
        assert!(peer.connection.close_reason().is_none());
    });
}

/// Brings the first datagram of a client to the node, and the node's answer no further.
async fn stall(node: &Running) -> (UdpSocket, SocketAddr) {
    let inner = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let outer = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = inner.local_addr().expect("bound");
    let mut datagram = [0; 2048];
    let client = Peer::attempt(address, Version::Draft18.alpn());
    tokio::select! {
        ended = client => panic!("nobody answers: {:?}", ended.err()),
        first = inner.recv_from(&mut datagram) => {
            let (length, _client) = first.expect("a datagram");
            let initial = datagram.get(..length).expect("received");
            outer.send_to(initial, node.address).await.expect("sent");
        }
    }
    let _answered = outer.recv_from(&mut datagram).await.expect("an answer");
    (outer, address)
}

#[test]
fn a_handshake_that_stalls_gives_its_place_back() {
    let node = with_places(1);
    run(async {
        let _stalled = stall(&node).await;
        let refused = attempt(&node).await.err().expect("the place is taken");
        assert!(is_refusal(&refused), "{refused}");
        let _peer = place(&node).await;
    });
}
