//! What the parts want of each other and of the caller.

use super::{Feed, Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Beacon, Entry, Hash, Signature};
use crate::overlay::routes::{self, DropReason};
use crate::overlay::{logs, upstream};

impl Overlay {
    /// Lets the parts react to each other until all are at rest.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(output) = self.routes.poll() {
                self.routed(output);
            } else if let Some(output) = self.upstreams.poll() {
                self.pulled(output);
            } else if let Some(output) = self.logs.poll() {
                self.logged(output);
            } else if let Some(output) = self.members.poll() {
                self.membered(output);
            } else {
                return;
            }
        }
    }

    fn routed(&mut self, output: routes::Output) {
        let now = self.now;
        match output {
            routes::Output::Ready(neighbour) => self.outputs.push_back(Output::Ready { neighbour }),
            routes::Output::RouteChanged {
                origin,
                primary,
                total,
                cause,
            } => {
                self.logs.route_changed(now, origin, primary);
                self.outputs.push_back(Output::RouteChanged {
                    origin,
                    primary,
                    total_us: total.map(|total| total.micros()),
                    cause,
                });
                self.outputs.push_back(Output::Repin { origin });
            }
            routes::Output::Use {
                origin,
                neighbour,
                role,
            } => {
                let rtt = self
                    .links
                    .get(&neighbour)
                    .map(|link| link.srtt())
                    .unwrap_or_default();
                self.upstreams.handle(
                    now,
                    upstream::Input::Use {
                        origin,
                        neighbour,
                        role,
                        rtt,
                    },
                );
            }
            routes::Output::Drop {
                origin,
                neighbour,
                reason,
            } => {
                let at_once = matches!(
                    reason,
                    DropReason::Reset
                        | DropReason::Lowered
                        | DropReason::Failed
                        | DropReason::Released
                        | DropReason::Down
                );
                self.upstreams.handle(
                    now,
                    upstream::Input::Drop {
                        origin,
                        neighbour,
                        at_once,
                    },
                );
            }
            routes::Output::Vacate {
                origin, neighbour, ..
            } => self
                .upstreams
                .handle(now, upstream::Input::Vacate { origin, neighbour }),
            routes::Output::OwnSeq { .. } => self.sign_beacon(),
            routes::Output::Epoch { epoch } => {
                self.identity.epoch = epoch;
                self.take_epoch(epoch);
                self.outputs.push_back(Output::Epoch(epoch));
            }
            routes::Output::Alarm(routes::Alarm::ClonedKey { .. }) => self.met_by_routes(),
        }
    }

    fn pulled(&mut self, output: upstream::Output) {
        let now = self.now;
        match output {
            upstream::Output::Pull {
                track,
                neighbour,
                wanted,
                why,
            } => {
                let feed = if self.upstreams.is_guess(track, neighbour) {
                    Feed::Tentative
                } else {
                    Feed::Normal
                };
                self.outputs.push_back(Output::Pull {
                    track,
                    neighbour,
                    wanted,
                    feed,
                    why,
                });
            }
            upstream::Output::CaughtUp { origin, neighbour } => {
                self.routes.media_caught_up(now, neighbour, origin);
            }
            upstream::Output::Proved { origin, neighbour } => {
                self.routes.tentative_proved(now, neighbour, origin);
            }
            upstream::Output::Failed { origin, neighbour } => {
                self.routes.tentative_failed(now, neighbour, origin);
            }
            upstream::Output::Release { origin, neighbour } => {
                self.routes.release(now, neighbour, origin);
            }
            upstream::Output::Hedge { origin, beside } => self.hedge(origin, beside),
        }
    }

    /// Puts the best other feasible neighbour beside one that is suspected or silent.
    fn hedge(&mut self, origin: NodeId, beside: Neighbour) {
        let best = self
            .routes
            .candidates(origin)
            .filter(|candidate| {
                candidate.neighbour != beside && candidate.feasible && !candidate.suspect && !candidate.full
            })
            .filter_map(|candidate| Some((candidate.total?, candidate.neighbour)))
            .min();
        let Some((_, neighbour)) = best.filter(|&(_, neighbour)| {
            // The routes say Use, which settle passes on.
            self.routes.try_use(self.now, neighbour, origin)
        }) else {
            self.upstreams.hedge_refused(self.now, origin);
            return;
        };
        while let Some(output) = self.routes.poll() {
            self.routed(output);
        }
        self.upstreams.hedged(self.now, origin, neighbour);
    }

    fn logged(&mut self, output: logs::Output) {
        match output {
            logs::Output::Ready(neighbour) => self.outputs.push_back(Output::Ready { neighbour }),
            logs::Output::NamespaceUp { origin, entry, .. } => self.entry(origin, entry, true),
            logs::Output::NamespaceDown { origin, entry } => self.entry(origin, entry, false),
            logs::Output::Refused { neighbour, reason } => {
                let reason = Misconduct::Log(reason);
                self.outputs.push_back(match reason {
                    Misconduct::Log(logs::Refusal::Forged | logs::Refusal::Rate) => {
                        Output::Close { neighbour, reason }
                    }
                    _ => Output::Refused { neighbour, reason },
                });
            }
            // Two that outbid each other's epochs would not come to an end.
            logs::Output::EpochTaken(_) if self.lives.cloned => {}
            logs::Output::EpochTaken(epoch) => {
                let epoch = epoch.saturating_add(1);
                self.take_epoch(epoch);
                self.outputs.push_back(Output::Epoch(epoch));
            }
        }
    }

    fn take_epoch(&mut self, epoch: u64) {
        self.identity.epoch = epoch;
        // The log is rewritten with what is announced, which fitted before.
        if let Err(error) = self.logs.set_epoch(self.now, epoch) {
            tracing::debug!(%error, "log not renewed");
        }
    }

    /// An origin began or ceased to announce something.
    fn entry(&mut self, origin: NodeId, entry: Entry, present: bool) {
        if origin == self.identity.node {
            return;
        }
        let announcers = self.announcers.entry(entry.clone()).or_default();
        let before = !announcers.is_empty();
        if present {
            announcers.insert(origin);
        } else {
            announcers.remove(&origin);
        }
        let after = !announcers.is_empty();
        if !after {
            self.announcers.remove(&entry);
        }
        if before != after {
            self.outputs.push_back(Output::Remote {
                entry,
                present: after,
            });
        }
        self.outputs.push_back(Output::Repin { origin });
    }

    fn sign_beacon(&mut self) {
        let (_, log_version, log_head) =
            self.logs
                .head(self.identity.node)
                .unwrap_or((self.identity.epoch, 0, Hash([0; 32])));
        let time_ms = self.wall_ms();
        let mut beacon = Beacon {
            origin: self.identity.node,
            seq: self.routes.own_seq(),
            log_version,
            log_head,
            time_ms,
            signature: Signature([0; 64]),
        };
        beacon.signature = self.identity.keys.sign(&beacon.signed_bytes());
        self.beacons.insert(self.identity.node, beacon);
    }
}
