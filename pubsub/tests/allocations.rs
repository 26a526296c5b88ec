//! What an object costs in allocations on its way to the transport: something once, for all who read it, and nothing for each of
//! them. What a stream costs behind that is QUIC's, and ours once a stream.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a program that measures, and its load"
)]

#[path = "../benches/fanout/load.rs"]
mod load;

use allocation_counter::measure;

use load::Load;

/// Allocations per object, of many, once all buffers have grown.
fn per_object(subscribers: usize, bytes: usize, group_length: u64) -> f64 {
    const OBJECTS: u32 = 600;
    let mut load = Load::new(subscribers, bytes, group_length);
    let mut out = 0;
    (0..OBJECTS).for_each(|_| out = load.object());
    let count = measure(|| out = (0..OBJECTS).map(|_| load.object()).sum());
    assert!(out >= subscribers * bytes * 600, "not all was handed out: {out}");
    f64::from(u32::try_from(count.count_total).unwrap()) / f64::from(OBJECTS)
}

#[test]
fn an_object_in_a_long_group_is_handed_out_without_an_allocation_each() {
    let (few, many) = (per_object(10, 20_000, 60), per_object(110, 20_000, 60));
    assert!(many - few < 1.0, "{few} with 10 subscribers, {many} with 110");
}

#[test]
fn an_object_that_is_a_group_is_handed_out_without_an_allocation_each() {
    let (few, many) = (per_object(10, 200, 1), per_object(110, 200, 1));
    assert!(many - few < 1.0, "{few} with 10 subscribers, {many} with 110");
}
