//! From which neighbours each wanted track is pulled, and when: the overlay's specification, section 7.
//!
//! The routes say which neighbours may be used for an origin, and as what; each track of the origin is pulled from all of them
//! at once while it moves from one to another, so that nothing is missed. This module watches the media: a pending upstream
//! takes over when its objects have caught up, a tentative one stays if it brings something newer than all that was had before,
//! a track that falls silent while its link lives gets a second upstream, and so does every track of a neighbour that is
//! suspected. Copies of an object meet in the track's cache, which keeps one; holes are filled there, by location.
//!
//! Decisions only: [`Upstreams::handle`] takes what happened, [`Upstreams::poll`] gives what to do.

mod member;
mod pull;
mod review;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::id::{Neighbour, NodeId};
use super::routes::Role;
use member::Source;
pub use pull::At;
use pull::Pull;

/// A track that the caller wants pulled, by the caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Track(pub u64);

/// An upstream that has served a track for this long is relied on even if it never was the first with an object.
const COMMIT: Duration = Duration::from_millis(1500);
/// How long the old upstream goes on at least after the new one took over: what is under way arrives.
const OVERLAP: Duration = Duration::from_millis(300);
/// How long a suspected upstream must be well again before its second is dropped.
const WELL: Duration = Duration::from_secs(1);
/// Shortest and longest wait for the proof of a tentative upstream.
const PROOF: (Duration, Duration) = (Duration::from_millis(66), Duration::from_millis(500));
/// First and last wait before a neighbour that refused a track is asked for it again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a neighbour without a route is kept for what it still brings, since the last of that.
const LEFTOVER: Duration = Duration::from_secs(2);
/// A track is silent when nothing came for much longer than usual, and at least this long.
const STALL: Duration = Duration::from_millis(500);
/// How long a second upstream is given to show that a silent track is not silent everywhere; then twice as long until the next try.
const STALL_PROOF: Duration = Duration::from_secs(1);
/// Longest wait between two such tries.
const STALL_MAX: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Input {
    /// A track is wanted.
    Want { track: Track, origin: NodeId },
    /// It is wanted no more.
    Unwant { track: Track },
    /// A neighbour may be pulled from for an origin.
    Use {
        origin: NodeId,
        neighbour: Neighbour,
        role: Role,
        /// Round trip to it.
        rtt: Duration,
    },
    /// It may not any longer. `at_once`: or a cycle could close.
    Drop {
        origin: NodeId,
        neighbour: Neighbour,
        at_once: bool,
    },
    /// It should go as soon as the tracks can do without it.
    Vacate { origin: NodeId, neighbour: Neighbour },
    /// A session is gone, and with it all subscriptions there.
    Down { neighbour: Neighbour },
    /// A session is suspected to be dead, or well again.
    Suspect { neighbour: Neighbour, suspect: bool },
    /// SUBSCRIBE_OK.
    Established { track: Track, neighbour: Neighbour },
    /// The neighbour refused the track or ended it, without the origin's word.
    Lost { track: Track, neighbour: Neighbour },
    /// The newest object that a neighbour brought of a track so far.
    Seen {
        track: Track,
        neighbour: Neighbour,
        newest: At,
    },
    /// Only the time.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Output {
    /// Subscribe to the track there, or give it up there.
    Pull {
        track: Track,
        neighbour: Neighbour,
        wanted: bool,
        why: Why,
    },
    /// Tell the routes that the media of a pending upstream caught up.
    CaughtUp { origin: NodeId, neighbour: Neighbour },
    /// Tell the routes that the tentative upstream brought something fresh.
    Proved { origin: NodeId, neighbour: Neighbour },
    /// Tell the routes that it did not in time.
    Failed { origin: NodeId, neighbour: Neighbour },
    /// Tell the routes that a member is not needed any more.
    Release { origin: NodeId, neighbour: Neighbour },
    /// Ask the routes for a second upstream beside this one; answered by `Use` with [`Role::Track`], or not at all.
    Hedge { origin: NodeId, beside: Neighbour },
}

/// Why a track is pulled from a neighbour, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It is the route.
    Route,
    /// It is about to be the route.
    Moving,
    /// The other upstream is suspected, or silent.
    Hedge,
    /// Nothing better is known.
    Tentative,
    /// It was asked before and refused.
    Retry,
    /// It is used no longer.
    Dropped,
    /// Nobody wants the track.
    Unwanted,
}

impl From<Role> for Why {
    fn from(role: Role) -> Self {
        match role {
            Role::Primary | Role::Draining => Self::Route,
            Role::Pending => Self::Moving,
            Role::Track => Self::Hedge,
            Role::Tentative => Self::Tentative,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Upstreams {
    tracks: BTreeMap<Track, Pull>,
    origins: BTreeMap<NodeId, Source>,
    suspects: BTreeSet<Neighbour>,
    /// When everything was last looked at.
    now: Duration,
    outputs: VecDeque<Output>,
}

impl Upstreams {
    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Want { track, origin } => self.want(now, track, origin),
            Input::Unwant { track } => self.unwant(track),
            Input::Use {
                origin,
                neighbour,
                role,
                rtt,
            } => self.use_neighbour(now, origin, neighbour, role, rtt),
            Input::Drop {
                origin,
                neighbour,
                at_once,
            } => self.drop_neighbour(now, origin, neighbour, at_once),
            Input::Vacate { origin, neighbour } => self.vacate(origin, neighbour),
            Input::Down { neighbour } => self.down(neighbour),
            Input::Suspect { neighbour, suspect } => self.suspect(now, neighbour, suspect),
            Input::Established { track, neighbour } => {
                self.with(track, |pull| pull.established(now, neighbour))
            }
            Input::Lost { track, neighbour } => self.with(track, |pull| pull.lost(now, neighbour)),
            Input::Seen {
                track,
                neighbour,
                newest,
            } => self.with(track, |pull| pull.seen(now, neighbour, newest)),
            Input::Tick => {}
        }
        self.now = self.now.max(now);
        self.review(self.now);
    }

    /// Next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Tick`] if nothing else comes.
    pub fn deadline(&self) -> Option<Duration> {
        let pulls = self.tracks.values().flat_map(Pull::times);
        let origins = self.origins.values().flat_map(|source| {
            let interval = self.interval(source);
            let silent = self.silent_at(source).map(|at| at.max(source.stall.0));
            let members = source.members.iter().flat_map(move |(&neighbour, member)| {
                let proof =
                    (member.role == Role::Tentative && !member.reported).then(|| member.proof_by(interval));
                let leftover = self.leftover_until(source, neighbour, member);
                [member.until, proof, leftover].into_iter().flatten()
            });
            members.chain(silent)
        });
        // What was due at the last look was looked at: it waits for an event now, not for time.
        pulls.chain(origins).filter(|&at| at > self.now).min()
    }

    /// Whether the origin has a track that somebody wants.
    pub fn is_wanted(&self, origin: NodeId) -> bool {
        self.origins
            .get(&origin)
            .is_some_and(|source| !source.tracks.is_empty())
    }

    /// The origin of a wanted track.
    pub fn origin(&self, track: Track) -> Option<NodeId> {
        self.tracks.get(&track).map(|pull| pull.origin)
    }

    /// Whether the origin is pulled from anybody.
    pub fn has_members(&self, origin: NodeId) -> bool {
        self.origins
            .get(&origin)
            .is_some_and(|source| !source.members.is_empty())
    }

    /// Since when a neighbour has its present role for an origin.
    pub fn since(&self, origin: NodeId, neighbour: Neighbour) -> Option<Duration> {
        Some(self.origins.get(&origin)?.members.get(&neighbour)?.since)
    }

    /// Whether it is pulled from somebody who is not a guess.
    pub fn has_firm(&self, origin: NodeId) -> bool {
        self.origins.get(&origin).is_some_and(|source| {
            source
                .members
                .values()
                .any(|member| member.role != Role::Tentative && member.leftover.is_none())
        })
    }

    /// The neighbours that a track is pulled from.
    pub fn upstreams(&self, track: Track) -> impl Iterator<Item = Neighbour> + '_ {
        self.tracks.get(&track).into_iter().flat_map(Pull::neighbours)
    }

    /// Whether a neighbour is no more than a guess: it must prove what it brings, and may be below this node.
    pub fn is_guess(&self, track: Track, neighbour: Neighbour) -> bool {
        self.tracks
            .get(&track)
            .and_then(|pull| self.origins.get(&pull.origin)?.members.get(&neighbour))
            .is_some_and(|member| member.role == Role::Tentative || member.leftover.is_some())
    }

    /// Whether any track is pulled from a neighbour.
    pub fn pulled_from(&self, neighbour: Neighbour) -> bool {
        self.tracks.values().any(|pull| pull.has(neighbour))
    }

    fn with(&mut self, track: Track, act: impl FnOnce(&mut Pull)) {
        if let Some(pull) = self.tracks.get_mut(&track) {
            act(pull);
        }
    }

    fn want(&mut self, now: Duration, track: Track, origin: NodeId) {
        self.unwant(track);
        let mut pull = Pull::new(origin);
        let source = self.origins.entry(origin).or_default();
        source.tracks.insert(track);
        for (&neighbour, member) in &source.members {
            pull.ask(now, neighbour);
            self.outputs.push_back(Output::Pull {
                track,
                neighbour,
                wanted: true,
                why: member.role.into(),
            });
        }
        self.tracks.insert(track, pull);
    }

    fn unwant(&mut self, track: Track) {
        let Some(pull) = self.tracks.remove(&track) else {
            return;
        };
        for neighbour in pull.neighbours() {
            self.outputs.push_back(Output::Pull {
                track,
                neighbour,
                wanted: false,
                why: Why::Unwanted,
            });
        }
        if let Some(source) = self.origins.get_mut(&pull.origin) {
            source.tracks.remove(&track);
            if source.is_empty() {
                self.origins.remove(&pull.origin);
            }
        }
    }
}
