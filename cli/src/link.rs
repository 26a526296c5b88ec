//! Sessions with one server: dialled, and dialled again when they are lost.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use headwater_pubsub::net::{
    self, Client, Clock, ConnectError, ConnectOptions, Dialer, Goaway, QuicLimits, SessionEnd, connect,
};
use headwater_pubsub::wire::{SessionCode, Token};
use tokio::task::JoinSet;
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

/// A server, and how to get a session there.
#[derive(Debug)]
pub struct Link {
    endpoint: quinn::Endpoint,
    dialer: Dialer,
    target: Target,
    token: Option<String>,
    clock: Clock,
    /// Where a GOAWAY sent us.
    redirect: Mutex<Option<Url>>,
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
            redirect: Mutex::new(None),
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
        let redirect = self
            .redirect
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        let url = redirect.as_ref().unwrap_or(&self.target.url);
        let kind = 0;
        let token = self.token.iter().map(|token| Token::UseValue {
            kind,
            value: token.clone().into(),
        });
        let options = ConnectOptions {
            tokens: token.collect(),
            clock: self.clock,
            ..ConnectOptions::default()
        };
        let (client, driver) = connect(&self.dialer, url, options)
            .await
            .map_err(|error| match error {
                ConnectError::Dial(error) => trust::explain(&error, &self.target),
                other => Failure::new(Exit::Connect, other),
            })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        let session = Session {
            client,
            driver: tasks,
        };
        let place = self.target.place();
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
        let mut pause = FIRST_PAUSE;
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
                let uri = String::from_utf8_lossy(&goaway.uri);
                let elsewhere = Url::parse(&uri)
                    .ok()
                    .filter(|url| matches!(url.scheme(), "moqt" | "https"));
                console.note(match &elsewhere {
                    Some(url) => format!("{place} sends us to {url}"),
                    None => format!("{place} is going away; connecting again"),
                });
                *self
                    .redirect
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = elsewhere;
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
