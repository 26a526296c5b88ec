//! The peer's control stream: SETUP first, then at most one GOAWAY (draft sections "Session initialization", "SETUP").

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::config::{Side, Time, Transport};
use super::error::Violation;
use super::event::{Event, PeerSetup, RequestKey};
use super::{Session, Timer};
use crate::wire::control::Setup;
use crate::wire::control::StreamKind;
use crate::wire::{Message, MessageReader, Properties, SessionCode, StreamCode, Version};

/// What `@moq/net` of moq-dev calls itself.
const MOQ_LITE_JS: &[u8] = b"moq-lite-js";

/// Where the peer's control stream stands.
#[derive(Debug)]
pub(super) struct Control {
    reader: MessageReader,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No SETUP yet; request streams are kept unread.
    AwaitingSetup { early: Early },
    /// SETUP came.
    Established,
}

/// Request streams that came before SETUP.
#[derive(Debug, Default)]
struct Early {
    streams: BTreeMap<RequestKey, EarlyStream>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct EarlyStream {
    bytes: BytesMut,
    fin: bool,
}

impl Control {
    pub(super) fn new(version: Version) -> Self {
        Self {
            reader: MessageReader::new(version, StreamKind::Control),
            state: State::AwaitingSetup {
                early: Early::default(),
            },
        }
    }

    /// Drops what is kept, when the session closes.
    pub(super) fn discard(&mut self) {
        self.state = State::Established;
    }

    /// How many early request streams are kept; `None` after SETUP.
    pub(super) fn early_streams(&self) -> Option<usize> {
        match &self.state {
            State::AwaitingSetup { early } => Some(early.streams.len()),
            State::Established => None,
        }
    }

    /// Bytes kept: of an incomplete message, and of early request streams.
    pub(super) fn held(&self) -> usize {
        let early = match &self.state {
            State::AwaitingSetup { early } => early.bytes,
            State::Established => 0,
        };
        self.reader.held() + early
    }

    /// Starts to keep the bytes of a stream.
    pub(super) fn keep_stream(&mut self, key: RequestKey) {
        if let State::AwaitingSetup { early } = &mut self.state {
            early.streams.insert(key, EarlyStream::default());
        }
    }

    /// Drops what is kept of a stream.
    pub(super) fn drop_stream(&mut self, key: RequestKey) {
        if let State::AwaitingSetup { early } = &mut self.state
            && let Some(stream) = early.streams.remove(&key)
        {
            early.bytes -= stream.bytes.len();
        }
    }

    /// Keeps that a stream ended; says whether it is one of those kept.
    pub(super) fn keep_fin(&mut self, key: RequestKey) -> bool {
        let State::AwaitingSetup { early } = &mut self.state else {
            return false;
        };
        early
            .streams
            .get_mut(&key)
            .map(|stream| stream.fin = true)
            .is_some()
    }
}

/// What became of bytes that may have come too early.
pub(super) enum Kept {
    /// SETUP is there: read them now.
    No,
    /// They wait for SETUP.
    Yes,
    /// The bound is reached: the stream is to be reset.
    Overflow,
}

impl Session {
    /// Bytes of the peer's control stream, from its first (the stream type is the message type of SETUP).
    pub fn recv_control(&mut self, now: Time, bytes: Bytes) {
        self.now = self.now.max(now);
        if self.is_closed() {
            return;
        }
        self.control.reader.push(bytes);
        let result = self.read_control(now);
        self.check(result);
    }

    /// The peer closed or reset its control stream.
    pub fn recv_control_closed(&mut self) {
        self.fail(Violation::protocol("control stream closed"));
    }

    fn read_control(&mut self, now: Time) -> Result<(), Violation> {
        while !self.is_closed()
            && let Some(message) = self.control.reader.poll()?
        {
            match (&self.control.state, message) {
                (State::AwaitingSetup { .. }, Message::Setup(setup)) => self.setup_received(now, setup)?,
                (State::AwaitingSetup { .. }, _) => {
                    return Err(Violation::protocol("control stream does not begin with SETUP"));
                }
                (State::Established, Message::Goaway(goaway)) => self.goaway_received(goaway)?,
                (State::Established, Message::Setup(_)) => return Err(Violation::protocol("second SETUP")),
                (State::Established, _) => {
                    return Err(Violation::protocol(
                        "only GOAWAY may follow SETUP on the control stream",
                    ));
                }
            }
        }
        Ok(())
    }

    fn setup_received(&mut self, now: Time, setup: Setup) -> Result<(), Violation> {
        // draft §10.3.1.1, §10.3.1.2: only a client, only over QUIC.
        let misplaced = self.config.side == Side::Client || self.config.transport == Transport::WebTransport;
        if misplaced && setup.path.is_some() {
            return Err(Violation::new(
                SessionCode::INVALID_PATH,
                "PATH from a server or over WebTransport",
            ));
        }
        if misplaced && setup.authority.is_some() {
            return Err(Violation::new(
                SessionCode::INVALID_AUTHORITY,
                "AUTHORITY from a server or over WebTransport",
            ));
        }
        if setup.implementation.as_deref() == Some(MOQ_LITE_JS) {
            self.config.version = Version::Draft18MoqLiteJs;
            for request in self.requests.values_mut() {
                request.reader.set_version(self.config.version);
            }
        }
        let tokens = self.tokens.resolve_setup(setup.authorization_tokens)?;
        self.timers.remove(&Timer::Setup);
        self.agreed = self.config.extension.is_some_and(|kind| {
            [&self.config.setup.extensions, &setup.extensions]
                .into_iter()
                .all(|options| carries(options, kind))
        });
        self.events.push_back(Event::Established(PeerSetup {
            path: setup.path,
            authority: setup.authority,
            tokens,
            max_auth_token_cache_size: setup.max_auth_token_cache_size.unwrap_or(0),
            implementation: setup.implementation,
            extensions: setup.extensions,
        }));
        let before = std::mem::replace(&mut self.control.state, State::Established);
        if let State::AwaitingSetup { early } = before {
            for (key, stream) in early.streams {
                self.recv(now, key, stream.bytes.freeze());
                if stream.fin {
                    self.recv_fin(now, key);
                }
            }
        }
        Ok(())
    }

    /// Keeps bytes of a request stream if SETUP has not come.
    pub(super) fn keep_early(&mut self, key: RequestKey, bytes: &Bytes) -> Kept {
        let max = self.config.limits.early_bytes;
        let State::AwaitingSetup { early } = &mut self.control.state else {
            return Kept::No;
        };
        // Answers on streams of ours wait as well, so that the first event is that of SETUP.
        let stream = early.streams.entry(key).or_default();
        if early.bytes.saturating_add(bytes.len()) > max {
            return Kept::Overflow;
        }
        early.bytes += bytes.len();
        stream.bytes.extend_from_slice(bytes);
        Kept::Yes
    }

    /// Resets a stream for which there is no room before SETUP.
    pub(super) fn refuse_early(&mut self, key: RequestKey) {
        self.control.drop_stream(key);
        self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
        self.abandon(key, StreamCode::EXCESSIVE_LOAD);
    }
}

/// Whether the options of a SETUP that the draft does not define have `kind` among them.
fn carries(options: &Properties, kind: u64) -> bool {
    options
        .iter()
        .map_while(Result::ok)
        .any(|option| option.kind == kind)
}
