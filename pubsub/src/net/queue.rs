//! The queue between the data streams of one subscription or fetch and the application that reads it.
//!
//! Bounded twice: by objects, since each costs something however small, and by payload bytes. Streams wait while it is full,
//! which holds the peer back by QUIC's flow control; datagrams are dropped instead.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::reader::ReceivedObject;

/// Objects that wait at most, whatever their size.
const MAX_OBJECTS: usize = 1024;

/// Where streams and datagrams put objects. Made by [`object_queue`].
#[derive(Clone, Debug)]
pub struct ObjectSender {
    queue: mpsc::Sender<Entry>,
    bytes: Arc<Semaphore>,
    max_bytes: u32,
    unknown: Arc<AtomicU64>,
}

/// Where the application takes objects from. Made by [`object_queue`].
#[derive(Debug)]
pub struct ObjectReceiver {
    queue: mpsc::Receiver<Entry>,
    /// Ranges of unknown state that were told of.
    unknown: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Entry {
    object: ReceivedObject,
    /// Given back when the object is taken out.
    _bytes: OwnedSemaphorePermit,
}

/// The object was not taken: nobody reads any more, or (only for datagrams) there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object was not queued")]
pub struct NotQueued;

/// A queue for `max_bytes` of payload. A larger object passes alone.
pub fn object_queue(max_bytes: u32) -> (ObjectSender, ObjectReceiver) {
    let (sender, receiver) = mpsc::channel(MAX_OBJECTS);
    let max_bytes = max_bytes.max(1);
    let permits = usize::try_from(max_bytes)
        .unwrap_or(Semaphore::MAX_PERMITS)
        .min(Semaphore::MAX_PERMITS);
    let unknown = Arc::new(AtomicU64::new(0));
    (
        ObjectSender {
            queue: sender,
            bytes: Arc::new(Semaphore::new(permits)),
            max_bytes,
            unknown: unknown.clone(),
        },
        ObjectReceiver {
            queue: receiver,
            unknown,
        },
    )
}

impl ObjectSender {
    fn cost(&self, object: &ReceivedObject) -> u32 {
        let bytes = object.payload.len().saturating_add(object.properties.len());
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_bytes)
    }

    /// Put an object in, waiting for room. Cancel-safe: if dropped, the object is not in the queue.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn send(&self, object: ReceivedObject) -> Result<(), NotQueued> {
        let cost = self.cost(&object);
        let bytes = tokio::select! {
            permit = self.bytes.clone().acquire_many_owned(cost) => permit.map_err(|_closed| NotQueued)?,
            () = self.queue.closed() => return Err(NotQueued),
        };
        self.queue
            .send(Entry {
                object,
                _bytes: bytes,
            })
            .await
            .map_err(|_closed| NotQueued)
    }

    /// Tell the reader of a range of which it is not known whether objects exist there.
    pub(crate) fn unknown_range(&self) {
        // Whoever reads the end of the queue sees what was told before it: the queue synchronises.
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// Put an object in if there is room.
    ///
    /// # Errors
    /// Nobody reads any more, or there is no room.
    pub fn try_send(&self, object: ReceivedObject) -> Result<(), NotQueued> {
        let bytes = self
            .bytes
            .clone()
            .try_acquire_many_owned(self.cost(&object))
            .map_err(|_full| NotQueued)?;
        self.queue
            .try_send(Entry {
                object,
                _bytes: bytes,
            })
            .map_err(|_full| NotQueued)
    }
}

impl ObjectReceiver {
    /// The next object; `None` once every sender is gone or [`ObjectReceiver::close`] was called, and the queue is empty.
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<ReceivedObject> {
        self.queue.recv().await.map(|entry| entry.object)
    }

    /// Ranges of unknown state so far.
    pub(crate) fn unknown_ranges(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// An object that is there now.
    pub fn try_recv(&mut self) -> Option<ReceivedObject> {
        self.queue.try_recv().ok().map(|entry| entry.object)
    }

    /// Take no more; what is in the queue can still be read.
    pub fn close(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Location, Properties, data::ObjectStatus};

    fn object(id: u64, len: usize) -> ReceivedObject {
        ReceivedObject {
            location: Location::new(0, id),
            subgroup: Some(0),
            priority: None,
            properties: Properties::default(),
            status: ObjectStatus::Normal,
            payload: Bytes::from(vec![0; len]),
        }
    }

    #[tokio::test]
    async fn bytes_bound_the_queue_and_reading_makes_room() {
        let (sender, mut receiver) = object_queue(100);
        assert!(sender.try_send(object(0, 60)).is_ok());
        assert!(sender.try_send(object(1, 60)).is_err());
        assert!(
            receiver
                .recv()
                .await
                .is_some_and(|object| object.location.object == 0)
        );
        assert!(sender.try_send(object(1, 60)).is_ok());
    }

    #[tokio::test]
    async fn an_object_above_the_bound_passes_alone() {
        let (sender, mut receiver) = object_queue(100);
        assert!(sender.try_send(object(0, 1000)).is_ok());
        assert!(sender.try_send(object(1, 1)).is_err());
        assert!(receiver.recv().await.is_some());
        assert!(sender.try_send(object(1, 1)).is_ok());
    }

    #[tokio::test]
    async fn a_sender_that_waits_hears_that_the_reader_left() {
        let (sender, receiver) = object_queue(10);
        assert!(sender.try_send(object(0, 10)).is_ok());
        let waiting = sender.send(object(1, 10));
        drop(receiver);
        assert_eq!(waiting.await, Err(NotQueued));
    }
}
