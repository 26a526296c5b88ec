//! What the overlay knows of one session with a neighbour, beside routes and logs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::digest::Rows;
use crate::overlay::id::{Cost, NodeId, Seq};
use crate::overlay::message::{
    AliasReader, AliasWriter, Fit, Hello, Link as Counters, ObjectWriter, Record, Row, StatusPulls,
};
use crate::overlay::metric::Estimator;
use crate::overlay::routes::Bucket;

use super::{survey, trace};

/// How often the round trip is measured on a link with live tracks, and on an idle one.
const ECHO: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often packets sent and lost are told on a link with live tracks.
const COUNTERS: Duration = Duration::from_secs(2);
/// How long no row may have been sent before the hash over all of them is told, and how often after that.
const DIGEST: Duration = Duration::from_secs(30);
/// Most records that wait beside rows and logs; the oldest goes, since each of them is repeated or asked for again.
const WAITING: usize = 256;

/// One session.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go on their own"
)]
pub(super) struct Link {
    pub(super) node: NodeId,
    pub(super) since: Duration,
    pub(super) writer: AliasWriter,
    pub(super) reader: AliasReader,
    pub(super) said_hello: bool,
    pub(super) said_snapshot: bool,
    pub(super) hello: Option<Hello>,
    /// The newest sequence number of each origin whose beacon it got from us.
    pub(super) beacons: BTreeMap<NodeId, Seq>,
    /// Nodes whose credentials it has to hear of.
    pub(super) credentials: BTreeSet<NodeId>,
    /// Nodes of whose lives it has to hear.
    pub(super) lives: BTreeSet<NodeId>,
    waiting: VecDeque<Record>,
    pub(super) estimator: Estimator,
    /// Rows written to it and read from it.
    pub(super) told: Rows,
    pub(super) heard: Rows,
    counters: Counters,
    active: bool,
    next_echo: Duration,
    next_counters: Duration,
    next_digest: Duration,
    /// DOWN_HINTs taken in the current second, and its number.
    pub(super) hints: (u64, u32),
    /// What people want to know of the mesh: said when nothing else is due.
    later: VecDeque<Record>,
    /// TRACE_REQs to it and from it.
    pub(super) traces: (Bucket, Bucket),
    /// STATUS_REQs to it and from it.
    pub(super) surveys: (Bucket, Bucket),
    /// What nodes pull that its next STATUS_REP is to tell of.
    pub(super) pulls: Option<StatusPulls>,
    /// Its life is doubted.
    pub(super) suspect: bool,
    /// Bytes of gossip sent and received.
    pub(super) volume: (u64, u64),
}

impl Link {
    pub(super) fn new(now: Duration, node: NodeId) -> Self {
        Self {
            node,
            since: now,
            writer: AliasWriter::default(),
            reader: AliasReader::default(),
            said_hello: false,
            said_snapshot: false,
            hello: None,
            beacons: BTreeMap::new(),
            credentials: BTreeSet::new(),
            lives: BTreeSet::new(),
            waiting: VecDeque::new(),
            estimator: Estimator::default(),
            told: Rows::default(),
            heard: Rows::default(),
            counters: Counters::default(),
            active: false,
            next_echo: now,
            next_counters: now + COUNTERS,
            next_digest: now + DIGEST,
            hints: (0, 0),
            later: VecDeque::new(),
            traces: (
                Bucket::new(now, trace::PER_SECOND, trace::PER_SECOND),
                Bucket::new(now, trace::PER_SECOND, 2 * trace::PER_SECOND),
            ),
            surveys: (
                Bucket::new(now, 1, survey::BURST),
                Bucket::new(now, 1, 2 * survey::BURST),
            ),
            pulls: None,
            suspect: false,
            volume: (0, 0),
        }
    }

    pub(super) fn cost(&self) -> Cost {
        self.estimator.cost()
    }

    pub(super) fn srtt(&self) -> Duration {
        self.estimator.srtt().unwrap_or_default()
    }

    pub(super) fn deadline(&self) -> Duration {
        let next = self.next_echo.min(self.next_digest);
        if self.active {
            next.min(self.next_counters)
        } else {
            next
        }
    }

    /// Queues a record that is no row and no log.
    pub(super) fn say(&mut self, record: Record) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(record);
    }

    pub(super) fn next_said(&self) -> Option<&Record> {
        self.waiting.front()
    }

    pub(super) fn said(&mut self) {
        self.waiting.pop_front();
    }

    /// Queues a record that may wait for everything else.
    pub(super) fn say_later(&mut self, record: Record) {
        if self.later.len() == WAITING {
            self.later.pop_front();
        }
        self.later.push_back(record);
    }

    /// Writes what may wait, as far as there is room.
    pub(super) fn write_later(&mut self, object: &mut ObjectWriter<'_>) {
        while let Some(record) = self.later.front() {
            if matches!(object.push(record), Ok(Fit::Full)) {
                return;
            }
            // One that cannot be said must not silence the rest.
            self.later.pop_front();
        }
    }

    pub(super) fn packets(&mut self, now: Duration, sent: u64, lost: u64, active: bool) {
        self.counters = Counters { sent, lost };
        if active && !self.active {
            self.next_echo = self.next_echo.min(now + ECHO.0);
            self.next_counters = now + COUNTERS;
        }
        self.active = active;
    }

    /// Rows were written.
    pub(super) fn told(&mut self, now: Duration, rows: &[Row]) {
        rows.iter().for_each(|row| self.told.add(row));
        self.next_digest = now + DIGEST;
    }

    /// Queues what is due; whether there is anything.
    pub(super) fn tick(&mut self, now: Duration) -> bool {
        let mut due = false;
        if now >= self.next_echo {
            let clock = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
            self.say(Record::Echo(clock));
            self.next_echo = now + if self.active { ECHO.0 } else { ECHO.1 };
            due = true;
        }
        if now >= self.next_digest {
            // Records that wait go before rows, so what is hashed is what the neighbour has read by then.
            self.say(Record::Digest(self.told.hash()));
            self.next_digest = now + DIGEST;
            due = true;
        }
        if self.active && now >= self.next_counters {
            self.say(Record::Link(self.counters));
            self.next_counters = now + COUNTERS;
            due = true;
        }
        due
    }
}
