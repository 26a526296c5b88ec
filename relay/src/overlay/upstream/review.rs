//! What is due: verdicts about the neighbours in use, and second upstreams.

use std::time::Duration;

use super::member::{Member, Source};
use super::{Output, STALL_MAX, STALL_PROOF, Upstreams, WELL, Why};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::routes::Role;

/// What has become of a neighbour in use.
enum Verdict {
    CaughtUp,
    Proved,
    Failed,
    Release,
    /// It was kept beyond the routes' word, and is not needed any longer.
    Leave,
    /// It stays, and is looked at again then.
    Stay(Duration),
}

impl Upstreams {
    /// Looks at everything that may be due.
    pub(super) fn review(&mut self, now: Duration) {
        for (&track, pull) in &mut self.tracks {
            for neighbour in pull.retry(now) {
                self.outputs.push_back(Output::Pull {
                    track,
                    neighbour,
                    wanted: true,
                    why: Why::Retry,
                });
            }
        }
        let origins: Vec<NodeId> = self.origins.keys().copied().collect();
        for origin in origins {
            self.review_members(now, origin);
            self.review_hedge(now, origin);
        }
    }

    fn review_members(&mut self, now: Duration, origin: NodeId) {
        let members: Vec<(Neighbour, Member)> = self
            .origins
            .get(&origin)
            .map(|source| source.members.iter().map(|(&at, &member)| (at, member)).collect())
            .unwrap_or_default();
        for (neighbour, member) in members {
            // Each verdict may change what the next one rests on.
            let Some(verdict) = self.verdict(now, origin, neighbour, &member) else {
                continue;
            };
            let output = match verdict {
                Verdict::CaughtUp => Output::CaughtUp { origin, neighbour },
                Verdict::Proved => Output::Proved { origin, neighbour },
                Verdict::Failed => Output::Failed { origin, neighbour },
                Verdict::Release => Output::Release { origin, neighbour },
                Verdict::Leave => {
                    self.give_up(origin, neighbour);
                    continue;
                }
                Verdict::Stay(until) => {
                    self.with_member(origin, neighbour, |member| member.until = Some(until));
                    continue;
                }
            };
            self.with_member(origin, neighbour, |member| member.reported = true);
            self.outputs.push_back(output);
        }
    }

    fn with_member(&mut self, origin: NodeId, neighbour: Neighbour, act: impl FnOnce(&mut Member)) {
        if let Some(source) = self.origins.get_mut(&origin)
            && let Some(member) = source.members.get_mut(&neighbour)
        {
            act(member);
        }
    }

    fn verdict(
        &self,
        now: Duration,
        origin: NodeId,
        neighbour: Neighbour,
        member: &Member,
    ) -> Option<Verdict> {
        let source = self.origins.get(&origin)?;
        let dispensable = || self.is_dispensable(now, origin, neighbour);
        if let Some(until) = self.leftover_until(source, neighbour, member) {
            return (until <= now || dispensable()).then_some(Verdict::Leave);
        }
        if member.reported {
            return None;
        }
        match member.role {
            Role::Primary => None,
            Role::Pending => {
                let ready = !self.suspects.contains(&neighbour) && self.carries_all(now, source, neighbour);
                ready.then_some(Verdict::CaughtUp)
            }
            Role::Tentative => {
                let fresh = source
                    .tracks
                    .iter()
                    .filter_map(|track| self.tracks.get(track))
                    .any(|pull| pull.is_fresh_from(neighbour));
                let late = member.proof_by(self.interval(source)) <= now;
                (fresh || late).then_some(if fresh { Verdict::Proved } else { Verdict::Failed })
            }
            Role::Draining => {
                let due = member.until.is_some_and(|until| until <= now);
                (due && dispensable()).then_some(Verdict::Release)
            }
            Role::Track if member.vacate => dispensable().then_some(Verdict::Release),
            Role::Track => self.verdict_on_second(now, source, neighbour, member),
        }
    }

    /// A second upstream goes when all others are well, unless it brings more than they do.
    fn verdict_on_second(
        &self,
        now: Duration,
        source: &Source,
        neighbour: Neighbour,
        member: &Member,
    ) -> Option<Verdict> {
        let doubt = source.members.keys().any(|other| self.suspects.contains(other));
        let Some(until) = member.until else {
            return (!doubt).then_some(Verdict::Stay(now + WELL));
        };
        if doubt || now < until {
            return None;
        }
        let ahead = source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track))
            .any(|pull| pull.is_ahead(neighbour));
        Some(if ahead {
            Verdict::Stay(now + STALL_PROOF)
        } else {
            Verdict::Release
        })
    }

    /// Asks for a second upstream where none is above suspicion, or where the only one is silent.
    fn review_hedge(&mut self, now: Duration, origin: NodeId) {
        let Some(source) = self.origins.get(&origin) else {
            return;
        };
        if source.tracks.is_empty() || source.hedging {
            return;
        }
        let Some((&beside, _)) = source
            .members
            .iter()
            .find(|(_, member)| member.role == Role::Primary && member.leftover.is_none())
        else {
            return;
        };
        let suspect = source.members.keys().all(|member| self.suspects.contains(member));
        let alone = source.members.len() == 1;
        let silent = alone
            && self
                .silent_at(source)
                .is_some_and(|at| at.max(source.stall.0) <= now);
        if !suspect && !silent {
            return;
        }
        if let Some(source) = self.origins.get_mut(&origin) {
            if !suspect {
                let wait = source.stall.1.max(STALL_PROOF);
                source.stall = (now + wait + STALL_PROOF, (wait * 2).min(STALL_MAX));
            }
            source.hedging = true;
        }
        self.outputs.push_back(Output::Hedge { origin, beside });
    }

    /// When the first track that should flow counts as silent.
    pub(super) fn silent_at(&self, source: &Source) -> Option<Duration> {
        source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track)?.silent_at())
            .min()
    }

    /// The usual time between two objects of the quickest track.
    pub(super) fn interval(&self, source: &Source) -> Option<Duration> {
        source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track)?.interval())
            .min()
    }

    /// There was no second upstream to be had, for now.
    pub fn hedge_refused(&mut self, now: Duration, origin: NodeId) {
        if let Some(source) = self.origins.get_mut(&origin) {
            source.hedging = false;
            source.stall.0 = source.stall.0.max(now + STALL_PROOF);
        }
    }

    /// The second upstream that was asked for is there. One that is there because of silence may go soon, unless it brings more
    /// than the first.
    pub fn hedged(&mut self, now: Duration, origin: NodeId, neighbour: Neighbour) {
        let suspects = &self.suspects;
        if let Some(source) = self.origins.get_mut(&origin) {
            source.hedging = false;
            let doubt = source.members.keys().any(|member| suspects.contains(member));
            if let Some(member) = source.members.get_mut(&neighbour)
                && member.role == Role::Track
                && !doubt
            {
                member.until = Some(now + STALL_PROOF);
            }
        }
    }
}
