//! Records what a busy but silent link looks like to its receiver: padding datagrams over real UDP sockets, through an emulated
//! link that delays, jitters and loses. `sim record FILE MINUTES` writes the file that `detect` replays.
//!
//! Real are the sockets, the sender's pacing (the overlay's own [`Keeper`], looked at every [`SAMPLE`]) and whatever the machine
//! does to the wake-ups of all threads meanwhile. Made up are delay and loss, drawn for each datagram on its own.
//!
//! The file: of each flow the number of its datagrams, 4 bytes; then of each datagram the same: 12 bits for the milliseconds since
//! the one before was sent, 8 for the delay in milliseconds that was drawn, 255 if it was lost, and 12 for the milliseconds that
//! it came later than that. All big endian. `Sent` packs and unpacks them.

#![expect(clippy::disallowed_methods, reason = "this is what reads the clock")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use headwater_relay::overlay::health::{Keeper, SAMPLE};

use crate::network::Dice;

/// Links recorded at the same time, one direction of each.
const FLOWS: u64 = 12;
/// One way, in milliseconds; the standard deviation of it; the bounds; and the share that is lost.
const DELAY: f64 = 60.0;
const JITTER: f64 = 30.0;
const BOUNDS: (f64, f64) = (1.0, 250.0);
const LOSS: f64 = 0.02;
/// How long a thread waits for a datagram before it looks whether the recording is over.
const PATIENCE: Duration = Duration::from_millis(5);
/// Stands for the delay of a datagram that is lost.
const LOST: u8 = u8::MAX;
/// The most that fits into twelve bits.
const LONG: u64 = (1 << 12) - 1;

/// What is sent: its number, and the delay that the link draws.
type Datagram = [u8; 5];

/// A datagram of a recording. All in milliseconds.
#[derive(Clone, Copy)]
pub struct Sent {
    /// Since the one before was sent.
    pub since: u64,
    /// The delay of the link; `None` if it is lost there.
    pub delay: Option<u64>,
    /// How much later than that it came.
    pub late: u64,
}

impl Sent {
    fn pack(self) -> u32 {
        let delay = self.delay.map_or(LOST, |delay| delay as u8);
        (self.since.min(LONG) as u32) << 20 | u32::from(delay) << 12 | self.late.min(LONG) as u32
    }

    pub fn unpack(packed: u32) -> Self {
        let delay = (packed >> 12) as u8;
        Self {
            since: u64::from(packed >> 20),
            delay: (delay != LOST).then_some(u64::from(delay)),
            late: u64::from(packed) & LONG,
        }
    }
}

/// What the link does to a datagram: its delay in milliseconds, or none.
pub fn draw(dice: &mut Dice) -> Option<u64> {
    let lost = dice.share() < LOSS;
    let delay = (DELAY + JITTER * dice.normal()).clamp(BOUNDS.0, BOUNDS.1);
    (!lost).then_some(delay as u64)
}

/// Writes the file.
pub fn run(path: &str, minutes: u64) -> io::Result<()> {
    let flows: Vec<_> = (0..FLOWS)
        .map(|flow| thread::spawn(move || record(flow, Duration::from_secs(60 * minutes))))
        .collect();
    let mut bytes = Vec::new();
    for flow in flows {
        let flow = join(flow)?;
        bytes.extend((flow.len() as u32).to_be_bytes());
        bytes.extend(flow.into_iter().flat_map(|sent| sent.pack().to_be_bytes()));
    }
    std::fs::write(path, bytes)
}

fn join<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread
        .join()
        .map_err(|_| io::Error::other("a thread of the recording failed"))?
}

fn record(flow: u64, time: Duration) -> io::Result<Vec<Sent>> {
    let [sender, link, receiver] = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let (sender, link, receiver) = (sender?, link?, receiver?);
    sender.connect(link.local_addr()?)?;
    let target = receiver.local_addr()?;
    for socket in [&link, &receiver] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let over = Arc::new(AtomicBool::new(false));
    let (link_over, receiver_over) = (over.clone(), over.clone());
    let carry = thread::spawn(move || carry(&link, target, flow, &link_over));
    let receive = thread::spawn(move || receive(&receiver, &receiver_over));
    let sent = send(&sender, time)?;
    thread::sleep(Duration::from_secs(1));
    over.store(true, Ordering::Relaxed);
    join(carry)?;
    let received = join(receive)?;
    let start = sent.first().copied();
    let millis = |at: Instant| start.map_or(0, |start| at.duration_since(start).as_millis() as u64);
    let mut before = 0;
    let mut datagrams: Vec<Sent> = sent
        .iter()
        .map(|&at| Sent {
            since: millis(at) - std::mem::replace(&mut before, millis(at)),
            delay: None,
            late: 0,
        })
        .collect();
    for ([a, b, c, d, delay], at) in received {
        let number = u32::from_be_bytes([a, b, c, d]) as usize;
        let delay = u64::from(delay);
        datagrams[number].delay = Some(delay);
        datagrams[number].late = (millis(at) - millis(sent[number])).saturating_sub(delay);
    }
    Ok(datagrams)
}

/// Padding whenever the overlay would send it, numbered; gives when.
fn send(socket: &UdpSocket, time: Duration) -> io::Result<Vec<Instant>> {
    let (start, mut keeper, mut sent) = (Instant::now(), Keeper::default(), Vec::new());
    while start.elapsed() < time {
        if keeper.is_due(start.elapsed(), sent.len() as u64) {
            let number = sent.len() as u32;
            sent.push(Instant::now());
            socket.send(&number.to_be_bytes())?;
        }
        thread::sleep(SAMPLE);
    }
    Ok(sent)
}

/// Datagrams go on when their time has come, not in the order in which they came. The delay travels with them.
fn carry(socket: &UdpSocket, target: SocketAddr, flow: u64, over: &AtomicBool) -> io::Result<()> {
    let mut dice = Dice(14 + flow);
    let mut under_way = BinaryHeap::<Reverse<(Instant, Datagram)>>::new();
    while !over.load(Ordering::Relaxed) {
        let next = under_way.peek().map(|Reverse((at, _))| *at);
        let wait = next.map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            if let Some(Reverse((_, datagram))) = under_way.pop() {
                socket.send_to(&datagram, target)?;
            }
            continue;
        }
        socket.set_read_timeout(Some(wait.min(PATIENCE)))?;
        if let Some(mut datagram) = take(socket)?
            && let Some(delay) = draw(&mut dice)
        {
            datagram[4] = delay as u8;
            under_way.push(Reverse((Instant::now() + Duration::from_millis(delay), datagram)));
        }
    }
    Ok(())
}

fn receive(socket: &UdpSocket, over: &AtomicBool) -> io::Result<Vec<(Datagram, Instant)>> {
    let mut received = Vec::new();
    while !over.load(Ordering::Relaxed) {
        received.extend(take(socket)?.map(|datagram| (datagram, Instant::now())));
    }
    Ok(received)
}

/// `None` if none came in time.
fn take(socket: &UdpSocket) -> io::Result<Option<Datagram>> {
    let mut datagram = Datagram::default();
    match socket.recv(&mut datagram) {
        Ok(_) => Ok(Some(datagram)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}
