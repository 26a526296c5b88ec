//! Keeping the certificate fresh: our own is renewed from the kept key, files are read again when they change.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use headwater_certs::{
    CertificateFiles, CertificateHash, FilesError, Fingerprint, KeyError, NodeKey, Resolver, Rotation,
    RotationError, StateDir, StateError, Step,
};
use headwater_pubsub::net::EndpointSecret;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::start::state_dir;
use crate::{config::Config, web::PublishedHashes};

/// How often certificate files are looked at.
const FILE_POLL: Duration = Duration::from_secs(5);
/// Longest sleep of the renewal task: a clock that was set, or a machine that slept, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// How long after a failed renewal it is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// No certificate can be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The certificate files cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The key cannot be kept.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate cannot be made or kept.
    #[error(transparent)]
    Rotation(#[from] RotationError),
}

/// Where the node's certificate comes from.
#[expect(clippy::large_enum_variant, reason = "there is one in a node")]
pub(super) enum Identity {
    /// The operator's files.
    Files(CertificateFiles),
    /// Our own key.
    Own {
        key: NodeKey,
        dir: StateDir,
        rotation: Box<Rotation>,
    },
}

impl Identity {
    pub(super) fn open(config: &Config, now: SystemTime) -> Result<(Self, CertifiedKey), IdentityError> {
        if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
            let (files, certified) = CertificateFiles::load(cert, key)?;
            return Ok((Self::Files(files), certified));
        }
        let dir = state_dir(config)?;
        let key = NodeKey::load_or_create(&dir)?;
        let rotation = Rotation::open(&key, names(config), &dir, now)?;
        let certified = key.certified(rotation.current())?;
        Ok((
            Self::Own {
                key,
                dir,
                rotation: Box::new(rotation),
            },
            certified,
        ))
    }

    /// Where the node keeps its place in a mesh. With certificate files a directory is only made if the configuration asks for
    /// one; `None`: there is none, and so no mesh.
    pub(super) fn mesh_dir(&self, config: &Config) -> Result<Option<StateDir>, StateError> {
        match self {
            Self::Own { dir, .. } => Ok(Some(dir.clone())),
            Self::Files(_)
                if config.state_dir.is_some() || config.join.is_some() || !config.peers.is_empty() =>
            {
                state_dir(config).map(Some)
            }
            Self::Files(_) => Ok(StateDir::default_path().ok().and_then(StateDir::existing)),
        }
    }

    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Files(_) => None,
            Self::Own { key, .. } => Some(key.fingerprint()),
        }
    }

    /// What the node's endpoints have in common; kept over a restart if the key is our own.
    pub(super) fn endpoint_secret(&self) -> Result<EndpointSecret, KeyError> {
        let key = match self {
            // The operator's key may sit in a module that does not give it away: one life's secret must do.
            Self::Files(_) => &NodeKey::generate()?,
            Self::Own { key, .. } => key,
        };
        Ok(EndpointSecret::new(key.secret("quic endpoint")))
    }

    pub(super) fn hashes(&self) -> Vec<CertificateHash> {
        match self {
            Self::Files(_) => Vec::new(),
            Self::Own { rotation, .. } => vec![rotation.current().hash(), rotation.next().hash()],
        }
    }

    /// Look whether something is due; how long to wait before the next look.
    fn step(&mut self, resolver: &Resolver, hashes: &PublishedHashes, now: SystemTime) -> Duration {
        match self {
            Self::Files(files) => {
                match files.poll() {
                    Ok(Some(certified)) => {
                        info!("certificate files changed: serving the new certificate");
                        resolver.replace(certified);
                    }
                    Ok(None) => {}
                    Err(error) => warn!(%error, "the old certificate stays in use"),
                }
                FILE_POLL
            }
            Self::Own { key, dir, rotation } => match renew(key, dir, rotation, resolver, now) {
                Ok(step) => {
                    if step == Step::Renewed {
                        hashes.replace(vec![rotation.current().hash(), rotation.next().hash()]);
                        info!("certificate renewed");
                    }
                    rotation
                        .due()
                        .duration_since(now)
                        .unwrap_or(RETRY)
                        .min(LONGEST_SLEEP)
                }
                Err(error) => {
                    error!(%error, "cannot renew the certificate; clients will refuse it when it expires");
                    RETRY
                }
            },
        }
    }
}

fn renew(
    key: &NodeKey,
    dir: &StateDir,
    rotation: &mut Rotation,
    resolver: &Resolver,
    now: SystemTime,
) -> Result<Step, IdentityError> {
    let step = rotation.advance(key, dir, now)?;
    if step == Step::Renewed {
        resolver.replace(key.certified(rotation.current())?);
    }
    Ok(step)
}

/// Names that the node's own certificate is good for.
fn names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let ip = config.listen.ip();
    if !ip.is_unspecified() && !ip.is_loopback() {
        names.push(ip.to_string());
    }
    names.extend(config.tls_names.iter().cloned());
    names
}

/// Keep the certificate fresh until told to stop.
#[expect(clippy::disallowed_methods, reason = "certificates have dates")]
pub(super) async fn run(
    mut identity: Identity,
    resolver: Arc<Resolver>,
    hashes: Arc<PublishedHashes>,
    stop: CancellationToken,
) {
    loop {
        let pause = identity.step(&resolver, &hashes, SystemTime::now());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
