//! The one task of a session that writes data streams and datagrams.
//!
//! Subscriptions and fetches know what comes next ([`crate::fanout`]); this task asks them, most urgent first, and hands the
//! transport everything that is ready for a stream in one call. A stream whose transport is full keeps what is left of its
//! last write, at most [`outlet::WRITE_BUDGET`] bytes and one chunk, and its subscription is told to leave it alone meanwhile. When the
//! peer's stream limit is reached, or too many streams are full, nothing new is begun: what is owed stays in the cache, where
//! the limits on subscriptions that are behind apply.

mod home;
mod item;
mod outlet;
mod queue;
mod streams;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::session::{Handler, SessionHandle};
use crate::{
    session::{RequestKey, Time},
    wire::{Parameters, StreamCode, control::PublishDone},
};
pub use home::gather_wakes;
use item::{Body, Item};
use outlet::{Next, Outlet};
use queue::Command;
pub(crate) use queue::EgressQueue;
use streams::{Flow, Streams};

/// Bytes written in one turn before other tasks of the thread get theirs.
const TURN_BUDGET: usize = 512 * 1024;
/// Shortest sleep of the timer: whatever is due already was looked at in this turn.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Send until the session ends.
pub(crate) async fn run(handle: SessionHandle, handler: Arc<dyn Handler>) {
    let mut egress = Egress {
        outlet: Outlet {
            streams: Streams::new(handle.transport().clone()),
            handle,
            handler,
        },
        items: BTreeMap::new(),
        timer: Box::pin(tokio::time::sleep(Time::ZERO)),
        ready: Vec::new(),
        chunks: Vec::new(),
    };
    poll_fn(|cx| egress.poll(cx)).await;
}

struct Egress {
    outlet: Outlet,
    items: BTreeMap<RequestKey, Item>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// Who has something to send, by urgency: reused for every turn.
    ready: Vec<(u8, RequestKey)>,
    /// Reused for every write.
    chunks: Vec<Bytes>,
}

impl Egress {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.accept_commands(cx);
        self.resume(cx);
        self.acknowledge(cx);
        self.wake_due();
        let spent = self.send_ready(cx);
        self.finish_done();
        if spent >= TURN_BUDGET {
            cx.waker().wake_by_ref();
        }
        self.arm_timer(cx);
        Poll::Pending
    }

    fn accept_commands(&mut self, cx: &Context<'_>) {
        for command in self.outlet.handle.shared.egress.take(cx.waker()) {
            self.accept(command);
        }
    }

    fn accept(&mut self, command: Command) {
        match command {
            Command::Subscribe {
                key,
                subscription,
                ready,
            } => {
                self.items
                    .insert(key, Item::new(Body::Subscription(subscription), ready));
            }
            Command::Fetch { key, fetch, ready } => {
                let body = Body::Fetch {
                    fetch,
                    announced: false,
                    hole: None,
                    begun: false,
                };
                self.items.insert(key, Item::new(body, ready));
            }
            Command::Update { key, update } => self.update(key, update),
            Command::Again { key } => {
                if let Some(item) = self.items.get_mut(&key) {
                    item.forget_hole();
                    item.ready.set();
                }
            }
            Command::Unknown { key, start, end } => {
                if let Some(item) = self.items.get_mut(&key)
                    && let Body::Fetch { fetch, .. } = &mut item.body
                {
                    fetch.unknown(start, end);
                    item.forget_hole();
                    item.ready.set();
                }
            }
            Command::Stop { key, code } => {
                self.items.remove(&key);
                self.outlet.streams.reset_all(key, code);
            }
            Command::End { key, code, reason } => {
                if self.items.remove(&key).is_some() {
                    self.outlet.streams.reset_all(key, StreamCode::CANCELLED);
                    let done = PublishDone {
                        code,
                        stream_count: None,
                        reason,
                    };
                    self.outlet.subscription_over(key, done);
                }
            }
        }
    }

    fn update(&mut self, key: RequestKey, update: crate::fanout::SubscriptionUpdate) {
        let mut answer = Parameters::default();
        if let Some(item) = self.items.get_mut(&key) {
            match &mut item.body {
                Body::Subscription(subscription) => {
                    let before = subscription.forward();
                    subscription.update(self.outlet.handle.now(), update);
                    answer.largest_object = if !before && subscription.forward() {
                        subscription.joining_location()
                    } else {
                        subscription.track().largest()
                    };
                }
                Body::Fetch { fetch, .. } => {
                    if let Some(priority) = update.priority {
                        fetch.set_priority(priority);
                    }
                }
            }
            item.ready.set();
        }
        self.outlet.handle.act(|session, _| {
            // A request that was cancelled meanwhile needs no answer.
            let _cancelled = session.answer_update(key, Ok(answer)).is_err();
        });
    }

    /// Give full streams what they still owe, most urgent first.
    fn resume(&mut self, cx: &mut Context<'_>) {
        for (key, stream) in self.outlet.streams.blocked() {
            let flow = self.outlet.streams.resume(cx, (key, stream));
            let Some(item) = self.items.get_mut(&key).filter(|_| flow != Flow::Blocked) else {
                continue;
            };
            item.ready.set();
            match (&mut item.body, stream) {
                (Body::Subscription(subscription), Some(stream)) => match flow {
                    Flow::Free => subscription.unblock(stream),
                    Flow::Gone => subscription.stopped(stream),
                    Flow::Finished | Flow::Blocked => {}
                },
                (Body::Fetch { .. }, _) if flow == Flow::Gone => {
                    self.items.remove(&key);
                    self.outlet.fetch_over(key);
                }
                _ => {}
            }
        }
        if self.items.values().any(|item| item.starved) && self.outlet.streams.has_credit(cx) {
            for item in self.items.values_mut() {
                if std::mem::take(&mut item.starved) {
                    item.ready.set();
                }
            }
        }
    }

    /// Tell subscriptions of streams whose end has arrived.
    fn acknowledge(&mut self, cx: &mut Context<'_>) {
        while let Some((key, stream)) = self.outlet.streams.poll_acknowledged(cx) {
            if let Some(item) = self.items.get_mut(&key)
                && let (Body::Subscription(subscription), Some(stream)) = (&mut item.body, stream)
            {
                subscription.acknowledged(stream);
            }
        }
    }

    /// Let every item that may have something send it, most urgent first. Returns the bytes handed to the transport.
    fn send_ready(&mut self, cx: &mut Context<'_>) -> usize {
        self.ready.extend(
            self.items
                .iter()
                .filter(|(_, item)| item.done.is_none() && item.ready.is_set())
                .map(|(key, item)| (item.body.priority(), *key)),
        );
        self.ready.sort_unstable();
        let mut spent = 0;
        for (_, key) in self.ready.drain(..) {
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            item.ready.clear();
            let over = loop {
                if spent >= TURN_BUDGET {
                    item.ready.set();
                    break false;
                }
                let step = self.outlet.step(cx, key, item, &mut self.chunks);
                self.chunks.clear();
                spent += step.bytes;
                match step.next {
                    Next::Again => {}
                    Next::Wait => break false,
                    Next::Over => break true,
                }
            };
            if over {
                self.items.remove(&key);
            }
        }
        spent
    }

    /// Send PUBLISH_DONE for subscriptions whose streams are all closed.
    fn finish_done(&mut self) {
        let over: Vec<_> = self
            .items
            .iter()
            .filter(|(key, item)| item.done.is_some() && !self.outlet.streams.has_any(**key))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            if let Some(Item { done: Some(done), .. }) = self.items.remove(&key) {
                self.outlet.streams.forget_finished(key);
                self.outlet.subscription_over(key, done);
            }
        }
    }

    /// Whatever waited for a moment that has come is to be asked.
    fn wake_due(&self) {
        let now = self.outlet.handle.now();
        for item in self.items.values() {
            if item.next_timeout().is_some_and(|next| next <= now) {
                item.ready.set();
            }
        }
    }

    fn arm_timer(&mut self, cx: &mut Context<'_>) {
        let Some(next) = self.items.values().filter_map(Item::next_timeout).min() else {
            return;
        };
        let next = next.max(self.outlet.handle.now() + SHORTEST_SLEEP);
        self.timer
            .as_mut()
            .reset(self.outlet.handle.shared.clock.instant(next));
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
