//! The tasks of a session: they move bytes and time between the state machine and the transport.
//!
//! ```text
//! driver (1)            accepts streams and datagrams, keeps the timer, hands events to the Handler
//!  ├─ control out (1)   writes SETUP and GOAWAY
//!  ├─ egress (1)        writes every data stream and datagram of the session
//!  ├─ request (n)       one for each request stream: reads, writes, notices its end
//!  └─ uni in (n)        one for each stream of the peer: control or data
//! ```
//! `n` is bounded by the stream limits given to the peer. All of them live on the driver's [`JoinSet`]: when the driver
//! returns or is dropped, they end.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use tokio::task::JoinSet;
use tracing::{debug, trace};

use super::{
    egress,
    ingest::{self, ControlStream},
    session::{DataEvent, End, Handler, SessionHandle, Shared},
    transport::{Read, RecvStream, SendStream, TransportClosed, WriteFailed},
};
use crate::{
    session::RequestKey,
    wire::{SessionCode, StreamCode},
};

/// Sending order: control first, then requests, then data, which stays below this (draft section "Scheduling Algorithm").
const CONTROL_PRIORITY: i32 = i32::MAX;
const REQUEST_PRIORITY: i32 = i32::MAX - 1;
/// How long reading what is left may take when the peer has closed.
const REST: std::time::Duration = std::time::Duration::from_millis(100);

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The state machine closed it: the peer broke a rule, or we asked for it.
    #[error("closed with {code}: {reason}")]
    Closed {
        /// The code sent to the peer.
        code: SessionCode,
        /// For people.
        reason: String,
    },
    /// The transport ended.
    #[error(transparent)]
    Transport(#[from] TransportClosed),
}

/// The tasks of the peer's unidirectional streams.
type Streams = JoinSet<Option<ControlStream>>;

/// Runs a session until it ends. Dropping it, or the future of [`Driver::run`], closes the session.
pub struct Driver {
    pub(crate) handle: SessionHandle,
    pub(crate) handler: Arc<dyn Handler>,
    /// The handler has not been told of the end.
    pub(crate) running: bool,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.handle.shared.egress.close();
        if self.running {
            self.handle.shared.transport.abandon();
            self.handler
                .ended(&self.handle, &SessionEnd::Transport(TransportClosed::Local));
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Driver").field(&self.handle).finish()
    }
}

impl Driver {
    /// Move bytes and time until the session ends.
    ///
    /// # Panics
    /// A panic in a task of the session is continued here.
    pub async fn run(mut self) -> SessionEnd {
        let shared = self.handle.shared.clone();
        let mut tasks = JoinSet::new();
        let mut streams = JoinSet::new();
        tasks.spawn(control_out(shared.clone()));
        tasks.spawn(egress::run(self.handle.clone(), self.handler.clone()));
        let end = loop {
            self.dispatch();
            self.end_receptions();
            let close = shared.core().close.take();
            if let Some((code, reason)) = close {
                shared.transport.close(code, &reason);
                // A stream that its task drops is finished; the peer must not see that before the close, which over
                // WebTransport takes a moment.
                shared.transport.gone().await;
                break SessionEnd::Closed { code, reason };
            }
            self.open_requests(&mut tasks);
            if let Err(closed) = self.step(&mut tasks, &mut streams).await {
                self.read_rest(&mut streams).await;
                // WebTransport can end while its connection lives.
                shared.transport.abandon();
                break SessionEnd::Transport(closed);
            }
        };
        streams.shutdown().await;
        tasks.shutdown().await;
        self.dispatch();
        self.running = false;
        self.handler.ended(&self.handle, &end);
        end
    }

    /// Hand every event to the handler, without holding the core.
    fn dispatch(&self) {
        loop {
            let event = self.handle.shared.core().session.poll_event();
            let Some(event) = event else { return };
            trace!(?event, "session event");
            self.handler.event(&self.handle, event);
        }
    }

    /// Tell the handler of subscriptions that are received to their end.
    fn end_receptions(&self) {
        let ended = self.handle.shared.core().take_ended_receptions(self.handle.now());
        for key in ended {
            self.handler.data(&self.handle, DataEvent::ReceptionEnded { key });
        }
    }

    /// The peer has closed: what it sent before and we have, is read.
    async fn read_rest(&self, streams: &mut Streams) {
        while let Ok(stream) = self.handle.shared.transport.accept_uni().await {
            streams.spawn(ingest::uni(self.handle.clone(), self.handler.clone(), stream));
        }
        let read = async {
            while let Some(ended) = streams.join_next().await {
                self.read_on(streams, ended.ok().flatten());
            }
        };
        // A stream that waits to learn whose it is will not.
        let _waiting = tokio::time::timeout(REST, read).await.is_err();
    }

    /// Wait for one thing to happen and pass it on.
    async fn step(&self, tasks: &mut JoinSet<()>, streams: &mut Streams) -> Result<(), TransportClosed> {
        let shared = &self.handle.shared;
        let timeout = {
            let core = shared.core();
            [
                core.session.next_timeout(),
                core.next_reception_timeout(shared.clock.now()),
            ]
            .into_iter()
            .flatten()
            .min()
        };
        let timer = async {
            match timeout {
                Some(time) => tokio::time::sleep_until(shared.clock.instant(time)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.driver.notified() => {}
            () = timer => shared.act(|core, now| core.session.handle_timeout(now)),
            stream = shared.transport.accept_uni() => {
                streams.spawn(ingest::uni(self.handle.clone(), self.handler.clone(), stream?));
            }
            stream = shared.transport.accept_bi() => {
                let (send, recv) = stream?;
                let (key, open) = shared.act(|core, _| {
                    let key = core.session.accept();
                    core.requests.entry(key).or_default();
                    (key, core.session.peer_requests())
                });
                shared.transport.expect_requests(open);
                tasks.spawn(request(shared.clone(), key, send, recv));
            }
            datagram = shared.transport.read_datagram() => ingest::datagram(&self.handle, &*self.handler, datagram?),
            Some(ended) = tasks.join_next() => pass_on_panic(ended).unwrap_or_default(),
            Some(ended) = streams.join_next() => self.read_on(streams, pass_on_panic(ended).flatten()),
        }
        Ok(())
    }

    /// The control stream goes on in a task of its own size.
    fn read_on(&self, streams: &mut Streams, control: Option<ControlStream>) {
        if let Some(control) = control {
            let read = control.read(self.handle.clone());
            streams.spawn(async move {
                read.await;
                None
            });
        }
    }

    /// Start a task for each request that wants its stream.
    fn open_requests(&self, tasks: &mut JoinSet<()>) {
        let opens = std::mem::take(&mut self.handle.shared.core().opens);
        for open in opens {
            let shared = self.handle.shared.clone();
            tasks.spawn(async move {
                let stream = if open.if_credit {
                    try_open(&shared).await
                } else {
                    shared.transport.open_bi().await.ok()
                };
                match stream {
                    Some((send, recv)) => {
                        let prefix = shared.transport.bidi_prefix();
                        request_with(shared, open.key, send, recv, prefix).await;
                    }
                    None => shared.act(|core, _| {
                        core.requests.remove(&open.key);
                        core.session.open_refused(open.key);
                    }),
                }
            });
        }
    }
}

/// A panic in a task of the session is continued in its driver.
fn pass_on_panic<T>(ended: Result<T, tokio::task::JoinError>) -> Option<T> {
    match ended {
        Ok(result) => Some(result),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_aborted) => None,
    }
}

/// Open a bidirectional stream only if the peer's limit allows it now.
async fn try_open(shared: &Shared) -> Option<(SendStream, RecvStream)> {
    let mut open = pin!(shared.transport.open_bi());
    poll_fn(|cx| match open.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Write the control stream until the session ends. It is never finished, and a peer that stops it breaks the session.
async fn control_out(shared: Arc<Shared>) {
    let Ok(mut send) = shared.transport.open_uni().await else {
        return;
    };
    send.set_priority(CONTROL_PRIORITY);
    let ready = {
        let mut core = shared.core();
        core.control.begin_with(shared.transport.uni_prefix());
        core.control.ready()
    };
    let mut chunks = Vec::new();
    let stopped = loop {
        shared.core().control.take(&mut chunks);
        if let Err(failed) = write_all(&mut send, &mut chunks).await {
            break matches!(failed, WriteFailed::Stopped(_));
        }
        tokio::select! {
            () = ready.notified() => {}
            code = send.stopped() => break code.is_some(),
        }
    };
    if stopped {
        shared.act(|core, _| {
            core.session
                .close(SessionCode::PROTOCOL_VIOLATION, "control stream stopped");
        });
    }
    // Held until the connection is gone: an end of the stream would break the session for the peer.
    shared.transport.closed().await;
}

/// Write everything.
async fn write_all(send: &mut SendStream, chunks: &mut Vec<Bytes>) -> Result<(), WriteFailed> {
    while !chunks.is_empty() {
        poll_fn(|cx| send.poll_write(cx, chunks)).await?;
        chunks.retain(|chunk| !chunk.is_empty());
    }
    Ok(())
}

async fn request(shared: Arc<Shared>, key: RequestKey, send: SendStream, recv: RecvStream) {
    request_with(shared, key, send, recv, Bytes::new()).await;
}

/// One request stream from its opening to the end of both halves.
async fn request_with(
    shared: Arc<Shared>,
    key: RequestKey,
    mut send: SendStream,
    mut recv: RecvStream,
    prefix: Bytes,
) {
    send.set_priority(REQUEST_PRIORITY);
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut sending = Sending::Open;
    let mut receiving = true;
    let ready = {
        let mut core = shared.core();
        let Some(outbox) = core.requests.get_mut(&key) else {
            return;
        };
        outbox.begin_with(prefix);
        outbox.ready()
    };
    while receiving || sending != Sending::Done {
        if sending == Sending::Done {
            chunks.clear();
        }
        chunks.retain(|chunk| !chunk.is_empty());
        let Some(work) = shared
            .core()
            .requests
            .get_mut(&key)
            .map(|outbox| outbox.take(&mut chunks))
        else {
            return;
        };
        if let Some(code) = work.stop
            && receiving
        {
            recv.stop(code);
            receiving = false;
        }
        sending = sending.after(work.end, &mut send, &mut chunks);
        if !receiving && sending == Sending::Done {
            break;
        }
        tokio::select! {
            () = ready.notified() => {}
            read = recv.read(), if receiving => receiving = received(&shared, key, read),
            sent = send_some(&mut send, &mut chunks), if sending != Sending::Done => match sent {
                Sent::Some => {}
                Sent::Over => sending = Sending::Done,
                Sent::Stopped(code) => {
                    send.reset(code);
                    chunks.clear();
                    sending = Sending::Done;
                    shared.act(|core, _| core.session.recv_stop(key, code));
                }
            },
        }
    }
    debug!(?key, "request stream ended");
    shared.core().requests.remove(&key);
}

/// What came of [`send_some`].
enum Sent {
    /// The transport took something.
    Some,
    /// Everything was delivered, or the connection is gone.
    Over,
    /// The peer wants no more.
    Stopped(StreamCode),
}

/// Write what there is, or else wait for the peer's word on the stream. Cancel-safe.
async fn send_some(send: &mut SendStream, chunks: &mut [Bytes]) -> Sent {
    if chunks.is_empty() {
        return send.stopped().await.map_or(Sent::Over, Sent::Stopped);
    }
    match poll_fn(|cx| send.poll_write(cx, chunks)).await {
        Ok(_) => Sent::Some,
        Err(WriteFailed::Stopped(code)) => Sent::Stopped(code),
        Err(WriteFailed::Closed) => Sent::Over,
    }
}

/// The sending half of a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// More may come.
    Open,
    /// The end was given to the transport after the last byte.
    Finished,
    /// Nothing more to do.
    Done,
}

impl Sending {
    fn after(self, end: Option<End>, send: &mut SendStream, chunks: &mut Vec<Bytes>) -> Self {
        match (self, end) {
            (Self::Open, Some(End::Reset(code))) => {
                send.reset(code);
                chunks.clear();
                Self::Done
            }
            (Self::Open, Some(End::Finish)) if chunks.is_empty() => {
                send.finish();
                Self::Finished
            }
            (state, _) => state,
        }
    }
}

/// Pass on what was read; false if nothing more will come.
fn received(shared: &Shared, key: RequestKey, read: Read) -> bool {
    shared.act(|core, now| match read {
        Read::Data(bytes) => {
            core.session.recv(now, key, bytes);
            true
        }
        Read::Fin => {
            core.session.recv_fin(now, key);
            false
        }
        Read::Reset(code) => {
            core.session.recv_reset(key, code);
            false
        }
        // The driver is about to notice, and tells everyone at once why.
        Read::Closed => false,
    })
}
