//! What a node counts of payload that it got from more than one source.

use headwater_pubsub::track::CopyStats;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Label;

/// See the module.
#[derive(Debug)]
pub struct Copies {
    objects: Counter,
    held: Counter,
    added: Counter,
    repeated: Counter,
}

impl Copies {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let bytes = Family::<Label, Counter>::default();
        let metrics = Self {
            objects: Counter::default(),
            held: bytes.get_or_create_owned(&[("part", "held")]),
            added: bytes.get_or_create_owned(&[("part", "added")]),
            repeated: Counter::default(),
        };
        registry.register(
            "moq_continued_objects",
            "Objects that a source continued where another had left them",
            metrics.objects.clone(),
        );
        registry.register(
            "moq_continued_bytes",
            "Payload of continued objects: held before, added by the other source",
            bytes,
        );
        registry.register(
            "moq_repeated_bytes",
            "Payload received again that was here already",
            metrics.repeated.clone(),
        );
        metrics
    }

    /// Counts what `now` has more than `before`.
    pub fn add(&self, before: &CopyStats, now: &CopyStats) {
        let count = |counter: &Counter, before: u64, now: u64| {
            counter.inc_by(now.saturating_sub(before));
        };
        count(&self.objects, before.continued_objects, now.continued_objects);
        count(&self.held, before.held_bytes, now.held_bytes);
        count(&self.added, before.continued_bytes, now.continued_bytes);
        count(&self.repeated, before.repeated_bytes, now.repeated_bytes);
    }
}
