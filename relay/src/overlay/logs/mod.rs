//! Which origin has which namespaces: one versioned, signed log per origin, replicated everywhere.
//!
//! An origin writes its announcements as changes into its own log. Each relay keeps a replica per origin that is always a prefix of
//! that log, signed by the origin, so a replica can be behind but never wrong. News are pushed at once to neighbours that want them
//! (*eager*); a push that brings nothing new makes the receiver *prune* that direction, so that payload comes to follow the tree of
//! routes, about one copy per node. Pruned neighbours hear versions only, and who stays behind *pulls* and *grafts* (Plumtree,
//! Leitão et al. 2007, with the tree handed in by the routes). An origin that has removed more than half starts a new stretch with
//! what is left; who follows keeps showing the old state until the new one is whole.
//!
//! An entry is shown while its origin has a route, and a little longer. Bounds refuse, they never evict. No cryptography but the
//! hash: signatures and rights come in as [`Sign`] and [`Verify`]. Not here: which route is primary, who may be a neighbour.

mod index;
mod link;
mod log;
mod origin;
mod receive;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use headwater_pubsub::wire::{EncodeError, FullTrackName, TrackNamespace};

use super::id::{Neighbour, NodeId};
use super::message::{Attributes, Change, Entry, Hash, Signature};
use index::Index;
use link::{Feed, Link};
use log::Log;
use origin::{Origin, Reach};

/// Signs as this node.
pub trait Sign: Send {
    /// The node's ed25519 signature over `bytes`.
    fn sign(&self, bytes: &[u8]) -> Signature;
}

/// Knows what the mesh believes.
pub trait Verify: Send {
    /// Whether `node` signed `bytes`.
    fn verify(&self, node: NodeId, bytes: &[u8], signature: Signature) -> bool;

    /// Whether the node's certificate lets it announce this. What it may not is replicated and never shown.
    fn may_announce(&self, node: NodeId, entry: &Entry) -> bool;
}

/// Bounds and times of [`Logs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most origins that are replicated; also the most that a neighbour may tell of.
    pub origins: usize,
    /// Most memory of all logs, about, in bytes.
    pub bytes: u64,
    /// Log bytes per second to and from one neighbour.
    pub log_rate: u64,
    /// Log bytes at once to one neighbour; at least 32 kB.
    pub log_burst: u64,
    /// Changes that a log has at least before it is compacted.
    pub compact_from: usize,
    /// How long versions are gathered before pruned neighbours hear them.
    pub have_after: Duration,
    /// How long a push may be late before it is pulled.
    pub pull_after: Duration,
    /// How long a pull may go without progress at first; doubles up to 30 s.
    pub pull_retry: Duration,
    /// How long entries are shown without a route, so that a failover is not seen.
    pub hide_after: Duration,
    /// How long a log is kept without a route.
    pub drop_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            origins: 4096,
            bytes: 256 << 20,
            log_rate: 1_000_000,
            log_burst: 256 << 10,
            compact_from: 64,
            have_after: Duration::from_millis(200),
            pull_after: Duration::from_millis(300),
            pull_retry: Duration::from_secs(1),
            hide_after: Duration::from_secs(5),
            // FORGET of the routes, and ten minutes.
            drop_after: Duration::from_secs(780),
        }
    }
}

/// How far an announcement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This node only; it never enters the log.
    Node,
    /// The mesh.
    World,
}

/// What [`Logs`] wants done or known. Drain with [`Logs::poll`] after each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// [`Logs::flush`] has something for this neighbour.
    Ready(Neighbour),
    /// The entry is there, or has new attributes. Own entries too.
    NamespaceUp {
        /// Who has it.
        origin: NodeId,
        /// What.
        entry: Entry,
        /// What the origin says about it.
        attributes: Attributes,
    },
    /// The entry is gone.
    NamespaceDown {
        /// Who had it.
        origin: NodeId,
        /// What.
        entry: Entry,
    },
    /// Something of a neighbour was dropped.
    Refused {
        /// Whose fault, or whom it affects.
        neighbour: Neighbour,
        /// Why.
        reason: Refusal,
    },
    /// The mesh knows a later epoch of this node: take one above it and call [`Logs::set_epoch`].
    EpochTaken(u64),
}

/// Why something was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too many origins; our limit.
    Origins,
    /// Logs would take too much memory; our limit.
    Memory,
    /// It pushes faster than anybody may.
    Rate,
    /// Its changes are not what the origin signed.
    Forged,
}

/// Why an announcement did not enter the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The logs of this node are at their memory bound; nothing changed.
    #[error("the logs are full")]
    Full,
    /// This node's certificate does not allow it; nothing changed.
    #[error("this node may not announce it: its certificate is for other namespaces")]
    NotAllowed,
    /// The attributes break a limit; nothing changed.
    #[error(transparent)]
    Attributes(#[from] EncodeError),
}

/// All logs of one node. Times are since any start and never go back; after each call drain [`Self::poll`], and call
/// [`Self::tick`] at [`Self::deadline`].
pub struct Logs {
    me: NodeId,
    limits: Limits,
    sign: Box<dyn Sign>,
    verify: Box<dyn Verify>,
    origins: BTreeMap<NodeId, Origin>,
    links: BTreeMap<Neighbour, Link>,
    /// Announcements of [`Scope::Node`].
    private: BTreeMap<Entry, Attributes>,
    index: Index,
    /// Memory of all logs.
    bytes: u64,
    timers: BTreeSet<(Duration, NodeId)>,
    outputs: VecDeque<Output>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("me", &self.me)
            .field("origins", &self.origins.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Logs {
    /// The logs of node `me`, booted at `epoch`; none yet.
    pub fn new(me: NodeId, epoch: u64, limits: Limits, sign: Box<dyn Sign>, verify: Box<dyn Verify>) -> Self {
        let mut own = Origin::new(Reach::Here);
        own.current = Some(Log::new(me, epoch, 0, 0));
        Self {
            me,
            limits,
            sign,
            verify,
            origins: BTreeMap::from([(me, own)]),
            links: BTreeMap::new(),
            private: BTreeMap::new(),
            index: Index::default(),
            bytes: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Somebody publishes here. To announce what is announced changes its attributes and scope.
    ///
    /// # Errors
    ///
    /// [`AnnounceError`]; what was announced before stays.
    pub fn announce(
        &mut self,
        now: Duration,
        entry: Entry,
        attributes: Attributes,
        scope: Scope,
    ) -> Result<(), AnnounceError> {
        let add = Change::Add(entry.clone(), attributes.clone());
        match scope {
            Scope::Node => {
                self.write(now, Change::Remove(entry.clone()))?;
                self.private.insert(entry, attributes);
            }
            Scope::World => {
                self.write(now, add.clone())?;
                self.private.remove(&entry);
            }
        }
        self.show_changes(now, self.me, &[add]);
        self.note_ready(now);
        Ok(())
    }

    /// Nobody publishes this here any more.
    ///
    /// # Errors
    ///
    /// None that [`Self::announce`] did not have.
    pub fn withdraw(&mut self, now: Duration, entry: &Entry) -> Result<(), AnnounceError> {
        let remove = Change::Remove(entry.clone());
        self.private.remove(entry);
        self.write(now, remove.clone())?;
        self.show_changes(now, self.me, &[remove]);
        self.note_ready(now);
        Ok(())
    }

    /// This node counts as booted again: its log begins anew with what is announced. Nothing happens unless the epoch is a later one.
    ///
    /// # Errors
    ///
    /// None that [`Self::announce`] did not have.
    pub fn set_epoch(&mut self, now: Duration, epoch: u64) -> Result<(), AnnounceError> {
        if self.origins.get(&self.me).is_some_and(|own| own.at().0 >= epoch) {
            return Ok(());
        }
        self.rewrite(now, |_| (epoch, 0))
    }

    /// A session with a neighbour begins. The first flushes introduce all logs, see [`Self::is_introduced`].
    pub fn neighbour_up(&mut self, now: Duration, neighbour: Neighbour) {
        let mut link = Link::new(now, &self.limits);
        for (&id, origin) in &self.origins {
            if origin.at().1 > 0 {
                link.say_later(id, now);
            }
        }
        link.introduced = link.lazy.is_empty();
        self.links.insert(neighbour, link);
        self.note_ready(now);
    }

    /// Whether the neighbour was told of all logs held when its session began; then SNAPSHOT_END may follow.
    pub fn is_introduced(&self, neighbour: Neighbour) -> bool {
        self.links.get(&neighbour).is_some_and(|link| link.introduced)
    }

    /// A session ended.
    pub fn neighbour_down(&mut self, now: Duration, neighbour: Neighbour) {
        if self.links.remove(&neighbour).is_none() {
            return;
        }
        let ids: Vec<_> = self.origins.keys().copied().collect();
        for id in ids {
            if let Some(origin) = self.origins.get_mut(&id) {
                origin.lost(now, neighbour);
            }
            self.check_behind(now, id);
        }
        self.note_ready(now);
    }

    /// The routes found another primary upstream towards an origin, or none.
    pub fn route_changed(&mut self, now: Duration, origin: NodeId, primary: Option<Neighbour>) {
        if origin == self.me {
            return;
        }
        if primary.is_some() && !self.admit(now, origin) {
            if let Some(neighbour) = primary {
                self.refuse(neighbour, Refusal::Origins);
            }
            return;
        }
        let Some(state) = self.origins.get_mut(&origin) else {
            return;
        };
        state.primary = primary;
        let before = state.reach;
        state.reach = match (primary, before) {
            (Some(_), _) => Reach::Up,
            (None, Reach::Lost(since)) => Reach::Lost(since),
            (None, _) => Reach::Lost(now),
        };
        let changed = before != state.reach;
        if let Some(neighbour) = primary {
            self.want(neighbour, origin, Feed::Eager);
        }
        if changed {
            self.refresh(now, origin);
        }
        self.check_behind(now, origin);
        self.note_ready(now);
    }

    /// The rights of an origin changed: shows and hides accordingly.
    pub fn rights_changed(&mut self, now: Duration, origin: NodeId) {
        self.refresh(now, origin);
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::tick`] is wanted.
    pub fn deadline(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|&(at, _)| at);
        let links = self
            .links
            .values()
            .filter(|link| !link.ready)
            .filter_map(Link::due);
        timer.into_iter().chain(links).min()
    }

    /// Time passed.
    pub fn tick(&mut self, now: Duration) {
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.wake(now, id);
        }
        self.note_ready(now);
    }

    /// Epoch, version and head hash of an origin's log as held here. `None`: nothing of it.
    pub fn head(&self, origin: NodeId) -> Option<(u64, u64, Hash)> {
        let log = self.origins.get(&origin)?.front()?;
        let (epoch, version) = log.at();
        (version > 0).then(|| (epoch, version, log.hash()))
    }

    /// Memory of all logs, about, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Shown namespaces that begin with `prefix`, in order.
    pub fn matching(&self, prefix: &TrackNamespace) -> impl Iterator<Item = &TrackNamespace> {
        self.index.namespaces(prefix)
    }

    /// Shown tracks, announced by themselves, whose namespaces begin with `prefix`, in order.
    pub fn tracks_matching(&self, prefix: &TrackNamespace) -> impl Iterator<Item = &FullTrackName> {
        self.index.tracks(prefix)
    }

    /// The origins that have a track: who announced the track itself, else the longest part of its namespace that is shown.
    pub fn origins_of(&self, track: &FullTrackName) -> BTreeSet<NodeId> {
        self.index.origins_of(track)
    }

    /// Everything that is shown of one origin.
    pub fn shown(&self, origin: NodeId) -> impl Iterator<Item = (&Entry, &Attributes)> {
        self.origins
            .get(&origin)
            .into_iter()
            .flat_map(|origin| &origin.shown)
    }

    fn refuse(&mut self, neighbour: Neighbour, reason: Refusal) {
        self.outputs.push_back(Output::Refused { neighbour, reason });
    }

    fn note_ready(&mut self, now: Duration) {
        for (&neighbour, link) in &mut self.links {
            if !link.ready && link.due().is_some_and(|due| due <= now) {
                link.ready = true;
                self.outputs.push_back(Output::Ready(neighbour));
            }
        }
    }
}

#[cfg(test)]
mod tests;
