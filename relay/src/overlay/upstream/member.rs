//! The neighbours in use for an origin: how they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{LEFTOVER, OVERLAP, Output, PROOF, Track, Upstreams, WELL, Why};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::routes::Role;

/// A neighbour in use for an origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) since: Duration,
    rtt: Duration,
    /// Dropped by the routes then, but kept until something else delivers.
    pub(super) leftover: Option<Duration>,
    /// When it may go, if the others can do without it.
    pub(super) until: Option<Duration>,
    /// The routes want it to go as soon as the others can do without it.
    pub(super) vacate: bool,
    /// The routes were told what became of it.
    pub(super) reported: bool,
}

impl Member {
    /// When a tentative upstream must have brought something fresh.
    pub(super) fn proof_by(&self, interval: Option<Duration>) -> Duration {
        let wait = interval.map_or(PROOF.1, |interval| {
            (self.rtt + 2 * interval).clamp(PROOF.0, PROOF.1)
        });
        self.since + wait
    }
}

/// The neighbours in use for one origin, and its wanted tracks.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) members: BTreeMap<Neighbour, Member>,
    pub(super) tracks: BTreeSet<Track>,
    /// No second upstream for a silent track before this, and the wait after the next try.
    pub(super) stall: (Duration, Duration),
    /// A second upstream was asked for, and has not come.
    pub(super) hedging: bool,
}

impl Source {
    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty() && self.members.is_empty()
    }
}

impl Upstreams {
    pub(super) fn use_neighbour(
        &mut self,
        now: Duration,
        origin: NodeId,
        neighbour: Neighbour,
        role: Role,
        rtt: Duration,
    ) {
        let source = self.origins.entry(origin).or_default();
        let before = source.members.insert(
            neighbour,
            Member {
                role,
                since: now,
                rtt,
                leftover: None,
                until: (role == Role::Draining).then(|| now + OVERLAP),
                vacate: false,
                reported: false,
            },
        );
        source.hedging &= role != Role::Track;
        let tracks = source.tracks.clone();
        for track in tracks {
            let Some(pull) = self.tracks.get_mut(&track) else {
                continue;
            };
            if role == Role::Tentative {
                pull.remember();
            }
            // In another role it goes on with what it was asked for.
            if before.is_none() {
                pull.ask(now, neighbour);
                self.outputs.push_back(Output::Pull {
                    track,
                    neighbour,
                    wanted: true,
                    why: role.into(),
                });
            }
        }
    }

    pub(super) fn drop_neighbour(
        &mut self,
        now: Duration,
        origin: NodeId,
        neighbour: Neighbour,
        at_once: bool,
    ) {
        if !at_once
            && !self.is_dispensable(now, origin, neighbour)
            && let Some(source) = self.origins.get_mut(&origin)
            && let Some(member) = source.members.get_mut(&neighbour)
        {
            // "Retracted" is not "unsubscribed": what it still gets, we get, until something else delivers.
            member.leftover.get_or_insert(now);
            return;
        }
        self.give_up(origin, neighbour);
    }

    /// Takes a neighbour from an origin and from its tracks.
    pub(super) fn give_up(&mut self, origin: NodeId, neighbour: Neighbour) {
        let Some(source) = self.origins.get_mut(&origin) else {
            return;
        };
        source.members.remove(&neighbour);
        for &track in &source.tracks {
            if let Some(pull) = self.tracks.get_mut(&track)
                && pull.leave(neighbour)
            {
                self.outputs.push_back(Output::Pull {
                    track,
                    neighbour,
                    wanted: false,
                    why: Why::Dropped,
                });
            }
        }
        if source.is_empty() {
            self.origins.remove(&origin);
        }
    }

    pub(super) fn down(&mut self, neighbour: Neighbour) {
        self.suspects.remove(&neighbour);
        let origins: Vec<NodeId> = self
            .origins
            .iter()
            .filter(|(_, source)| source.members.contains_key(&neighbour))
            .map(|(&origin, _)| origin)
            .collect();
        for origin in origins {
            self.give_up(origin, neighbour);
        }
    }

    pub(super) fn suspect(&mut self, now: Duration, neighbour: Neighbour, suspect: bool) {
        if suspect {
            self.suspects.insert(neighbour);
        } else {
            self.suspects.remove(&neighbour);
        }
        // Seconds of a suspected neighbour stay as long as that is in doubt, and a while longer.
        for source in self.origins.values_mut() {
            if source.members.contains_key(&neighbour) {
                source
                    .members
                    .values_mut()
                    .filter(|member| member.role == Role::Track)
                    .for_each(|member| member.until = Some(now + WELL));
            }
        }
    }

    pub(super) fn vacate(&mut self, origin: NodeId, neighbour: Neighbour) {
        let member = self
            .origins
            .get_mut(&origin)
            .and_then(|source| source.members.get_mut(&neighbour));
        match member {
            Some(member) => member.vacate = true,
            None => self.outputs.push_back(Output::Release { origin, neighbour }),
        }
    }

    /// Whether every track of the origin can do without this neighbour: another one carries all of them.
    pub(super) fn is_dispensable(&self, now: Duration, origin: NodeId, neighbour: Neighbour) -> bool {
        let Some(source) = self.origins.get(&origin) else {
            return true;
        };
        source.tracks.is_empty()
            || source.members.iter().any(|(&other, member)| {
                other != neighbour
                    && member.leftover.is_none()
                    && !self.suspects.contains(&other)
                    && self.carries_all(now, source, other)
            })
    }

    pub(super) fn carries_all(&self, now: Duration, source: &Source, neighbour: Neighbour) -> bool {
        source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track))
            .all(|pull| pull.is_carried_by(now, neighbour))
    }

    /// When a neighbour that the routes have dropped is let go, as it brings nothing more.
    pub(super) fn leftover_until(
        &self,
        source: &Source,
        neighbour: Neighbour,
        member: &Member,
    ) -> Option<Duration> {
        let dropped = member.leftover?;
        let brought = source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track)?.brought_at(neighbour))
            .max();
        Some(brought.map_or(dropped, |at| at.max(dropped)) + LEFTOVER)
    }
}
