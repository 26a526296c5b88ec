//! Work of the mesh that touches files, on threads that may wait for them.

use headwater_certs::mesh::{Answer, Exporter};
use headwater_pubsub::net::SessionHandle;
use headwater_pubsub::session::RequestKey;
use headwater_pubsub::wire::parameter::ExtensionParameters;
use headwater_pubsub::wire::{Parameters, Properties, RequestErrorCode};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::state::Shared;
use super::{AuthorityOffice, Mesh, parameters, reject};
use crate::admin::{MeshMetrics, RefusalReason};
use crate::overlay::message::PeerRecord;

/// Chores that may wait; a request beyond is refused, and the next epoch is written at the next change.
const WAITING: usize = 16;

/// One piece of such work.
pub(crate) enum Chore {
    /// A request to the mesh's authority.
    Petition(Box<Petition>),
    /// Keep the latest epoch.
    Epoch(u64),
    /// Keep these peers.
    Peers(Vec<PeerRecord>),
    /// Keep the revocations that are known now.
    Revocations,
}

/// Somebody asks to become or stay a member.
pub(crate) struct Petition {
    pub(super) office: AuthorityOffice,
    pub(super) handle: SessionHandle,
    pub(super) key: RequestKey,
    pub(super) request: Bytes,
    pub(super) exporter: Exporter,
    pub(super) now: SystemTime,
}

/// Both ends of the queue.
pub(crate) fn queue() -> (mpsc::Sender<Chore>, mpsc::Receiver<Chore>) {
    mpsc::channel(WAITING)
}

/// Do one chore after the other until told to stop.
pub(in crate::node) async fn run(
    shared: Arc<Shared>,
    mut chores: mpsc::Receiver<Chore>,
    stop: CancellationToken,
) {
    loop {
        let chore = tokio::select! {
            () = stop.cancelled() => return,
            chore = chores.recv() => chore,
        };
        let Some(chore) = chore else { return };
        let shared = shared.clone();
        let done = tokio::task::spawn_blocking(move || match chore {
            Chore::Petition(petition) => petition.answer(&shared.metrics.mesh),
            Chore::Epoch(epoch) => {
                let stored = shared.mesh.as_ref().map(|mesh| mesh.store_epoch(epoch));
                if let Some(Err(error)) = stored {
                    warn!(%error, "the epoch was not stored");
                }
            }
            Chore::Peers(records) => {
                let kept = shared.mesh.as_ref().map(|mesh| mesh.keep_peers(&records));
                if let Some(Err(error)) = kept {
                    warn!(%error, "peers were not stored");
                }
            }
            Chore::Revocations => {
                let kept = shared.mesh.as_ref().map(Mesh::keep_revocations);
                if let Some(Err(error)) = kept {
                    warn!(%error, "revocations were not stored and are forgotten at the next start");
                }
            }
        });
        if let Err(error) = done.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Petition {
    fn answer(self, metrics: &MeshMetrics) {
        let answer = self.office.admit(&self.request, &self.exporter, self.now);
        if let Ok(Answer::Refused(refusal)) = Answer::decode(&answer) {
            let remote = self.handle.transport().remote_address();
            info!(%remote, reason = %refusal, "not let into the mesh");
            metrics.refused(RefusalReason::of(refusal));
        }
        let mut extensions = ExtensionParameters::empty();
        if let Err(error) = extensions.insert(parameters::ANSWER, Bytes::from(answer)) {
            debug!(%error, "the authority's answer is too long");
            reject(
                &self.handle,
                self.key,
                RequestErrorCode::INTERNAL_ERROR,
                error.to_string(),
            );
            return;
        }
        let parameters = Parameters {
            extensions,
            ..Parameters::default()
        };
        let sent = self
            .handle
            .act(|session, _| session.accept_subscribe(self.key, parameters, Properties::empty()));
        if let Err(error) = sent {
            debug!(%error, "the authority's answer was not sent");
        }
    }
}
