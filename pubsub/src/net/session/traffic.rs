//! What went through a session, counted without its lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fanout::Sent;

/// Objects and bytes of payload that went one way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    objects: AtomicU64,
    bytes: AtomicU64,
    pub(super) timed_out: AtomicU64,
    /// How long the last object begun had been here, in nanoseconds and one more; 0: taken already.
    pub(super) waited: AtomicU64,
}

impl Traffic {
    pub(crate) fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, sent: Sent) {
        if sent != Sent::default() {
            self.add(sent.objects, sent.bytes);
            self.timed_out.fetch_add(sent.timed_out, Ordering::Relaxed);
            if let Some(waited) = sent.waited {
                let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX - 1);
                self.waited.store(nanos.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    pub(super) fn read(&self) -> Volume {
        Volume {
            objects: self.objects.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Objects and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Objects.
    pub objects: u64,
    /// Bytes of their payload.
    pub bytes: u64,
}
