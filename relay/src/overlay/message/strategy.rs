//! Any record, for property tests.

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::overlay::id::{Distance, Seq};

fn node() -> impl Strategy<Value = NodeId> {
    // Few, so that aliases repeat.
    (0..6_u8).prop_map(|seed| NodeId([seed; 32]))
}

fn seq() -> impl Strategy<Value = Seq> {
    (
        prop_oneof![0..3_u64, any::<u64>()],
        prop_oneof![0..4_u32, any::<u32>()],
    )
        .prop_map(|(epoch, number)| Seq { epoch, number })
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 32]>().prop_map(|half| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&half);
        Signature(bytes)
    })
}

fn row() -> impl Strategy<Value = Row> {
    let distance = proptest::option::of(0..u64::from(Distance::LIMIT));
    (node(), seq(), distance, any::<[bool; 3]>(), any::<u64>()).prop_map(
        |(origin, seq, distance, [full, reset, beacon_follows], log_version)| Row {
            origin,
            seq,
            distance: distance.and_then(Distance::new),
            full,
            reset,
            beacon_follows,
            log_version,
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let namespace = vec(vec(any::<u8>(), 1..6), 0..4).prop_map(|fields| TrackNamespace::new(fields).unwrap());
    (namespace, proptest::option::of(vec(any::<u8>(), 0..6))).prop_map(|(namespace, name)| match name {
        None => Entry::Namespace(namespace),
        Some(name) => Entry::Track(FullTrackName::new(namespace, TrackName::new(name).unwrap()).unwrap()),
    })
}

fn change() -> impl Strategy<Value = Change> {
    let attributes = (
        vec(any::<u8>(), 0..=MAX_CONTENT_KEY),
        proptest::option::of(any::<u64>()),
    );
    (entry(), proptest::option::of(attributes)).prop_map(|(entry, attributes)| match attributes {
        None => Change::Remove(entry),
        Some((key, expiry)) => Change::Add(
            entry,
            Attributes {
                content_key: key.into(),
                expiry: expiry.map(Duration::from_secs),
            },
        ),
    })
}

fn push() -> impl Strategy<Value = Record> {
    let versions = (any::<u64>(), any::<u32>(), 1..1000_u64, any::<u64>());
    (node(), versions, vec(change(), 1..5), hash(), signature()).prop_map(
        |(origin, (epoch, start, first, snapshot), changes, hash, signature)| {
            let (start, from) = (u64::from(start), u64::from(start) + first);
            let head = Head {
                epoch,
                start,
                snapshot,
                version: from + changes.len() as u64 - 1,
                hash,
            };
            Record::LogPush(LogPush {
                origin,
                from,
                changes,
                head,
                signature,
            })
        },
    )
}

fn trace() -> impl Strategy<Value = Record> {
    let upstream =
        (node(), any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(node, cost, srtt, since_ms)| {
            Upstream {
                node,
                cost,
                srtt,
                since_ms,
            }
        });
    let hop = (node(), proptest::option::of(upstream)).prop_map(|(node, upstream)| Hop { node, upstream });
    (any::<u64>(), vec(hop, 0..=33)).prop_map(|(request, hops)| Record::TraceRep(TraceRep { request, hops }))
}

fn status() -> impl Strategy<Value = Record> {
    let health = prop_oneof![
        Just(LinkHealth::Ok),
        Just(LinkHealth::Suspect),
        Just(LinkHealth::Down)
    ];
    let link =
        (node(), health, any::<[u32; 3]>()).prop_map(|(node, health, [cost, srtt, loss_ppm])| LinkSummary {
            node,
            health,
            cost,
            srtt,
            loss_ppm,
        });
    let summary = (
        node(),
        "\\PC{0,16}",
        any::<[u64; 4]>(),
        any::<u32>(),
        vec(link, 0..5),
    )
        .prop_map(
            |(node, name, [roles, uptime_s, clients, tracks], load, links)| Summary {
                node,
                name,
                roles: Roles(roles),
                uptime_s,
                load,
                clients,
                tracks,
                links,
            },
        );
    (any::<u64>(), any::<bool>(), vec(summary, 0..4)).prop_map(|(request, last, nodes)| {
        let last = if last { Last::Yes } else { Last::No };
        Record::StatusRep(StatusRep { request, last, nodes })
    })
}

fn pulls() -> impl Strategy<Value = Record> {
    let pull = (any::<[u8; 8]>(), proptest::option::of(node())).prop_map(|(hash, from)| Pull {
        namespace: NamespaceHash(hash),
        from,
    });
    let told = (node(), vec(pull, 0..=MAX_PULLS)).prop_map(|(node, pulls)| NodePulls { node, pulls });
    (any::<u64>(), vec(told, 0..4))
        .prop_map(|(request, nodes)| Record::StatusPulls(StatusPulls { request, nodes }))
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn member() -> impl Strategy<Value = Record> {
    let peer = (
        node(),
        vec("\\PC{0,20}", 0..=MAX_ADDRESSES),
        any::<[u64; 2]>(),
        signature(),
    )
        .prop_map(|(node, addresses, [roles, time_ms], signature)| PeerRecord {
            node,
            addresses,
            roles: Roles(roles),
            time_ms,
            signature,
        });
    let life = (node(), any::<[u64; 3]>(), any::<bool>(), signature()).prop_map(
        |(node, [count, run, above], cloned, signature)| {
            Record::Life(Life {
                node,
                count,
                run,
                above,
                cloned,
                signature,
            })
        },
    );
    prop_oneof![
        life,
        vec(peer, 0..4).prop_map(Record::Peers),
        bytes(MAX_REVOCATION).prop_map(|bytes| Record::Credential(Credential::Revocation(bytes))),
        bytes(MAX_CERTIFICATE).prop_map(|bytes| Record::Credential(Credential::Certificate(bytes))),
        (any::<[u8; 8]>(), any::<u64>())
            .prop_map(|(prefix, age_ms)| Record::DownHint(DownHint { prefix, age_ms })),
    ]
}

fn session() -> impl Strategy<Value = Record> {
    let hello = (node(), any::<[u64; 4]>(), any::<u32>()).prop_map(
        |(node, [version, epoch, roles, features], price)| {
            Record::Hello(Hello {
                version,
                node,
                epoch,
                roles: Roles(roles),
                price,
                features,
            })
        },
    );
    prop_oneof![
        hello,
        Just(Record::SnapshotEnd),
        any::<u64>().prop_map(Record::Echo),
        any::<u64>().prop_map(Record::EchoReply),
        any::<[u64; 2]>().prop_map(|[sent, lost]| Record::Link(Link { sent, lost })),
        hash().prop_map(Record::Digest),
    ]
}

fn about_origin() -> impl Strategy<Value = Record> {
    let beacon = (node(), seq(), hash(), signature(), any::<[u64; 2]>()).prop_map(
        |(origin, seq, log_head, signature, [log_version, time_ms])| {
            Record::Beacon(Beacon {
                origin,
                seq,
                log_version,
                log_head,
                time_ms,
                signature,
            })
        },
    );
    let have = (node(), any::<[u64; 2]>()).prop_map(|(origin, [epoch, version])| Have {
        origin,
        epoch,
        version,
    });
    prop_oneof![
        vec(row(), 0..8).prop_map(Record::Route),
        beacon,
        (node(), seq(), any::<u8>()).prop_map(|(origin, wanted, ttl)| Record::SeqReq(SeqReq {
            origin,
            wanted,
            ttl
        })),
        node().prop_map(Record::ResetAck),
        vec(have, 0..8).prop_map(Record::LogHave),
        (node(), any::<[u64; 3]>()).prop_map(|(origin, [epoch, from, max_bytes])| Record::LogPull(LogPull {
            origin,
            epoch,
            from,
            max_bytes
        })),
        node().prop_map(Record::LogPrune),
        node().prop_map(Record::LogGraft),
        (any::<u64>(), node(), any::<u8>()).prop_map(|(request, origin, ttl)| Record::TraceReq(TraceReq {
            request,
            origin,
            ttl
        })),
        (any::<u64>(), any::<u8>()).prop_map(|(request, ttl)| Record::StatusReq(StatusReq { request, ttl })),
    ]
}

/// Any record within its limits.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        session(),
        about_origin(),
        about_origin(),
        push(),
        trace(),
        status(),
        pulls(),
        member()
    ]
}
