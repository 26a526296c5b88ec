//! GOAWAY on the stream of a request of the hub: that request is made again, everything else goes on (draft section "GOAWAY").
//!
//! A session has one subscription of a track at most, so on the same session the old one has to go first. What is published
//! between the two is fetched once the new one has begun; meanwhile the track keeps what it has half of. With another source the
//! track loses nothing in any case. In a mesh the overlay says who is asked: another neighbour, and the old subscription stays
//! until the new one is there, or, while its route leads nowhere else, the same again.
//!
//! A URI is not followed: the hub's sessions are those that came to this node, which cannot send it anywhere, and those of
//! neighbours, among which the overlay chooses. A PUBLISH that came is its publisher's to make again.
//!
//! `offer`: our PUBLISHes; `question`: FETCH and TRACK_STATUS.

mod offer;
mod question;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{PublishDoneCode, RequestErrorCode, StreamCode};

use super::Hub;
use super::input::{Origin, RequestRef, SessionId, Tag, TrackId};
use super::opened::{Opened, Purpose};
use super::output::{Outgoing, Output, UpstreamState};
use super::refusals::error;
use super::timers::Timer;
use super::tracks::{Moves, Repair, SourceState};

impl Hub {
    pub(super) fn request_goaway(&mut self, request: RequestRef) {
        let RequestRef::Hub(session, tag) = request else {
            return;
        };
        if self.draining {
            return;
        }
        match self.opened.get(&tag).map(|opened| &opened.purpose) {
            Some(Purpose::Subscribe { .. }) => self.move_source(request),
            Some(&Purpose::Offer { track }) => self.move_offer(track, request),
            Some(Purpose::Fill(_)) => self.move_fill(request, tag),
            Some(&Purpose::Repair { track }) => self.move_repair(track, request),
            Some(&Purpose::Status { of }) => self.move_status(of, request, session),
            None => {}
        }
    }

    fn move_source(&mut self, request: RequestRef) {
        let Some((id, session)) = self.source_of(request) else {
            return;
        };
        if self.is_of_mesh(id) {
            self.leave_in_mesh(id, session);
        } else {
            self.ask_again(id, session, request);
        }
    }

    /// The overlay is to name a neighbour; until one serves the track, or it names this one, this one does. One that keeps sending
    /// the subscription elsewhere serves it until it ends it, or it would be asked as often as it likes.
    fn leave_in_mesh(&mut self, id: TrackId, session: SessionId) {
        if self.goes_in_circles(id, session) {
            return;
        }
        if let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        {
            source.leaving = true;
            self.upstream_lost(id, session, UpstreamState::Left);
        }
    }

    /// The overlay names a neighbour whose subscription is leaving, for want of another one: it is made again there, from the
    /// first object on that is missing here, as what is asked of a neighbour says. While another one has not answered, it serves on.
    pub(super) fn ask_neighbour_again(&mut self, id: TrackId, session: SessionId) {
        let Some(track) = self.tracks.get(id) else { return };
        let name = track.name.clone();
        let leaving = track.sources.get(&session).filter(|source| source.leaving);
        let Some(request) = leaving.map(|source| source.request) else {
            return;
        };
        let mut others = track.sources.values().filter(|source| !source.leaving);
        if others.all(|source| source.is_established()) {
            self.remove_source(id, session);
            self.close(request, StreamCode::GOING_AWAY);
            self.ask(id, &name, session);
            self.note_again(id, session, 0);
        }
    }

    /// A source is established: others that wait to be replaced go.
    pub(super) fn release_leaving(&mut self, id: TrackId, established: SessionId) {
        let Some(track) = self.tracks.get(id) else { return };
        let leaving: Vec<_> = track
            .sources
            .iter()
            .filter(|&(&session, source)| source.leaving && session != established)
            .map(|(&session, source)| (session, source.request))
            .collect();
        for (session, request) in leaving {
            self.remove_source(id, session);
            self.close(request, StreamCode::GOING_AWAY);
        }
    }

    fn ask_again(&mut self, id: TrackId, session: SessionId, request: RequestRef) {
        let Some(track) = self.tracks.get(id) else { return };
        let name = track.name.clone();
        let others = track
            .sources
            .iter()
            .any(|(&other, source)| other != session && source.state == SourceState::Flowing);
        let wanted = track.is_wanted();
        let may_ask = self.publishers(&name, Origin::Here).contains(&session);
        if !may_ask && !others && wanted {
            // There is nobody else to ask: it serves until it ends.
            return;
        }
        let Some(source) = self.remove_source(id, session) else {
            return;
        };
        let in_circles = self.goes_in_circles(id, session);
        let bridge = source.is_established() && !others && wanted && !in_circles;
        if bridge && let Some(track) = self.tracks.get_mut(id) {
            track.repair = Repair::Due;
            self.push(Output::Bridge { track: id });
        }
        self.close(request, StreamCode::GOING_AWAY);
        if in_circles {
            let reason = "the publisher keeps sending the subscription elsewhere";
            self.end_unless_fed(id, reason.to_owned());
            self.refused(id, session, error(RequestErrorCode::GOING_AWAY, reason));
        } else if may_ask && wanted {
            let reason = "the publisher sent the subscription elsewhere";
            self.end_unless_fed(id, reason.to_owned());
            self.ask(id, &name, session);
            self.note_again(id, session, 0);
        }
    }

    /// Counts that a session sent a request for a track elsewhere; whether it has done so too often in a row.
    fn goes_in_circles(&mut self, id: TrackId, session: SessionId) -> bool {
        let (steady, bound, now) = (self.config.steady, self.config.moves, self.now);
        let Some(track) = self.tracks.get_mut(id) else {
            return true;
        };
        let moves = track
            .moves
            .entry(session)
            .or_insert(Moves { count: 0, last: now });
        if moves.last.saturating_add(steady) <= now {
            moves.count = 0;
        }
        (moves.count, moves.last) = (moves.count.saturating_add(1), now);
        moves.count > bound
    }

    /// What subscribers are told if no source is left.
    fn end_unless_fed(&mut self, id: TrackId, reason: String) {
        if let Some(track) = self.tracks.get_mut(id) {
            track.last_end = Some((PublishDoneCode::GOING_AWAY, reason));
        }
    }

    fn note_again(&mut self, id: TrackId, session: SessionId, refusals: u32) {
        if let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        {
            source.again = Some(refusals);
        }
    }

    /// The publisher refused a subscription that was made again. Whether it is asked once more: it may not have heard of the end
    /// of the old one yet.
    pub(super) fn refused_again(&mut self, id: TrackId, session: SessionId, refusal: &RequestError) -> bool {
        let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        else {
            return false;
        };
        let Some(refusals) = source.again else {
            return false;
        };
        if refusal.code == RequestErrorCode::DUPLICATE_SUBSCRIPTION && refusals < self.config.moves {
            source.state = SourceState::Crossing;
            let pause = self.config.again.saturating_mul(1 << refusals.min(16));
            let at = self.now.saturating_add(pause);
            self.timers.set(Timer::Crossing(id, session), at);
            return true;
        }
        // Of a track of the mesh the overlay knows who else may have it.
        if !self.is_of_mesh(id) {
            let reason = format!(
                "the publisher sent the subscription elsewhere and refuses it: {}",
                refusal.reason
            );
            self.end_unless_fed(id, reason);
        }
        false
    }

    /// The pause after such a refusal is over; false if there was none.
    pub(super) fn ask_once_more(&mut self, id: TrackId, session: SessionId) -> bool {
        let Some(track) = self.tracks.get(id) else {
            return false;
        };
        let name = track.name.clone();
        let Some(refusals) = track.sources.get(&session).and_then(|source| source.again) else {
            return false;
        };
        self.remove_source(id, session);
        self.ask(id, &name, session);
        self.note_again(id, session, refusals.saturating_add(1));
        true
    }

    /// A subscription that was made again has begun: what was missed is fetched.
    pub(super) fn repair(&mut self, id: TrackId, session: SessionId) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let again = track
            .sources
            .get_mut(&session)
            .and_then(|source| source.again.take());
        if again.is_none() {
            return;
        }
        track.last_end = None;
        if std::mem::replace(&mut track.repair, Repair::Done) == Repair::Due {
            self.open_repair(id, session);
        }
    }

    fn open_repair(&mut self, id: TrackId, session: SessionId) {
        let Some(track) = self.tracks.get(id) else { return };
        let name = track.name.clone();
        let request = Outgoing::Repair { track: id, name };
        let request = self.open(session, Purpose::Repair { track: id }, request);
        if let Some(track) = self.tracks.get_mut(id) {
            track.repairs.insert(request);
        }
    }

    /// What was missed has come.
    pub(super) fn repaired(&mut self, tag: Tag) {
        if let Some(Opened {
            session,
            purpose: Purpose::Repair { .. },
        }) = self.opened.get(&tag)
        {
            let request = RequestRef::Hub(*session, tag);
            self.cancelled(request);
        }
    }

    /// A fetch for what was missed, already forgotten, is over.
    pub(super) fn repair_over(&mut self, id: TrackId, request: RequestRef) {
        if let Some(track) = self.tracks.get_mut(id) {
            track.repairs.remove(&request);
        }
        self.bridged(id);
    }

    /// Nothing of the track has to be kept for a repair any more, unless another one is due.
    pub(super) fn bridged(&mut self, id: TrackId) {
        if self
            .tracks
            .get(id)
            .is_some_and(|track| !track.ended && track.repair == Repair::Done && track.repairs.is_empty())
        {
            self.push(Output::Bridged { track: id });
        }
    }

    /// The track is about to be dropped.
    pub(super) fn end_repairs(&mut self, id: TrackId) {
        let repairs = self
            .tracks
            .get_mut(id)
            .map(|track| std::mem::take(&mut track.repairs));
        for request in repairs.unwrap_or_default() {
            self.close(request, StreamCode::CANCELLED);
        }
    }
}
