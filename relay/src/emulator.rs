//! A UDP link with delay, jitter, loss and a way to fall silent, for demonstrations and tests.
//!
//! It stands between a node and those who dial it: they dial the link's address, and each of them gets a socket of its own
//! towards the node, so that both ends see an ordinary path. A link that is cut says nothing to anybody, as a dead machine or a
//! pulled cable does; a process that ends says goodbye and proves nothing about failures.
//!
//! Bounds: [`QUEUE`] datagrams under way in each direction and [`PEERS`] ends; what is beyond is lost, as on a real link.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Datagrams under way in one direction.
pub const QUEUE: usize = 4096;
/// Ends that may dial through one link.
pub const PEERS: usize = 64;
/// Longest datagram.
const DATAGRAM: usize = 65_536;

/// What a link does to datagrams. Clones are the same link; changes take effect at once.
#[derive(Clone, Debug)]
pub struct Weather(Arc<Conditions>);

#[derive(Debug)]
struct Conditions {
    /// One way, in microseconds.
    delay: AtomicU64,
    /// Beyond it at most, in microseconds.
    jitter: AtomicU64,
    /// Datagrams lost, of a million.
    loss: AtomicU32,
    cut: AtomicBool,
    /// Of the generator that picks lost datagrams.
    seed: AtomicU64,
    /// Bytes, both ways, and datagrams.
    carried: AtomicU64,
    datagrams: AtomicU64,
}

impl Weather {
    /// A link that takes `delay` each way and loses nothing. `seed` picks what is lost later on.
    pub fn new(delay: Duration, seed: u64) -> Self {
        let weather = Self(Arc::new(Conditions {
            delay: AtomicU64::new(0),
            jitter: AtomicU64::new(0),
            loss: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            seed: AtomicU64::new(seed),
            carried: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
        }));
        weather.set_delay(delay);
        weather
    }

    /// How long a datagram takes each way from now on.
    pub fn set_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.0.delay.store(micros, Ordering::Relaxed);
    }

    /// How much longer a datagram may take from now on, by chance; none overtakes another.
    pub fn set_jitter(&self, jitter: Duration) {
        let micros = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
        self.0.jitter.store(micros, Ordering::Relaxed);
    }

    /// How many of a million datagrams are lost, each way.
    pub fn set_loss(&self, of_a_million: u32) {
        self.0.loss.store(of_a_million, Ordering::Relaxed);
    }

    /// Falls silent, or speaks again.
    pub fn cut(&self, cut: bool) {
        self.0.cut.store(cut, Ordering::Relaxed);
    }

    /// Bytes of the datagrams carried so far, both ways, those lost not counted.
    pub fn carried(&self) -> u64 {
        self.0.carried.load(Ordering::Relaxed)
    }

    /// Datagrams carried so far, as their bytes.
    pub fn datagrams(&self) -> u64 {
        self.0.datagrams.load(Ordering::Relaxed)
    }

    /// How long a datagram takes each way.
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.0.delay.load(Ordering::Relaxed))
    }

    /// Whether a datagram gets lost.
    fn loses(&self) -> bool {
        if self.0.cut.load(Ordering::Relaxed) {
            return true;
        }
        self.draw() % 1_000_000 < u64::from(self.0.loss.load(Ordering::Relaxed))
    }

    /// How long the next datagram takes.
    fn takes(&self) -> Duration {
        match self.0.jitter.load(Ordering::Relaxed) {
            0 => self.delay(),
            jitter => self.delay() + Duration::from_micros(self.draw() % jitter),
        }
    }

    /// A number by chance: SplitMix64.
    fn draw(&self) -> u64 {
        let state = self.0.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A bound link that does not carry anything yet.
#[derive(Debug)]
pub struct Link {
    socket: Arc<UdpSocket>,
    target: SocketAddr,
    weather: Weather,
}

impl Link {
    /// A link to `target` at a loopback port of the system's choice.
    ///
    /// # Errors
    /// No socket can be had.
    pub async fn bind(target: SocketAddr, weather: Weather) -> io::Result<Self> {
        let loopback: SocketAddr = if target.is_ipv4() {
            (Ipv4Addr::LOCALHOST, 0).into()
        } else {
            (Ipv6Addr::LOCALHOST, 0).into()
        };
        Ok(Self {
            socket: Arc::new(UdpSocket::bind(loopback).await?),
            target,
            weather,
        })
    }

    /// What is to be dialled instead of the target.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Carry datagrams until dropped.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn run(self) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut peers: HashMap<SocketAddr, mpsc::Sender<Parcel>> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let (length, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // A peer that is gone, told by ICMP: the others go on.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            peers.retain(|_, queue| !queue.is_closed());
            if !peers.contains_key(&from) {
                if peers.len() == PEERS {
                    continue;
                }
                let queue = self.add(from, &mut tasks).await?;
                peers.insert(from, queue);
            }
            if let (Some(queue), Some(datagram)) = (peers.get(&from), buffer.get(..length))
                && !self.weather.loses()
            {
                let parcel = Parcel::new(datagram, &self.weather);
                // A full link loses datagrams.
                let _full = queue.try_send(parcel).is_err();
            }
        }
    }

    /// A path for one end: its socket towards the target, and a task for each direction.
    async fn add(&self, from: SocketAddr, tasks: &mut JoinSet<()>) -> io::Result<mpsc::Sender<Parcel>> {
        let any: SocketAddr = if self.target.is_ipv4() {
            (Ipv4Addr::LOCALHOST, 0).into()
        } else {
            (Ipv6Addr::LOCALHOST, 0).into()
        };
        let far = Arc::new(UdpSocket::bind(any).await?);
        far.connect(self.target).await?;
        let (there, parcels) = mpsc::channel(QUEUE);
        let out = far.clone();
        tasks.spawn(deliver(parcels, move |datagram| {
            // A full socket buffer loses datagrams.
            let _lost = out.try_send(&datagram).is_err();
        }));
        let (back, parcels) = mpsc::channel(QUEUE);
        let near = self.socket.clone();
        tasks.spawn(deliver(parcels, move |datagram| {
            let _lost = near.try_send_to(&datagram, from).is_err();
        }));
        let weather = self.weather.clone();
        tasks.spawn(async move {
            let mut buffer = vec![0; DATAGRAM];
            loop {
                match far.recv(&mut buffer).await {
                    Ok(length) => {
                        if let Some(datagram) = buffer.get(..length)
                            && !weather.loses()
                        {
                            let _full = back.try_send(Parcel::new(datagram, &weather)).is_err();
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return,
                }
            }
        });
        Ok(there)
    }
}

/// A datagram on its way.
struct Parcel {
    due: Instant,
    datagram: Bytes,
}

impl Parcel {
    fn new(datagram: &[u8], weather: &Weather) -> Self {
        let bytes = u64::try_from(datagram.len()).unwrap_or(u64::MAX);
        weather.0.carried.fetch_add(bytes, Ordering::Relaxed);
        weather.0.datagrams.fetch_add(1, Ordering::Relaxed);
        Self {
            due: Instant::now() + weather.takes(),
            datagram: Bytes::copy_from_slice(datagram),
        }
    }
}

/// Hand over each datagram when it is due, in order.
async fn deliver(mut parcels: mpsc::Receiver<Parcel>, hand_over: impl Fn(Bytes)) {
    while let Some(parcel) = parcels.recv().await {
        tokio::time::sleep_until(parcel.due).await;
        hand_over(parcel.datagram);
    }
}
