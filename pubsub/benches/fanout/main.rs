//! The hot paths without a network: an object on its way from a source to a hundred subscriptions, and the bytes of a stream
//! on their way into objects.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a program that measures, and its load"
)]

mod load;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use headwater_pubsub::wire::data::subgroup::encode_object;
use headwater_pubsub::wire::data::{
    ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject, SubgroupReader,
};
use headwater_pubsub::wire::{Properties, Version};

use load::Load;

const SUBSCRIBERS: usize = 100;

/// Time per object and subscriber: divide by 100.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("object to 100 subscriptions");
    group.throughput(Throughput::Elements(SUBSCRIBERS as u64));
    for (name, bytes, length) in [("20 kB, 60 a group", 20_000, 60), ("200 B, each a group", 200, 1)] {
        let mut load = Load::new(SUBSCRIBERS, bytes, length);
        group.bench_function(name, |bencher| bencher.iter(|| load.object()));
    }
    group.finish();
}

/// A stream of ten objects, in pieces as packets bring them.
fn stream(bytes: usize) -> Vec<Bytes> {
    let mut stream = BytesMut::new();
    SubgroupHeader {
        track_alias: 1,
        group: 7,
        subgroup: SubgroupId::Zero,
        priority: Some(128),
        has_properties: false,
        end_of_group: true,
        first_object: true,
    }
    .encode(&mut stream);
    for id in 0..10_u64 {
        let fields = SubgroupObject {
            id,
            properties: Properties::empty(),
            payload_len: bytes as u64,
            status: ObjectStatus::Normal,
        };
        encode_object(id.checked_sub(1), &fields, false, &mut stream).unwrap();
        stream.resize(stream.len() + bytes, 0x5a);
    }
    stream.chunks(1400).map(Bytes::copy_from_slice).collect()
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ten objects of a stream read");
    for (name, bytes) in [("20 kB", 20_000), ("200 B", 200)] {
        let pieces = stream(bytes);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || pieces.clone(),
                |pieces| {
                    let mut reader = SubgroupReader::new(Version::Draft18);
                    let mut events = 0;
                    for piece in pieces {
                        reader.push(piece);
                        while reader.poll().unwrap().is_some() {
                            events += 1;
                        }
                    }
                    events
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out, read);
criterion_main!(benches);
