//! A network of two: carries out what each session wants, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::session::{Config, Event, Limits, RequestKey, Session, Side, Time, Transmit, Transport};
use crate::wire::control::{RequestError, Setup};
use crate::wire::{
    FullTrackName, Message, RequestErrorCode, SessionCode, StreamCode, TrackName, TrackNamespace, Version,
};

/// A configuration with the default limits, over QUIC.
pub(super) fn config(side: Side) -> Config {
    Config {
        side,
        transport: Transport::Quic,
        version: Version::Draft18,
        setup: Setup::default(),
        extension: None,
        limits: Limits::default(),
    }
}

pub(super) fn session(side: Side) -> Session {
    Session::new(Time::ZERO, config(side)).unwrap()
}

pub(super) fn namespace(text: &str) -> TrackNamespace {
    TrackNamespace::new(text.split('/').filter(|field| !field.is_empty())).unwrap()
}

pub(super) fn track(text: &str) -> FullTrackName {
    let (fields, name) = text.rsplit_once('/').unwrap();
    FullTrackName::new(namespace(fields), TrackName::new(name).unwrap()).unwrap()
}

pub(super) fn encode(message: &Message) -> Bytes {
    let mut buf = BytesMut::new();
    message.encode(Version::Draft18, &mut buf).unwrap();
    buf.freeze()
}

pub(super) fn refusal(code: RequestErrorCode) -> RequestError {
    RequestError {
        code,
        retry_after_ms: None,
        reason: String::new(),
        redirect: None,
    }
}

pub(super) fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

pub(super) fn transmits(session: &mut Session) -> Vec<Transmit> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

/// The code with which `session` closed itself, if it did.
pub(super) fn closed(session: &mut Session) -> Option<SessionCode> {
    transmits(session)
        .into_iter()
        .find_map(|transmit| match transmit {
            Transmit::Close { code, .. } => Some(code),
            _ => None,
        })
}

/// One thing under way from one session to the other.
#[derive(Clone, Debug)]
enum Packet {
    Control(Bytes),
    Bytes(Bytes),
    Fin,
    Reset(StreamCode),
    Stop(StreamCode),
}

/// Streams are numbered by who opened them and in which order.
type StreamId = (usize, u64);

/// Two sessions and what is under way between them. Index 0 is the client.
pub(super) struct Pair {
    pub(super) ends: [Session; 2],
    pub(super) now: Time,
    /// Bidirectional streams that each end may still open without waiting.
    pub(super) credit: [usize; 2],
    /// Per receiver: stream (`None`: control) to its packets in order.
    wires: [BTreeMap<Option<StreamId>, VecDeque<Packet>>; 2],
    keys: [BTreeMap<StreamId, RequestKey>; 2],
    ids: [BTreeMap<RequestKey, StreamId>; 2],
    opened: [u64; 2],
    pub(super) closes: [Vec<SessionCode>; 2],
    random: u64,
    shuffle: bool,
}

impl Pair {
    /// Both ends new, nothing delivered; packets arrive whole and in order.
    pub(super) fn new(client: Config, server: Config) -> Self {
        Self {
            ends: [client, server].map(|config| Session::new(Time::ZERO, config).unwrap()),
            now: Time::ZERO,
            credit: [usize::MAX; 2],
            wires: Default::default(),
            keys: Default::default(),
            ids: Default::default(),
            opened: [0; 2],
            closes: Default::default(),
            random: 0,
            shuffle: false,
        }
    }

    /// Both ends with default configuration and established; the events of that are taken.
    pub(super) fn established() -> Self {
        let mut pair = Self::new(config(Side::Client), config(Side::Server));
        pair.run();
        for end in 0..2 {
            assert!(matches!(pair.events(end)[..], [Event::Established(_)]));
        }
        pair
    }

    /// From now on streams overtake each other and bytes arrive in random pieces, as `seed` decides.
    pub(super) fn shuffle(&mut self, seed: u64) {
        self.random = seed;
        self.shuffle = true;
    }

    pub(super) fn events(&mut self, end: usize) -> Vec<Event> {
        events(&mut self.ends[end])
    }

    /// Carries everything until nothing is left to do.
    pub(super) fn run(&mut self) {
        loop {
            self.collect(0);
            self.collect(1);
            if !self.step() {
                return;
            }
        }
    }

    /// Carries at most `packets` packets.
    pub(super) fn run_some(&mut self, packets: usize) {
        for _ in 0..packets {
            self.collect(0);
            self.collect(1);
            self.step();
        }
    }

    /// Moves the clock and lets both ends act.
    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.run();
    }

    fn collect(&mut self, end: usize) {
        while let Some(transmit) = self.ends[end].poll_transmit() {
            let (stream, packet) = match transmit {
                Transmit::Control(bytes) => (None, Packet::Control(bytes)),
                Transmit::Open {
                    key, if_credit: true, ..
                } if self.credit[end] == 0 => {
                    self.ends[end].open_refused(key);
                    continue;
                }
                Transmit::Open { key, bytes, .. } => {
                    self.credit[end] = self.credit[end].saturating_sub(1);
                    let id = (end, self.opened[end]);
                    self.opened[end] += 1;
                    self.keys[end].insert(id, key);
                    self.ids[end].insert(key, id);
                    (Some(id), Packet::Bytes(bytes))
                }
                Transmit::Write { key, bytes } => (Some(self.ids[end][&key]), Packet::Bytes(bytes)),
                Transmit::Finish { key } => (Some(self.ids[end][&key]), Packet::Fin),
                Transmit::Reset { key, code } => (Some(self.ids[end][&key]), Packet::Reset(code)),
                Transmit::Stop { key, code } => (Some(self.ids[end][&key]), Packet::Stop(code)),
                Transmit::Close { code, .. } => {
                    self.closes[end].push(code);
                    continue;
                }
            };
            self.wires[1 - end].entry(stream).or_default().push_back(packet);
        }
    }

    /// Delivers one packet, or a piece of it. False if there is none.
    fn step(&mut self) -> bool {
        let choices: Vec<(usize, Option<StreamId>)> = (0..2)
            .flat_map(|end| self.wires[end].keys().map(move |stream| (end, *stream)))
            .collect();
        if choices.is_empty() {
            return false;
        }
        let pick = if self.shuffle { self.roll(choices.len()) } else { 0 };
        let (end, stream) = choices[pick];
        let cut = self.roll(64) + 1;
        let queue = self.wires[end].get_mut(&stream).unwrap();
        let mut packet = queue.pop_front().unwrap();
        if self.shuffle
            && let Packet::Control(bytes) | Packet::Bytes(bytes) = &mut packet
            && bytes.len() > cut
        {
            let rest = bytes.split_off(cut);
            queue.push_front(if stream.is_none() {
                Packet::Control(rest)
            } else {
                Packet::Bytes(rest)
            });
        }
        if queue.is_empty() {
            self.wires[end].remove(&stream);
        }
        self.deliver(end, stream, packet);
        true
    }

    fn deliver(&mut self, end: usize, stream: Option<StreamId>, packet: Packet) {
        let now = self.now;
        if let Packet::Control(bytes) = packet {
            return self.ends[end].recv_control(now, bytes);
        }
        let id = stream.unwrap();
        if !self.keys[end].contains_key(&id) {
            let key = self.ends[end].accept();
            self.keys[end].insert(id, key);
            self.ids[end].insert(key, id);
        }
        let key = self.keys[end][&id];
        match packet {
            Packet::Control(_) => unreachable!("handled above"),
            Packet::Bytes(bytes) => self.ends[end].recv(now, key, bytes),
            Packet::Fin => self.ends[end].recv_fin(now, key),
            Packet::Reset(code) => self.ends[end].recv_reset(key, code),
            Packet::Stop(code) => self.ends[end].recv_stop(key, code),
        }
    }

    fn roll(&mut self, below: usize) -> usize {
        // splitmix64: small, seeded, and the same on every machine.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }
}

impl Session {
    /// The key given out last.
    pub(super) fn newest_key(&self) -> Option<RequestKey> {
        self.next_key.checked_sub(1).map(RequestKey)
    }

    /// How much is still kept of requests that are over, lingering streams aside.
    pub(super) fn residue(&self) -> usize {
        self.by_id.len() + self.roles.len() + self.held_fetches.len() + self.timers.len()
    }
}

/// A session against a peer that is played by the test, message by message.
pub(super) struct Solo {
    pub(super) session: Session,
}

impl Solo {
    /// A session on `side` that has the peer's SETUP; its outputs so far are taken.
    pub(super) fn new(side: Side) -> Self {
        Self::with(config(side))
    }

    pub(super) fn with(config: Config) -> Self {
        let mut session = Session::new(Time::ZERO, config).unwrap();
        session.recv_control(Time::ZERO, encode(&Message::Setup(Setup::default())));
        assert!(matches!(events(&mut session)[..], [Event::Established(_)]));
        transmits(&mut session);
        Self { session }
    }

    /// The peer opens a stream with `message`.
    pub(super) fn ask(&mut self, message: &Message) -> RequestKey {
        let key = self.session.accept();
        self.say(key, message);
        key
    }

    /// The peer sends `message` on a stream.
    pub(super) fn say(&mut self, key: RequestKey, message: &Message) {
        self.session.recv(Time::ZERO, key, encode(message));
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        events(&mut self.session)
    }

    /// What the session wrote to a stream, decoded.
    pub(super) fn written(&mut self, key: RequestKey) -> Vec<Message> {
        let mut reader =
            crate::wire::MessageReader::new(Version::Draft18, crate::wire::control::StreamKind::Request);
        for transmit in transmits(&mut self.session) {
            match transmit {
                Transmit::Write { key: on, bytes } | Transmit::Open { key: on, bytes, .. } if on == key => {
                    reader.push(bytes);
                }
                _ => {}
            }
        }
        std::iter::from_fn(|| reader.poll().unwrap()).collect()
    }

    /// The code of the only REQUEST_ERROR that was written to a stream.
    pub(super) fn refused(&mut self, key: RequestKey) -> Option<RequestErrorCode> {
        match &self.written(key)[..] {
            [Message::RequestError(error)] => Some(error.code),
            _ => None,
        }
    }

    /// The code with which the session closed itself.
    pub(super) fn closed(&mut self) -> Option<SessionCode> {
        closed(&mut self.session)
    }
}
