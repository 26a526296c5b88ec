//! From which neighbours each wanted track is pulled, and when: the overlay's specification, section 7.
//!
//! The routes say which neighbours may be used for an origin, and as what; each track of the origin is pulled from all of them
//! at once while it moves from one to another, so that nothing is missed. This module watches the media: a pending upstream
//! takes over when its objects have caught up, a tentative one stays if it brings something newer than all that was had before,
//! a track that falls silent while its link lives gets a second upstream, and so does every track of a neighbour that is
//! suspected. Copies of an object meet in the track's cache, which keeps one; holes are filled there, by location.
//!
//! Decisions only: [`Upstreams::handle`] takes what happened, [`Upstreams::poll`] gives what to do.

mod pull;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::id::{Neighbour, NodeId};
use super::routes::Role;
pub use pull::At;
use pull::Pull;

/// A track that the caller wants pulled, by the caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Track(pub u64);

/// How long a pending upstream may take until it counts as caught up with fresh objects short of the newest.
const COMMIT: Duration = Duration::from_millis(1500);
/// How long the old upstream goes on after the new one took over: what is under way arrives.
const OVERLAP: Duration = Duration::from_millis(300);
/// How long a suspected upstream must be well again before its second is dropped.
const WELL: Duration = Duration::from_secs(1);
/// Shortest and longest wait for the proof of a tentative upstream.
const PROOF: (Duration, Duration) = (Duration::from_millis(66), Duration::from_millis(500));
/// First and last wait before a neighbour that refused a track is asked for it again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A track is silent when nothing came for three of its intervals, and at least this long.
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

/// A neighbour in use for an origin.
#[derive(Clone, Copy, Debug)]
struct Member {
    role: Role,
    since: Duration,
    rtt: Duration,
    /// Dropped by the routes, but kept until something else delivers.
    leftover: bool,
    /// When to let it go.
    until: Option<Duration>,
    /// The routes were told what became of it.
    reported: bool,
}

/// The neighbours in use for one origin, and its wanted tracks.
#[derive(Debug, Default)]
struct Source {
    members: BTreeMap<Neighbour, Member>,
    tracks: BTreeSet<Track>,
    /// No second upstream for a silent track before this, and the wait after the next try.
    stall: (Duration, Duration),
    /// A second upstream was asked for, and has not come.
    hedging: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Upstreams {
    tracks: BTreeMap<Track, Pull>,
    origins: BTreeMap<NodeId, Source>,
    suspects: BTreeSet<Neighbour>,
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
        self.review(now);
    }

    /// Next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Tick`] if nothing else comes.
    pub fn deadline(&self) -> Option<Duration> {
        let retries = self.tracks.values().filter_map(Pull::retry_at);
        let members = self.origins.values().flat_map(|source| {
            let silent = source.tracks.iter().filter_map(|track| {
                let silent = self.tracks.get(track)?.silent_at()?;
                Some(silent.max(source.stall.0))
            });
            source
                .members
                .values()
                .flat_map(|member| [member.until, member.verdict_at(self.interval(source))])
                .flatten()
                .chain(silent.filter(|_| !source.hedging))
        });
        retries.chain(members).min()
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

    /// Whether it is pulled from somebody who is not a guess.
    pub fn has_firm(&self, origin: NodeId) -> bool {
        self.origins.get(&origin).is_some_and(|source| {
            source
                .members
                .values()
                .any(|member| member.role != Role::Tentative && !member.leftover)
        })
    }

    /// The neighbours that a track is pulled from.
    pub fn upstreams(&self, track: Track) -> impl Iterator<Item = Neighbour> + '_ {
        self.tracks.get(&track).into_iter().flat_map(Pull::neighbours)
    }

    /// The origins of the tracks that are pulled from a neighbour.
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
            if source.tracks.is_empty() && source.members.is_empty() {
                self.origins.remove(&pull.origin);
            }
        }
    }

    fn use_neighbour(
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
                leftover: false,
                until: (role == Role::Draining).then(|| now + OVERLAP),
                reported: false,
            },
        );
        source.hedging &= role != Role::Track;
        if role == Role::Tentative {
            for track in &source.tracks {
                if let Some(pull) = self.tracks.get_mut(track) {
                    pull.remember();
                }
            }
        }
        if before.is_some() {
            return;
        }
        for &track in &source.tracks {
            if let Some(pull) = self.tracks.get_mut(&track) {
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

    fn drop_neighbour(&mut self, now: Duration, origin: NodeId, neighbour: Neighbour, at_once: bool) {
        let Some(source) = self.origins.get_mut(&origin) else {
            return;
        };
        let alone = source.members.len() == 1;
        if !at_once && alone && !source.tracks.is_empty() {
            // "Retracted" is not "unsubscribed": what it still gets, we get, until something else delivers.
            if let Some(member) = source.members.get_mut(&neighbour) {
                member.leftover = true;
                member.until = Some(now + WELL + WELL);
            }
            return;
        }
        self.give_up(origin, neighbour);
    }

    /// Takes a neighbour from an origin and from its tracks.
    fn give_up(&mut self, origin: NodeId, neighbour: Neighbour) {
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
        if source.tracks.is_empty() && source.members.is_empty() {
            self.origins.remove(&origin);
        }
    }

    fn down(&mut self, neighbour: Neighbour) {
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

    fn suspect(&mut self, now: Duration, neighbour: Neighbour, suspect: bool) {
        if suspect {
            self.suspects.insert(neighbour);
        } else {
            self.suspects.remove(&neighbour);
            // Its seconds may go when it has been well for a while.
            for source in self.origins.values_mut() {
                if source.members.contains_key(&neighbour) {
                    for member in source
                        .members
                        .values_mut()
                        .filter(|member| member.role == Role::Track)
                    {
                        member.until = Some(now + WELL);
                    }
                }
            }
        }
    }

    /// The usual time between two objects of the quickest track.
    fn interval(&self, source: &Source) -> Duration {
        source
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track)?.interval())
            .min()
            .unwrap_or_default()
    }

    /// Looks at everything that may be due.
    fn review(&mut self, now: Duration) {
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
        let Some(source) = self.origins.get(&origin) else {
            return;
        };
        let interval = self.interval(source);
        let mut verdicts = Vec::new();
        for (&neighbour, member) in &source.members {
            verdicts.extend(
                self.verdict(source, neighbour, member, now, interval)
                    .map(|verdict| (neighbour, verdict)),
            );
        }
        for (neighbour, verdict) in verdicts {
            let output = match verdict {
                Verdict::CaughtUp => Output::CaughtUp { origin, neighbour },
                Verdict::Proved => Output::Proved { origin, neighbour },
                Verdict::Failed => Output::Failed { origin, neighbour },
                Verdict::Release => Output::Release { origin, neighbour },
                Verdict::Leave => {
                    self.give_up(origin, neighbour);
                    continue;
                }
            };
            if let Some(member) = self
                .origins
                .get_mut(&origin)
                .and_then(|source| source.members.get_mut(&neighbour))
            {
                member.reported = true;
                member.until = None;
            }
            self.outputs.push_back(output);
        }
    }

    /// What has become of a member, once.
    fn verdict(
        &self,
        source: &Source,
        neighbour: Neighbour,
        member: &Member,
        now: Duration,
        interval: Duration,
    ) -> Option<Verdict> {
        let pulls = || source.tracks.iter().filter_map(|track| self.tracks.get(track));
        if member.leftover {
            let replaced = source.members.iter().any(|(&other, member)| {
                other != neighbour && !member.leftover && pulls().all(|pull| pull.is_fed_by(other))
            });
            return (replaced || member.until.is_some_and(|until| until <= now)).then_some(Verdict::Leave);
        }
        if member.reported {
            return None;
        }
        match member.role {
            Role::Pending => {
                let level = pulls().all(|pull| pull.is_level(neighbour));
                let late = now >= member.since + COMMIT && pulls().all(|pull| pull.is_fed_by(neighbour));
                (!self.suspects.contains(&neighbour) && (level || late)).then_some(Verdict::CaughtUp)
            }
            Role::Tentative => {
                if pulls().any(|pull| pull.is_fresh_from(neighbour)) {
                    Some(Verdict::Proved)
                } else {
                    (member.verdict_at(interval)? <= now).then_some(Verdict::Failed)
                }
            }
            Role::Track | Role::Draining => {
                let due = member.until.is_some_and(|until| until <= now);
                due.then_some(Verdict::Release)
            }
            Role::Primary => None,
        }
    }

    /// Asks for a second upstream where the only one is suspected or silent.
    fn review_hedge(&mut self, now: Duration, origin: NodeId) {
        let Some(source) = self.origins.get(&origin) else {
            return;
        };
        if source.tracks.is_empty() || source.hedging || source.members.len() != 1 {
            return;
        }
        let Some((&beside, member)) = source.members.first_key_value() else {
            return;
        };
        if member.role != Role::Primary {
            return;
        }
        let suspect = self.suspects.contains(&beside);
        let silent = now >= source.stall.0
            && source
                .tracks
                .iter()
                .filter_map(|track| self.tracks.get(track)?.silent_at())
                .any(|at| at <= now);
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

    /// There was no second upstream to be had, for now.
    pub fn hedge_refused(&mut self, now: Duration, origin: NodeId) {
        if let Some(source) = self.origins.get_mut(&origin) {
            source.hedging = false;
            source.stall.0 = source.stall.0.max(now + STALL_PROOF);
        }
    }

    /// A second upstream that was asked for because of silence may go soon, unless it brings more than the first.
    pub fn hedged(&mut self, now: Duration, origin: NodeId, neighbour: Neighbour) {
        let suspects = &self.suspects;
        if let Some(source) = self.origins.get_mut(&origin) {
            let suspicion = source.members.keys().any(|member| suspects.contains(member));
            if let Some(member) = source.members.get_mut(&neighbour)
                && !suspicion
            {
                member.until = Some(now + STALL_PROOF);
            }
        }
    }
}

/// What has become of a member.
enum Verdict {
    CaughtUp,
    Proved,
    Failed,
    Release,
    Leave,
}

impl Member {
    /// When time alone decides about it.
    fn verdict_at(&self, interval: Duration) -> Option<Duration> {
        if self.reported || self.leftover {
            return None;
        }
        match self.role {
            Role::Pending => Some(self.since + COMMIT),
            Role::Tentative => Some(self.since + (self.rtt + 2 * interval).clamp(PROOF.0, PROOF.1)),
            Role::Primary | Role::Track | Role::Draining => None,
        }
    }
}
