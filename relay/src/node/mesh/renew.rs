//! Staying a member: the certificate is renewed from ten days before its end, at the node that holds the mesh's authority.
//!
//! The answer replaces the certificate here and in the state directory, and travels with the gossip, so no session has to end.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::mesh::{Authority, Exporter, Membership, Office};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{Dialer, client};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::super::shard::quic_limits;
use super::super::state::Shared;
use super::Mesh;
use super::petition::ask;
use super::start::{EXPIRED, JoinError};
use crate::config::Config;

/// How often the date is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// First and last pause after a try in vain.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Renew whenever it is due, until told to stop.
pub(in crate::node) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let Some(mesh) = &shared.mesh else { return };
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = PAUSE.0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let present = mesh.membership();
        if shared.wall.now() < present.certificate().renewal_due() {
            continue;
        }
        let renewed = tokio::select! {
            () = stop.cancelled() => return,
            renewed = renew(&shared, mesh, &present) => renewed,
        };
        match renewed {
            Ok(membership) => {
                info!("membership of the mesh renewed");
                let node = membership.node();
                if mesh.renewed(membership) {
                    shared.tell_standing(&[node]);
                }
                pause = PAUSE.0;
            }
            Err(error) => {
                if shared.wall.now() < present.expires() {
                    warn!(%error, "membership of the mesh not renewed yet");
                } else {
                    error!(%error, "{EXPIRED}");
                }
                tick.reset_after(pause);
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// The next membership, on disk already.
async fn renew(shared: &Shared, mesh: &Mesh, present: &Membership) -> Result<Membership, JoinError> {
    let dir = mesh.dir.clone();
    let Some(office) = present.office() else {
        let now = shared.wall.now();
        return blocking(move || Ok(Authority::create(&dir, now)?.1)).await;
    };
    let answer = ask_office(&shared.config, office, present).await?;
    let mut next = present.clone();
    blocking(move || {
        next.renew(&answer)?;
        next.join_state(&dir)?;
        Ok(next)
    })
    .await
}

/// The answer at the first address where somebody answers.
async fn ask_office(config: &Config, office: &Office, present: &Membership) -> Result<Vec<u8>, JoinError> {
    let trust = ClientTrust::Pin(vec![office.fingerprint]);
    let dialer = Dialer::new(client()?, client_config(&trust, &[])?, quic_limits(config));
    let mut last = None;
    for address in &office.addresses {
        let present = present.clone();
        let petition = move |exporter: &Exporter| present.renewal(exporter).encode();
        match ask(&dialer, address, petition).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(JoinError::NoMesh))
}

/// Work with files, on a thread that may wait for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JoinError> + Send + 'static,
) -> Result<T, JoinError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_cancelled) => std::future::pending().await,
    }
}
