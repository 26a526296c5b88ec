//! Who could be a neighbour: records of other nodes that come and go with the gossip.

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Distance, Neighbour};
use crate::overlay::members::{self, MAX_RECORDS, Members, Worth};
use crate::overlay::message::{MAX_ADDRESSES, PeerRecord, Record, Signature};
use crate::overlay::routes;

/// Records that are later than our clock by more than this, in milliseconds, are not taken: they could never be replaced.
const EARLY_MS: u64 = 24 * 3600 * 1000;

impl Overlay {
    /// The same, looking for neighbours of its own: choices follow from the seed, and others dial it at these addresses, URIs and
    /// best first. Without addresses nobody does.
    #[must_use]
    pub fn seeking(mut self, seed: u64, mut addresses: Vec<String>) -> Self {
        addresses.truncate(MAX_ADDRESSES);
        self.members = Members::new(self.identity.node, seed);
        self.addresses = addresses;
        self
    }

    /// Milliseconds since 1970.
    pub(super) fn wall_ms(&self) -> u64 {
        let since = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        self.identity.wall_ms.saturating_add(since)
    }

    /// Records from a neighbour.
    pub(super) fn peers(
        &mut self,
        neighbour: Neighbour,
        mut records: Vec<PeerRecord>,
    ) -> Result<(), Misconduct> {
        records.truncate(MAX_RECORDS);
        if let Some(forged) = records.iter().find(|record| !self.is_signed(record)) {
            return Err(Misconduct::Forged(forged.node));
        }
        let latest = self.wall_ms().saturating_add(EARLY_MS);
        records.retain(|record| record.time_ms <= latest && self.identity.keys.is_member(record.node));
        self.members
            .heard(self.now, neighbour, records)
            .map_err(|members::Flood| Misconduct::Flood("PEERS"))
    }

    /// Records from our own disk. Whether they are members still shows when they are dialled.
    pub(super) fn remember(&mut self, mut records: Vec<PeerRecord>) {
        records.retain(|record| self.is_signed(record));
        self.members.remember(self.now, records);
    }

    fn is_signed(&self, record: &PeerRecord) -> bool {
        let keys = &self.identity.keys;
        keys.verify(record.node, &record.signed_bytes(), &record.signature)
    }

    pub(super) fn tick_members(&mut self) {
        let Self {
            members,
            links,
            upstreams,
            routes,
            ..
        } = self;
        members.tick(self.now, |neighbour| Worth {
            srtt: links.get(&neighbour).and_then(|link| link.estimator.srtt()),
            used: upstreams.pulled_from(neighbour)
                || routes
                    .origins()
                    .filter(|&origin| upstreams.is_wanted(origin))
                    .any(|origin| shortens(&mut routes.candidates(origin), neighbour)),
        });
    }

    pub(super) fn membered(&mut self, output: members::Output) {
        match output {
            members::Output::Dial(record) => self.outputs.push_back(Output::Dial { record }),
            members::Output::Close(neighbour) => self.outputs.push_back(Output::Surplus { neighbour }),
            members::Output::Keep(records) => self.outputs.push_back(Output::KeepPeers { records }),
            members::Output::Say(neighbour, mut records) => {
                records.extend(self.own_record());
                if let Some(link) = self.links.get_mut(&neighbour)
                    && !records.is_empty()
                {
                    link.say(Record::Peers(records));
                    self.outputs.push_back(Output::Ready { neighbour });
                }
            }
        }
    }

    /// Where this node can be dialled, if it can.
    fn own_record(&self) -> Option<PeerRecord> {
        if self.addresses.is_empty() {
            return None;
        }
        let mut record = PeerRecord {
            node: self.identity.node,
            addresses: self.addresses.clone(),
            roles: self.identity.roles,
            time_ms: self.wall_ms(),
            signature: Signature([0; 64]),
        };
        record.signature = self.identity.keys.sign(&record.signed_bytes());
        Some(record)
    }
}

/// Whether the way through a neighbour is shorter than every other by a tenth.
fn shortens(candidates: &mut dyn Iterator<Item = routes::Candidate>, neighbour: Neighbour) -> bool {
    let (mut through, mut others) = (None, None);
    for candidate in candidates {
        let Some(total) = candidate.total.map(Distance::micros) else {
            continue;
        };
        let best: &mut Option<u32> = if candidate.neighbour == neighbour {
            &mut through
        } else {
            &mut others
        };
        *best = Some(best.map_or(total, |best| best.min(total)));
    }
    match (through, others) {
        (Some(through), Some(others)) => u64::from(through) * 10 <= u64::from(others) * 9,
        (through, _) => through.is_some(),
    }
}
