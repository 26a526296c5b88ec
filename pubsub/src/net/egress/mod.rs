//! The one task of a session that writes data streams and datagrams.
//!
//! Subscriptions and fetches know what comes next ([`crate::fanout`]); this task asks them, most urgent first, and hands the
//! transport everything that is ready for a stream in one call. A stream whose transport is full keeps what is left of its
//! last write, at most [`WRITE_BUDGET`] bytes and one chunk, and its subscription is told to leave it alone meanwhile. When the
//! peer's stream limit is reached, or too many streams are full, nothing new is begun: what is owed stays in the cache, where
//! the limits on subscriptions that are behind apply.

mod home;
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
use tracing::trace;

use super::session::{DataEvent, Handler, SessionHandle};
use crate::{
    fanout::{Fetch, FetchStep, StreamCredit, Subscription, Transmit},
    session::{RequestKey, Time},
    wire::{
        Parameters, PublishDoneCode, RequestErrorCode, StreamCode,
        control::{PublishDone, RequestError},
    },
};
pub use home::gather_wakes;
pub(crate) use queue::EgressQueue;
use queue::{Command, Ready};
use streams::{Ending, Flow, Streams, stream_priority};

/// Bytes gathered for one stream in one call.
const WRITE_BUDGET: usize = 64 * 1024;
/// Bytes written in one turn before other tasks of the thread get theirs.
const TURN_BUDGET: usize = 512 * 1024;
/// Shortest sleep of the timer: whatever is due already was looked at in this turn.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Send until the session ends.
pub(crate) async fn run(handle: SessionHandle, handler: Arc<dyn Handler>) {
    let mut egress = Egress {
        streams: Streams::new(handle.transport().clone()),
        handle,
        handler,
        items: BTreeMap::new(),
        timer: Box::pin(tokio::time::sleep(Time::ZERO)),
        chunks: Vec::new(),
    };
    poll_fn(|cx| egress.poll(cx)).await;
}

struct Egress {
    handle: SessionHandle,
    handler: Arc<dyn Handler>,
    streams: Streams,
    items: BTreeMap<RequestKey, Item>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// Reused for every write.
    chunks: Vec<Bytes>,
}

struct Item {
    body: Body,
    ready: Arc<Ready>,
    /// A subscription that has nothing more to send, waiting for its streams to take their last bytes.
    done: Option<PublishDone>,
    /// It was refused a stream and must be asked again when there is one.
    starved: bool,
    /// A subscription has sent something.
    begun: bool,
}

impl Item {
    fn new(body: Body, ready: Arc<Ready>) -> Self {
        Self {
            body,
            ready,
            done: None,
            starved: false,
            begun: false,
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        match &self.body {
            Body::Subscription(subscription) => subscription.next_timeout(),
            Body::Fetch { .. } => None,
        }
    }

    fn forget_hole(&mut self) {
        if let Body::Fetch { hole, .. } = &mut self.body {
            *hole = None;
        }
    }
}

enum Body {
    Subscription(Box<Subscription>),
    Fetch {
        fetch: Box<Fetch>,
        /// FETCH_OK was sent.
        announced: bool,
        /// The hole that the handler was told of and has not answered yet.
        hole: Option<crate::wire::Location>,
        /// The stream was opened.
        begun: bool,
    },
}

impl Body {
    /// Subscriber priority: lower goes first.
    fn priority(&self) -> u8 {
        match self {
            Self::Subscription(subscription) => subscription.priority(),
            Self::Fetch { fetch, .. } => fetch.priority(),
        }
    }
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
        for command in self.handle.shared.egress.take(cx.waker()) {
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
                self.streams.reset_all(key, code);
            }
            Command::End { key, code, reason } => {
                if self.items.remove(&key).is_some() {
                    self.streams.reset_all(key, StreamCode::CANCELLED);
                    let done = PublishDone {
                        code,
                        stream_count: None,
                        reason,
                    };
                    self.subscription_over(key, done);
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
                    subscription.update(self.handle.now(), update);
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
        self.handle.act(|session, _| {
            // A request that was cancelled meanwhile needs no answer.
            let _cancelled = session.answer_update(key, Ok(answer)).is_err();
        });
    }

    /// Give full streams what they still owe, most urgent first.
    fn resume(&mut self, cx: &mut Context<'_>) {
        for (key, stream) in self.streams.blocked() {
            let flow = self.streams.resume(cx, (key, stream));
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
                    self.fetch_over(key);
                }
                _ => {}
            }
        }
        if self.items.values().any(|item| item.starved) && self.streams.has_credit(cx) {
            for item in self.items.values_mut() {
                if std::mem::take(&mut item.starved) {
                    item.ready.set();
                }
            }
        }
    }

    /// Tell subscriptions of streams whose end has arrived.
    fn acknowledge(&mut self, cx: &mut Context<'_>) {
        while let Some((key, stream)) = self.streams.poll_acknowledged(cx) {
            if let Some(item) = self.items.get_mut(&key)
                && let (Body::Subscription(subscription), Some(stream)) = (&mut item.body, stream)
            {
                subscription.acknowledged(stream);
            }
        }
    }

    fn fetch_over(&self, key: RequestKey) {
        self.handle.act(|session, _| session.fetch_done(key));
        self.handler.data(&self.handle, DataEvent::FetchEnded { key });
    }

    /// Let every item that may have something send it, most urgent first. Returns the bytes handed to the transport.
    fn send_ready(&mut self, cx: &mut Context<'_>) -> usize {
        let mut ready: Vec<_> = self
            .items
            .iter()
            .filter(|(_, item)| item.done.is_none() && item.ready.is_set())
            .map(|(key, item)| (item.body.priority(), *key))
            .collect();
        ready.sort_unstable();
        let mut spent = 0;
        for (_, key) in ready {
            let Some(mut item) = self.items.remove(&key) else {
                continue;
            };
            item.ready.clear();
            let keep = loop {
                if spent >= TURN_BUDGET {
                    item.ready.set();
                    break true;
                }
                let mut chunks = std::mem::take(&mut self.chunks);
                let step = self.step(cx, key, &mut item, &mut chunks);
                spent += step.bytes;
                chunks.clear();
                self.chunks = chunks;
                match step.next {
                    Next::Again => {}
                    Next::Wait => break true,
                    Next::Over => break false,
                }
            };
            if keep {
                self.items.insert(key, item);
            }
        }
        spent
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        key: RequestKey,
        item: &mut Item,
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let credit = if self.streams.has_credit(cx) {
            StreamCredit::Available
        } else {
            item.starved = true;
            StreamCredit::Exhausted
        };
        match &mut item.body {
            Body::Subscription(_) => self.step_subscription(cx, key, item, credit, chunks),
            Body::Fetch { .. } => self.step_fetch(cx, key, item, credit, chunks),
        }
    }

    fn step_subscription(
        &mut self,
        cx: &mut Context<'_>,
        key: RequestKey,
        item: &mut Item,
        credit: StreamCredit,
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let Body::Subscription(subscription) = &mut item.body else {
            return Step::wait();
        };
        subscription.set_stream_credit(credit);
        let next = subscription.poll(self.handle.now(), WRITE_BUDGET, chunks);
        let sent = subscription.take_sent();
        self.handle.shared.sent.count(sent);
        if sent.objects > 0 && !std::mem::replace(&mut item.begun, true) {
            self.handler.data(&self.handle, DataEvent::FirstObject { key });
        }
        let Body::Subscription(subscription) = &mut item.body else {
            return Step::wait();
        };
        match next {
            None => Step::wait(),
            Some(Transmit::Datagram) => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                let mut datagram = bytes::BytesMut::with_capacity(bytes);
                chunks.iter().for_each(|chunk| datagram.extend_from_slice(chunk));
                let sent = self.handle.transport().send_datagram(datagram.freeze());
                trace!(?key, sent, bytes, "datagram");
                Step::again(bytes)
            }
            Some(Transmit::Write { stream, open, fin }) => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                let out_key = (key, Some(stream));
                if let Some(open) = open {
                    let priority = stream_priority(open.subscriber_priority, open.publisher_priority);
                    self.streams.open(out_key, priority);
                }
                let ending = match fin {
                    false => Ending::Open,
                    true if subscription.awaits_acknowledgement(stream) => Ending::WatchedFin,
                    true => Ending::Fin,
                };
                match self.streams.write(cx, out_key, chunks, ending) {
                    Flow::Free | Flow::Finished => {}
                    Flow::Blocked => subscription.block(stream),
                    Flow::Gone => subscription.stopped(stream),
                }
                Step::again(bytes)
            }
            Some(Transmit::Reset { stream, code }) => {
                self.streams.reset((key, Some(stream)), code);
                Step::again(0)
            }
            Some(Transmit::Done {
                code,
                mut stream_count,
                reason,
            }) => {
                if let Some(reset) = cut_short(code)
                    && self.streams.reset_all(key, reset) > 0
                {
                    stream_count = None;
                }
                item.done = Some(PublishDone {
                    code,
                    stream_count,
                    reason,
                });
                Step::wait()
            }
        }
    }

    fn step_fetch(
        &mut self,
        cx: &mut Context<'_>,
        key: RequestKey,
        item: &mut Item,
        credit: StreamCredit,
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let Body::Fetch {
            fetch,
            announced,
            hole,
            begun,
        } = &mut item.body
        else {
            return Step::wait();
        };
        let out_key = (key, None);
        if self.streams.is_blocked(out_key) || (!*begun && credit == StreamCredit::Exhausted) {
            return Step::wait();
        }
        let step = fetch.poll(self.handle.now(), WRITE_BUDGET, chunks);
        self.handle.shared.sent.count(fetch.take_sent());
        if let FetchStep::Reset(code) = step {
            if *announced {
                self.streams.reset(out_key, code);
            } else {
                self.refuse_fetch(key, code);
            }
            self.fetch_over(key);
            return Step::over(0);
        }
        if !*announced && let Some((end, end_of_track)) = fetch.range() {
            *announced = true;
            let properties = fetch.track().properties();
            self.handle.act(|session, _| {
                // A fetch that was cancelled meanwhile needs no answer.
                let _cancelled = session
                    .accept_fetch(key, end_of_track, end, Parameters::default(), properties)
                    .is_err();
            });
        }
        match step {
            FetchStep::Pending | FetchStep::Reset(_) => Step::wait(),
            FetchStep::Hole { start, end } => {
                // The answer is about the hole as it was told, however much of it has been filled since.
                if hole.is_none() {
                    *hole = Some(start);
                    self.handler
                        .data(&self.handle, DataEvent::FetchHole { key, start, end });
                }
                Step::wait()
            }
            FetchStep::Write { fin } => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                if !std::mem::replace(begun, true) {
                    self.streams
                        .open(out_key, stream_priority(fetch.priority(), u8::MAX / 2));
                }
                let ending = if fin { Ending::Fin } else { Ending::Open };
                let flow = self.streams.write(cx, out_key, chunks, ending);
                if fin || flow == Flow::Gone {
                    self.fetch_over(key);
                    return Step::over(bytes);
                }
                match flow {
                    Flow::Free => Step::again(bytes),
                    _ => Step {
                        bytes,
                        ..Step::wait()
                    },
                }
            }
        }
    }

    /// A fetch that failed before its range was known is refused.
    fn refuse_fetch(&self, key: RequestKey, code: StreamCode) {
        let (code, reason) = match code {
            StreamCode::MALFORMED_TRACK => (RequestErrorCode::MALFORMED_TRACK, "the track is malformed"),
            StreamCode::UNKNOWN_OBJECT_STATUS => (RequestErrorCode::INVALID_RANGE, "nothing is in the range"),
            _ => (RequestErrorCode::INTERNAL_ERROR, "the fetch failed"),
        };
        let error = RequestError {
            code,
            retry_after_ms: None,
            reason: reason.to_owned(),
            redirect: None,
        };
        self.handle.act(|session, _| {
            let _cancelled = session.reject(key, error).is_err();
        });
    }

    /// Send PUBLISH_DONE for subscriptions whose streams are all closed.
    fn finish_done(&mut self) {
        let over: Vec<_> = self
            .items
            .iter()
            .filter(|(key, item)| item.done.is_some() && !self.streams.has_any(**key))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            if let Some(Item { done: Some(done), .. }) = self.items.remove(&key) {
                self.streams.forget_finished(key);
                self.subscription_over(key, done);
            }
        }
    }

    fn subscription_over(&self, key: RequestKey, done: PublishDone) {
        let code = done.code;
        self.handle.act(|session, _| {
            // The peer may have cancelled at the same moment; then there is nobody to tell.
            let _cancelled = session.publish_done(key, done).is_err();
        });
        self.handler
            .data(&self.handle, DataEvent::SubscriptionEnded { key, code });
    }

    /// Whatever waited for a moment that has come is to be asked.
    fn wake_due(&self) {
        let now = self.handle.now();
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
        let next = next.max(self.handle.now() + SHORTEST_SLEEP);
        self.timer.as_mut().reset(self.handle.shared.clock.instant(next));
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// Ends that do not wait for the streams that still owe something: they are reset.
fn cut_short(code: PublishDoneCode) -> Option<StreamCode> {
    match code {
        PublishDoneCode::TOO_FAR_BEHIND => Some(StreamCode::TOO_FAR_BEHIND),
        PublishDoneCode::MALFORMED_TRACK => Some(StreamCode::MALFORMED_TRACK),
        _ => None,
    }
}

struct Step {
    bytes: usize,
    next: Next,
}

enum Next {
    Again,
    Wait,
    Over,
}

impl Step {
    fn wait() -> Self {
        Self {
            bytes: 0,
            next: Next::Wait,
        }
    }

    fn again(bytes: usize) -> Self {
        Self {
            bytes,
            next: Next::Again,
        }
    }

    fn over(bytes: usize) -> Self {
        Self {
            bytes,
            next: Next::Over,
        }
    }
}
