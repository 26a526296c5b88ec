//! Who a session is with: each side proves its node key in its subscription to the other's gossip.
//!
//! A proof is the node's certificate and a signature over what TLS exports of this connection and the role in it, so it is
//! worth nothing elsewhere. Until both sides are verified no row is sent or taken; a session that fails stays an ordinary
//! client's.

use bytes::Bytes;
use headwater_certs::mesh::{EXPORTER_LABEL, Exporter, Proof, ProofError, Role};
use headwater_pubsub::net::{SessionHandle, Sink, object_queue};
use headwater_pubsub::session::{Accepted, AuthToken, RequestKey};
use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::parameter::Token;
use headwater_pubsub::wire::{FullTrackName, Parameters, Properties, RequestErrorCode, SessionCode};
use tracing::{debug, info, warn};

use super::super::state::{Session, SessionHandler, Shared, State};
use super::chores::{Chore, Petition};
use super::{Link, Serving, gossip_track, join_track, neighbour, node_id};
use crate::admin::{self, MisconductKind, RefusalReason};
use crate::hub::SessionId;
use crate::overlay::core as overlay;
use crate::overlay::health::Health;

/// Type of the token that is a proof.
const PROOF_TOKEN: u64 = 0x4857_0000;
/// Type of the token that is a request to the authority.
pub(super) const REQUEST_TOKEN: u64 = 0x4857_0001;
/// Gossip received and not yet looked at: two objects.
const QUEUE: u32 = 128 << 10;

impl SessionHandler {
    /// SETUP came: if both speak gossip, ask for the other's and show who we are.
    pub(crate) fn greet(&self, state: &mut State, handle: &SessionHandle) {
        let Some(mesh) = &self.node.mesh else { return };
        if !handle.act(|session, _| session.extension_agreed()) {
            return;
        }
        let Some(exporter) = exporter(handle) else {
            return;
        };
        let mut link = Link::new(self.node.clock.now(), self.role);
        let proof = mesh.membership().prove(&exporter, self.role).encode();
        let asked = handle.act(|session, _| session.subscribe(gossip_track(), token(PROOF_TOKEN, proof)));
        match asked {
            Ok(key) => link.asked = Some(key),
            Err(error) => debug!(%error, "gossip not asked for"),
        }
        if let Some(entry) = state.sessions.get_mut(&self.id) {
            link.wake = entry.wake.clone();
            entry.link = Some(Box::new(link));
        }
    }

    /// A SUBSCRIBE in the session's own namespace; false if it is not the mesh's.
    pub(crate) fn asked_by_node(
        &self,
        state: &mut State,
        key: RequestKey,
        track: &FullTrackName,
        tokens: &[AuthToken],
    ) -> bool {
        let Some(mesh) = &self.node.mesh else {
            return false;
        };
        let Some(entry) = state.sessions.get_mut(&self.id) else {
            return false;
        };
        let find = |kind| {
            tokens
                .iter()
                .find(|token| token.kind == kind)
                .map(|token| token.value.clone())
        };
        if *track == join_track() {
            let request = find(REQUEST_TOKEN).unwrap_or_default();
            self.node.petition(&entry.handle, key, request);
            return true;
        }
        if *track != gossip_track() || entry.link.is_none() {
            return false;
        }
        let verified = exporter(&entry.handle).ok_or(None).and_then(|exporter| {
            let proof = find(PROOF_TOKEN).unwrap_or_default();
            let revocations = mesh.keyring.revocations();
            Proof::verify(
                &proof,
                &exporter,
                self.role.other(),
                &revocations,
                self.node.wall.now(),
            )
            .map_err(Some)
        });
        match verified {
            Ok(node) if node.id == mesh.membership().node() => {
                self.refuse(entry, key, None, RefusalReason::Itself);
            }
            Ok(node) => {
                let accepted = entry.handle.act(|session, _| {
                    session.accept_subscribe(key, Parameters::default(), Properties::empty())
                });
                if let (Ok(alias), Some(link)) = (accepted, &mut entry.link) {
                    link.serves = Some(Serving { alias });
                    let (id, certificate) = (node_id(node.id), node.certificate.clone());
                    link.node = Some(node);
                    if mesh.keyring.certify(certificate) == Ok(true)
                        && let Some(mesh) = &mut state.mesh
                    {
                        mesh.inputs.push_back(overlay::Input::Standing { node: id });
                    }
                }
                self.node.try_up(state, self.id);
            }
            Err(error) => self.refuse(entry, key, error, RefusalReason::BadProof),
        }
        true
    }

    fn refuse(&self, entry: &Session, key: RequestKey, error: Option<ProofError>, otherwise: RefusalReason) {
        let kind = match &error {
            Some(error) => RefusalReason::of_proof(error),
            None => otherwise,
        };
        let reason = error.map_or_else(|| otherwise.as_str().to_owned(), |error| error.to_string());
        self.node.metrics.mesh.refused(kind);
        warn!(session = self.id.0, remote = %self.trust.address, reason, "not a neighbour");
        self.node.metrics.mesh.misconduct(MisconductKind::Proof);
        reject(&entry.handle, key, RequestErrorCode::UNAUTHORIZED, reason);
    }

    /// The other side accepted our subscription to its gossip; false if the answer is to something else.
    pub(crate) fn gossip_accepted(&self, state: &mut State, key: RequestKey, answer: &Accepted) -> bool {
        let Some(entry) = state.sessions.get_mut(&self.id) else {
            return false;
        };
        let Some(link) = entry.link.as_mut().filter(|link| link.asked == Some(key)) else {
            return false;
        };
        if !matches!(answer, Accepted::Subscribe { .. }) {
            return true;
        }
        let (sender, receiver) = object_queue(QUEUE);
        entry.handle.receive(key, Sink::Reader(sender));
        link.receiver = Some(receiver);
        link.accepted = true;
        self.node.try_up(state, self.id);
        true
    }

    /// The other side does not take us for a member.
    pub(crate) fn gossip_refused(&self, state: &mut State, key: RequestKey, error: &RequestError) -> bool {
        let Some(entry) = state.sessions.get_mut(&self.id) else {
            return false;
        };
        if entry.link.as_ref().is_none_or(|link| link.asked != Some(key)) {
            return false;
        }
        warn!(session = self.id.0, remote = %self.trust.address, reason = error.reason, "not taken for a neighbour");
        let dialled = self.role == Role::Client;
        entry.link = None;
        if dialled {
            // Of no use as an ordinary session; the next try may find both sides in agreement.
            entry.handle.close(SessionCode::NO_ERROR, "not a neighbour");
        }
        true
    }
}

impl Shared {
    /// Tell the overlay of a neighbour once both sides are verified, unless another session with the same node is the better one.
    fn try_up(&self, state: &mut State, id: SessionId) {
        let Some(me) = self.mesh.as_ref().map(|mesh| mesh.membership().node()) else {
            return;
        };
        let Some(link) = state.sessions.get(&id).and_then(|entry| entry.link.as_ref()) else {
            return;
        };
        let (Some(node), true, Some(_), false) = (&link.node, link.accepted, &link.serves, link.up) else {
            return;
        };
        let (node, dialled) = (node.id, link.role == Role::Client);
        // Both ends keep the session that the smaller node id dialled, or the newer of two that the same one did.
        let other = state.sessions.iter().find(|(other, entry)| {
            **other != id
                && entry
                    .link
                    .as_ref()
                    .is_some_and(|link| link.up && link.node.as_ref().is_some_and(|it| it.id == node))
        });
        if let Some((&other, entry)) = other {
            let preferred = |dialled: bool| dialled == (me < node);
            let other_dialled = entry.link.as_ref().is_some_and(|link| link.role == Role::Client);
            let well = entry
                .link
                .as_ref()
                .is_some_and(|link| link.detector.health() == Health::Ok);
            let cloned = state
                .mesh
                .as_ref()
                .is_some_and(|mesh| mesh.overlay.is_cloned(node_id(node)));
            // Two nodes with one key would put each other out for ever: then whoever is here stays.
            let keep_other = (preferred(other_dialled) && !preferred(dialled)) || (cloned && well);
            let lost = if keep_other { id } else { other };
            info!(session = lost.0, %node, "second session with the same node is closed");
            self.metrics.mesh.refused(RefusalReason::Second);
            let handle = state.sessions.get(&lost).map(|entry| entry.handle.clone());
            if let Some(handle) = handle {
                handle.close(SessionCode::NO_ERROR, "another session with this node is kept");
            }
            self.link_down(state, lost);
            if keep_other {
                return;
            }
        }
        let Some(entry) = state.sessions.get_mut(&id) else {
            return;
        };
        let limits = &self.config.limits;
        let window = u32::try_from(limits.neighbour_receive_window).unwrap_or(u32::MAX);
        entry.handle.transport().set_receive_window(window);
        entry.handle.transport().endure_losses();
        entry.handle.transport().expect_offers();
        entry
            .handle
            .transport()
            .set_max_uni_streams(limits.publisher_uni_streams);
        self.count_as(entry, admin::Role::Neighbour);
        let mut leaves = false;
        if let Some(link) = &mut entry.link {
            link.up = true;
            leaves = link.leaving;
            link.wake.notify_one();
            self.metrics.mesh.neighbours.inc();
        }
        info!(session = id.0, %node, "neighbour");
        if let Some(mesh) = &mut state.mesh {
            mesh.inputs.push_back(overlay::Input::NeighbourUp {
                neighbour: neighbour(id),
                node: node_id(node),
            });
        }
        if leaves {
            leaving(state, id);
        }
    }

    /// The overlay's word is over with this session.
    pub(in crate::node) fn link_down(&self, state: &mut State, id: SessionId) {
        let link = state.sessions.get_mut(&id).and_then(|entry| entry.link.as_mut());
        if let Some(link) = link
            && std::mem::take(&mut link.up)
            && let Some(mesh) = &mut state.mesh
        {
            let neighbour = neighbour(id);
            mesh.inputs.push_back(overlay::Input::NeighbourDown { neighbour });
            self.metrics.mesh.neighbours.dec();
        }
    }

    /// Somebody asks the mesh's authority for a certificate.
    fn petition(&self, handle: &SessionHandle, key: RequestKey, request: Bytes) {
        let Some(office) = self.mesh.as_ref().and_then(|mesh| mesh.office.clone()) else {
            self.metrics.mesh.refused(RefusalReason::NoAuthority);
            let reason = "the mesh's authority is not at this node".to_owned();
            reject(handle, key, RequestErrorCode::UNAUTHORIZED, reason);
            return;
        };
        let Some(exporter) = exporter(handle) else {
            return;
        };
        let petition = Petition {
            office,
            handle: handle.clone(),
            key,
            request,
            exporter,
            now: self.wall.now(),
        };
        if self.chores.try_send(Chore::Petition(Box::new(petition))).is_err() {
            self.metrics.mesh.refused(RefusalReason::Busy);
            let reason = "too many requests; try again in a moment".to_owned();
            reject(handle, key, RequestErrorCode::EXCESSIVE_LOAD, reason);
        }
    }
}

/// A session said GOAWAY. A neighbour that has yet to prove itself is known to be on its way when it has.
pub(crate) fn leaving(state: &mut State, id: SessionId) {
    let link = state.sessions.get_mut(&id).and_then(|entry| entry.link.as_mut());
    if let (Some(link), Some(mesh)) = (link, &mut state.mesh) {
        link.leaving = true;
        if link.up {
            let neighbour = neighbour(id);
            mesh.inputs.push_back(overlay::Input::Leaving { neighbour });
        }
    }
}

/// What only the two ends of this connection know.
pub(super) fn exporter(handle: &SessionHandle) -> Option<Exporter> {
    handle.export_keying_material(EXPORTER_LABEL, b"").map(Exporter)
}

pub(super) fn token(kind: u64, value: Vec<u8>) -> Parameters {
    Parameters {
        authorization_tokens: vec![Token::UseValue {
            kind,
            value: value.into(),
        }],
        ..Parameters::default()
    }
}

/// Refuse a request that the hub does not hear of.
pub(crate) fn reject(handle: &SessionHandle, key: RequestKey, code: RequestErrorCode, reason: String) {
    let error = RequestError {
        code,
        retry_after_ms: None,
        reason,
        redirect: None,
    };
    // A request that was cancelled meanwhile needs no answer.
    let _cancelled = handle.act(|session, _| session.reject(key, error)).is_err();
}
