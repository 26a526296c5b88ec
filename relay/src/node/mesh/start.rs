//! Becoming and staying a member: state of the mesh at start, joining by invite, renewing the certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use headwater_certs::mesh::{
    Address, AnswerError, Authority, Exporter, Invite, InviteError, Membership, NodeIdentity, Office,
    Request, Revocations, StoreError,
};
use headwater_certs::{ClientTrust, StateDir, TrustError, client_config};
use headwater_pubsub::net::{
    Clock, DataEvent, DialError, Dialer, EndpointError, Handler, SessionHandle, client,
};
use headwater_pubsub::session::{Accepted, Event, Limits, Side};
use headwater_pubsub::wire::SessionCode;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};
use url::Url;

use super::super::shard::quic_limits;
use super::keyring::Keyring;
use super::{Mesh, parameters};
use crate::config::{Config, Secret};
use crate::node::WallClock;

/// How long joining is tried while the authority's node cannot be reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a node could not become a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The text is no invite.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The state directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No socket to dial from.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The TLS settings cannot be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Nobody answered at any address.
    #[error(
        "cannot reach the mesh's authority at {address}: {source}; is that relay running, and UDP open to it?"
    )]
    Unreachable {
        /// The last address tried.
        address: Address,
        /// What happened there.
        #[source]
        source: DialError,
    },
    /// The session ended before the answer.
    #[error("the mesh's authority at {0} gave no answer; does that relay hold the authority?")]
    NoAnswer(Address),
    /// The answer does not make this node a member.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// Not the address of a node.
    #[error("{0:?} is no node's address: write moqt://HOST:PORT")]
    Peer(String),
    /// Peers were named, but the node is in no mesh.
    #[error(
        "peers were given, but this node is in no mesh: run moq mesh create here, or join one with an invite"
    )]
    NoMesh,
}

/// The authority of the mesh, where this node holds it.
#[derive(Clone)]
pub(in crate::node) struct AuthorityOffice {
    authority: Arc<Authority>,
    dir: StateDir,
}

impl AuthorityOffice {
    /// The encoded answer to a request; what it granted is on disk.
    pub(super) fn admit(&self, request: &[u8], exporter: &Exporter, now: SystemTime) -> Vec<u8> {
        self.authority
            .admit(&self.dir, request, exporter, now)
            .unwrap_or_else(|error| {
                warn!(%error, "a member could not be admitted");
                headwater_certs::mesh::Answer::Refused(headwater_certs::mesh::Refusal::Unavailable).encode()
            })
    }
}

impl Mesh {
    /// The mesh that the state directory knows, joined first if the configuration says so. `None`: the node is in none.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub(in crate::node) async fn open(
        config: &Config,
        dir: &StateDir,
        wall: &WallClock,
    ) -> Result<Option<Self>, JoinError> {
        let now = wall.now();
        let known = Membership::from_state(dir)?;
        let membership = match (known, &config.join) {
            (Some(membership), _) => Some(membership),
            (None, Some(invite)) => Some(join(config, dir, invite).await?),
            (None, None) => None,
        };
        let Some(membership) = membership else {
            return if config.peers.is_empty() {
                Ok(None)
            } else {
                Err(JoinError::NoMesh)
            };
        };
        if membership.expires() <= now {
            warn!(
                "this node's membership of the mesh has expired; join again with a new invite if it is not renewed"
            );
        }
        let office = Authority::load(dir)?
            .filter(|authority| authority.mesh() == membership.mesh())
            .map(|authority| AuthorityOffice {
                authority: Arc::new(authority),
                dir: dir.clone(),
            });
        let revocations = Revocations::load(dir, membership.mesh())?;
        let keyring = Keyring::new(&membership, revocations, wall.clone());
        let mut peers = config
            .peers
            .iter()
            .map(|peer| peer_url(peer))
            .collect::<Result<Vec<_>, _>>()?;
        for seed in membership.office().map(seeds).unwrap_or_default() {
            if !peers.contains(&seed) {
                peers.push(seed);
            }
        }
        info!(mesh = %membership.mesh(), node = %membership.node(), "member of a mesh");
        Ok(Some(Self {
            membership: Mutex::new(Arc::new(membership)),
            keyring: Arc::new(keyring),
            office,
            peers,
            dir: dir.clone(),
        }))
    }

    /// This node's membership as it is now.
    pub(in crate::node) fn membership(&self) -> Arc<Membership> {
        Arc::clone(&held(&self.membership))
    }

    /// The epoch of this boot: above the stored one and not below the clock.
    ///
    /// # Errors
    /// The state directory fails.
    pub(in crate::node) fn epoch(&self, now: SystemTime) -> Result<u64, headwater_certs::StateError> {
        let clock = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let stored = self
            .dir
            .read(EPOCH)?
            .and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let epoch = clock.max(stored.saturating_add(1));
        self.store_epoch(epoch)?;
        Ok(epoch)
    }

    /// Keeps an epoch, so that the next boot is above it.
    ///
    /// # Errors
    /// The state directory fails.
    pub(in crate::node) fn store_epoch(&self, epoch: u64) -> Result<(), headwater_certs::StateError> {
        self.dir.write(EPOCH, epoch.to_string().as_bytes())
    }
}

/// Name of the file of the latest epoch.
const EPOCH: &str = "mesh.epoch";

fn held<T>(value: &Mutex<Arc<T>>) -> MutexGuard<'_, Arc<T>> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn peer_url(text: &str) -> Result<Url, JoinError> {
    Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "moqt" && url.host_str().is_some())
        .ok_or_else(|| JoinError::Peer(text.to_owned()))
}

/// Where the authority's node listens, as URLs.
fn seeds(office: &Office) -> Vec<Url> {
    office
        .addresses
        .iter()
        .filter_map(|address| Url::parse(&format!("moqt://{address}")).ok())
        .collect()
}

/// Redeem an invite at the node that made it.
async fn join(config: &Config, dir: &StateDir, invite: &Secret) -> Result<Membership, JoinError> {
    let invite = Invite::parse(invite.expose())?;
    let identity = Arc::new(NodeIdentity::load_or_create(dir)?);
    let office = invite.office();
    let trust = ClientTrust::Pin(vec![office.fingerprint]);
    let dialer = Dialer::new(client()?, client_config(&trust, &[])?, quic_limits(config));
    let started = tokio::time::Instant::now();
    loop {
        let mut last = None;
        for address in &office.addresses {
            match ask(&dialer, address, &invite, &identity).await {
                Ok(answer) => {
                    let membership = Membership::join(identity, &invite, &answer)?;
                    membership.join_state(dir)?;
                    info!(mesh = %membership.mesh(), "joined");
                    return Ok(membership);
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error @ JoinError::Unreachable { .. }) if started.elapsed() < PATIENCE => {
                warn!(%error, "trying again");
                tokio::time::sleep(PAUSE).await;
            }
            Some(error) => return Err(error),
            // An invite has at least one address.
            None => return Err(InviteError::NotAnInvite.into()),
        }
    }
}

/// One try at one address; the encoded answer.
async fn ask(
    dialer: &Dialer,
    address: &Address,
    invite: &Invite,
    identity: &Arc<NodeIdentity>,
) -> Result<Vec<u8>, JoinError> {
    let no_answer = || JoinError::NoAnswer(address.clone());
    let url = Url::parse(&format!("moqt://{address}")).map_err(|_address| no_answer())?;
    let transport = dialer.dial(&url).await.map_err(|source| JoinError::Unreachable {
        address: address.clone(),
        source,
    })?;
    let setup = super::setup(Some(&url));
    let limits = Limits::default();
    let handle = SessionHandle::with_extension(
        transport,
        Clock::new(),
        Side::Client,
        setup,
        limits,
        super::OPTION,
    )
    .map_err(|_oversized| no_answer())?;
    let (answered, answer) = oneshot::channel();
    let petitioner = Petitioner {
        invite: invite.clone(),
        identity: Arc::clone(identity),
        answered: Mutex::new(Some(answered)),
    };
    tokio::select! {
        answer = answer => answer.map_err(|_dropped| no_answer()),
        _end = handle.driver(Arc::new(petitioner)).run() => Err(no_answer()),
    }
}

/// Shows the invite once the session stands, and waits for the answer.
struct Petitioner {
    invite: Invite,
    identity: Arc<NodeIdentity>,
    answered: Mutex<Option<oneshot::Sender<Vec<u8>>>>,
}

impl Handler for Petitioner {
    fn event(&self, session: &SessionHandle, event: Event) {
        match event {
            Event::Established(_) => {
                let Some(exporter) = super::greet::exporter(session) else {
                    return;
                };
                let request = Request::join(&self.invite, &self.identity, &exporter).encode();
                let parameters = super::greet::token(super::greet::REQUEST_TOKEN, request);
                if let Err(error) =
                    session.act(|session, _| session.subscribe(super::join_track(), parameters))
                {
                    debug!(%error, "the request was not sent");
                }
            }
            Event::Accepted {
                answer: Accepted::Subscribe { parameters, .. },
                ..
            } => {
                let sender = self
                    .answered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let (Some(sender), Some(answer)) = (sender, parameters.extensions.get(parameters::ANSWER))
                {
                    // Nobody waits any more if the session is given up.
                    let _waiting = sender.send(answer.to_vec()).is_ok();
                }
            }
            // Refused, or ended: the session is of no use.
            Event::Rejected { error, .. } => session.close(SessionCode::NO_ERROR, &error.reason),
            _ => {}
        }
    }

    fn data(&self, _: &SessionHandle, _: DataEvent) {}
}
