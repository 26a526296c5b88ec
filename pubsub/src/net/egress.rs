//! The one task of a session that writes data streams and datagrams.
//!
//! Subscriptions and fetches know what comes next ([`crate::fanout`]); this task asks them, most urgent first, and hands the
//! transport everything that is ready for a stream in one call. A stream whose transport is full keeps what is left of its
//! last write, at most [`WRITE_BUDGET`] bytes and one chunk, and its subscription is told to leave it alone meanwhile.

use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tracing::trace;

use super::{
    session::{DataEvent, Handler, SessionHandle},
    transport::{SendStream, TransportClosed, WriteFailed},
};
use crate::{
    fanout::{Fetch, FetchStep, StreamKey, Subscription, SubscriptionUpdate, Transmit},
    session::{RequestKey, Time},
    wire::{Location, Parameters, PublishDoneCode, StreamCode, control::PublishDone},
};

/// Bytes gathered for one stream in one call.
const WRITE_BUDGET: usize = 64 * 1024;
/// Bytes written in one turn before other tasks of the thread get theirs.
const TURN_BUDGET: usize = 512 * 1024;

/// What others ask of the egress task. One entry per answered request or update, so the session's request limit bounds it.
#[derive(Default)]
pub(crate) struct EgressQueue {
    commands: Mutex<Vec<Command>>,
    task: Arc<AtomicWaker>,
}

enum Command {
    Subscribe {
        key: RequestKey,
        subscription: Box<Subscription>,
        ready: Arc<Ready>,
    },
    Fetch {
        key: RequestKey,
        fetch: Box<Fetch>,
        ready: Arc<Ready>,
    },
    Update {
        key: RequestKey,
        update: SubscriptionUpdate,
    },
    Again {
        key: RequestKey,
    },
    Unknown {
        key: RequestKey,
        start: Location,
        end: Location,
    },
    Stop {
        key: RequestKey,
        code: StreamCode,
    },
    End {
        key: RequestKey,
        code: PublishDoneCode,
        reason: String,
    },
}

/// Set when something happened that one subscription or fetch may want to send.
pub(crate) struct Ready {
    flag: AtomicBool,
    task: Arc<AtomicWaker>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.flag.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }
}

impl EgressQueue {
    fn push(&self, command: Command) {
        self.commands
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(command);
        self.task.wake();
    }

    fn ready(&self) -> Arc<Ready> {
        Arc::new(Ready {
            flag: AtomicBool::new(true),
            task: self.task.clone(),
        })
    }
}

impl SessionHandle {
    /// Start sending a subscription. `make` is given the waker that the subscription must register with its track.
    ///
    /// # Errors
    /// Whatever `make` fails with; nothing is sent then.
    pub fn send_subscription<E>(
        &self,
        key: RequestKey,
        make: impl FnOnce(Time, Waker) -> Result<Subscription, E>,
    ) -> Result<(), E> {
        let queue = &self.shared.egress;
        let ready = queue.ready();
        let subscription = Box::new(make(self.now(), Waker::from(ready.clone()))?);
        queue.push(Command::Subscribe {
            key,
            subscription,
            ready,
        });
        Ok(())
    }

    /// Start sending a fetch; FETCH_OK is sent as soon as its range is known.
    ///
    /// # Errors
    /// Whatever `make` fails with; nothing is sent then.
    pub fn send_fetch<E>(
        &self,
        key: RequestKey,
        make: impl FnOnce(Time, Waker) -> Result<Fetch, E>,
    ) -> Result<(), E> {
        let queue = &self.shared.egress;
        let ready = queue.ready();
        let fetch = Box::new(make(self.now(), Waker::from(ready.clone()))?);
        queue.push(Command::Fetch { key, fetch, ready });
        Ok(())
    }

    /// Change a subscription that is being sent.
    pub fn update_subscription(&self, key: RequestKey, update: SubscriptionUpdate) {
        self.shared.egress.push(Command::Update { key, update });
    }

    /// What a fetch that is being sent waited for may be there now.
    pub fn fetch_again(&self, key: RequestKey) {
        self.shared.egress.push(Command::Again { key });
    }

    /// Nobody has these objects of a fetch that is being sent: it reports them as unknown and goes on.
    pub fn fetch_unknown(&self, key: RequestKey, start: Location, end: Location) {
        self.shared.egress.push(Command::Unknown { key, start, end });
    }

    /// Stop sending a subscription or fetch: its streams are reset.
    pub fn stop_sending(&self, key: RequestKey, code: StreamCode) {
        self.shared.egress.push(Command::Stop { key, code });
    }

    /// End a subscription that we serve: its streams are reset, then PUBLISH_DONE is sent.
    pub fn end_subscription(&self, key: RequestKey, code: PublishDoneCode, reason: &str) {
        self.shared.egress.push(Command::End {
            key,
            code,
            reason: reason.to_owned(),
        });
    }
}

/// Send until the session ends.
pub(crate) async fn run(handle: SessionHandle, handler: Arc<dyn Handler>) {
    let mut egress = Egress {
        uni_prefix: handle.transport().uni_prefix(),
        handle,
        handler,
        items: BTreeMap::new(),
        outs: HashMap::new(),
        opening: None,
        timer: Box::pin(tokio::time::sleep(Time::ZERO)),
        chunks: Vec::new(),
    };
    poll_fn(|cx| egress.poll(cx)).await;
}

/// A stream of a subscription, or the one stream (`None`) of a fetch.
type OutKey = (RequestKey, Option<StreamKey>);

type Opening = Pin<Box<dyn Future<Output = Result<SendStream, TransportClosed>> + Send>>;

struct Egress {
    handle: SessionHandle,
    handler: Arc<dyn Handler>,
    uni_prefix: Bytes,
    items: BTreeMap<RequestKey, Item>,
    outs: HashMap<OutKey, Out>,
    /// Waits for stream credit on behalf of the most urgent stream without one.
    opening: Option<Opening>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// Reused for every write.
    chunks: Vec<Bytes>,
}

struct Item {
    body: Body,
    ready: Arc<Ready>,
    /// A subscription that has nothing more to send, waiting for its streams to take their last bytes.
    done: Option<PublishDone>,
    streams: usize,
}

impl Item {
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
        hole: Option<Location>,
    },
}

/// A data stream.
struct Out {
    /// `None` while the peer's stream limit is reached.
    send: Option<SendStream>,
    priority: i32,
    /// What the transport did not take yet.
    rest: Vec<Bytes>,
    fin: bool,
}

/// Whether a stream can take more.
#[derive(PartialEq, Eq)]
enum Flow {
    Free,
    Blocked,
    Gone,
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

/// MoQT's small-is-urgent turned round for QUIC, subscriber before publisher priority.
fn stream_priority(subscriber: u8, publisher: u8) -> i32 {
    (i32::from(u8::MAX - subscriber) << 8) | i32::from(u8::MAX - publisher)
}

impl Egress {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handle.shared.egress.task.register(cx.waker());
        self.accept_commands();
        self.resume(cx);
        let spent = self.send_ready(cx);
        self.finish_done();
        if spent >= TURN_BUDGET {
            cx.waker().wake_by_ref();
        }
        self.arm_timer(cx);
        Poll::Pending
    }

    fn accept_commands(&mut self) {
        let commands = std::mem::take(
            &mut *self
                .handle
                .shared
                .egress
                .commands
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        let now = self.handle.now();
        for command in commands {
            match command {
                Command::Subscribe {
                    key,
                    subscription,
                    ready,
                } => {
                    let body = Body::Subscription(subscription);
                    self.items.insert(
                        key,
                        Item {
                            body,
                            ready,
                            done: None,
                            streams: 0,
                        },
                    );
                }
                Command::Fetch { key, fetch, ready } => {
                    let body = Body::Fetch {
                        fetch,
                        announced: false,
                        hole: None,
                    };
                    self.items.insert(
                        key,
                        Item {
                            body,
                            ready,
                            done: None,
                            streams: 0,
                        },
                    );
                }
                Command::Update { key, update } => {
                    if let Some(Item {
                        body: Body::Subscription(subscription),
                        ready,
                        ..
                    }) = self.items.get_mut(&key)
                    {
                        subscription.update(now, update);
                        ready.flag.store(true, Ordering::Release);
                    }
                }
                Command::Again { key } => {
                    if let Some(item) = self.items.get_mut(&key) {
                        item.forget_hole();
                        item.ready.flag.store(true, Ordering::Release);
                    }
                }
                Command::Unknown { key, start, end } => {
                    if let Some(Item {
                        body: Body::Fetch { fetch, hole, .. },
                        ready,
                        ..
                    }) = self.items.get_mut(&key)
                    {
                        fetch.unknown(start, end);
                        *hole = None;
                        ready.flag.store(true, Ordering::Release);
                    }
                }
                Command::Stop { key, code } => {
                    self.items.remove(&key);
                    self.reset_all(key, code);
                }
                Command::End { key, code, reason } => {
                    if self.items.remove(&key).is_some() {
                        self.reset_all(key, StreamCode::CANCELLED);
                        self.publish_done(
                            key,
                            PublishDone {
                                code,
                                stream_count: None,
                                reason,
                            },
                        );
                    }
                }
            }
        }
    }

    fn reset_all(&mut self, key: RequestKey, code: StreamCode) {
        self.outs.retain(|(owner, _), out| {
            if *owner == key
                && let Some(send) = &mut out.send
            {
                send.reset(code);
            }
            *owner != key
        });
    }

    /// Give blocked streams what they still owe, most urgent first.
    fn resume(&mut self, cx: &mut Context<'_>) {
        let mut blocked: Vec<_> = self
            .outs
            .iter()
            .filter(|(_, out)| !out.rest.is_empty() || out.send.is_none())
            .map(|(key, out)| (-out.priority, *key))
            .collect();
        blocked.sort_unstable();
        for (_, key) in blocked {
            let Some(mut out) = self.outs.remove(&key) else {
                continue;
            };
            match self.write(cx, &mut out) {
                Flow::Blocked => {
                    self.outs.insert(key, out);
                }
                Flow::Free => {
                    self.outs.insert(key, out);
                    self.unblock(key);
                }
                Flow::Gone => self.unblock(key),
            }
        }
    }

    fn unblock(&mut self, (key, stream): OutKey) {
        if let Some(item) = self.items.get_mut(&key) {
            if let (Body::Subscription(subscription), Some(stream)) = (&mut item.body, stream) {
                subscription.unblock(stream);
            }
            item.ready.flag.store(true, Ordering::Release);
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
            .filter(|(_, item)| item.done.is_none() && item.ready.flag.load(Ordering::Acquire))
            .map(|(key, item)| (item.body.priority(), *key))
            .collect();
        ready.sort_unstable();
        let mut spent = 0;
        for (_, key) in ready {
            let Some(mut item) = self.items.remove(&key) else {
                continue;
            };
            item.ready.flag.store(false, Ordering::Release);
            let keep = loop {
                if spent >= TURN_BUDGET {
                    item.ready.flag.store(true, Ordering::Release);
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
        match &mut item.body {
            Body::Subscription(_) => self.step_subscription(cx, key, item, chunks),
            Body::Fetch { .. } => self.step_fetch(cx, key, item, chunks),
        }
    }

    fn step_subscription(
        &mut self,
        cx: &mut Context<'_>,
        key: RequestKey,
        item: &mut Item,
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let Body::Subscription(subscription) = &mut item.body else {
            return Step::wait();
        };
        match subscription.poll(self.handle.now(), WRITE_BUDGET, chunks) {
            None => Step::wait(),
            Some(Transmit::Datagram) => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                let mut datagram = bytes::BytesMut::with_capacity(bytes);
                chunks.iter().for_each(|chunk| datagram.extend_from_slice(chunk));
                let sent = self.handle.transport().send_datagram(datagram.freeze());
                trace!(?key, sent, bytes, "datagram");
                Step {
                    bytes,
                    next: Next::Again,
                }
            }
            Some(Transmit::Write { stream, open, fin }) => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                let mut out = match open {
                    Some(open) => {
                        item.streams += 1;
                        Out {
                            send: None,
                            priority: stream_priority(open.subscriber_priority, open.publisher_priority),
                            rest: vec![self.uni_prefix.clone()],
                            fin: false,
                        }
                    }
                    None => match self.outs.remove(&(key, Some(stream))) {
                        Some(out) => out,
                        None => {
                            return Step {
                                bytes: 0,
                                next: Next::Again,
                            };
                        }
                    },
                };
                out.rest.append(chunks);
                out.fin |= fin;
                match self.write(cx, &mut out) {
                    Flow::Free => {
                        self.outs.insert((key, Some(stream)), out);
                    }
                    Flow::Blocked => {
                        if let Body::Subscription(subscription) = &mut item.body {
                            subscription.block(stream);
                        }
                        self.outs.insert((key, Some(stream)), out);
                    }
                    Flow::Gone if fin => {}
                    Flow::Gone => {
                        if let Body::Subscription(subscription) = &mut item.body {
                            subscription.stopped(stream);
                        }
                    }
                }
                Step {
                    bytes,
                    next: Next::Again,
                }
            }
            Some(Transmit::Reset { stream, code }) => {
                if let Some(Out {
                    send: Some(mut send), ..
                }) = self.outs.remove(&(key, Some(stream)))
                {
                    send.reset(code);
                }
                Step {
                    bytes: 0,
                    next: Next::Again,
                }
            }
            Some(Transmit::Done {
                code,
                stream_count,
                reason,
            }) => {
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
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let Body::Fetch {
            fetch,
            announced,
            hole,
        } = &mut item.body
        else {
            return Step::wait();
        };
        let out_key = (key, None);
        if self.outs.get(&out_key).is_some_and(|out| !out.rest.is_empty()) {
            return Step::wait();
        }
        let step = fetch.poll(self.handle.now(), WRITE_BUDGET, chunks);
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
            FetchStep::Pending => Step::wait(),
            FetchStep::Hole { start, end } => {
                if hole.replace(start) != Some(start) {
                    self.handler
                        .data(&self.handle, DataEvent::FetchHole { key, start, end });
                }
                Step::wait()
            }
            FetchStep::Reset(code) => {
                if let Some(Out {
                    send: Some(mut send), ..
                }) = self.outs.remove(&out_key)
                {
                    send.reset(code);
                }
                self.fetch_over(key);
                Step {
                    bytes: 0,
                    next: Next::Over,
                }
            }
            FetchStep::Write { fin } => {
                let bytes = chunks.iter().map(Bytes::len).sum();
                let priority = stream_priority(fetch.priority(), u8::MAX / 2);
                let prefix = &self.uni_prefix;
                let mut out = self.outs.remove(&out_key).unwrap_or_else(|| Out {
                    send: None,
                    priority,
                    rest: vec![prefix.clone()],
                    fin: false,
                });
                out.rest.append(chunks);
                out.fin |= fin;
                let flow = self.write(cx, &mut out);
                if flow != Flow::Gone {
                    self.outs.insert(out_key, out);
                }
                if fin || flow == Flow::Gone {
                    self.fetch_over(key);
                    return Step {
                        bytes,
                        next: Next::Over,
                    };
                }
                Step {
                    bytes,
                    next: if flow == Flow::Free {
                        Next::Again
                    } else {
                        Next::Wait
                    },
                }
            }
        }
    }

    /// Hand the transport what the stream owes.
    fn write(&mut self, cx: &mut Context<'_>, out: &mut Out) -> Flow {
        if out.send.is_none() {
            match self.open(cx) {
                Poll::Ready(Some(send)) => {
                    send.set_priority(out.priority);
                    out.send = Some(send);
                }
                Poll::Ready(None) => return Flow::Gone,
                Poll::Pending => return Flow::Blocked,
            }
        }
        let Some(send) = &mut out.send else {
            return Flow::Gone;
        };
        out.rest.retain(|chunk| !chunk.is_empty());
        while !out.rest.is_empty() {
            match send.poll_write(cx, &mut out.rest) {
                Poll::Ready(Ok(_)) => out.rest.retain(|chunk| !chunk.is_empty()),
                Poll::Ready(Err(WriteFailed::Stopped(code))) => {
                    send.reset(code);
                    return Flow::Gone;
                }
                Poll::Ready(Err(WriteFailed::Closed)) => return Flow::Gone,
                Poll::Pending => return Flow::Blocked,
            }
        }
        if out.fin {
            send.finish();
            return Flow::Gone;
        }
        Flow::Free
    }

    /// A stream from the transport, or pending until the peer allows one.
    fn open(&mut self, cx: &mut Context<'_>) -> Poll<Option<SendStream>> {
        if self.opening.is_none() {
            let transport = self.handle.transport();
            let mut open = pin!(transport.open_uni());
            if let Poll::Ready(result) = open.as_mut().poll(cx) {
                return Poll::Ready(result.ok());
            }
            let transport = transport.clone();
            self.opening = Some(Box::pin(async move { transport.open_uni().await }));
        }
        let Some(opening) = &mut self.opening else {
            return Poll::Pending;
        };
        opening.as_mut().poll(cx).map(|result| {
            self.opening = None;
            result.ok()
        })
    }

    /// Send PUBLISH_DONE for subscriptions whose streams are all closed.
    fn finish_done(&mut self) {
        let over: Vec<_> = self
            .items
            .iter()
            .filter(|(key, item)| item.done.is_some() && !self.outs.keys().any(|(owner, _)| owner == *key))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            if let Some(Item { done: Some(done), .. }) = self.items.remove(&key) {
                self.publish_done(key, done);
                self.handler
                    .data(&self.handle, DataEvent::SubscriptionEnded { key });
            }
        }
    }

    fn publish_done(&self, key: RequestKey, done: PublishDone) {
        self.handle.act(|session, _| {
            // The peer may have cancelled at the same moment; then there is nobody to tell.
            let _cancelled = session.publish_done(key, done).is_err();
        });
    }

    fn arm_timer(&mut self, cx: &mut Context<'_>) {
        let next = self
            .items
            .values()
            .filter_map(|item| match &item.body {
                Body::Subscription(subscription) => subscription.next_timeout(),
                Body::Fetch { .. } => None,
            })
            .min();
        let Some(next) = next else { return };
        self.timer.as_mut().reset(self.handle.shared.clock.instant(next));
        if self.timer.as_mut().poll(cx).is_ready() {
            self.items
                .values()
                .for_each(|item| item.ready.flag.store(true, Ordering::Release));
            cx.waker().wake_by_ref();
        }
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
}
