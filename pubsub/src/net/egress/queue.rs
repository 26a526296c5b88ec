//! What others ask of the egress task, and how they wake it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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

/// What others ask of the egress task.
#[derive(Default)]
pub(crate) struct EgressQueue {
    inbox: Arc<Inbox>,
}

/// What waits for the egress task. What it holds may hold it in turn, through [`Ready`]: so it is closed when the session's driver
/// is gone.
struct Inbox {
    /// `None`: nothing is sent any more.
    news: Mutex<Option<News>>,
    task: Arc<Sleeper>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            news: Mutex::new(Some(News::default())),
            task: Arc::default(),
        }
    }
}

/// What came since the egress task last looked.
#[derive(Default)]
pub(super) struct News {
    /// One entry per answered request or update, so the session's request limit bounds it.
    pub(super) commands: Vec<Command>,
    /// Requests that may have something to send: each once at most.
    pub(super) ready: Vec<RequestKey>,
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

/// Tells the egress task that one subscription or fetch may want to send something.
pub(crate) struct Ready {
    key: RequestKey,
    /// Its key is in a list, here or the task's own. It stays so for good where nothing more is to be sent.
    is_listed: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Ready {
    /// Whoever is told true lists the key; on false it is listed already.
    pub(super) fn claim(&self) -> bool {
        !self.is_listed.swap(true, Ordering::AcqRel)
    }

    /// It was taken from the list: from now on news count again.
    pub(super) fn release(&self) {
        self.is_listed.store(false, Ordering::Release);
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.claim() {
            self.inbox.tell(|news| news.ready.push(self.key));
        }
    }
}

impl Inbox {
    fn news(&self) -> MutexGuard<'_, Option<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: impl FnOnce(&mut News)) {
        let mut news = self.news();
        let Some(open) = news.as_mut() else {
            // What is told too late may own a subscription, whose end takes other locks.
            drop(news);
            return;
        };
        what(open);
        drop(news);
        self.task.wake();
    }
}

impl EgressQueue {
    fn push(&self, command: Command) {
        self.inbox.tell(|news| news.commands.push(command));
    }

    /// Everything that came since the last time, in exchange for two empty lists; `waker` is called when there is more.
    pub(super) fn take(&self, waker: &Waker, news: &mut News) {
        self.inbox.task.register(waker);
        if let Some(open) = self.inbox.news().as_mut() {
            std::mem::swap(open, news);
        }
    }

    /// Nothing is sent any more: what was asked is let go, and so is what will be.
    pub(crate) fn close(&self) {
        let left = self.inbox.news().take();
        drop(left);
    }

    /// For a request that is listed when the task is told of it.
    fn ready(&self, key: RequestKey) -> Arc<Ready> {
        Arc::new(Ready {
            key,
            is_listed: AtomicBool::new(true),
            inbox: Arc::clone(&self.inbox),
        })
    }
}

impl Drop for EgressQueue {
    /// There may have been no driver.
    fn drop(&mut self) {
        self.close();
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
        let ready = queue.ready(key);
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
        let ready = queue.ready(key);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fanout::SubscribeOptions,
        track::{Authority, Cache, CacheLimits, Track},
        wire::{FullTrackName, TrackName, TrackNamespace},
    };

    fn taken(queue: &EgressQueue) -> (usize, Vec<RequestKey>) {
        let mut news = News::default();
        queue.take(Waker::noop(), &mut news);
        (news.commands.len(), news.ready)
    }

    #[test]
    fn whoever_is_woken_is_listed_once_until_it_is_released() {
        let queue = EgressQueue::default();
        let (one, two) = (queue.ready(RequestKey::of(1)), queue.ready(RequestKey::of(2)));
        // The task lists it itself when it is told of it.
        one.wake_by_ref();
        assert_eq!(taken(&queue), (0, vec![]));
        one.release();
        two.release();
        for ready in [&one, &two, &one] {
            ready.wake_by_ref();
        }
        assert_eq!(taken(&queue), (0, vec![RequestKey::of(1), RequestKey::of(2)]));
        one.wake_by_ref();
        assert_eq!(taken(&queue), (0, vec![]));
        one.release();
        one.wake_by_ref();
        assert_eq!(taken(&queue), (0, vec![RequestKey::of(1)]));
    }

    #[test]
    fn what_was_asked_too_late_is_let_go() {
        let namespace = TrackNamespace::new(["test"]).unwrap();
        let name = FullTrackName::new(namespace, TrackName::new("t").unwrap()).unwrap();
        let track = Track::new(name, Authority::Original, &Cache::new(CacheLimits::default()));
        let subscribe = |queue: &EgressQueue| {
            let key = RequestKey::of(1);
            let ready = queue.ready(key);
            let waker = Waker::from(Arc::clone(&ready));
            let options = SubscribeOptions::default();
            let subscription = Box::new(Subscription::new(&track, Time::ZERO, options, waker, 1).unwrap());
            queue.push(Command::Subscribe {
                key,
                subscription,
                ready,
            });
        };
        let queue = EgressQueue::default();
        subscribe(&queue);
        assert_eq!(track.stats().readers, 1);
        queue.close();
        assert_eq!(track.stats().readers, 0);
        subscribe(&queue);
        assert_eq!(track.stats().readers, 0);
        let never_begun = EgressQueue::default();
        subscribe(&never_begun);
        drop(never_begun);
        assert_eq!(track.stats().readers, 0);
    }
}
