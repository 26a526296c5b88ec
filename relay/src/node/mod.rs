//! A node at work: sockets, sessions, certificates and time around the [`hub`](crate::hub) that decides.
//!
//! ```text
//! Node::run          caller's thread: shard 0, timers, certificates, page, operator's interface
//!  ├─ shard (n - 1)  a thread each with a runtime of its own and its own socket on the shared port
//!  │   └─ session    one driver each, on the thread that accepted it, until it ends
//!  ├─ timer (1)      the hub's deadlines, tracks' deadlines
//!  ├─ renewal (1)    certificates, made here or read from files again
//!  ├─ pulse, dial, chores   in a mesh: links and media watched, sessions kept, files touched
//!  ├─ web (1)        TCP on the same port;  admin (1)  the operator's interface
//! ```
//! The only state that threads share is one table of sessions and tracks behind a lock that is held for a control message at
//! a time, the mesh's overlay with it; objects go from the publisher's session to the subscribers' through their track alone.

mod admission;
mod apply;
mod events;
mod inspect;
mod listen;
mod mesh;
mod name;
mod renewal;
mod request;
mod serve;
mod shard;
mod start;
mod state;
mod tally;
mod wall;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use headwater_certs::{CertificateHash, Fingerprint};
use headwater_pubsub::wire::SessionCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use mesh::JoinError;
pub use renewal::IdentityError;
pub use start::StartError;
pub use wall::WallClock;

use state::Shared;

/// How often tracks are asked for what is due. They keep times of seconds.
const TRACK_TICK: Duration = Duration::from_millis(250);
/// How often the hub hears of the largest groups it watches.
const WATCH_TICK: Duration = Duration::from_millis(20);
/// How long closing may take when everything else is over: a little more than a shard takes for its endpoint.
const GOODBYE: Duration = Duration::from_millis(1500);

/// The two ways to end a node.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Stop accepting, send GOAWAY, and wait for the sessions to leave, as long as the configuration says.
    pub drain: CancellationToken,
    /// Close everything now.
    pub abort: CancellationToken,
}

/// A node whose sockets are bound and whose certificates are ready.
pub struct Node {
    shared: Arc<Shared>,
    parts: start::Parts,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("address", &self.parts.address)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Bind the sockets and make or load the certificates.
    ///
    /// # Errors
    /// See [`StartError`]; nothing stays bound.
    pub async fn bind(config: crate::config::Config) -> Result<Self, StartError> {
        Self::bind_at(config, WallClock::system()).await
    }

    /// The same under another calendar, which memberships of a mesh are judged by.
    ///
    /// # Errors
    /// See [`StartError`]; nothing stays bound.
    pub async fn bind_at(config: crate::config::Config, wall: WallClock) -> Result<Self, StartError> {
        start::bind(config, wall).await
    }

    /// Where it listens, UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.parts.address
    }

    /// Where the operator's interface listens.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.parts
            .doors
            .admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Hash of the node's public key; `None` if certificate files are used.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.parts.identity.fingerprint()
    }

    /// Hashes of the certificate in use and its successor, for browsers; empty if certificate files are used.
    pub fn certificate_hashes(&self) -> Vec<CertificateHash> {
        self.parts.identity.hashes()
    }

    /// The nodes that pages are told of, at first those of the configuration; may be replaced while the node runs.
    pub fn alternates(&self) -> Arc<crate::web::Alternates> {
        self.parts.doors.alternates.clone()
    }

    /// Serve until told to stop.
    ///
    /// # Panics
    /// A panic in a task of the node is continued here.
    pub async fn run(self, shutdown: Shutdown) {
        let Self { shared, parts } = self;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(shared.clone(), stop.clone()));
        if let Err(error) = start::serve_http(&mut tasks, &shared, parts.doors, &stop) {
            warn!(%error, "no operator's interface");
        }
        if shared.mesh.is_some() {
            tasks.spawn(mesh::dial::run(shared.clone(), stop.clone()));
            tasks.spawn(mesh::pulse::run(shared.clone(), stop.clone()));
            tasks.spawn(mesh::standing::run(shared.clone(), stop.clone()));
            tasks.spawn(mesh::renew::run(shared.clone(), stop.clone()));
            tasks.spawn(mesh::chores::run(shared.clone(), parts.to_do, stop.clone()));
        }
        let mut endpoints = Vec::new();
        let mut threads = Vec::new();
        let identity = parts.identity;
        for (index, socket) in parts.sockets.into_iter().enumerate() {
            let shard = shard::Shard {
                shared: shared.clone(),
                stop: stop.clone(),
                tls: parts.tls.clone(),
                secret: parts.secret.clone(),
            };
            if index == 0 {
                match shard.endpoint(socket) {
                    Ok(endpoint) => {
                        endpoints.push(endpoint.clone());
                        tasks.spawn(shard.run(endpoint));
                    }
                    Err(error) => warn!(%error, "no endpoint"),
                }
            } else {
                threads.push(shard.spawn(index, socket));
            }
        }
        shared.set_phase(crate::status::Phase::Ready);
        tasks.spawn(renewal::run(identity, parts.resolver, parts.hashes, stop.clone()));
        wait(&shared, &shutdown, &mut tasks).await;
        shared.set_phase(crate::status::Phase::Draining);
        shared.close_all(SessionCode::NO_ERROR, "the relay is shutting down");
        stop.cancel();
        for endpoint in &endpoints {
            // The shard gives its sessions a moment to say goodbye, then closes the endpoint.
            let _unanswered = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await.is_err();
        }
        for thread in threads {
            thread.join().await;
        }
        tasks.shutdown().await;
        info!("stopped");
    }
}

/// Until the node is drained or told to stop at once.
async fn wait(shared: &Arc<Shared>, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
    let drained = async {
        shutdown.drain.cancelled().await;
        shared.drain();
        let patience = shared.config.drain;
        if tokio::time::timeout(patience, shared.empty()).await.is_err() {
            info!(?patience, "sessions left after draining are closed");
        }
    };
    tokio::select! {
        () = drained => {}
        () = shutdown.abort.cancelled() => {}
        () = failed(tasks) => {}
    }
}

/// A task that ends before the node does has panicked or lost its socket.
async fn failed(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    std::future::pending().await
}

/// Tell hub and tracks the time when they want it.
async fn keep_time(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TRACK_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = tokio::time::interval(WATCH_TICK);
    watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (deadline, watching) = {
            let state = shared.state();
            (state.deadline(), !state.watched.is_empty())
        };
        let due = async {
            match deadline {
                Some(time) => tokio::time::sleep_until(shared.clock.instant(time)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.timer.notified() => {}
            () = due => shared.feed_time(),
            _ = tick.tick() => {
                shared.expire_tracks();
                shared.tally();
            }
            _ = watch.tick(), if watching => shared.report_largest_groups(),
        }
    }
}
