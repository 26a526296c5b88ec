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
    collections::{BTreeMap, BTreeSet},
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
pub(crate) use queue::EgressQueue;
use queue::{Command, News};
use streams::Flow;

/// Bytes written in one turn before other tasks of the thread get theirs.
const TURN_BUDGET: usize = 512 * 1024;
/// Shortest sleep of the timer: whatever is due already was looked at in this turn.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Send until the session ends.
pub(crate) async fn run(handle: SessionHandle, handler: Arc<dyn Handler>) {
    let mut egress = Egress::new(Outlet::new(handle, handler));
    poll_fn(|cx| egress.poll(cx)).await;
}

/// A session may have thousands of requests, of which few have something to do in one turn: those are listed, and a turn looks
/// at no other.
struct Egress {
    outlet: Outlet,
    items: BTreeMap<RequestKey, Item>,
    /// Those that may have something to send, each once.
    ready: Vec<RequestKey>,
    /// Those that must be asked although nobody calls, soonest first.
    deadlines: BTreeSet<(Time, RequestKey)>,
    /// Those that have nothing more to send but streams that are not closed.
    closing: Vec<RequestKey>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// When the timer will fire.
    armed: Option<Time>,
    /// The listed ones that one turn looks at, most urgent first: reused.
    turn: Vec<(u8, RequestKey)>,
    /// What came for one turn: reused.
    news: News,
    /// What one write takes: reused.
    chunks: Vec<Bytes>,
}

impl Egress {
    fn new(outlet: Outlet) -> Self {
        Self {
            outlet,
            items: BTreeMap::new(),
            ready: Vec::new(),
            deadlines: BTreeSet::new(),
            closing: Vec::new(),
            timer: Box::pin(tokio::time::sleep(Time::ZERO)),
            armed: None,
            turn: Vec::new(),
            news: News::default(),
            chunks: Vec::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.accept_news(cx);
        self.resume(cx);
        self.acknowledge(cx);
        self.list_due(cx);
        let spent = self.send_ready(cx);
        self.finish_done();
        // A reset in this turn may have made room for those that were refused a stream in it.
        if spent >= TURN_BUDGET || self.may_feed(cx) {
            cx.waker().wake_by_ref();
        }
        self.arm_timer(cx);
        Poll::Pending
    }

    fn accept_news(&mut self, cx: &Context<'_>) {
        let mut news = std::mem::take(&mut self.news);
        self.outlet.handle.shared.egress.take(cx.waker(), &mut news);
        for command in news.commands.drain(..) {
            self.accept(command);
        }
        self.ready.append(&mut news.ready);
        self.news = news;
    }

    fn insert(&mut self, key: RequestKey, item: Item) {
        let before = self.items.insert(key, item);
        debug_assert!(before.is_none(), "a request key is used once");
        self.ready.push(key);
    }

    fn remove(&mut self, key: RequestKey) -> Option<Item> {
        let item = self.items.remove(&key)?;
        if let Some(deadline) = item.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        self.outlet.starved.remove(&key);
        Some(item)
    }

    /// It may have something to send.
    fn list(&mut self, key: RequestKey) {
        if self.items.get(&key).is_some_and(|item| item.ready.claim()) {
            self.ready.push(key);
        }
    }

    fn accept(&mut self, command: Command) {
        match command {
            Command::Subscribe {
                key,
                subscription,
                ready,
            } => {
                self.insert(key, Item::new(Body::Subscription(subscription), ready));
            }
            Command::Fetch { key, fetch, ready } => {
                let body = Body::Fetch {
                    fetch,
                    announced: false,
                    hole: None,
                    begun: false,
                };
                self.insert(key, Item::new(body, ready));
            }
            Command::Update { key, update } => self.update(key, update),
            Command::Again { key } => {
                if let Some(item) = self.items.get_mut(&key) {
                    item.forget_hole();
                }
                self.list(key);
            }
            Command::Unknown { key, start, end } => {
                if let Some(item) = self.items.get_mut(&key)
                    && let Body::Fetch { fetch, .. } = &mut item.body
                {
                    fetch.unknown(start, end);
                    item.forget_hole();
                }
                self.list(key);
            }
            Command::Stop { key, code } => {
                self.remove(key);
                self.outlet.streams.reset_all(key, code);
            }
            Command::End { key, code, reason } => {
                if self.remove(key).is_some() {
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
        }
        self.list(key);
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
            match (&mut item.body, stream) {
                (Body::Subscription(subscription), Some(stream)) => match flow {
                    Flow::Free => subscription.unblock(stream),
                    Flow::Gone => subscription.stopped(stream),
                    Flow::Finished | Flow::Blocked => {}
                },
                (Body::Fetch { .. }, _) if flow == Flow::Gone => {
                    self.remove(key);
                    self.outlet.fetch_over(key);
                }
                _ => {}
            }
            self.list(key);
        }
        if self.may_feed(cx) {
            for key in std::mem::take(&mut self.outlet.starved) {
                self.list(key);
            }
        }
    }

    /// There is a stream for those that were refused one.
    fn may_feed(&mut self, cx: &mut Context<'_>) -> bool {
        !self.outlet.starved.is_empty() && self.outlet.streams.has_credit(cx)
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

    /// Whatever waited for a moment that has come is to be asked.
    fn list_due(&mut self, cx: &mut Context<'_>) {
        if self.armed.is_none() || self.timer.as_mut().poll(cx).is_pending() {
            return;
        }
        self.armed = None;
        let now = self.outlet.handle.now();
        while let Some(&(deadline, key)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            if let Some(item) = self.items.get_mut(&key) {
                item.deadline = None;
            }
            self.list(key);
        }
    }

    /// Let every item that may have something send it, most urgent first. Returns the bytes handed to the transport.
    fn send_ready(&mut self, cx: &mut Context<'_>) -> usize {
        let mut turn = std::mem::take(&mut self.turn);
        for key in self.ready.drain(..) {
            if let Some(item) = self.items.get(&key)
                && item.done.is_none()
            {
                turn.push((item.body.priority(), key));
            }
        }
        turn.sort_unstable();
        let mut spent = 0;
        for (_, key) in turn.drain(..) {
            if spent >= TURN_BUDGET {
                self.ready.push(key);
            } else {
                self.send(cx, key, &mut spent);
            }
        }
        self.turn = turn;
        spent
    }

    /// Let an item send what it has.
    fn send(&mut self, cx: &mut Context<'_>, key: RequestKey, spent: &mut usize) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        item.ready.release();
        loop {
            let step = self.outlet.step(cx, key, item, &mut self.chunks);
            self.chunks.clear();
            *spent += step.bytes;
            match step.next {
                Next::Again if *spent >= TURN_BUDGET => {
                    if item.ready.claim() {
                        self.ready.push(key);
                    }
                    break;
                }
                Next::Again => {}
                Next::Wait => break,
                Next::Over => {
                    self.remove(key);
                    return;
                }
            }
        }
        let deadline = if item.done.is_some() {
            self.closing.push(key);
            None
        } else {
            item.next_timeout()
        };
        if item.deadline != deadline {
            let before = std::mem::replace(&mut item.deadline, deadline);
            before.map(|before| self.deadlines.remove(&(before, key)));
            deadline.map(|deadline| self.deadlines.insert((deadline, key)));
        }
    }

    /// Send PUBLISH_DONE for subscriptions whose streams are all closed.
    fn finish_done(&mut self) {
        let streams = &self.outlet.streams;
        let closed = self.closing.extract_if(.., |key| !streams.has_any(*key));
        for key in closed.collect::<Vec<_>>() {
            if let Some(Item { done: Some(done), .. }) = self.remove(key) {
                self.outlet.streams.forget_finished(key);
                self.outlet.subscription_over(key, done);
            }
        }
    }

    /// A timer that fires too early does no harm, so it is left alone unless it would fire too late.
    fn arm_timer(&mut self, cx: &mut Context<'_>) {
        let Some(&(next, _)) = self.deadlines.first() else {
            return;
        };
        let next = next.max(self.outlet.handle.now() + SHORTEST_SLEEP);
        if self.armed.is_some_and(|armed| armed <= next) {
            return;
        }
        self.armed = Some(next);
        self.timer
            .as_mut()
            .reset(self.outlet.handle.shared.clock.instant(next));
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
