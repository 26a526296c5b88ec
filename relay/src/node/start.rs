//! Binding sockets and getting a certificate: everything that can fail before the node runs.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use headwater_certs::{Resolver, StateDir, StateError};
use headwater_pubsub::{
    net::{ALPN_H3, EndpointError, EndpointSecret, PortSharing, bind as bind_udp},
    wire::Version,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Node,
    inspect::View,
    mesh::{
        JoinError, Mesh, MeshState,
        chores::{self, Chore},
    },
    renewal::{Identity, IdentityError},
    state::{About, Shared},
    wall::WallClock,
};
use crate::{
    admin::{self, AdminError, AdminOptions},
    config::{Config, ConfigError},
    status::Inspect,
    web::{self, Alternate, AlternateError, Alternates, BindError, PublishedHashes, WebState},
};

/// Why a node does not start. Nothing stays bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node that pages are to be told of has no address that they could use.
    #[error("alternates: {0}")]
    Alternates(#[from] AlternateError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No certificate can be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The TCP port cannot be had; usually another relay has it.
    #[error(transparent)]
    Tcp(#[from] BindError),
    /// The UDP port cannot be had.
    #[error(transparent)]
    Udp(#[from] EndpointError),
    /// The node cannot be a member of its mesh.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The operator's interface cannot be had.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What is ready before the node runs.
pub(super) struct Parts {
    pub(super) address: SocketAddr,
    pub(super) doors: Doors,
    /// One for each shard.
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) identity: Identity,
    pub(super) resolver: Arc<Resolver>,
    pub(super) tls: rustls::ServerConfig,
    pub(super) secret: EndpointSecret,
    pub(super) hashes: Arc<PublishedHashes>,
    pub(super) to_do: mpsc::Receiver<Chore>,
}

/// Where HTTP comes in.
pub(super) struct Doors {
    pub(super) web: TcpListener,
    pub(super) admin: Option<TcpListener>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) hashes: Arc<PublishedHashes>,
    pub(super) alternates: Arc<Alternates>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "shown to people, and the date of certificates"
)]
pub(super) async fn bind(config: Config, wall: WallClock) -> Result<Node, StartError> {
    config.validate()?;
    let alternates = Arc::new(alternates(&config)?);
    let (web, sockets) = bind_port(&config).await?;
    let address = web.local_addr().unwrap_or(config.listen);
    let admin = match config.admin {
        Some(address) => Some(admin::bind(address).await?),
        None => None,
    };
    let now = std::time::SystemTime::now();
    let (identity, certified) = Identity::open(&config, now)?;
    let secret = identity.endpoint_secret().map_err(IdentityError::from)?;
    let resolver = Resolver::new(certified);
    let alpn = [Version::default().alpn().as_bytes(), ALPN_H3.as_bytes()];
    let mut tls = headwater_certs::server_config(resolver.clone(), &alpn);
    tls.max_early_data_size = 0;
    let hashes = Arc::new(PublishedHashes::new(identity.hashes()));
    let about = About {
        listen: address,
        fingerprint: identity.fingerprint(),
        name: super::name::of(&config),
        since: now,
    };
    let mesh = match identity.mesh_dir(&config)? {
        Some(dir) => open_mesh(&config, &dir, &wall).await?,
        None => None,
    };
    let (chores, to_do) = chores::queue();
    let shared = Arc::new(Shared::new(config, about, mesh, chores, wall));
    let doors = Doors {
        web,
        admin,
        resolver: resolver.clone(),
        hashes: hashes.clone(),
        alternates,
    };
    Ok(Node {
        shared,
        parts: Parts {
            address,
            doors,
            sockets,
            identity,
            resolver,
            tls,
            secret,
            hashes,
            to_do,
        },
    })
}

/// The nodes that the configuration has pages told of.
fn alternates(config: &Config) -> Result<Alternates, AlternateError> {
    let parsed: Result<Vec<_>, _> = config
        .alternates
        .iter()
        .map(|text| Alternate::parse(text))
        .collect();
    let alternates = Alternates::default();
    alternates.replace(parsed?);
    Ok(alternates)
}

/// Tries to find a port that is free for both UDP and TCP, where the system may choose it.
const PORT_TRIES: usize = 16;

/// TCP and UDP on one port, a UDP socket for each thread.
async fn bind_port(config: &Config) -> Result<(TcpListener, Vec<UdpSocket>), StartError> {
    let sharing = if threads(config) > 1 {
        PortSharing::Shared
    } else {
        PortSharing::Alone
    };
    let mut tries = if config.listen.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        // TCP first, without sharing: a second relay on the port fails here, loudly.
        let web = web::bind(config.listen).await?;
        let address = web.local_addr().unwrap_or(config.listen);
        let sockets = (0..threads(config))
            .map(|_| bind_udp(address, sharing))
            .collect::<Result<Vec<_>, _>>();
        tries -= 1;
        match sockets {
            Ok(sockets) => return Ok((web, sockets)),
            Err(error) if tries == 0 => return Err(error.into()),
            // Somebody else has the UDP half of this port.
            Err(_) => {}
        }
    }
}

/// The mesh that the node is in, or joins.
async fn open_mesh(
    config: &Config,
    dir: &StateDir,
    wall: &WallClock,
) -> Result<Option<(Mesh, MeshState)>, StartError> {
    let Some(mesh) = Mesh::open(config, dir, wall).await? else {
        return Ok(None);
    };
    let now = wall.now();
    let epoch = mesh.epoch(now)?;
    let state = MeshState::new(&mesh, epoch, config, now);
    Ok(Some((mesh, state)))
}

/// Network threads to run.
fn threads(config: &Config) -> usize {
    match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => usize::try_from(threads).unwrap_or(1),
    }
}

/// Start the page and the operator's interface.
///
/// # Errors
/// The operator's interface is open to others and has no token.
pub(super) fn serve_http(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    doors: Doors,
    stop: &CancellationToken,
) -> Result<(), AdminError> {
    let limits = &shared.config.limits;
    let connections = usize::try_from(limits.tcp_connections).unwrap_or(usize::MAX);
    let patience = limits.handshake_timeout;
    if let Some(listener) = doors.admin {
        let options = AdminOptions {
            token: shared.config.admin_token.clone(),
            connections,
            patience,
        };
        let view = Arc::new(View(shared.clone()));
        tasks.spawn(admin::serve(
            listener,
            view,
            shared.metrics.clone(),
            options,
            stop.clone(),
        )?);
    }
    let mut tls = headwater_certs::server_config(doors.resolver.clone(), web::ALPN);
    tls.max_early_data_size = 0;
    let state = WebState {
        tls: Arc::new(tls),
        certificate: doors.resolver,
        hashes: doors.hashes,
        alternates: doors.alternates,
        fingerprint: shared.about.fingerprint,
        overlay: shared
            .config
            .public_overlay
            .then(|| Arc::new(View(shared.clone())) as Arc<dyn Inspect>),
        metrics: shared.metrics.clone(),
        connections,
        patience,
    };
    tasks.spawn(web::serve(doors.web, state, stop.clone()));
    Ok(())
}

/// Certificates come from a state directory unless the configuration names files.
pub(super) fn state_dir(config: &Config) -> Result<StateDir, StateError> {
    match &config.state_dir {
        Some(path) => StateDir::create(path),
        None => StateDir::create(StateDir::default_path()?),
    }
}
