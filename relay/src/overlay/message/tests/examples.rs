//! What `docs/gossip.md` gives examples of.

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};

use super::{node, row};
use crate::overlay::id::{Distance, Seq};
use crate::overlay::message::*;

/// The examples of `docs/gossip.md`, in its order.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn examples() -> Vec<(&'static str, Vec<Record>)> {
    let (a, b) = (node(0xaa), node(0xbb));
    let seq = Seq {
        epoch: 1_700_000_000_000,
        number: 3,
    };
    let namespace = TrackNamespace::new(["live", "cam"]).unwrap();
    let track = FullTrackName::new(namespace.clone(), TrackName::new("video").unwrap()).unwrap();
    let told = namespace.clone();
    let attributes = Attributes {
        content_key: Bytes::from_static(b"k1"),
        expiry: Some(Duration::from_secs(2)),
    };
    let near = Row {
        origin: a,
        seq,
        ..row(a, 0)
    };
    vec![
        (
            "the beginning of a session",
            vec![
                Record::Hello(Hello {
                    version: VERSION,
                    node: a,
                    epoch: seq.epoch,
                    roles: Roles::RELAY,
                    price: 0,
                    features: 0,
                }),
                Record::SnapshotEnd,
            ],
        ),
        (
            "the link",
            vec![
                Record::Echo(1_000_000),
                Record::EchoReply(999_000),
                Record::Link(Link { sent: 5000, lost: 12 }),
                Record::DownHint(DownHint {
                    prefix: [0xbb; 8],
                    age_ms: 60_000,
                }),
            ],
        ),
        (
            "three rows, the last a retraction by offset",
            vec![Record::Route(vec![
                near,
                Row {
                    distance: Distance::new(41_250),
                    full: true,
                    ..row(b, 9)
                },
                Row {
                    seq: seq.next(),
                    distance: None,
                    ..near
                },
            ])],
        ),
        (
            "sequence numbers",
            vec![
                Record::Beacon(Beacon {
                    origin: a,
                    seq,
                    log_version: 2,
                    log_head: Hash([0x11; 32]),
                    time_ms: 1_700_000_000_500,
                    signature: Signature([0x22; 64]),
                }),
                Record::SeqReq(SeqReq {
                    origin: a,
                    wanted: seq.next(),
                    ttl: SEQ_REQ_TTL,
                }),
                Record::ResetAck(b),
            ],
        ),
        (
            "a push of two changes",
            vec![Record::LogPush(LogPush {
                origin: a,
                from: 1,
                changes: vec![
                    Change::Add(Entry::Namespace(namespace), attributes),
                    Change::Remove(Entry::Track(track)),
                ],
                head: Head {
                    epoch: seq.epoch,
                    start: 0,
                    snapshot: 0,
                    version: 2,
                    hash: Hash([0x11; 32]),
                },
                signature: Signature([0x22; 64]),
            })],
        ),
        (
            "who has and wants which log",
            vec![
                Record::LogHave(vec![
                    Have {
                        origin: a,
                        epoch: seq.epoch,
                        version: 2,
                    },
                    Have {
                        origin: b,
                        epoch: 1,
                        version: 9,
                    },
                ]),
                Record::LogPull(LogPull {
                    origin: b,
                    epoch: 1,
                    from: 7,
                    max_bytes: 16_384,
                }),
                Record::LogPrune(a),
                Record::LogGraft(b),
            ],
        ),
        (
            "a trace",
            vec![
                Record::TraceReq(TraceReq {
                    request: 5,
                    origin: a,
                    ttl: TRACE_TTL,
                }),
                Record::TraceRep(TraceRep {
                    request: 5,
                    hops: vec![
                        Hop {
                            node: b,
                            upstream: Some(Upstream {
                                node: a,
                                cost: 6000,
                                srtt: 10_000,
                                since_ms: 120_000,
                            }),
                        },
                        Hop {
                            node: a,
                            upstream: None,
                        },
                    ],
                }),
            ],
        ),
        (
            "a status",
            vec![
                Record::StatusReq(StatusReq { request: 6, ttl: 0 }),
                Record::StatusRep(StatusRep {
                    request: 6,
                    last: Last::Yes,
                    nodes: vec![Summary {
                        node: a,
                        name: "attic".to_owned(),
                        roles: Roles::RELAY,
                        uptime_s: 3600,
                        load: 120,
                        clients: 14,
                        tracks: 3,
                        links: vec![LinkSummary {
                            node: b,
                            health: LinkHealth::Suspect,
                            cost: 6000,
                            srtt: 10_000,
                            loss_ppm: 2500,
                        }],
                    }],
                }),
            ],
        ),
        (
            "what a node pulls",
            vec![Record::StatusPulls(StatusPulls {
                request: 6,
                nodes: vec![
                    NodePulls {
                        node: a,
                        pulls: vec![Pull {
                            namespace: NamespaceHash::of(&told),
                            from: None,
                        }],
                    },
                    NodePulls {
                        node: b,
                        pulls: vec![Pull {
                            namespace: NamespaceHash::of(&told),
                            from: Some(a),
                        }],
                    },
                ],
            })],
        ),
        (
            "the mesh",
            vec![
                Record::Peers(vec![PeerRecord {
                    node: b,
                    addresses: vec!["moqt://relay.example:4443".to_owned()],
                    roles: Roles::RELAY.with(Roles::AUTHORITY),
                    time_ms: 1_700_000_000_000,
                    signature: Signature([0x22; 64]),
                }]),
                Record::Credential(Credential::Revocation(Bytes::from_static(b"a revocation"))),
                Record::Credential(Credential::Certificate(Bytes::from_static(b"a certificate"))),
                Record::Digest(Hash([0x11; 32])),
            ],
        ),
        (
            "two lives",
            vec![Record::Life(Life {
                node: a,
                count: 1_700_000_000_001,
                run: 0x5151_5151_5151_5151,
                above: 0x5252_5252_5252_5252,
                cloned: true,
                signature: Signature([0x22; 64]),
            })],
        ),
    ]
}
