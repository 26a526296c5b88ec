//! Traffic and gauges of a node, brought from the sessions into its metrics now and then.
//!
//! Sessions count by themselves, so that an object costs an atomic addition and no shared cache line; the node adds up what
//! is new.

use headwater_pubsub::{net::Volume, session::Transport as SessionTransport, track::CopyStats};
use prometheus_client::metrics::gauge::Gauge;

use super::state::{Session, Shared, State};
use crate::{
    admin::{DropReason, Flow, Role},
    status::{self, Transport},
};

/// The part of a session's traffic that the metrics have.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    received: Volume,
    sent: Volume,
    timed_out: u64,
}

/// The part of a track's losses that the metrics have.
#[derive(Debug, Default)]
pub(crate) struct TrackTally {
    evicted_groups: u64,
    cut_objects: u64,
    copies: CopyStats,
}

/// Add to `flow` what `now` has more than `before`.
fn advance(flow: &Flow, before: &mut Volume, now: Volume) {
    flow.add(
        now.objects.saturating_sub(before.objects),
        now.bytes.saturating_sub(before.bytes),
    );
    *before = now;
}

/// How a session reaches us, in the words of the operator's interface.
pub(super) fn transport(session: &Session) -> Transport {
    match session.handle.transport().session_transport() {
        SessionTransport::Quic => Transport::Quic,
        SessionTransport::WebTransport => Transport::WebTransport,
    }
}

impl Shared {
    /// Bring the metrics up to date.
    pub(super) fn tally(&self) {
        let mut state = self.state();
        for session in state.sessions.values_mut() {
            self.tally_session(session);
        }
        let State {
            tracks,
            track_tallies,
            ..
        } = &mut *state;
        track_tallies.retain(|id, _| tracks.contains_key(id));
        for (&id, track) in tracks.iter() {
            let (stats, before) = (track.stats(), track_tallies.entry(id).or_default());
            let evicted = stats.evicted_groups.saturating_sub(before.evicted_groups);
            let cut = stats.cut_objects.saturating_sub(before.cut_objects);
            (before.evicted_groups, before.cut_objects) = (stats.evicted_groups, stats.cut_objects);
            self.metrics.groups_dropped(DropReason::CacheBudget, evicted);
            self.metrics.groups_dropped(DropReason::SourceReset, cut);
            let before = std::mem::replace(&mut before.copies, stats.copies);
            self.metrics.copies.add(&before, &stats.copies);
        }
        let (subscribers, sources) = subscriptions(&state);
        self.report_vitals(&mut state);
        drop(state);
        self.metrics.downstream_subscriptions.set(subscribers);
        self.metrics.upstream_subscriptions.set(sources);
        self.metrics
            .cache_bytes
            .set(i64::try_from(self.cache.bytes()).unwrap_or(i64::MAX));
    }

    fn tally_session(&self, session: &mut Session) {
        let (received, sent) = (session.handle.received(), session.handle.sent());
        advance(&self.metrics.received, &mut session.tally.received, received);
        advance(&self.metrics.sent, &mut session.tally.sent, sent);
        let timed_out = session.handle.timed_out();
        let news = timed_out.saturating_sub(session.tally.timed_out);
        session.tally.timed_out = timed_out;
        self.metrics.groups_dropped(DropReason::DeliveryTimeout, news);
        if let Some(delay) = session.handle.take_hop_delay() {
            self.metrics.hop_delay.observe(delay.as_secs_f64());
        }
    }

    /// A session has come.
    pub(super) fn count_in(&self, session: &Session) {
        self.sessions(session).inc();
    }

    /// A session turned out to be with something else than it was counted as.
    pub(super) fn count_as(&self, session: &mut Session, role: Role) {
        self.sessions(session).dec();
        session.role = role;
        self.sessions(session).inc();
    }

    fn sessions(&self, session: &Session) -> Gauge {
        self.metrics
            .sessions(transport(session), session.role, session.draft())
    }

    /// A session has left: the rest of its traffic is counted.
    pub(super) fn count_out(&self, mut session: Session) {
        self.tally_session(&mut session);
        self.sessions(&session).dec();
    }

    /// What went through the node so far: received, sent.
    pub(super) fn traffic(&self) -> (status::Volume, status::Volume) {
        (self.metrics.received.read(), self.metrics.sent.read())
    }
}

impl Session {
    fn draft(&self) -> &'static str {
        self.handle.transport().version().alpn()
    }
}

/// Subscriptions served and held.
fn subscriptions(state: &State) -> (i64, i64) {
    state.hub.tracks().fold((0, 0), |(subscribers, sources), track| {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        (
            subscribers + count(track.subscribers),
            sources + count(track.sources),
        )
    })
}
