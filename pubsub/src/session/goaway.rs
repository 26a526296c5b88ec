//! GOAWAY, on the control stream and on request streams, both ways (draft sections "GOAWAY", "Migration").

use std::time::Duration;

use bytes::Bytes;

use super::config::{Side, Time};
use super::error::{IllegalMove, Violation};
use super::event::{Event, RequestKey, Transmit};
use super::request::{Exchange, Opener, encode};
use super::{Session, Timer};
use crate::wire::control::Goaway;
use crate::wire::{Message, SessionCode, StreamCode};

/// Who said GOAWAY on a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) sent: bool,
    pub(super) received: bool,
}

impl State {
    /// Notes a GOAWAY of the peer, which may say it once per stream.
    fn receive(&mut self) -> Result<(), Violation> {
        if std::mem::replace(&mut self.received, true) {
            return Err(Violation::protocol("second GOAWAY on a stream"));
        }
        Ok(())
    }
}

impl Session {
    /// Tells the peer that the session will close: its requests from now on are rejected with GOING_AWAY, and with a
    /// `timeout` above zero the session closes with GOAWAY_TIMEOUT if requests are open after it.
    ///
    /// `uri` is where to connect instead, empty for the same place; a client's is always empty.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn goaway(&mut self, now: Time, uri: Bytes, timeout: Duration) -> Result<(), IllegalMove> {
        self.check_open()?;
        let goaway = self.goaway_message(self.goaway, uri, timeout, Some(self.seen_ids.next()))?;
        let bytes = encode(self.config.version, &Message::Goaway(goaway))?;
        self.goaway.sent = true;
        self.transmits.push_back(Transmit::Control(bytes));
        if !timeout.is_zero() {
            self.timers.insert(Timer::Goaway, now.saturating_add(timeout));
        }
        Ok(())
    }

    /// Asks the peer to move one request, of either side; with a `timeout` above zero its stream is reset with GOING_AWAY after it.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn request_goaway(
        &mut self,
        now: Time,
        key: RequestKey,
        uri: Bytes,
        timeout: Duration,
    ) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        let (state, sends) = (request.goaway, request.sending);
        if !sends || !request.exchange.is_answered() {
            return Err(IllegalMove::State {
                state: request.exchange.name(),
            });
        }
        let goaway = self.goaway_message(state, uri, timeout, None)?;
        self.send(key, &Message::Goaway(goaway))?;
        if let Some(request) = self.requests.get_mut(&key) {
            request.goaway.sent = true;
        }
        if !timeout.is_zero() {
            self.timers
                .insert(Timer::RequestGoaway(key), now.saturating_add(timeout));
        }
        Ok(())
    }

    fn goaway_message(
        &self,
        state: State,
        uri: Bytes,
        timeout: Duration,
        request_id: Option<u64>,
    ) -> Result<Goaway, IllegalMove> {
        if state.sent || (self.config.side == Side::Client && !uri.is_empty()) {
            return Err(IllegalMove::Goaway);
        }
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Goaway {
            uri,
            timeout_ms,
            request_id,
        })
    }

    pub(super) fn goaway_received(&mut self, goaway: Goaway) -> Result<(), Violation> {
        self.goaway.receive()?;
        self.check_goaway_uri(&goaway)?;
        let request_id = goaway
            .request_id
            .ok_or_else(|| Violation::protocol("GOAWAY without a Request ID"))?;
        if !self.config.side.owns(request_id) {
            return Err(Violation::new(
                SessionCode::INVALID_REQUEST_ID,
                "GOAWAY names a Request ID of its sender",
            ));
        }
        let timeout = Duration::from_millis(goaway.timeout_ms);
        self.events.push_back(Event::Goaway {
            uri: goaway.uri,
            timeout,
            request_id,
        });
        Ok(())
    }

    pub(super) fn request_goaway_received(
        &mut self,
        key: RequestKey,
        goaway: Goaway,
    ) -> Result<(), Violation> {
        self.check_goaway_uri(&goaway)?;
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        request.goaway.receive()?;
        // draft §10.18, §10.19: these are answered by REQUEST_OK or REQUEST_ERROR first.
        if let Exchange::Discovery(state) = &request.exchange
            && request.opener == Opener::Us
            && !state.is_answered()
        {
            return Err(Violation::protocol(
                "GOAWAY before the answer to a namespace request",
            ));
        }
        let timeout = Duration::from_millis(goaway.timeout_ms);
        self.events.push_back(Event::RequestGoaway {
            key,
            uri: goaway.uri,
            timeout,
        });
        Ok(())
    }

    fn check_goaway_uri(&self, goaway: &Goaway) -> Result<(), Violation> {
        if self.config.side == Side::Server && !goaway.uri.is_empty() {
            return Err(Violation::protocol("GOAWAY with a URI from a client"));
        }
        Ok(())
    }

    pub(super) fn goaway_expired(&mut self) {
        if self.open_requests() > 0 {
            self.fail(Violation::new(
                SessionCode::GOAWAY_TIMEOUT,
                "requests still open after GOAWAY",
            ));
        }
    }

    pub(super) fn request_goaway_expired(&mut self, key: RequestKey) {
        self.lost(key, Some(StreamCode::GOING_AWAY));
        self.abandon(key, StreamCode::GOING_AWAY);
    }
}
