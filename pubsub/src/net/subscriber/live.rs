//! The objects of one subscription, and when there will be no more.
//!
//! PUBLISH_DONE can overtake the data (draft section "PUBLISH_DONE"); the session's driver waits for what is still under way and
//! then says that the subscription is over.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;

use crate::{
    net::{SessionHandle, queue::ObjectReceiver, reader::ReceivedObject},
    session::RequestKey,
    wire::control::PublishDone,
};

/// What the control plane says about a subscription or fetch, for its reader.
#[derive(Debug)]
pub(crate) struct Feed {
    stage: watch::Sender<Stage>,
}

/// See [`Feed`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    /// PUBLISH_DONE came.
    pub(crate) done: Option<PublishDone>,
    /// The stream of a fetch ended: true if by FIN.
    pub(crate) filled: Option<bool>,
    /// Nothing more will come than what is in the queue.
    pub(crate) over: bool,
}

impl Feed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: watch::Sender::new(Stage::default()),
        })
    }

    pub(crate) fn publish_done(&self, done: PublishDone) {
        self.stage.send_modify(|stage| stage.done = Some(done));
    }

    pub(crate) fn filled(&self, complete: bool) {
        self.stage.send_modify(|stage| stage.filled = Some(complete));
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.stage.send_modify(|stage| stage.over = true);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Live {
    handle: SessionHandle,
    key: RequestKey,
    queue: ObjectReceiver,
    stage: watch::Receiver<Stage>,
    /// Objects that were taken out of the queue before their turn.
    early: VecDeque<ReceivedObject>,
    /// No stream puts anything in any more; the queue ends.
    sealed: bool,
    over: bool,
}

impl Live {
    pub(crate) fn new(handle: SessionHandle, key: RequestKey, queue: ObjectReceiver, feed: &Feed) -> Self {
        let stage = feed.subscribe();
        Self {
            handle,
            key,
            queue,
            stage,
            early: VecDeque::new(),
            sealed: false,
            over: false,
        }
    }

    pub(crate) fn done(&self) -> Option<PublishDone> {
        self.stage.borrow().done.clone()
    }

    /// [`Live::next`] said `None`.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// Give these before all others.
    pub(crate) fn put_back(&mut self, objects: VecDeque<ReceivedObject>) {
        self.early = objects;
    }

    /// The next object, `None` after the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ReceivedObject> {
        if let Some(object) = self.early.pop_front() {
            return Some(object);
        }
        while !self.sealed {
            if self.stage.borrow_and_update().over {
                self.seal();
                break;
            }
            tokio::select! {
                biased;
                object = self.queue.recv() => {
                    self.over = object.is_none();
                    return object;
                }
                changed = self.stage.changed() => {
                    if changed.is_err() {
                        // The client forgot the request, which it does only at its end.
                        self.seal();
                    }
                }
            }
        }
        let object = self.queue.recv().await;
        self.over = object.is_none();
        object
    }

    fn seal(&mut self) {
        self.sealed = true;
        self.handle.receive_no_more(self.key);
        self.queue.close();
    }
}
