//! One UDP address in front of several relays: each newcomer is taken to the next of them.
//!
//! For clients that take one address and dial it several times, where publisher and subscriber shall be at different nodes. A
//! client is a source address; QUIC sees an ordinary path.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Clients at most; datagrams of more are dropped.
const CLIENTS: usize = 1024;
/// Longest datagram.
const DATAGRAM: usize = 65_536;

/// A bound splitter that does not carry anything yet.
#[derive(Debug)]
pub struct Splitter {
    front: Arc<UdpSocket>,
    targets: Vec<SocketAddr>,
    clients: Arc<AtomicUsize>,
}

impl Splitter {
    /// In front of relays on loopback, which take turns.
    ///
    /// # Errors
    /// No socket can be had.
    pub async fn bind(targets: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            front: Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?),
            targets,
            clients: Arc::default(),
        })
    }

    /// What is to be dialled.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// How many clients have come so far, also while it runs.
    #[must_use]
    pub fn clients(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.clients)
    }

    /// Carries datagrams both ways until it is dropped.
    ///
    /// # Errors
    /// A socket fails.
    pub async fn run(self) -> io::Result<()> {
        let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut replies = JoinSet::new();
        let mut buffer = vec![0; DATAGRAM];
        let mut turns = self.targets.iter().cycle();
        loop {
            let (length, client) = self.front.recv_from(&mut buffer).await?;
            let way = match ways.get(&client) {
                Some(way) => way,
                None if ways.len() >= CLIENTS => continue,
                None => {
                    let Some(target) = turns.next() else { return Ok(()) };
                    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    socket.connect(target).await?;
                    let socket = Arc::new(socket);
                    replies.spawn(reply(Arc::clone(&self.front), Arc::clone(&socket), client));
                    self.clients.fetch_add(1, Ordering::Relaxed);
                    ways.entry(client).or_insert(socket)
                }
            };
            // A relay that is not there loses datagrams, as a network does.
            let _lost = way.send(&buffer[..length]).await.is_err();
        }
    }
}

/// What a relay says to one client, until either socket fails.
async fn reply(front: Arc<UdpSocket>, way: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(length) = way.recv(&mut buffer).await {
        if front.send_to(&buffer[..length], client).await.is_err() {
            return;
        }
    }
}
