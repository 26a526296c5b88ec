//! A subscription read in order.

use std::time::Duration;

use super::{
    Subscriber,
    reorder::{Next, Reorder},
    seam::{Found, Seam},
};
use crate::{net::reader::ReceivedObject, wire::control::PublishDone};

/// How to put a subscription into order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderedOptions {
    /// How long an object may be held back by others before it that are missing. Default 1 s: several round trips, so that what
    /// is only late arrives; what the publisher dropped costs this much. A group whose end is not marked costs it too, but for
    /// those where the subscription begins: they are asked for.
    pub patience: Duration,
    /// Bytes of payload that may be held back; beyond, holes are skipped. Default 16 MiB.
    pub max_bytes: u64,
}

impl Default for OrderedOptions {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            max_bytes: 16 << 20,
        }
    }
}

/// A subscription whose groups come in ascending order, and the objects of a group in ascending order. Dropping it cancels the
/// subscription.
#[derive(Debug)]
pub struct Ordered {
    subscriber: Subscriber,
    reorder: Reorder,
    seam: Seam,
    over: bool,
}

impl Ordered {
    pub(super) fn new(subscriber: Subscriber, options: OrderedOptions) -> Self {
        let start = subscriber.start();
        Self {
            seam: subscriber.seam().map_or(Seam::Closed, Seam::Open),
            reorder: Reorder::new(options.patience, options.max_bytes, start),
            subscriber,
            over: false,
        }
    }

    /// The next object in order, marks of ends included; `None` after the last. Holes are skipped after
    /// [`OrderedOptions::patience`]; objects that come after that are dropped.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<ReceivedObject> {
        let handle = self.subscriber.client().handle().clone();
        loop {
            if self.over {
                return self.reorder.drain();
            }
            let until = match self.reorder.poll(handle.now()) {
                Next::Object(object) => return Some(*object),
                Next::Wait(until) => until,
            };
            if let Some(before) = self.seam.unasked().and_then(|at| self.reorder.held_up_from(at)) {
                let subscriber = &self.subscriber;
                self.seam.ask(subscriber.client(), subscriber.track(), before);
            }
            let patience = async {
                match until {
                    Some(until) => handle.sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                object = self.subscriber.next() => match object {
                    Some(object) => self.reorder.push(object),
                    None => self.over = true,
                },
                found = self.seam.next() => match found {
                    Found::Object(object) => self.reorder.push(object),
                    Found::Nothing(gap) => self.reorder.prove_empty(gap),
                },
                () = patience => {}
            }
        }
    }

    /// The next object of what has come already, without waiting; holes are skipped, and a past that is still read is given up.
    /// For one who stops reading.
    pub fn take_ready(&mut self) -> Option<ReceivedObject> {
        while let Some(object) = self.subscriber.take_ready() {
            self.reorder.push(object);
        }
        self.reorder.drain()
    }

    /// How many holes were skipped.
    pub const fn skipped(&self) -> u64 {
        self.reorder.skipped()
    }

    /// Whether the subscription is over: what [`Ordered::next`] still gives was held back, and holes in it stay.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The subscription below, to update it.
    pub const fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    /// How the publisher ended the subscription.
    pub fn done(&self) -> Option<PublishDone> {
        self.subscriber.done()
    }
}
