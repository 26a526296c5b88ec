//! Watching links and media: samples of the transport's counters, padding on links that must not fall silent, and how far the
//! sources of each track are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::super::state::{Shared, State};
use super::{MeshState, neighbour};
use crate::hub::SessionId;
use crate::overlay::core as overlay;
use crate::overlay::health::{Health, SAMPLE, Sample};
use crate::overlay::upstream::Track;
use crate::status::Phase;
use headwater_pubsub::net::SessionHandle;
use headwater_pubsub::wire::SessionCode;

/// How often the overlay hears of packets sent and lost.
const PACKETS: u32 = 25;
/// How long a neighbour that is said to be dead is watched closely.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// Sample until told to stop.
pub(in crate::node) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(SAMPLE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count: u32 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        count = count.wrapping_add(1);
        if shared.phase() == Phase::Draining {
            // Neighbours may have taken their last subscription elsewhere.
            shared.left.notify_waiters();
        }
        for handle in shared.sample(count.is_multiple_of(PACKETS)) {
            handle.close(SessionCode::INTERNAL_ERROR, "silent");
        }
    }
}

impl Shared {
    /// One look at every neighbour; gives the sessions that are to be closed.
    fn sample(&self, packets: bool) -> Vec<SessionHandle> {
        let now = self.clock.now();
        let mut state = self.state();
        let State {
            sessions,
            mesh: Some(mesh),
            hub,
            ..
        } = &mut *state
        else {
            return Vec::new();
        };
        let mut dead = Vec::new();
        for (&id, entry) in sessions.iter_mut() {
            let Some(link) = entry.link.as_mut().filter(|link| link.up) else {
                continue;
            };
            let path = entry.handle.path_stats();
            let pulled = mesh.overlay.pulls_from(neighbour(id));
            let live = pulled || hub.subscriptions(id) > 0;
            let active = live || link.probed > now;
            if active && link.keeper.is_due(now, path.sent_datagrams) {
                // Where datagrams are not taken, the transport's own packets have to do.
                let _sent = entry.handle.send_padding();
            }
            let sample = Sample {
                received: path.received_datagrams,
                srtt: path.rtt,
                rttvar: mesh.overlay.jitter(neighbour(id)),
                active,
            };
            let silence = link.detector.silence(now);
            if let Some(health) = link.detector.sample(now, sample) {
                debug!(session = id.0, ?health, ?silence, "health");
                self.metrics.mesh.health(health, silence);
                match health {
                    Health::Down => {
                        info!(session = id.0, ?silence, "neighbour is silent and counts as gone");
                        dead.push((id, entry.handle.clone()));
                    }
                    Health::Ok | Health::Suspect => mesh.inputs.push_back(overlay::Input::Suspect {
                        neighbour: neighbour(id),
                        suspect: health == Health::Suspect,
                    }),
                }
            }
            if packets {
                mesh.inputs.push_back(overlay::Input::Packets {
                    neighbour: neighbour(id),
                    sent: path.sent_packets,
                    lost: path.lost_packets,
                    active,
                });
            }
        }
        mesh.report_media();
        let handles = dead
            .into_iter()
            .map(|(id, handle)| {
                self.link_down(&mut state, id);
                handle
            })
            .collect();
        self.drive(&mut state);
        handles
    }
}

impl MeshState {
    /// Tells the overlay how far each source is.
    fn report_media(&mut self) {
        let Self { pulls, inputs, .. } = self;
        for (&track, pulled) in pulls {
            for (&session, source) in &mut pulled.from {
                let newest = source.source.newest();
                if newest != source.told {
                    source.told = newest;
                    inputs.extend(newest.map(|newest| overlay::Input::Seen {
                        track: Track(track.0),
                        neighbour: neighbour(session),
                        newest: (newest.group, newest.object),
                    }));
                }
            }
        }
    }

    /// Watches a neighbour closely for a moment.
    pub(super) fn probe(state: &mut State, id: SessionId, until: Duration) {
        if let Some(link) = state.sessions.get_mut(&id).and_then(|entry| entry.link.as_mut()) {
            link.probed = until;
        }
    }
}
