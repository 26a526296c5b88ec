//! Tracks that were published by PUBLISH at other nodes, for those here who asked for tracks with SUBSCRIBE_TRACKS.
//!
//! The mesh tells their names. PUBLISH to a client states properties and the largest object, which only the publisher's node
//! knows, so the track is pulled first, like one that somebody subscribed to, and offered once a neighbour serves it.

use headwater_pubsub::wire::{FullTrackName, StreamCode, TrackNamespace};

use super::Hub;
use super::input::{Origin, RequestRef, SessionId, TrackId};
use super::listen::listener_of;
use super::namespaces::Interest;
use super::output::Output;
use super::session::TracksInterest;
use super::tracks::Track;

impl Hub {
    /// Somebody in the mesh publishes this track by PUBLISH, or nobody any more.
    pub(super) fn remote_track(&mut self, name: &FullTrackName, present: bool) {
        if !self.mesh.tell_track(name, present) {
            return;
        }
        for interest in self.interested_in(name) {
            if present {
                self.expect(name, interest);
            } else {
                self.expect_no_more(name, interest);
            }
        }
    }

    /// Expects every track of the mesh under a prefix.
    pub(super) fn expect_under(&mut self, prefix: &TrackNamespace, interest: RequestRef) {
        let names: Vec<FullTrackName> = self.mesh.tracks_under(prefix).cloned().collect();
        for name in names {
            self.expect(&name, interest);
        }
    }

    /// A SUBSCRIBE_TRACKS means another prefix: what it brought stays, what it waits for elsewhere does not.
    pub(super) fn expect_only_under(&mut self, prefix: &TrackNamespace, interest: RequestRef) {
        let Some(state) = self.tracks_interest(interest) else {
            return;
        };
        let kept = |name: &FullTrackName| name.namespace().has_prefix(prefix);
        let gone: Vec<FullTrackName> = state
            .expected
            .iter()
            .filter(|name| !kept(name))
            .cloned()
            .collect();
        for name in gone {
            self.expect_no_more(&name, interest);
        }
    }

    /// A SUBSCRIBE_TRACKS that is over waits for nothing.
    pub(super) fn expect_nothing(&mut self, over: &TracksInterest, interest: RequestRef) {
        for name in &over.expected {
            self.wait_no_more(name, interest);
        }
    }

    /// Clients of a name are served from elsewhere now, or the track ended: who has it no more is offered it again, if it is still
    /// published.
    pub(super) fn expect_again(&mut self, name: &FullTrackName) {
        let here = self
            .tracks
            .live(name, Origin::Here)
            .filter(|&id| self.tracks.get(id).is_some_and(Track::is_published));
        for interest in self.interested_in(name) {
            let waits = self
                .tracks
                .live(name, self.mesh.pinned(name))
                .and_then(|id| self.tracks.get(id))
                .is_some_and(|track| track.expecting.contains(&interest));
            if waits || self.listens(interest.session(), name) {
                continue;
            }
            if let Some(state) = self.tracks_interest(interest) {
                state.expected.remove(name);
            }
            match here {
                Some(id) => self.offer(id, interest),
                None if self.mesh.has_track(name) => self.expect(name, interest),
                None => {}
            }
        }
    }

    /// Offers a track to those who waited for it, now that there is something to say about it.
    pub(super) fn offer_expected(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        for interest in std::mem::take(&mut track.expecting) {
            self.offer(id, interest);
        }
    }

    /// Has a track pulled for a SUBSCRIBE_TRACKS, once for each time that it is published.
    fn expect(&mut self, name: &FullTrackName, interest: RequestRef) {
        let here = self.tracks.live(name, Origin::Here);
        if here.is_some_and(|id| self.tracks.get(id).is_some_and(Track::is_published)) || self.draining {
            return;
        }
        let most = self.config.matches;
        let Some(state) = self.tracks_interest(interest) else {
            return;
        };
        if state.blocked.contains(name) || state.expected.contains(name) {
            return;
        }
        if state.expected.len() >= most {
            self.block(name, interest);
            return;
        }
        state.expected.insert(name.clone());
        let id = self.tracks.live_or_new(name, self.mesh.pinned(name));
        if let Some(track) = self.tracks.get_mut(id) {
            track.expecting.insert(interest);
        }
        self.push(Output::Seek { name: name.clone() });
        self.touch(id);
    }

    fn expect_no_more(&mut self, name: &FullTrackName, interest: RequestRef) {
        if let Some(state) = self.tracks_interest(interest) {
            state.expected.remove(name);
        }
        self.wait_no_more(name, interest);
    }

    fn wait_no_more(&mut self, name: &FullTrackName, interest: RequestRef) {
        // Who waits for a track of a name waits at the one that the name is pinned to.
        if let Some(id) = self.tracks.live(name, self.mesh.pinned(name)) {
            if let Some(track) = self.tracks.get_mut(id) {
                track.expecting.remove(&interest);
            }
            self.touch(id);
        }
    }

    /// Tells a SUBSCRIBE_TRACKS, once, that a track cannot be offered to it; one that is told too often ends.
    pub(super) fn block(&mut self, track: &FullTrackName, interest: RequestRef) {
        let bound = self.config.matches;
        let Some(state) = self.tracks_interest(interest) else {
            return;
        };
        let Some(suffix) = track.namespace().strip_prefix(&state.prefix) else {
            return;
        };
        state.blocked.insert(track.clone());
        let too_many = state.blocked.len() > bound;
        self.push(Output::PublishBlocked {
            request: interest,
            suffix,
            name: track.name().clone(),
        });
        if too_many {
            self.push(Output::Close {
                request: interest,
                code: StreamCode::EXCESSIVE_LOAD,
            });
            self.cancelled(interest);
        }
    }

    /// Whether a session has a subscription to the track that clients of this name are served.
    pub(super) fn listens(&self, session: SessionId, name: &FullTrackName) -> bool {
        self.tracks
            .live(name, self.mesh.pinned(name))
            .and_then(|id| self.tracks.get(id))
            .is_some_and(|track| listener_of(track, session).is_some())
    }

    fn interested_in(&self, name: &FullTrackName) -> Vec<RequestRef> {
        self.namespaces
            .interested(Interest::Tracks, name.namespace())
            .into_iter()
            .map(|(request, _)| request)
            .collect()
    }
}
