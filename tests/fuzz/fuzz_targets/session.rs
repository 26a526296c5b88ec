//! A session against a peer that says anything in any order, and an application that calls anything in any order: it closes at
//! most once and says nothing after that, what it sends are whole messages on open streams, and what it keeps is bounded.

#![no_main]

#[path = "session/draw.rs"]
mod draw;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use draw::{bytes, done, location, namespace, parameters, refusal, track};
use headwater_pubsub::session::{
    Config, Event, FetchTarget, IncomingRequest, Limits, RequestKey, Session, Side, Transmit, Transport,
};
use headwater_pubsub::wire::control::{MessageReader, Setup, StreamKind};
use headwater_pubsub::wire::{Message, Parameters, Properties, SessionCode, StreamCode, Version};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// One message of the control stream, which may be incomplete: type, length, body.
const ONE_MESSAGE: usize = 9 + 2 + 65_535;

/// Small, so that a few operations reach them.
fn limits() -> Limits {
    Limits {
        early_bytes: 64,
        early_requests: 3,
        open_requests: 6,
        held_bytes: 128,
        pending_updates: 2,
        namespaces: 3,
        namespace_bytes: 12,
        ended_aliases: 2,
        request_id_holes: 4,
        lingering_requests: 3,
        token_cache_bytes: 64,
        ..Limits::default()
    }
}

/// A SETUP option by which both ends agree on parameters beside the draft.
const EXTENSION: u64 = 0x4857_0100;

struct World {
    session: Session,
    now: Duration,
    keys: Vec<RequestKey>,
    asked: Vec<(RequestKey, IncomingRequest)>,
    /// Requests of ours that were made.
    made: usize,
    /// Our half of these streams has ended.
    ended: BTreeSet<RequestKey>,
    /// These streams are ours to write on.
    known: BTreeSet<RequestKey>,
    closed: bool,
}

impl World {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let side = if u.arbitrary()? {
            Side::Client
        } else {
            Side::Server
        };
        let transport = if u.arbitrary()? {
            Transport::Quic
        } else {
            Transport::WebTransport
        };
        let config = Config {
            side,
            transport,
            version: Version::Draft18,
            setup: Setup::default(),
            extension: u.arbitrary::<bool>()?.then_some(EXTENSION),
            limits: limits(),
        };
        Ok(Self {
            session: Session::new(Duration::ZERO, config).expect("an empty SETUP"),
            now: Duration::ZERO,
            keys: Vec::new(),
            asked: Vec::new(),
            made: 0,
            ended: BTreeSet::new(),
            known: BTreeSet::new(),
            closed: false,
        })
    }

    fn key(&self, u: &mut Unstructured<'_>) -> Result<Option<RequestKey>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(*u.choose(&self.keys)?))
    }

    /// What the peer does.
    fn peer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Self { session, now, .. } = self;
        let code = StreamCode::CANCELLED;
        match u.int_in_range(0..=15_u8)? {
            0 => session.recv_control(*now, bytes(u)?),
            1 => {
                let mut setup = BytesMut::new();
                Message::Setup(Setup::default())
                    .encode(Version::Draft18, &mut setup)
                    .expect("an empty SETUP");
                session.recv_control(*now, setup.freeze());
            }
            2 if u.ratio(1, 16)? => session.recv_control_closed(),
            3..=6 => {
                let key = session.accept();
                assert!(self.known.insert(key), "a key given twice");
                self.keys.push(key);
                session.recv(*now, key, bytes(u)?);
            }
            7..=11 => {
                if let Some(key) = self.key(u)? {
                    self.session.recv(self.now, key, bytes(u)?);
                }
            }
            12 => {
                if let Some(key) = self.key(u)? {
                    self.session.recv_fin(self.now, key);
                }
            }
            13 => {
                if let Some(key) = self.key(u)? {
                    self.session.recv_reset(key, code);
                }
            }
            14 => {
                if let Some(key) = self.key(u)? {
                    self.session.recv_stop(key, code);
                }
            }
            _ => {
                self.now += Duration::from_millis(u.int_in_range(0..=3000)?);
                self.session.handle_timeout(self.now);
            }
        }
        Ok(())
    }

    /// A new request of ours.
    fn ask(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let joined = self.key(u)?;
        let session = &mut self.session;
        let made = match u.int_in_range(0..=7_u8)? {
            0 => session.subscribe(track(u)?, parameters(u)?).ok(),
            1 => session
                .publish(track(u)?, parameters(u)?, Properties::default(), u.arbitrary()?)
                .ok()
                .map(|(key, _)| key),
            2 => {
                let target = FetchTarget::Standalone {
                    track: track(u)?,
                    start: location(u)?,
                    end: location(u)?,
                };
                session.fetch(target, parameters(u)?).ok()
            }
            3 => joined.and_then(|subscription| {
                let target = FetchTarget::RelativeJoining {
                    subscription,
                    groups: 2,
                };
                session.fetch(target, Parameters::default()).ok()
            }),
            4 => session.track_status(track(u)?, parameters(u)?).ok(),
            5 => session.publish_namespace(namespace(u)?, parameters(u)?).ok(),
            6 => session.subscribe_namespace(namespace(u)?, parameters(u)?).ok(),
            _ => session.subscribe_tracks(namespace(u)?, parameters(u)?).ok(),
        };
        self.made += usize::from(made.is_some());
        self.keys.extend(made);
        Ok(())
    }

    /// An answer to the peer; it may come after the request has ended.
    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let (key, request) = self.asked.swap_remove(u.choose_index(self.asked.len())?);
        let parameters = parameters(u)?;
        let properties = Properties::default();
        let session = &mut self.session;
        let _refused = match request {
            _ if u.ratio(1, 4)? => session.reject(key, refusal(u)?).is_err(),
            IncomingRequest::Subscribe { .. } => {
                session.accept_subscribe(key, parameters, properties).is_err()
            }
            IncomingRequest::Publish { .. } => session.accept_publish(key, parameters).is_err(),
            IncomingRequest::Fetch { end, .. } => session
                .accept_fetch(key, false, end, parameters, properties)
                .is_err(),
            IncomingRequest::TrackStatus { .. } => {
                session.accept_track_status(key, parameters, properties).is_err()
            }
            _ => session.accept_namespace_request(key).is_err(),
        };
        Ok(())
    }

    /// A call about any request, fitting or not.
    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(key) = self.key(u)? else { return Ok(()) };
        let (session, now) = (&mut self.session, self.now);
        let _refused = match u.int_in_range(0..=11_u8)? {
            0 => session.update(key, parameters(u)?).is_err(),
            1 => session.answer_update(key, Ok(parameters(u)?)).is_err(),
            2 => session.answer_update(key, Err(refusal(u)?)).is_err(),
            3 => session.publish_done(key, done()).is_err(),
            4 => session.namespace(key, &namespace(u)?).is_err(),
            5 => session.namespace_done(key, &namespace(u)?).is_err(),
            6 => session.publish_blocked(key, &track(u)?).is_err(),
            7 => session
                .request_goaway(now, key, Bytes::new(), Duration::from_secs(1))
                .is_err(),
            8 if u.ratio(1, 8)? => session.goaway(now, Bytes::new(), Duration::from_secs(1)).is_err(),
            9 => {
                session.cancel(key, StreamCode::CANCELLED);
                false
            }
            10 => {
                session.fetch_done(key);
                false
            }
            _ => session.reject(key, refusal(u)?).is_err(),
        };
        Ok(())
    }

    /// Takes what the session says, and holds it to its promises.
    fn drain(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while let Some(transmit) = self.session.poll_transmit() {
            assert!(!self.closed, "after the close: {transmit:?}");
            match transmit {
                Transmit::Control(bytes) => whole(StreamKind::Control, bytes),
                Transmit::Open {
                    key,
                    bytes,
                    if_credit,
                } => {
                    assert!(self.known.insert(key), "a stream opened twice");
                    whole(StreamKind::Request, bytes);
                    if if_credit && u.arbitrary()? {
                        self.ended.insert(key);
                        self.session.open_refused(key);
                    }
                }
                Transmit::Write { key, bytes } => {
                    assert!(
                        self.known.contains(&key) && !self.ended.contains(&key),
                        "write on {key:?}"
                    );
                    whole(StreamKind::Request, bytes);
                }
                Transmit::Finish { key } => assert!(self.ended.insert(key), "a second end of {key:?}"),
                Transmit::Reset { key, .. } => {
                    self.ended.insert(key);
                }
                Transmit::Stop { key, .. } => assert!(self.known.contains(&key)),
                Transmit::Close { code, .. } => {
                    self.closed = true;
                    assert_ne!(code, SessionCode::INTERNAL_ERROR);
                }
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Request { key, request, .. } = event {
                self.asked.push((key, request));
            }
        }
        assert_eq!(self.closed, self.session.is_closed());
        let limits = limits();
        assert!(self.session.open_requests() <= limits.open_requests + self.made);
        assert!(self.session.held_bytes() <= limits.held_bytes + limits.early_bytes + ONE_MESSAGE);
        Ok(())
    }
}

/// `bytes` are messages and nothing else.
fn whole(kind: StreamKind, bytes: Bytes) {
    let mut reader = MessageReader::new(Version::Draft18, kind);
    reader.push(bytes);
    while reader.poll().expect("what is sent can be read").is_some() {}
    assert!(reader.is_empty(), "a message sent in part");
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World::new(u)?;
    while !u.is_empty() {
        match u.int_in_range(0..=7_u8)? {
            0..=3 => world.peer(u)?,
            4 | 5 => world.answer(u)?,
            6 => world.ask(u)?,
            _ => world.call(u)?,
        }
        world.drain(u)?;
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // An error only says that the bytes are used up.
    let _used_up = run(&mut Unstructured::new(data));
});
