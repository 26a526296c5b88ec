//! Sessions with one server: dialled, and dialled again when they are lost.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_pubsub::net::{
    self, Client, Clock, ConnectError, ConnectOptions, Dialer, Goaway, QuicLimits, SessionEnd, connect,
};
use headwater_pubsub::wire::{SessionCode, Token};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use crate::args::ConnectArgs;
use crate::exit::{Exit, Failure};
use crate::output::Console;
use crate::target::Target;
use crate::trust;

/// How long the server may take for its SETUP after the handshake.
const SETUP_PATIENCE: Duration = Duration::from_secs(5);
/// First pause before a server is dialled again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause: a relay that restarts is found within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Without anything sent for so long (or four round trips), a session has nothing left to send. Twice QUIC's probe timeout
/// on a short path.
const QUIET: Duration = Duration::from_millis(150);
/// Keep-alives and acknowledgements stay below this.
const QUIET_BYTES: u64 = 256;
/// How long the closing of the last connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often in a row a request may be sent to another server.
const MOVES: u32 = 5;
/// A stay of so long at one server ends the row.
const STEADY: Duration = Duration::from_secs(10);

/// How often servers have sent a request elsewhere in a row.
#[derive(Debug, Default)]
pub struct Moves {
    count: u32,
    last: Option<Instant>,
}

/// The servers send a request round and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("servers sent the request elsewhere more than {MOVES} times in a row")]
pub struct InCircles;

impl Moves {
    /// Whether the last one is long ago, if there was any.
    #[must_use]
    pub fn is_steady(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now - last >= STEADY)
    }

    /// Counts one more.
    ///
    /// # Errors
    /// There were too many without a longer stay between them.
    pub fn count(&mut self, now: Instant) -> Result<(), InCircles> {
        if self.is_steady(now) {
            self.count = 0;
        }
        self.last = Some(now);
        self.count += 1;
        if self.count > MOVES {
            Err(InCircles)
        } else {
            Ok(())
        }
    }
}

/// Where a GOAWAY leads, if not to the same place.
#[must_use]
pub fn elsewhere(goaway: &Goaway) -> Option<Url> {
    let url = Url::parse(std::str::from_utf8(&goaway.uri).ok()?).ok()?;
    (matches!(url.scheme(), "moqt" | "https") && url.has_host()).then_some(url)
}

/// A server, and how to get a session there.
#[derive(Debug)]
pub struct Link {
    endpoint: quinn::Endpoint,
    dialer: Dialer,
    target: Target,
    token: Option<String>,
    clock: Clock,
    next: Mutex<Next>,
}

/// What GOAWAYs say of the next session.
#[derive(Debug, Default)]
struct Next {
    /// Where it is.
    elsewhere: Option<Url>,
    moves: Moves,
    /// Servers sent us away too often: go home, and slowly.
    in_circles: bool,
}

impl Next {
    /// Takes in a GOAWAY that names another place, or none.
    fn moved(&mut self, elsewhere: Option<Url>, now: Instant) -> Result<(), InCircles> {
        let counted = self.moves.count(now);
        self.in_circles = counted.is_err();
        self.elsewhere = elsewhere.filter(|_| !self.in_circles);
        counted
    }
}

/// A session whose driver runs on a task of its own.
#[derive(Debug)]
pub struct Session {
    /// The handle.
    pub client: Client,
    driver: JoinSet<SessionEnd>,
}

/// Why a session is of no use any more.
#[derive(Debug)]
pub enum Over {
    /// The server asked us to leave.
    Goaway(Goaway),
    /// It ended.
    Ended(SessionEnd),
}

impl Link {
    /// Gets ready to dial. Nothing is sent.
    ///
    /// # Errors
    /// The URL, the trust or the local network cannot be used.
    pub fn new(args: &ConnectArgs, clock: Clock) -> Result<Self, Failure> {
        let target = Target::parse(&args.url, args.namespace.as_deref())
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        let trust = trust::choose(args, &target)?;
        Self::with(target, &trust, args.token.clone(), clock)
    }

    /// Gets ready to dial `target`, believing `trust`.
    ///
    /// # Errors
    /// The trust or the local network cannot be used.
    pub fn with(
        target: Target,
        trust: &headwater_certs::ClientTrust,
        token: Option<String>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let tls =
            headwater_certs::client_config(trust, &[]).map_err(|error| Failure::new(Exit::Connect, error))?;
        let endpoint = net::client().map_err(|error| Failure::new(Exit::Connect, error))?;
        Ok(Self {
            dialer: Dialer::new(endpoint.clone(), tls, QuicLimits::default()),
            endpoint,
            target,
            token,
            clock,
            next: Mutex::default(),
        })
    }

    /// Where it leads.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The clock of its sessions.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Opens a session and waits until the server has shown that it speaks MoQ Transport.
    ///
    /// # Errors
    /// There is none; the text says why and what to try.
    pub async fn dial(&self) -> Result<Session, Failure> {
        let elsewhere = self.next().elsewhere.take();
        match elsewhere {
            Some(url) => self.dial_elsewhere(&url).await,
            None => self.open(&self.target, self.token.as_deref()).await,
        }
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session where a GOAWAY leads, believing whom we believe here. The token is shown to the same host only.
    ///
    /// # Errors
    /// See [`Link::dial`].
    pub async fn dial_elsewhere(&self, url: &Url) -> Result<Session, Failure> {
        let same_host = url.host() == self.target.url.host();
        let token = self.token.as_deref().filter(|_| same_host);
        self.open(&self.target_at(url.clone()), token).await
    }

    /// The session that a GOAWAY on the stream of one request leads to; `None`: it names no other place, or nobody is there. The
    /// request is to be made again where it was, then.
    pub async fn follow(&self, goaway: &Goaway) -> Option<Session> {
        let url = elsewhere(goaway)?;
        let session = self.dial_elsewhere(&url).await;
        session
            .inspect_err(|failure| tracing::info!(%failure, "the server sent us elsewhere in vain"))
            .ok()
    }

    fn target_at(&self, url: Url) -> Target {
        Target {
            url,
            namespace: self.target.namespace.clone(),
        }
    }

    async fn open(&self, target: &Target, token: Option<&str>) -> Result<Session, Failure> {
        let kind = 0;
        let token = token.into_iter().map(|token| Token::UseValue {
            kind,
            value: token.to_owned().into(),
        });
        let options = ConnectOptions {
            tokens: token.collect(),
            clock: self.clock,
            ..ConnectOptions::default()
        };
        let (client, driver) =
            connect(&self.dialer, &target.url, options)
                .await
                .map_err(|error| match error {
                    ConnectError::Dial(error) => trust::explain(&error, target),
                    other => Failure::new(Exit::Connect, other),
                })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        let session = Session {
            client,
            driver: tasks,
        };
        let place = target.place();
        match tokio::time::timeout(SETUP_PATIENCE, session.client.established()).await {
            Ok(Ok(_setup)) => Ok(session),
            Ok(Err(end)) => Err(Failure::say(
                Exit::Connect,
                format!("{place} ended the session at once: {end}"),
            )),
            Err(_elapsed) => Err(Failure::say(
                Exit::Connect,
                format!(
                    "{place} took the connection but says nothing; does it speak MoQ Transport draft-18?"
                ),
            )),
        }
    }

    /// Dials until there is a session, with growing pauses.
    pub async fn redial(&self, console: &Console) -> Session {
        let mut pause = if self.next().in_circles {
            LONGEST_PAUSE
        } else {
            FIRST_PAUSE
        };
        loop {
            tokio::time::sleep(spread(pause)).await;
            match self.dial().await {
                Ok(session) => {
                    console.note(format!("connected to {} again", self.target.place()));
                    return session;
                }
                Err(failure) => tracing::info!(%failure, "not connected yet"),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until a session is over, says so, and follows a GOAWAY that names another place.
    pub async fn lost(&self, session: &mut Session, console: &Console) {
        let place = self.target.place();
        match session.over().await {
            Over::Goaway(goaway) => {
                let elsewhere = elsewhere(&goaway);
                let words = match &elsewhere {
                    Some(url) => format!("{place} sends us to {url}"),
                    None => format!("{place} is going away; connecting again"),
                };
                let moved = self.next().moved(elsewhere, Instant::now());
                console.note(match moved {
                    Ok(()) => words,
                    Err(InCircles) => format!("servers sent us elsewhere too often; back to {place}"),
                });
            }
            Over::Ended(end) => console.note(format!("lost {place} ({end}); connecting again")),
        }
    }

    /// Lets the last words of closed sessions leave.
    pub async fn finish(&self) {
        // A server that does not answer is gone anyway.
        let _unanswered = tokio::time::timeout(GOODBYE, self.endpoint.wait_idle())
            .await
            .is_err();
    }
}

impl Session {
    /// Waits until it is over. Cancel-safe.
    ///
    /// # Panics
    /// A panic in the session's task is continued here.
    pub async fn over(&mut self) -> Over {
        tokio::select! {
            Ok(goaway) = self.client.goaway() => Over::Goaway(goaway),
            ended = self.driver.join_next() => match ended {
                Some(Ok(end)) => Over::Ended(end),
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => Over::Ended(self.client.closed().await),
            },
        }
    }

    /// Waits until nothing is sent any more: the peer has acknowledged all that was due to it, or QUIC would send again.
    pub async fn quiet(&self) {
        let handle = self.client.handle();
        let mut sent = handle.path_stats().sent_bytes;
        loop {
            tokio::time::sleep(QUIET.max(handle.path_stats().rtt * 4)).await;
            let now = handle.path_stats().sent_bytes;
            if now.saturating_sub(sent) < QUIET_BYTES {
                return;
            }
            sent = now;
        }
    }

    /// Closes it; what is under way is lost.
    pub async fn close(mut self) {
        self.client.close(SessionCode::NO_ERROR, "");
        let _late = tokio::time::timeout(GOODBYE, self.driver.join_next())
            .await
            .is_err();
    }
}

/// Between half and all of `pause`, so that the clients of a relay that restarts do not all come at once.
fn spread(pause: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) & 0xFFFF).unwrap_or(0);
    pause / 2 + pause * random / 0x1_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_point_at_each_other_are_found_out_and_a_longer_stay_forgives() {
        let start = Instant::now();
        let mut moves = Moves::default();
        assert!(moves.is_steady(start));
        for _ in 0..MOVES {
            assert_eq!(moves.count(start), Ok(()));
        }
        assert!(!moves.is_steady(start));
        assert_eq!(moves.count(start), Err(InCircles));
        for stay in 1..20 {
            assert_eq!(moves.count(start + STEADY * stay), Ok(()));
        }
    }

    #[test]
    fn a_session_that_is_sent_round_goes_home_slowly() {
        let now = Instant::now();
        let there = Url::parse("moqt://b.example").unwrap();
        let mut next = Next::default();
        for _ in 0..MOVES {
            assert_eq!(next.moved(Some(there.clone()), now), Ok(()));
            assert_eq!(next.elsewhere.take().as_ref(), Some(&there));
        }
        assert_eq!(next.moved(Some(there.clone()), now), Err(InCircles));
        assert!(next.in_circles);
        assert_eq!(next.elsewhere, None);
        assert_eq!(next.moved(Some(there), now + STEADY), Ok(()));
        assert!(!next.in_circles);
    }

    #[test]
    fn a_goaway_leads_elsewhere_only_by_a_url_that_can_be_dialled() {
        let lead = |uri: &'static [u8]| {
            elsewhere(&Goaway {
                uri: uri.into(),
                timeout: Duration::ZERO,
            })
        };
        assert_eq!(
            lead(b"moqt://b.example:4443/x").map(String::from).as_deref(),
            Some("moqt://b.example:4443/x")
        );
        for nowhere in [&b""[..], b"b.example", b"http://b.example/", b"moqt:b", b"\xff"] {
            assert_eq!(lead(nowhere), None);
        }
    }
}
