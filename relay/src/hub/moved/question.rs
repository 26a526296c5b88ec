//! FETCH and TRACK_STATUS, which a publisher wants asked again. Others are asked first, then it once more; that is bounded as it is
//! for results that break off.

use headwater_pubsub::wire::{RequestErrorCode, StreamCode};

use crate::hub::Hub;
use crate::hub::input::{FillOutcome, RequestRef, SessionId, Tag, TrackId};
use crate::hub::output::Output;
use crate::hub::refusals::error;

impl Hub {
    /// What has come stays; the rest is asked for where the hole shows.
    pub(super) fn move_fill(&mut self, request: RequestRef, tag: Tag) {
        self.push(Output::Close {
            request,
            code: StreamCode::GOING_AWAY,
        });
        self.fill_done(tag, FillOutcome::Failed);
    }

    /// Only who sent the subscription elsewhere can tell what was missed meanwhile.
    pub(super) fn move_repair(&mut self, id: TrackId, request: RequestRef) {
        let session = request.session();
        let again = !self.goes_in_circles(id, session);
        self.close(request, StreamCode::GOING_AWAY);
        if let Some(track) = self.tracks.get_mut(id)
            && again
        {
            track.repairs.remove(&request);
            self.open_repair(id, session);
        } else {
            self.repair_over(id, request);
        }
    }

    pub(super) fn move_status(&mut self, of: RequestRef, request: RequestRef, session: SessionId) {
        self.close(request, StreamCode::GOING_AWAY);
        let Some(status) = self.status(of) else { return };
        status.tag = None;
        if !status.moved.insert(session) {
            let refusal = error(
                RequestErrorCode::GOING_AWAY,
                "the publisher keeps sending the question elsewhere",
            );
            status.tried.insert(session, refusal.into());
        }
        self.pass_status(of);
    }
}
