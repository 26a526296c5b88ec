//! What is said to an overlay, drawn from the fuzzer's bytes.

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};
use headwater_relay::overlay::id::{Distance, NodeId, Seq};
use headwater_relay::overlay::message::{
    Attributes, Beacon, Change, Credential, DownHint, Entry, Hash, Have, Head, Hop, Last, Life, Link,
    LogPull, LogPush, NamespaceHash, NodePulls, PeerRecord, Pull, Record, Roles, Row, SeqReq, Signature,
    StatusPulls, StatusRep, StatusReq, Summary, TraceRep, TraceReq,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Nodes that keep the rules.
pub(super) const HONEST: [u8; 3] = [1, 2, 3];
/// The neighbours of the outer ones that do not; the middle one has none.
pub(super) const WILD: [u8; 3] = [4, 0, 5];
/// Who is no member.
pub(super) const EXPELLED: u8 = 6;

pub(super) fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

pub(super) fn signature(node: NodeId) -> Signature {
    Signature([node.0[0]; 64])
}

/// One of those that there are, or that nobody has met.
pub(super) fn node(u: &mut Unstructured<'_>) -> Result<NodeId> {
    Ok(id(u.int_in_range(1..=24)?))
}

/// A signature of whoever the wild neighbour has the key of: not of the honest.
fn signed(u: &mut Unstructured<'_>, node: NodeId) -> Result<Signature> {
    let forged = HONEST.contains(&node.0[0]) || u.ratio(1, 32)?;
    Ok(if forged {
        Signature([0; 64])
    } else {
        signature(node)
    })
}

pub(super) fn entry(u: &mut Unstructured<'_>) -> Result<Entry> {
    let fields = [b"n".to_vec(), vec![u.int_in_range(b'a'..=b'f')?]];
    let namespace = TrackNamespace::new(fields).expect("short");
    if u.ratio(3, 4)? {
        return Ok(Entry::Namespace(namespace));
    }
    let name = TrackName::new(b"t".as_slice()).expect("short");
    Ok(Entry::Track(FullTrackName::new(namespace, name).expect("short")))
}

pub(super) fn track() -> FullTrackName {
    let namespace = TrackNamespace::new([b"n".as_slice(), b"a"]).expect("short");
    FullTrackName::new(namespace, TrackName::new(b"t".as_slice()).expect("short")).expect("short")
}

fn seq(u: &mut Unstructured<'_>) -> Result<Seq> {
    let epoch = if u.ratio(1, 16)? {
        u.arbitrary::<u64>()? >> 2
    } else {
        u.int_in_range(0..=4)?
    };
    let number = if u.ratio(1, 16)? {
        u.arbitrary()?
    } else {
        u.int_in_range(0..=6)?
    };
    Ok(Seq { epoch, number })
}

fn row(u: &mut Unstructured<'_>) -> Result<Row> {
    let micros = if u.ratio(1, 8)? {
        0
    } else {
        u.int_in_range(0..=200_000)?
    };
    Ok(Row {
        origin: node(u)?,
        seq: seq(u)?,
        distance: Distance::new(micros).filter(|_| micros < 180_000),
        full: u.ratio(1, 8)?,
        reset: u.ratio(1, 16)?,
        beacon_follows: false,
        log_version: u.int_in_range(0..=5)?,
    })
}

fn change(u: &mut Unstructured<'_>) -> Result<Change> {
    let entry = entry(u)?;
    Ok(if u.ratio(2, 3)? {
        let expiry = u.arbitrary::<Option<u8>>()?;
        let attributes = Attributes {
            expiry: expiry.map(|secs| Duration::from_secs(secs.into())),
            ..Attributes::default()
        };
        Change::Add(entry, attributes)
    } else {
        Change::Remove(entry)
    })
}

fn few<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    draw: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| draw(u)).collect()
}

pub(super) fn peers(u: &mut Unstructured<'_>) -> Result<Vec<PeerRecord>> {
    few(u, 20, |u| {
        let node = node(u)?;
        Ok(PeerRecord {
            node,
            addresses: few(u, 2, |_| Ok("moqt://[::1]:4443".to_owned()))?,
            roles: Roles::RELAY,
            time_ms: u.int_in_range(0..=2_000_000)?,
            signature: signed(u, node)?,
        })
    })
}

/// Any record, with true signatures where the speaker could have them.
pub(super) fn record(u: &mut Unstructured<'_>, speaker: u8) -> Result<Record> {
    Ok(match u.int_in_range(0..=24_u8)? {
        0..=5 => Record::Route(few(u, 24, row)?),
        6..=9 => {
            let origin = if u.arbitrary()? { id(speaker) } else { node(u)? };
            Record::Beacon(Beacon {
                origin,
                seq: seq(u)?,
                log_version: u.int_in_range(0..=5)?,
                log_head: Hash([0; 32]),
                time_ms: u.arbitrary()?,
                signature: signed(u, origin)?,
            })
        }
        10 | 11 => Record::SeqReq(SeqReq {
            origin: node(u)?,
            wanted: seq(u)?,
            ttl: u.arbitrary()?,
        }),
        12 => Record::ResetAck(node(u)?),
        13 => Record::LogHave(few(u, 8, |u| {
            Ok(Have {
                origin: node(u)?,
                epoch: u.int_in_range(0..=4)?,
                version: u.arbitrary()?,
            })
        })?),
        14 | 15 => Record::LogPush(push(u)?),
        16 => Record::LogPull(LogPull {
            origin: node(u)?,
            epoch: u.int_in_range(0..=4)?,
            from: u.int_in_range(0..=9)?,
            max_bytes: u.arbitrary()?,
        }),
        17 => Record::LogPrune(node(u)?),
        18 => Record::LogGraft(node(u)?),
        19 => Record::Peers(peers(u)?),
        20 => Record::DownHint(DownHint {
            prefix: [u.int_in_range(1..=6)?; 8],
            age_ms: u.arbitrary()?,
        }),
        21 => Record::Credential(Credential::Certificate(Bytes::copy_from_slice(&[
            u.int_in_range(0..=24)?
        ]))),
        22 => question(u)?,
        23 => life(u)?,
        _ => match u.int_in_range(0..=4_u8)? {
            0 => Record::Echo(u.arbitrary()?),
            1 => Record::EchoReply(u.arbitrary()?),
            2 => Record::Link(Link {
                sent: u.arbitrary()?,
                lost: u.arbitrary()?,
            }),
            3 => Record::Digest(Hash([u.arbitrary()?; 32])),
            _ => Record::SnapshotEnd,
        },
    })
}

fn life(u: &mut Unstructured<'_>) -> Result<Record> {
    let node = node(u)?;
    Ok(Record::Life(Life {
        node,
        count: u.int_in_range(0..=9)?,
        run: u.int_in_range(1..=9)?,
        above: u.int_in_range(0..=9)?,
        cloned: u.arbitrary()?,
        signature: signed(u, node)?,
    }))
}

fn push(u: &mut Unstructured<'_>) -> Result<LogPush> {
    let origin = node(u)?;
    Ok(LogPush {
        origin,
        from: u.int_in_range(0..=4)?,
        changes: few(u, 4, change)?,
        head: Head {
            epoch: u.int_in_range(0..=4)?,
            start: u.int_in_range(0..=2)?,
            snapshot: u.int_in_range(0..=2)?,
            version: u.int_in_range(0..=6)?,
            hash: Hash([u.arbitrary()?; 32]),
        },
        signature: signed(u, origin)?,
    })
}

/// What a node serves, and from where.
pub(super) fn pulls(u: &mut Unstructured<'_>) -> Result<Vec<Pull>> {
    few(u, 3, |u| {
        Ok(Pull {
            namespace: NamespaceHash(u.arbitrary()?),
            from: if u.arbitrary()? { Some(node(u)?) } else { None },
        })
    })
}

fn question(u: &mut Unstructured<'_>) -> Result<Record> {
    let request = u.int_in_range(0..=8)?;
    Ok(match u.int_in_range(0..=4_u8)? {
        0 => Record::TraceReq(TraceReq {
            request,
            origin: node(u)?,
            ttl: u.arbitrary()?,
        }),
        1 => Record::TraceRep(TraceRep {
            request,
            hops: few(u, 40, |u| {
                Ok(Hop {
                    node: node(u)?,
                    upstream: None,
                })
            })?,
        }),
        2 => Record::StatusReq(StatusReq {
            request,
            ttl: u.arbitrary()?,
        }),
        3 => Record::StatusPulls(StatusPulls {
            request,
            nodes: few(u, 20, |u| {
                Ok(NodePulls {
                    node: node(u)?,
                    pulls: pulls(u)?,
                })
            })?,
        }),
        _ => Record::StatusRep(StatusRep {
            request,
            last: if u.arbitrary()? { Last::Yes } else { Last::No },
            nodes: few(u, 20, |u| {
                Ok(Summary {
                    node: node(u)?,
                    name: "x".to_owned(),
                    roles: Roles::RELAY,
                    uptime_s: 0,
                    load: 0,
                    clients: 0,
                    tracks: 0,
                    links: Vec::new(),
                })
            })?,
        }),
    })
}
