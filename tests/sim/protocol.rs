//! What the simulator asks of a protocol. One value plays all nodes; it must not look beyond what a node was told.

use crate::network::Time;

/// What a protocol wants to happen.
pub struct Effects<M> {
    pub sends: Vec<(usize, usize, M)>,
    pub timers: Vec<(Time, usize, Timer)>,
    /// Nodes and origins whose upstreams changed.
    pub touched: Vec<(usize, usize)>,
    /// Origins whose media may take another way although no upstream changed.
    pub rerouted: Vec<usize>,
}

impl<M> Default for Effects<M> {
    fn default() -> Self {
        Self {
            sends: Vec::new(),
            timers: Vec::new(),
            touched: Vec::new(),
            rerouted: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// The protocol's own clock.
    Wake,
    /// The media of a pending upstream has caught up.
    CaughtUp { origin: usize, upstream: usize },
    /// A tentative upstream has brought something fresh by now, or will not.
    Proof { origin: usize, upstream: usize },
    /// Nothing is pulled any longer from an upstream that was lost.
    Leftover { origin: usize, upstream: usize },
}

pub trait Protocol {
    type Message;

    fn up(
        &mut self,
        now: Time,
        node: usize,
        other: usize,
        cost: u64,
        round_trip: Time,
        effects: &mut Effects<Self::Message>,
    );
    fn down(&mut self, now: Time, node: usize, other: usize, effects: &mut Effects<Self::Message>);
    fn message(
        &mut self,
        now: Time,
        node: usize,
        from: usize,
        message: Self::Message,
        effects: &mut Effects<Self::Message>,
    );
    /// `works`: for [`Timer::Proof`], whether media flows to the upstream.
    fn timer(
        &mut self,
        now: Time,
        node: usize,
        timer: Timer,
        works: bool,
        effects: &mut Effects<Self::Message>,
    );
    fn cost(&mut self, now: Time, node: usize, other: usize, cost: u64, effects: &mut Effects<Self::Message>);
    /// The node starts, with nothing in memory.
    fn start(&mut self, now: Time, node: usize, effects: &mut Effects<Self::Message>);
    /// Everything the node relies on as an upstream of this origin, but for tentative ones.
    fn upstreams(&self, node: usize, origin: usize) -> &[usize];
    /// Whence media may come now, tentative or not.
    fn feeds(&self, node: usize, origin: usize) -> Vec<usize>;
    /// Bytes with packet overhead, with so many namespaces at each origin; and the rows in it.
    fn size(&self, message: &Self::Message, namespaces: u64) -> (u64, u64);
}

/// Bytes on the wire: IP, UDP and QUIC take 60 for each packet.
pub fn packed(bytes: u64) -> u64 {
    bytes + 60 * bytes.div_ceil(1_200)
}
