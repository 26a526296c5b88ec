//! A mesh of many relays at places on a plane, each in session with near ones and with some at random, over links as long as
//! the way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use headwater_relay::emulator::Weather;

use crate::mesh::{Members, Net, Node};

/// Neighbours that a node looks for: the nearest, and others by chance.
const NEAR: usize = 4;
const RANDOM: usize = 2;
/// One way, of the shortest link, and across the whole plane beyond that.
const SHORTEST: Duration = Duration::from_millis(3);
const ACROSS: Duration = Duration::from_millis(40);
/// One way to the address that a node tells others of.
const ADVERTISED: Duration = Duration::from_millis(45);
/// Draws of a free port.
const PORTS: usize = 16;

/// Where a node is, from 0 to 1 each way.
#[derive(Clone, Copy, Debug)]
pub struct Place(f64, f64);

impl Place {
    /// One way between two places.
    #[must_use]
    pub fn delay(self, other: Self) -> Duration {
        SHORTEST + ACROSS.mul_f64((self.0 - other.0).hypot(self.1 - other.1))
    }
}

/// Numbers by chance, the same for the same seed.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From 0 to below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0) % bound.max(1)
    }

    /// A place.
    pub fn place(&mut self) -> Place {
        let mut side = || f64::from(u16::try_from(self.below(1000)).unwrap_or(0)) / 1000.0;
        Place(side(), side())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Grid {
    /// The links.
    pub net: Net,
    /// By number.
    pub nodes: Vec<Node>,
    /// Makes more nodes.
    pub members: Members,
    /// Draws what is left to chance.
    pub dice: Dice,
    places: Vec<Place>,
    links: BTreeMap<(usize, usize), Weather>,
    /// To the addresses that nodes tell others of.
    doors: Vec<Weather>,
}

impl Grid {
    /// So many nodes. They tell each other of addresses at which they can be reached, farther away than those they are given.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start(count: usize, seed: u64) -> Result<Self> {
        let mut dice = Dice(seed);
        let places: Vec<Place> = (0..count).map(|_| dice.place()).collect();
        let pairs = pairs(&places, &mut dice);
        let mut grid = Self {
            net: Net::new()?,
            nodes: Vec::new(),
            members: Members::new()?,
            dice,
            places,
            links: BTreeMap::new(),
            doors: Vec::new(),
        };
        for number in 0..count {
            let mut peers = Vec::new();
            for &(one, other) in pairs.iter().filter(|&&(_, other)| other == number) {
                let (weather, address) = grid.link(one, grid.places[other])?;
                grid.links.insert((one, other), weather);
                peers.push(address);
            }
            let own = free_port()?;
            let door = Weather::new(ADVERTISED, seed);
            let advertised = grid.net.link(own, &door)?;
            grid.doors.push(door);
            let node = Node::start_at(&mut grid.members, own, &peers, Some(advertised))?;
            grid.nodes.push(node);
        }
        Ok(grid)
    }

    /// A link from a place to a node, and what is dialled there.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn link(&self, node: usize, from: Place) -> Result<(Weather, SocketAddr)> {
        let weather = Weather::new(from.delay(self.places[node]), node as u64);
        let address = self.net.link(self.nodes[node].address(), &weather)?;
        Ok((weather, address))
    }

    /// The nodes that these nodes were told to be in session with, both ways counted.
    #[must_use]
    pub fn degrees(&self) -> Vec<usize> {
        let degree = |number| {
            self.links
                .keys()
                .filter(|&&(one, other)| one == number || other == number)
                .count()
        };
        (0..self.nodes.len()).map(degree).collect()
    }

    /// One way from a node to each, along the shortest links.
    #[must_use]
    pub fn delays(&self, from: usize) -> Vec<Duration> {
        let mut found = vec![None; self.nodes.len()];
        let mut edge = BTreeSet::from([(Duration::ZERO, from)]);
        while let Some((delay, number)) = edge.pop_first() {
            if found[number].is_some() {
                continue;
            }
            found[number] = Some(delay);
            for (&(one, other), weather) in &self.links {
                if one == number || other == number {
                    edge.insert((delay + weather.delay(), if one == number { other } else { one }));
                }
            }
        }
        found
            .into_iter()
            .map(|delay| delay.unwrap_or(Duration::MAX))
            .collect()
    }

    /// Bytes and datagrams that the links have carried, both ways.
    #[must_use]
    pub fn carried(&self) -> (u64, u64) {
        carried(self.links.values())
    }

    /// The same of the links to the addresses that nodes tell others of.
    #[must_use]
    pub fn carried_to_doors(&self) -> (u64, u64) {
        carried(self.doors.iter())
    }
}

fn carried<'a>(links: impl Iterator<Item = &'a Weather>) -> (u64, u64) {
    links.fold((0, 0), |(bytes, datagrams), weather| {
        (bytes + weather.carried(), datagrams + weather.datagrams())
    })
}

/// Which nodes are in session, the smaller number first.
fn pairs(places: &[Place], dice: &mut Dice) -> BTreeSet<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    for (number, place) in places.iter().enumerate() {
        let mut others: Vec<usize> = (0..places.len()).filter(|&other| other != number).collect();
        others.sort_by_key(|&other| place.delay(places[other]));
        let mut chosen: Vec<usize> = others.drain(..NEAR.min(others.len())).collect();
        for _ in 0..RANDOM.min(others.len()) {
            chosen.push(others.swap_remove(dice.below(others.len())));
        }
        pairs.extend(chosen.iter().map(|&other| (number.min(other), number.max(other))));
    }
    pairs
}

/// A loopback address whose port is free for UDP and TCP at the moment.
fn free_port() -> Result<SocketAddr> {
    (0..PORTS)
        .find_map(|_| {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let address = tcp.local_addr().ok()?;
            UdpSocket::bind(address).ok().map(|_| address)
        })
        .context("no port is free for both UDP and TCP")
}
