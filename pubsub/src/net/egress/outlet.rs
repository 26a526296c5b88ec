//! How what a subscription or a fetch has next is handed to the transport, and who is told of its end.

use std::{collections::BTreeSet, sync::Arc, task::Context};

use bytes::Bytes;
use tracing::trace;

use super::{
    item::{Body, Item},
    streams::{Ending, Flow, Streams, stream_priority},
};
use crate::{
    fanout::{FetchStep, StreamCredit, Transmit},
    net::session::{DataEvent, Handler, SessionHandle},
    session::RequestKey,
    wire::{
        Parameters, PublishDoneCode, RequestErrorCode, StreamCode,
        control::{PublishDone, RequestError},
    },
};

/// Bytes gathered for one stream in one call.
pub(super) const WRITE_BUDGET: usize = 64 * 1024;

/// The sending end of a session.
pub(super) struct Outlet {
    pub(super) handle: SessionHandle,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) streams: Streams,
    /// Those that were refused a stream, to be asked again when there is one.
    pub(super) starved: BTreeSet<RequestKey>,
}

impl Outlet {
    pub(super) fn new(handle: SessionHandle, handler: Arc<dyn Handler>) -> Self {
        Self {
            streams: Streams::new(handle.transport().clone()),
            handle,
            handler,
            starved: BTreeSet::new(),
        }
    }

    /// Lets an item send the next thing that it has.
    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        key: RequestKey,
        item: &mut Item,
        chunks: &mut Vec<Bytes>,
    ) -> Step {
        let credit = if self.streams.has_credit(cx) {
            StreamCredit::Available
        } else {
            self.starved.insert(key);
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
                Step::again_unless(subscription.is_at_rest(), bytes)
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
                    Flow::Gone => {
                        subscription.stopped(stream);
                        return Step::again(bytes);
                    }
                }
                Step::again_unless(subscription.is_at_rest(), bytes)
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

    pub(super) fn fetch_over(&self, key: RequestKey) {
        self.handle.act(|session, _| session.fetch_done(key));
        self.handler.data(&self.handle, DataEvent::FetchEnded { key });
    }

    pub(super) fn subscription_over(&self, key: RequestKey, done: PublishDone) {
        let code = done.code;
        self.handle.act(|session, _| {
            // The peer may have cancelled at the same moment; then there is nobody to tell.
            let _cancelled = session.publish_done(key, done).is_err();
        });
        self.handler
            .data(&self.handle, DataEvent::SubscriptionEnded { key, code });
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

/// What one step did.
pub(super) struct Step {
    pub(super) bytes: usize,
    pub(super) next: Next,
}

/// How an item goes on.
pub(super) enum Next {
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

    /// Again, unless the item has nothing more.
    fn again_unless(at_rest: bool, bytes: usize) -> Self {
        let next = if at_rest { Next::Wait } else { Next::Again };
        Self { bytes, next }
    }

    fn over(bytes: usize) -> Self {
        Self {
            bytes,
            next: Next::Over,
        }
    }
}
