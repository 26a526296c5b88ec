//! One origin: its log as held here, what is shown of it, and when something is due.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::index::Index;
use super::link::Feed;
use super::log::Log;
use super::{AnnounceError, Limits, Logs, Output};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Attributes, Change, Entry};

const MAX_RETRY: Duration = Duration::from_secs(30);

/// Whether an origin can be pulled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is this node.
    Here,
    /// There is a route.
    Up,
    /// There is none since then.
    Lost(Duration),
}

/// Some neighbour holds more of the log than we.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// When to pull.
    pub(super) at: Duration,
    /// How long to wait after that.
    pub(super) retry: Duration,
    /// Who was asked last.
    pub(super) asked: Option<Neighbour>,
}

/// One origin.
#[derive(Debug)]
pub(super) struct Origin {
    /// What is shown is from here.
    pub(super) current: Option<Log>,
    /// A later stretch that is not whole yet.
    pub(super) staged: Option<Log>,
    pub(super) reach: Reach,
    pub(super) primary: Option<Neighbour>,
    /// Who brought the last news.
    pub(super) deliverer: Option<Neighbour>,
    pub(super) behind: Option<Behind>,
    pub(super) shown: BTreeMap<Entry, Attributes>,
    /// When the next shown entry is to be hidden.
    hide_at: Option<Duration>,
    wake: Option<Duration>,
}

impl Origin {
    pub(super) const fn new(reach: Reach) -> Self {
        Self {
            current: None,
            staged: None,
            reach,
            primary: None,
            deliverer: None,
            behind: None,
            shown: BTreeMap::new(),
            hide_at: None,
            wake: None,
        }
    }

    /// The newest stretch.
    pub(super) fn front(&self) -> Option<&Log> {
        self.staged.as_ref().or(self.current.as_ref())
    }

    /// Epoch and version up to which everything is held.
    pub(super) fn at(&self) -> (u64, u64) {
        self.front().map_or((0, 0), Log::at)
    }

    pub(super) fn footprint(&self) -> u64 {
        self.current.iter().chain(&self.staged).map(Log::footprint).sum()
    }

    /// A session ended.
    pub(super) fn lost(&mut self, now: Duration, neighbour: Neighbour) {
        if self.deliverer == Some(neighbour) {
            self.deliverer = None;
        }
        if let Some(behind) = self
            .behind
            .as_mut()
            .filter(|behind| behind.asked == Some(neighbour))
        {
            behind.asked = None;
            behind.at = now;
        }
    }

    /// When an entry is hidden. `None`: not because of the route.
    fn hide_at(&self, attributes: &Attributes, limits: &Limits) -> Option<Duration> {
        match self.reach {
            Reach::Here | Reach::Up => None,
            Reach::Lost(since) => Some(
                since
                    + attributes
                        .expiry
                        .map_or(limits.hide_after, |expiry| expiry.min(limits.hide_after)),
            ),
        }
    }

    fn drop_at(&self, limits: &Limits) -> Option<Duration> {
        match self.reach {
            Reach::Here | Reach::Up => None,
            Reach::Lost(since) => Some(since + limits.drop_after),
        }
    }
}

/// Shows an entry as it is to be seen, or hides it.
fn show(
    origin: NodeId,
    shown: &mut BTreeMap<Entry, Attributes>,
    (entry, attributes): (&Entry, Option<&Attributes>),
    index: &mut Index,
    outputs: &mut VecDeque<Output>,
) {
    match attributes {
        Some(attributes) if shown.get(entry) != Some(attributes) => {
            shown.insert(entry.clone(), attributes.clone());
            index.insert(entry, origin);
            outputs.push_back(Output::NamespaceUp {
                origin,
                entry: entry.clone(),
                attributes: attributes.clone(),
            });
        }
        None if shown.remove(entry).is_some() => {
            index.remove(entry, origin);
            outputs.push_back(Output::NamespaceDown {
                origin,
                entry: entry.clone(),
            });
        }
        _ => {}
    }
}

impl Logs {
    /// Makes room for an origin. `false`: there are too many.
    pub(super) fn admit(&mut self, now: Duration, id: NodeId) -> bool {
        if self.origins.contains_key(&id) {
            return true;
        }
        if self.origins.len() >= self.limits.origins {
            return false;
        }
        self.origins.insert(id, Origin::new(Reach::Lost(now)));
        self.arm(id);
        true
    }

    /// Shows what is to be seen of an origin now, and hides the rest.
    pub(super) fn refresh(&mut self, now: Duration, id: NodeId) {
        let Some(mut origin) = self.origins.remove(&id) else {
            return;
        };
        let (verify, limits) = (&self.verify, &self.limits);
        let private = (id == self.me).then_some(&self.private);
        let log = origin.current.as_ref().map(Log::entries);
        let mut hide_at: Option<Duration> = None;
        let mut visible = BTreeMap::new();
        for (entry, attributes) in log.into_iter().chain(private).flatten() {
            let until = origin.hide_at(attributes, limits);
            if until.is_some_and(|until| until <= now) || !verify.may_announce(id, entry) {
                continue;
            }
            hide_at = hide_at.into_iter().chain(until).min();
            visible.insert(entry.clone(), attributes);
        }
        let gone: Vec<_> = origin
            .shown
            .keys()
            .filter(|entry| !visible.contains_key(*entry))
            .cloned()
            .collect();
        for entry in &gone {
            show(
                id,
                &mut origin.shown,
                (entry, None),
                &mut self.index,
                &mut self.outputs,
            );
        }
        for (entry, attributes) in &visible {
            show(
                id,
                &mut origin.shown,
                (entry, Some(attributes)),
                &mut self.index,
                &mut self.outputs,
            );
        }
        drop(visible);
        origin.hide_at = hide_at;
        self.origins.insert(id, origin);
        self.arm(id);
    }

    /// Shows single changes of the log that is shown.
    pub(super) fn show_changes(&mut self, now: Duration, id: NodeId, changes: &[Change]) {
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        for change in changes {
            let seen = match change {
                Change::Remove(_) => None,
                Change::Add(entry, attributes) => {
                    let until = origin.hide_at(attributes, &self.limits);
                    let hidden = until.is_some_and(|until| until <= now);
                    if !hidden {
                        origin.hide_at = origin.hide_at.into_iter().chain(until).min();
                    }
                    (!hidden && self.verify.may_announce(id, entry)).then_some(attributes)
                }
            };
            show(
                id,
                &mut origin.shown,
                (change.entry(), seen),
                &mut self.index,
                &mut self.outputs,
            );
        }
        self.arm(id);
    }

    /// Adds a change to our own log, unless it would say nothing.
    pub(super) fn write(&mut self, now: Duration, change: Change) -> Result<(), AnnounceError> {
        let Some(own) = self.origins.get(&self.me).and_then(|own| own.current.as_ref()) else {
            return Ok(());
        };
        let says_nothing = match &change {
            Change::Add(entry, attributes) => own.entries().get(entry) == Some(attributes),
            Change::Remove(entry) => !own.entries().contains_key(entry),
        };
        if says_nothing {
            return Ok(());
        }
        if matches!(change, Change::Add(..)) {
            if own.len() >= self.limits.compact_from && own.is_mostly_removed() && !own.entries().is_empty() {
                self.rewrite(now, Log::at)?;
            }
            if self.bytes >= self.limits.bytes {
                return Err(AnnounceError::Full);
            }
        }
        let Some(origin) = self.origins.get_mut(&self.me) else {
            return Ok(());
        };
        let (before, used) = (origin.at(), origin.footprint());
        if let Some(log) = &mut origin.current {
            log.write(change, self.sign.as_ref())?;
        }
        self.bytes = self.bytes - used + origin.footprint();
        self.spread(now, self.me, before, None);
        Ok(())
    }

    /// Begins our own log anew, at the epoch and version that `place` gives.
    pub(super) fn rewrite(
        &mut self,
        now: Duration,
        place: impl Fn(&Log) -> (u64, u64),
    ) -> Result<(), AnnounceError> {
        let Some(origin) = self.origins.get_mut(&self.me) else {
            return Ok(());
        };
        let (before, used) = (origin.at(), origin.footprint());
        if let Some(log) = &mut origin.current {
            let (epoch, start) = place(log);
            *log = log.compacted(epoch, start, self.sign.as_ref())?;
        }
        self.bytes = self.bytes - used + origin.footprint();
        self.spread(now, self.me, before, None);
        self.note_ready(now);
        Ok(())
    }

    /// Sets the timer of an origin.
    pub(super) fn arm(&mut self, id: NodeId) {
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        let behind = origin.behind.map(|behind| behind.at);
        let wake = behind
            .into_iter()
            .chain(origin.hide_at)
            .chain(origin.drop_at(&self.limits))
            .min();
        if let Some(at) = std::mem::replace(&mut origin.wake, wake) {
            self.timers.remove(&(at, id));
        }
        self.timers.extend(wake.map(|at| (at, id)));
    }

    /// The timer of an origin fired.
    pub(super) fn wake(&mut self, now: Duration, id: NodeId) {
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        origin.wake = None;
        if origin.drop_at(&self.limits).is_some_and(|at| at <= now) {
            self.bytes -= origin.footprint();
            origin.current = None;
            origin.staged = None;
            self.refresh(now, id);
            if let Some(at) = self.origins.remove(&id).and_then(|origin| origin.wake) {
                self.timers.remove(&(at, id));
            }
            for link in self.links.values_mut() {
                link.peers.remove(&id);
            }
            return;
        }
        if origin.hide_at.is_some_and(|at| at <= now) {
            self.refresh(now, id);
        }
        self.pull_if_due(now, id);
        self.arm(id);
    }

    /// Notes whether some neighbour holds more than we, and when to pull it.
    pub(super) fn check_behind(&mut self, now: Duration, id: NodeId) {
        let best = self
            .links
            .values()
            .filter_map(|link| link.peers.get(&id))
            .map(|peer| peer.has)
            .max();
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        let at = origin.at();
        if origin.reach != Reach::Up || best.is_none_or(|best| best <= at) {
            origin.behind = None;
        } else if origin.behind.is_none() {
            // Of an origin that is new to us no push is late, as nobody knew that we want it.
            let patience = if at.1 == 0 {
                Duration::ZERO
            } else {
                self.limits.pull_after
            };
            origin.behind = Some(Behind {
                at: now + patience,
                retry: self.limits.pull_retry,
                asked: None,
            });
            self.pull_if_due(now, id);
        }
        self.arm(id);
    }

    /// Asks the best holder: the primary, else who has most; not the one that was asked last, if there is another.
    fn pull_if_due(&mut self, now: Duration, id: NodeId) {
        let Some(origin) = self.origins.get_mut(&id) else {
            return;
        };
        let (at, primary) = (origin.at(), origin.primary);
        let Some(behind) = origin.behind.as_mut().filter(|behind| behind.at <= now) else {
            return;
        };
        let holders = self.links.iter().filter_map(|(&neighbour, link)| {
            let has = link.peers.get(&id)?.has;
            (has > at).then_some((
                Some(neighbour) != behind.asked,
                Some(neighbour) == primary,
                has,
                std::cmp::Reverse(neighbour),
            ))
        });
        let Some((.., std::cmp::Reverse(holder))) = holders.max() else {
            origin.behind = None;
            return;
        };
        behind.asked = Some(holder);
        behind.at = now + behind.retry;
        behind.retry = (behind.retry * 2).min(MAX_RETRY);
        self.want(holder, id, Feed::Eager);
        if let Some(link) = self.links.get_mut(&holder) {
            link.peer(id).pull = true;
            link.urge(id);
        }
    }
}
