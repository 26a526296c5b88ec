//! What goes out to a neighbour, encoded when its stream can take bytes.

use bytes::Bytes;
use headwater_pubsub::wire::EncodeError;

use super::link::Link;
use super::{Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::logs::Logs;
use crate::overlay::message::{
    DownHint, Fit, Have, Hello, MAX_OBJECT, ObjectWriter, Record, Row, SeqReq, VERSION,
};
use crate::overlay::routes::Flush;

/// Most rows in one object: with a beacon each they fit.
const ROWS: usize = 256;

impl Overlay {
    /// One object of what is due for a neighbour, or `None`: then [`Output::Ready`] tells when there is more. Like
    /// [`handle`](Self::handle) it is to be followed by [`poll`](Self::poll), and may change the [`deadline`](Self::deadline).
    pub fn gossip(&mut self, neighbour: Neighbour) -> Option<Bytes> {
        let now = self.now;
        let hello = self.hello();
        let link = self.links.get_mut(&neighbour)?;
        let (mut writer_table, mut beacons) = (
            std::mem::take(&mut link.writer),
            std::mem::take(&mut link.beacons),
        );
        let mut object = ObjectWriter::new(&mut writer_table, MAX_OBJECT);
        // Every record below is within the limits of its kind, so the only failure is a full object.
        let written = (|| -> Result<(), EncodeError> {
            if !link.said_hello {
                link.said_hello = object.push(&Record::Hello(hello))? == Fit::In;
            }
            while let Some(&node) = link.credentials.first() {
                if let Some(credential) = self.identity.keys.credential(node)
                    && object.push(&Record::Credential(credential))? == Fit::Full
                {
                    return Ok(());
                }
                link.credentials.pop_first();
            }
            while let Some(&node) = link.lives.first() {
                if let Some(life) = self.lives.get(node)
                    && object.push(&Record::Life(life))? == Fit::Full
                {
                    return Ok(());
                }
                link.lives.pop_first();
            }
            while let Some(record) = link.next_said() {
                if object.push(record)? == Fit::Full {
                    return Ok(());
                }
                link.said();
            }
            if object.room() < MAX_OBJECT / 4 {
                return Ok(());
            }
            if let Some(flush) = self.routes.next_flush(now, neighbour, ROWS) {
                for origin in flush
                    .rows
                    .iter()
                    .filter(|(_, row)| row.distance.is_some())
                    .map(|(origin, _)| *origin)
                {
                    if let Some(beacon) = self.beacons.get(&origin)
                        && beacons.get(&origin).is_none_or(|&sent| sent < beacon.seq)
                    {
                        let _fits = object.push(&Record::Beacon(*beacon))?;
                        beacons.insert(origin, beacon.seq);
                    }
                }
                let rows = push_flush(&mut object, flush, &mut self.logs, neighbour)?;
                link.told(now, &rows);
                return Ok(());
            }
            self.logs.flush(now, neighbour, &mut object);
            if !link.said_snapshot && self.logs.is_introduced(neighbour) {
                link.said_snapshot = object.push(&Record::SnapshotEnd)? == Fit::In;
            }
            link.write_later(&mut object);
            Ok(())
        })();
        let bytes = object.finish();
        link.writer = writer_table;
        link.beacons = beacons;
        if let Err(error) = written {
            // One record that cannot be said must not silence the rest.
            tracing::debug!(%error, %neighbour, "a record was left out");
            link.said();
        }
        link.volume.0 += bytes.len() as u64;
        // What the logs note while they write is not left until something happens.
        self.settle();
        (!bytes.is_empty()).then_some(bytes)
    }

    const fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            node: self.identity.node,
            epoch: self.identity.epoch,
            roles: self.identity.roles,
            price: self.identity.price,
            features: 0,
        }
    }

    /// Queues what is due by time on every link.
    pub(super) fn tick_links(&mut self) {
        for (&neighbour, link) in &mut self.links {
            if link.tick(self.now) {
                self.outputs.push_back(Output::Ready { neighbour });
            }
        }
    }

    /// A neighbour with live tracks is gone: others that know it look at once.
    pub(super) fn hint_of(&mut self, gone: &Link) {
        let NodeId([a, b, c, d, e, f, g, h, ..]) = gone.node;
        let hint = DownHint {
            prefix: [a, b, c, d, e, f, g, h],
            age_ms: u64::try_from(self.now.saturating_sub(gone.since).as_millis()).unwrap_or(u64::MAX),
        };
        for (&neighbour, link) in &mut self.links {
            link.say(Record::DownHint(hint));
            self.outputs.push_back(Output::Ready { neighbour });
        }
    }
}

/// Writes what the routes have for a neighbour; gives the rows.
fn push_flush(
    object: &mut ObjectWriter<'_>,
    flush: Flush,
    logs: &mut Logs,
    neighbour: Neighbour,
) -> Result<Vec<Row>, EncodeError> {
    for origin in flush.reset_acks {
        let _fits = object.push(&Record::ResetAck(origin))?;
    }
    let mut rows: Vec<Row> = flush
        .rows
        .into_iter()
        .map(|(origin, row)| Row {
            log_version: told_version(logs, neighbour, origin, row.seq.epoch),
            origin,
            seq: row.seq,
            distance: row.distance,
            full: row.full,
            reset: row.reset,
            beacon_follows: false,
        })
        .collect();
    if !rows.is_empty() {
        let written = object.rows(&rows);
        rows.truncate(written);
    }
    for request in flush.requests {
        let record = SeqReq {
            origin: request.origin,
            wanted: request.wanted,
            ttl: request.ttl,
        };
        let _fits = object.push(&Record::SeqReq(record))?;
    }
    Ok(rows)
}

/// The version of an origin's log at this epoch that a row tells of, which spares a LOG_HAVE.
fn told_version(logs: &mut Logs, neighbour: Neighbour, origin: NodeId, epoch: u64) -> u64 {
    match logs.head(origin) {
        Some((at, version, _)) if at == epoch => {
            logs.told(
                neighbour,
                Have {
                    origin,
                    epoch,
                    version,
                },
            );
            version
        }
        _ => 0,
    }
}
