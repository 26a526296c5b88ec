//! What comes in from a neighbour.

use bytes::Bytes;

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId, Seq};
use crate::overlay::message::{Beacon, DownHint, Have, Hello, ObjectReader, Record, Row};
use crate::overlay::routes;

/// DOWN_HINTs taken from a neighbour in a second.
const HINTS: u32 = 10;

impl Overlay {
    pub(super) fn receive(&mut self, neighbour: Neighbour, object: Bytes) {
        if let Err(reason) = self.try_receive(neighbour, object) {
            self.outputs.push_back(Output::Close { neighbour, reason });
        }
    }

    fn try_receive(&mut self, neighbour: Neighbour, object: Bytes) -> Result<(), Misconduct> {
        let Some(link) = self.links.get_mut(&neighbour) else {
            return Ok(());
        };
        link.volume.1 += object.len() as u64;
        let mut reader = ObjectReader::new(&mut link.reader, object)?;
        let mut records = Vec::new();
        while let Some(record) = reader.poll()? {
            records.push(record);
        }
        // A row may come before the beacon that vouches for it.
        for record in &records {
            if let Record::Beacon(beacon) = record {
                self.beacon(*beacon)?;
            }
        }
        for record in records {
            self.record(neighbour, record)?;
        }
        Ok(())
    }

    pub(super) fn record(&mut self, neighbour: Neighbour, record: Record) -> Result<(), Misconduct> {
        let now = self.now;
        let greeted = self
            .links
            .get(&neighbour)
            .is_some_and(|link| link.hello.is_some());
        if greeted == matches!(record, Record::Hello(_)) {
            return Err(Misconduct::Hello);
        }
        match record {
            Record::Hello(hello) => return self.greeted(neighbour, hello),
            Record::Echo(clock) => self.answer(neighbour, Record::EchoReply(clock)),
            Record::EchoReply(clock) => self.echoed(neighbour, clock),
            Record::Link(counters) => {
                if let Some(link) = self.links.get_mut(&neighbour) {
                    link.estimator.loss(now, counters.sent, counters.lost);
                }
                self.review_cost(neighbour);
            }
            Record::Digest(theirs) => return self.compare(neighbour, theirs),
            Record::Route(rows) => {
                if let Some(link) = self.links.get_mut(&neighbour) {
                    rows.iter().for_each(|row| link.heard.add(row));
                }
                for row in rows {
                    self.row(neighbour, row)?;
                }
            }
            Record::SeqReq(mut asked) => {
                if asked.origin == self.identity.node && self.lives.cloned {
                    asked.wanted = asked.wanted.min(self.routes.own_seq().next());
                }
                let taken = self
                    .routes
                    .seq_request(now, neighbour, asked.origin, asked.wanted, asked.ttl);
                self.judge(neighbour, taken)?;
            }
            Record::ResetAck(origin) => self.routes.reset_ack(now, neighbour, origin),
            Record::DownHint(hint) => return self.hinted(neighbour, hint),
            Record::LogHave(haves) => haves
                .into_iter()
                .for_each(|have| self.logs.have(now, neighbour, have)),
            Record::LogPush(push) => self.logs.push(now, neighbour, push),
            Record::LogPull(pull) => self.logs.pull(now, neighbour, pull),
            Record::LogPrune(origin) => self.logs.prune(now, neighbour, origin),
            Record::Peers(records) => return self.peers(neighbour, records),
            Record::Credential(credential) => return self.credential(neighbour, &credential),
            Record::Life(life) => return self.lived(neighbour, life),
            Record::LogGraft(origin) => self.logs.graft(now, neighbour, origin),
            Record::TraceReq(asked) => self.trace_asked(neighbour, asked),
            Record::TraceRep(answer) => self.trace_answered(neighbour, answer),
            Record::StatusReq(asked) => self.status_asked(neighbour, asked),
            Record::StatusRep(answer) => self.status_answered(neighbour, answer),
            Record::StatusPulls(answer) => self.pulls_answered(neighbour, answer),
            _ => {}
        }
        Ok(())
    }

    fn greeted(&mut self, neighbour: Neighbour, hello: Hello) -> Result<(), Misconduct> {
        let Some(link) = self.links.get_mut(&neighbour) else {
            return Ok(());
        };
        if hello.node != link.node {
            return Err(Misconduct::Impostor);
        }
        link.estimator.set_price(hello.price);
        link.hello = Some(hello);
        self.review_cost(neighbour);
        Ok(())
    }

    pub(super) fn answer(&mut self, neighbour: Neighbour, record: Record) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            link.say(record);
            self.outputs.push_back(Output::Ready { neighbour });
        }
    }

    fn echoed(&mut self, neighbour: Neighbour, clock: u64) {
        let now = u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX);
        if let Some(link) = self.links.get_mut(&neighbour)
            && let Some(rtt) = now.checked_sub(clock)
        {
            link.estimator
                .round_trip(self.now, std::time::Duration::from_micros(rtt));
        }
        self.review_cost(neighbour);
    }

    pub(super) fn review_cost(&mut self, neighbour: Neighbour) {
        if let Some(link) = self.links.get(&neighbour) {
            self.routes.cost_changed(self.now, neighbour, link.cost());
        }
    }

    fn beacon(&mut self, beacon: Beacon) -> Result<(), Misconduct> {
        let origin = beacon.origin;
        if self
            .beacons
            .get(&origin)
            .is_some_and(|known| known.seq >= beacon.seq)
        {
            return Ok(());
        }
        if !self
            .identity
            .keys
            .verify(origin, &beacon.signed_bytes(), &beacon.signature)
        {
            return Err(Misconduct::Forged(origin));
        }
        // Our own number of another life is the routes' to judge, by the row.
        if origin != self.identity.node {
            self.beacons.insert(origin, beacon);
        }
        Ok(())
    }

    fn row(&mut self, neighbour: Neighbour, mut row: Row) -> Result<(), Misconduct> {
        let origin = row.origin;
        if origin == self.identity.node && self.lives.cloned {
            // Two that outbid each other's numbers would not come to an end.
            row.seq = row.seq.min(self.routes.own_seq());
        }
        if row.distance.is_some() && origin != self.identity.node && !self.is_vouched(origin, row.seq) {
            return Err(Misconduct::Unvouched(origin));
        }
        let taken = self.routes.row(
            self.now,
            neighbour,
            origin,
            routes::Row {
                seq: row.seq,
                distance: row.distance.filter(|_| self.identity.keys.is_member(origin)),
                full: row.full,
                reset: row.reset,
            },
        );
        if row.log_version > 0 {
            let have = Have {
                origin,
                epoch: row.seq.epoch,
                version: row.log_version,
            };
            self.logs.have(self.now, neighbour, have);
        }
        self.judge(neighbour, taken)
    }

    fn is_vouched(&self, origin: NodeId, seq: Seq) -> bool {
        self.beacons.get(&origin).is_some_and(|beacon| beacon.seq >= seq)
    }

    /// Whether a refusal ends the session.
    fn judge(&mut self, neighbour: Neighbour, taken: Result<(), routes::Refusal>) -> Result<(), Misconduct> {
        match taken {
            Ok(()) | Err(routes::Refusal::NoNeighbour) => Ok(()),
            Err(
                refusal @ (routes::Refusal::Rows | routes::Refusal::ZeroDistance | routes::Refusal::Epoch),
            ) => Err(refusal.into()),
            Err(refusal) => {
                self.outputs.push_back(Output::Refused {
                    neighbour,
                    reason: refusal.into(),
                });
                Ok(())
            }
        }
    }

    fn hinted(&mut self, from: Neighbour, hint: DownHint) -> Result<(), Misconduct> {
        let second = self.now.as_secs();
        if let Some(link) = self.links.get_mut(&from) {
            if link.hints.0 != second {
                link.hints = (second, 0);
            }
            link.hints.1 += 1;
            if link.hints.1 > HINTS {
                return Err(Misconduct::Flood("DOWN_HINT"));
            }
        }
        let suspected: Vec<Neighbour> = self
            .links
            .iter()
            .filter(|(_, link)| link.node.0.starts_with(&hint.prefix))
            .map(|(&neighbour, _)| neighbour)
            .collect();
        for neighbour in suspected {
            self.outputs.push_back(Output::Probe { neighbour });
        }
        Ok(())
    }
}
