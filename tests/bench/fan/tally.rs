//! What the subscribers of a pattern got: nothing may be missing, nothing twice, and each object in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use headwater_pubsub::wire::Location;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pattern::{Head, Pattern, now_us};

/// How long what is on its way may take at the end.
const LATE: Duration = Duration::from_secs(15);
/// A slowest subscriber that has so many objects more is worth a word.
const WORTH: u64 = 4;

/// What one subscription got.
#[derive(Debug, Default)]
struct Got {
    /// The first object that has not come.
    next: u64,
    /// What came before it was due.
    ahead: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) struct Tally {
    pattern: Pattern,
    got: BTreeMap<(usize, u64), Got>,
    /// Since the last mark.
    objects: u64,
    bytes: u64,
    joined: u64,
    /// Joiners that have come and not gone.
    pub(super) looking: u64,
    delays: Vec<u32>,
    since: Instant,
    twice: u64,
    misplaced: u64,
    faults: Vec<String>,
    told: u64,
    last: Instant,
    /// Something came.
    pub(super) came: Rc<Notify>,
}

impl Tally {
    pub(super) fn new(pattern: Pattern) -> Self {
        let mut got = BTreeMap::new();
        for session in pattern.stalled..pattern.sessions {
            for track in pattern.tracks_of(session) {
                let track = u64::try_from(track).unwrap_or(u64::MAX);
                got.insert((session, track), Got::default());
            }
        }
        let now = Instant::now();
        Self {
            pattern,
            got,
            objects: 0,
            bytes: 0,
            joined: 0,
            looking: 0,
            delays: Vec::new(),
            since: now,
            twice: 0,
            misplaced: 0,
            faults: Vec::new(),
            told: 0,
            last: now,
            came: Rc::default(),
        }
    }

    pub(super) fn object(&mut self, session: usize, at: Location, head: Head, len: u64) {
        self.last = Instant::now();
        self.objects += 1;
        self.bytes += len;
        if self.pattern.joins.is_none() {
            let delay = now_us().saturating_sub(head.sent);
            self.delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
        }
        let placed = at.group * self.pattern.group + at.object == head.step
            && u64::try_from(self.pattern.bytes).is_ok_and(|bytes| bytes == len);
        let got = self.got.get_mut(&(session, head.track)).filter(|_| placed);
        let Some(got) = got else {
            self.misplaced += 1;
            return;
        };
        if head.step < got.next || !got.ahead.insert(head.step) {
            self.twice += 1;
        }
        while got.ahead.remove(&got.next) {
            got.next += 1;
        }
        self.came.notify_one();
    }

    /// Of a joiner that got everything: when its first object came, and how many did.
    pub(super) fn joined(&mut self, first: Duration, objects: usize) {
        self.joined += 1;
        self.objects += u64::try_from(objects).unwrap_or(u64::MAX);
        self.bytes += u64::try_from(objects * self.pattern.bytes).unwrap_or(u64::MAX);
        self.delays
            .push(u32::try_from(first.as_micros()).unwrap_or(u32::MAX));
    }

    pub(super) fn fault(&mut self, text: String) {
        if self.faults.len() < 10 {
            self.faults.push(text);
        }
        self.came.notify_one();
    }

    /// What came since the last mark.
    pub(super) fn mark(&mut self) -> Value {
        let now = Instant::now();
        let seconds = now.duration_since(self.since).as_secs_f64();
        self.since = now;
        let mut delays = std::mem::take(&mut self.delays);
        delays.sort_unstable();
        let rank = |part: usize| delays.get(delays.len().saturating_sub(1) * part / 1000).copied();
        json!({
            "seconds": seconds,
            "objects": std::mem::take(&mut self.objects),
            "bytes": std::mem::take(&mut self.bytes),
            "joined": std::mem::take(&mut self.joined),
            "p50_us": rank(500), "p99_us": rank(990), "max_us": rank(1000),
        })
    }

    fn slowest(&self) -> u64 {
        self.got.values().map(|got| got.next).min().unwrap_or(0)
    }

    /// What all have, if that is worth a word.
    pub(super) fn taken(&mut self) -> Option<u64> {
        let slowest = self.slowest();
        (slowest >= self.told + WORTH).then(|| {
            self.told = slowest;
            slowest
        })
    }

    pub(super) fn is_whole(&self, last: u64) -> bool {
        self.slowest() > last
    }

    pub(super) fn is_late(&self) -> bool {
        self.last.elapsed() > LATE
    }

    pub(super) fn result(&self, last: u64) -> Value {
        let lost: u64 = self
            .got
            .values()
            .map(|got| (last + 1).saturating_sub(got.next + u64::try_from(got.ahead.len()).unwrap_or(0)))
            .sum();
        json!({"lost": lost, "twice": self.twice, "misplaced": self.misplaced, "faults": self.faults})
    }
}
