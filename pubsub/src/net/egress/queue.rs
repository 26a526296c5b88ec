//! What others ask of the egress task, and how they wake it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use super::home::Sleeper;
use crate::{
    fanout::{Fetch, Subscription, SubscriptionUpdate},
    net::session::SessionHandle,
    session::{RequestKey, Time},
    wire::{Location, PublishDoneCode, StreamCode},
};

/// What others ask of the egress task. One entry per answered request or update, so the session's request limit bounds it.
#[derive(Default)]
pub(crate) struct EgressQueue {
    commands: Mutex<Vec<Command>>,
    task: Arc<Sleeper>,
}

pub(super) enum Command {
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
    task: Arc<Sleeper>,
}

impl Ready {
    /// The egress task itself knows that there is something to do.
    pub(super) fn set(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// From now on news count again.
    pub(super) fn clear(&self) {
        self.flag.store(false, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
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

    /// Everything asked since the last time; `waker` is called when there is more.
    pub(super) fn take(&self, waker: &Waker) -> Vec<Command> {
        self.task.register(waker);
        std::mem::take(
            &mut *self
                .commands
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
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

    /// Change a subscription that is being sent, or the priority of a fetch, and answer the update. The answer tells the largest
    /// object at the moment of the change, so that a joining FETCH meets what is sent without a gap.
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
