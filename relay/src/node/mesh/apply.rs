//! From the hub to the overlay and back, and what the overlay wants done.

use std::sync::Arc;

use headwater_pubsub::track::{Source, Track};
use headwater_pubsub::wire::{Filter, FullTrackName, Location, SessionCode};
use tracing::{debug, error, info, warn};

use super::super::state::{Shared, State};
use super::chores::Chore;
use super::{Asked, MeshState, Pulled, Pulling, neighbour, parameters, pulse, session};
use crate::admin::MisconductKind;
use crate::hub::{Input, Origin, Outgoing, Output, SessionId, TrackId, UpstreamState};
use crate::overlay::core::{self as overlay, Feed};
use crate::overlay::id::NodeId;
use crate::overlay::upstream::Track as Pull;

impl Shared {
    /// Hands an output of the hub that concerns the mesh to the overlay.
    pub(in crate::node) fn tell_overlay(&self, state: &mut State, output: Output) {
        let Some(mesh) = &mut state.mesh else { return };
        match output {
            Output::Want { track, name, origin } => {
                let hold = state.tracks.get(&track).map(|track| track.source());
                mesh.pulls.insert(track, Pulled::new(hold));
                let track = Pull(track.0);
                mesh.inputs
                    .push_back(overlay::Input::Want { track, name, origin });
            }
            Output::Unwant { track } => {
                mesh.pulls.remove(&track);
                mesh.feeds.retain(|(of, _), _| *of != track);
                let track = Pull(track.0);
                mesh.inputs.push_back(overlay::Input::Unwant { track });
            }
            Output::Upstream {
                track,
                session,
                state: UpstreamState::Established,
            } => mesh.inputs.push_back(overlay::Input::Established {
                track: Pull(track.0),
                neighbour: neighbour(session),
            }),
            Output::Upstream { track, session, .. } => {
                if let Some(pulled) = mesh.pulls.get_mut(&track) {
                    pulled.from.remove(&session);
                }
                mesh.inputs.push_back(overlay::Input::Lost {
                    track: Pull(track.0),
                    neighbour: neighbour(session),
                });
            }
            Output::Child {
                session,
                origin,
                present,
            } => mesh.inputs.push_back(overlay::Input::Child {
                neighbour: neighbour(session),
                origin,
                present,
            }),
            Output::Announce { entry, present } => {
                mesh.inputs.push_back(overlay::Input::Announce { entry, present });
            }
            Output::TrackMoved { track } => {
                if let Some(largest) = state.tracks.get(&track).and_then(|track| track.largest()) {
                    let floor = Location::new(largest.group.saturating_add(1), 0);
                    mesh.floors.insert(track, floor);
                }
            }
            other => debug!(output = ?other, "nothing to do"),
        }
    }

    /// Carries out one output of the overlay.
    pub(in crate::node) fn apply_overlay(&self, state: &mut State, output: overlay::Output) {
        match output {
            overlay::Output::Ready { neighbour } => {
                let entry = state.sessions.get(&session(neighbour));
                if let Some(link) = entry.and_then(|entry| entry.link.as_ref()) {
                    link.wake.notify_one();
                }
            }
            overlay::Output::Pull {
                track,
                neighbour,
                wanted,
                feed,
                why,
            } => {
                let (track, session) = (TrackId(track.0), session(neighbour));
                debug!(?track, %neighbour, wanted, ?why, "pull");
                if wanted {
                    self.metrics.mesh.pull(why);
                }
                if let Some(mesh) = &mut state.mesh {
                    if wanted {
                        mesh.feeds.insert((track, session), feed);
                    } else {
                        mesh.feeds.remove(&(track, session));
                        if let Some(pulled) = mesh.pulls.get_mut(&track) {
                            pulled.from.remove(&session);
                        }
                    }
                }
                state.inputs.push_back(Input::Upstream {
                    track,
                    session,
                    wanted,
                });
            }
            overlay::Output::RouteChanged {
                origin,
                primary,
                total_us,
                cause,
            } => {
                let candidates = state.mesh.as_ref().map(|mesh| mesh.overlay.candidates(origin));
                debug!(%origin, ?primary, total_us, ?cause, ?candidates, "route");
                self.metrics.mesh.route_changed(cause);
                let wanted = state
                    .mesh
                    .as_ref()
                    .is_some_and(|mesh| mesh.overlay.is_wanted(origin));
                if wanted && total_us.is_none() {
                    self.metrics.mesh.starvations.inc();
                }
                state.inputs.push_back(Input::Route {
                    origin,
                    session: primary.map(session),
                });
            }
            overlay::Output::Remote { entry, present } => {
                let names: Vec<FullTrackName> = state
                    .hub
                    .client_tracks()
                    .filter(|(name, _)| entry.covers(name))
                    .map(|(name, _)| name.clone())
                    .collect();
                state.inputs.push_back(Input::Remote { entry, present });
                names.iter().for_each(|name| repin(state, name));
            }
            overlay::Output::Repin { origin } => repin_all(state, origin),
            answer @ (overlay::Output::Traced { .. } | overlay::Output::Surveyed { .. }) => {
                if let Some(mesh) = &mut state.mesh {
                    mesh.asks.answered(answer);
                }
            }
            other => self.apply_warning(state, other),
        }
    }

    fn apply_warning(&self, state: &mut State, output: overlay::Output) {
        match output {
            overlay::Output::Close { neighbour, reason } => {
                let id = session(neighbour);
                let node = state
                    .mesh
                    .as_ref()
                    .and_then(|mesh| mesh.overlay.node_of(neighbour));
                warn!(session = id.0, node = ?node, %reason, "neighbour misbehaves: session closed");
                self.metrics.mesh.misconduct(MisconductKind::of(&reason));
                let handle = state.sessions.get(&id).map(|entry| entry.handle.clone());
                self.link_down(state, id);
                if let Some(handle) = handle {
                    handle.close(SessionCode::PROTOCOL_VIOLATION, &reason.to_string());
                }
            }
            overlay::Output::Refused { neighbour, reason } => {
                let node = state
                    .mesh
                    .as_ref()
                    .and_then(|mesh| mesh.overlay.node_of(neighbour));
                warn!(session = neighbour.0, node = ?node, %reason, "refused");
                self.metrics.mesh.misconduct(MisconductKind::of(&reason));
            }
            overlay::Output::Probe { neighbour } => {
                let until = self.clock.now() + pulse::PROBE;
                MeshState::probe(state, session(neighbour), until);
            }
            overlay::Output::Cloned { node, present } => self.tell_of_clones(state, node, present),
            overlay::Output::Dial { record } => self.dial(state, record),
            overlay::Output::Surplus { neighbour } => {
                let id = session(neighbour);
                debug!(session = id.0, "enough neighbours without it");
                let handle = state.sessions.get(&id).map(|entry| entry.handle.clone());
                self.link_down(state, id);
                if let Some(handle) = handle {
                    handle.close(SessionCode::NO_ERROR, "enough neighbours");
                }
            }
            overlay::Output::KeepPeers { records } => {
                // They are kept with the next change.
                let _full = self.chores.try_send(Chore::Peers(records)).is_err();
            }
            overlay::Output::Standing { node } => self.standing_changed(state, node),
            overlay::Output::Epoch(epoch) => {
                // The next change of it is stored with the next chore.
                let _full = self.chores.try_send(Chore::Epoch(epoch)).is_err();
            }
            overlay::Output::NotAnnounced { entry, error } => {
                warn!(?entry, %error, "published here and unknown to the mesh");
            }
            other => debug!(output = ?other, "nothing to do"),
        }
    }

    /// Two nodes run with one key, or no longer.
    fn tell_of_clones(&self, state: &State, node: NodeId, present: bool) {
        let Some(mesh) = &state.mesh else { return };
        let cloned = i64::try_from(mesh.overlay.cloned().count()).unwrap_or(i64::MAX);
        self.metrics.mesh.cloned.set(cloned);
        let id = node.to_hex();
        if !present {
            info!(node = id, "no two nodes run with this key any more");
            return;
        }
        self.metrics.mesh.misconduct(MisconductKind::ClonedKey);
        if node == mesh.overlay.node() {
            error!(
                node = id,
                "another node runs with this node's key: stop one of them, remove its state directory, join it anew"
            );
        } else {
            error!(
                node = id,
                "two nodes of the mesh run with one key: one of them must be stopped"
            );
        }
    }

    /// The origin that a neighbour means, or why it is not served.
    pub(in crate::node) fn origin_asked(
        state: &State,
        id: SessionId,
        asked: Asked,
    ) -> Result<Origin, overlay::Unfit> {
        let known = state
            .sessions
            .get(&id)
            .and_then(|entry| entry.link.as_ref())
            .is_some_and(|link| link.up);
        let Some(mesh) = state.mesh.as_ref().filter(|_| known) else {
            return Err(overlay::Unfit::NoRoute);
        };
        mesh.overlay.admit_child(asked.origin, asked.feed)?;
        Ok(parameters::origin(asked.origin, mesh.overlay.node()))
    }
}

impl MeshState {
    /// Says in a request whose publishers are meant, and for a subscription from where on and what for.
    pub(in crate::node) fn address(&self, request: &mut Outgoing, session: SessionId, known: Option<&Track>) {
        match request {
            Outgoing::Subscribe {
                track,
                origin: Origin::Node(origin),
                parameters,
                ..
            } => {
                // Of a track that is cold here, what waits for it knows from where on.
                let resume = known
                    .and_then(Track::next_expected)
                    .max(self.floors.get(track).copied())
                    .or_else(|| parameters::resume(parameters));
                let feed = self.feeds.get(&(*track, session)).copied();
                parameters.extensions = Asked {
                    origin: *origin,
                    resume,
                    feed: feed.unwrap_or(Feed::Normal),
                }
                .write();
            }
            Outgoing::Subscribe {
                track,
                origin: Origin::Here,
                parameters,
                ..
            } => {
                parameters.filter = self.floors.get(track).map(|&floor| Filter::AbsoluteStart(floor));
            }
            Outgoing::Fetch {
                origin: Origin::Node(origin),
                parameters,
                ..
            }
            | Outgoing::TrackStatus {
                origin: Origin::Node(origin),
                parameters,
                ..
            } => parameters.extensions = Asked::plainly(*origin).write(),
            _ => {}
        }
    }

    /// A neighbour accepted a subscription whose objects come from this source.
    pub(in crate::node) fn fed(&mut self, track: TrackId, session: SessionId, source: &Arc<Source>) {
        if let Some(pulled) = self.pulls.get_mut(&track) {
            pulled.from.insert(
                session,
                Pulling {
                    source: Arc::clone(source),
                    told: None,
                },
            );
        }
    }

    /// The track is gone.
    pub(in crate::node) fn forget(&mut self, track: TrackId) {
        self.floors.remove(&track);
        self.pulls.remove(&track);
    }
}

/// Pins what clients mean by a name, where the mesh knows better than before.
pub(crate) fn repin(state: &mut State, name: &FullTrackName) {
    let Some(mesh) = &state.mesh else { return };
    let current = state.hub.pinned(name);
    let wanted = match current {
        Origin::Node(origin) if mesh.overlay.is_served(name, origin) => return,
        _ if state.hub.is_published_here(name) => Origin::Here,
        _ => match mesh.overlay.pin(name) {
            Some(origin) => Origin::Node(origin),
            None => return,
        },
    };
    if wanted != current {
        debug!(%name, ?current, ?wanted, "pin");
        let (name, origin) = (name.clone(), wanted);
        state.inputs.push_back(Input::Pin { name, origin });
    }
}

/// The route to an origin changed, or what it announces: names that it serves or could serve may be served from elsewhere now.
fn repin_all(state: &mut State, origin: NodeId) {
    let Some(mesh) = &state.mesh else { return };
    let names: Vec<FullTrackName> = state
        .hub
        .client_tracks()
        .filter(|(name, pinned)| *pinned == Origin::Node(origin) || mesh.overlay.is_announced(name, origin))
        .map(|(name, _)| name.clone())
        .collect();
    names.iter().for_each(|name| repin(state, name));
}
