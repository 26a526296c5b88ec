//! Becoming a member: state of the mesh at start, joining by invite.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use headwater_certs::mesh::{
    Address, AnswerError, Authority, Exporter, Invite, InviteError, Membership, NodeIdentity, Office,
    Request, Revocations, StoreError,
};
use headwater_certs::{ClientTrust, StateDir, TrustError, client_config};
use headwater_pubsub::net::{DialError, Dialer, EndpointError, client};
use tracing::{error, info, warn};
use url::Url;

use super::super::shard::quic_limits;
use super::Mesh;
use super::keyring::Keyring;
use super::petition::ask;
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
    #[error("{0:?} is no node's address: write moqt://HOST:PORT or HOST:PORT")]
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
            (Some(expired), Some(invite)) if expired.expires() <= now => {
                Some(join_again(config, dir, invite, expired).await)
            }
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
            error!("{EXPIRED}");
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
            dials_due: tokio::sync::Notify::new(),
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

    /// Takes up a newer membership, which is on disk; whether it is news to the keys.
    pub(super) fn renewed(&self, membership: Membership) -> bool {
        let news = self.keyring.certify(membership.certificate().clone()) == Ok(true);
        *held(&self.membership) = Arc::new(membership);
        news
    }

    /// Keeps an epoch, so that the next boot is above it.
    ///
    /// # Errors
    /// The state directory fails.
    pub(in crate::node) fn store_epoch(&self, epoch: u64) -> Result<(), headwater_certs::StateError> {
        self.dir.write(EPOCH, epoch.to_string().as_bytes())
    }
}

/// What an operator has to do about a membership that has ended.
pub(super) const EXPIRED: &str = "this node's membership of the mesh has ended: get a new invite (moq mesh invite at the authority's node) and start the node with it (join)";

/// Name of the file of the latest epoch.
const EPOCH: &str = "mesh.epoch";

fn held<T>(value: &Mutex<Arc<T>>) -> MutexGuard<'_, Arc<T>> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn peer_url(text: &str) -> Result<Url, JoinError> {
    let url = match text.parse::<Address>() {
        Ok(address) => Url::parse(&format!("moqt://{address}")),
        Err(_no_address) => Url::parse(text),
    };
    url.ok()
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

/// Join with a new invite when the old membership has ended. A configuration may still hold the invite of the first time: then the
/// node is as it was.
async fn join_again(config: &Config, dir: &StateDir, invite: &Secret, expired: Membership) -> Membership {
    match join(config, dir, invite).await {
        Ok(membership) => membership,
        Err(error) => {
            error!(%error, "not joined again");
            expired
        }
    }
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
            let petition = {
                let (invite, identity) = (invite.clone(), Arc::clone(&identity));
                move |exporter: &Exporter| Request::join(&invite, &identity, exporter).encode()
            };
            match ask(&dialer, address, petition).await {
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
