//! Wake-ups that cross threads, gathered.
//!
//! To wake a task of another thread's runtime costs a system call, and an object that fifty sessions of that thread wait for would
//! cost fifty. So the first of them wakes the thread's [`gather_wakes`], and those that follow until it runs are left with it.

use std::{
    cell::RefCell,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use futures_util::task::AtomicWaker;

thread_local! {
    /// Of this thread, while [`gather_wakes`] runs on it.
    static HOME: RefCell<Option<Arc<Home>>> = const { RefCell::new(None) };
}

/// Gathers what other threads wake on this one, where a thread has one runtime of its own and no other: to be run beside its sessions,
/// before they begin. Without it, or when it is dropped, each wake-up goes its own way. Never ready.
pub async fn gather_wakes() {
    let home = Arc::new(Home::gathering());
    HOME.set(Some(home.clone()));
    let _leaving = Leaving(home.clone());
    let mut woken = Vec::new();
    poll_fn(|cx| {
        home.task.register(cx.waker());
        if let Some(waiting) = &mut *home.waiting() {
            std::mem::swap(waiting, &mut woken);
        }
        for sleeper in woken.drain(..) {
            sleeper.is_left.store(false, Ordering::Release);
            sleeper.task.wake();
        }
        Poll::Pending
    })
    .await
}

/// Where a thread's sleepers are woken.
struct Home {
    /// Each of the thread's sessions once at most; `None`: nobody gathers any more.
    waiting: Mutex<Option<Vec<Arc<Sleeper>>>>,
    task: AtomicWaker,
}

impl Home {
    fn gathering() -> Self {
        Self {
            waiting: Mutex::new(Some(Vec::new())),
            task: AtomicWaker::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<Arc<Sleeper>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_here(&self) -> bool {
        HOME.with_borrow(|home| home.as_ref().is_some_and(|home| std::ptr::eq(&**home, self)))
    }

    /// Leaves a sleeper to be woken; false: it must be woken otherwise.
    fn leave(&self, sleeper: &Arc<Sleeper>) -> bool {
        if sleeper.is_left.swap(true, Ordering::AcqRel) {
            return true;
        }
        let mut waiting = self.waiting();
        let Some(list) = &mut *waiting else {
            sleeper.is_left.store(false, Ordering::Release);
            return false;
        };
        list.push(Arc::clone(sleeper));
        let is_first = list.len() == 1;
        drop(waiting);
        if is_first {
            self.task.wake();
        }
        true
    }
}

/// Ends the gathering: nobody is left behind.
struct Leaving(Arc<Home>);

impl Drop for Leaving {
    fn drop(&mut self) {
        HOME.with_borrow_mut(|home| {
            if home.as_ref().is_some_and(|home| Arc::ptr_eq(home, &self.0)) {
                *home = None;
            }
        });
        let left = self.0.waiting().take();
        for sleeper in left.into_iter().flatten() {
            sleeper.is_left.store(false, Ordering::Release);
            sleeper.task.wake();
        }
    }
}

/// The egress task of a session, asleep until there is something to do.
#[derive(Default)]
pub(super) struct Sleeper {
    task: AtomicWaker,
    /// Among those that wait to be woken.
    is_left: AtomicBool,
    /// Of the thread that it sleeps on.
    home: OnceLock<Arc<Home>>,
}

impl Sleeper {
    /// It lies down here: `waker` is called once there is something to do.
    pub(super) fn register(&self, waker: &Waker) {
        if self.home.get().is_none()
            && let Some(home) = HOME.with_borrow(Clone::clone)
        {
            // A second one would be the same.
            let _set = self.home.set(home).is_ok();
        }
        self.task.register(waker);
    }

    pub(super) fn wake(self: &Arc<Self>) {
        let elsewhere = self.home.get().filter(|home| !home.is_here());
        if !elsewhere.is_some_and(|home| home.leave(self)) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::AtomicUsize,
        task::{Context, Wake},
    };

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counter {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn asleep(count: usize) -> Vec<(Arc<Sleeper>, Arc<Counter>)> {
        let sleepers = (0..count).map(|_| (Arc::new(Sleeper::default()), Arc::new(Counter::default())));
        sleepers
            .inspect(|(sleeper, counter)| sleeper.register(&Waker::from(counter.clone())))
            .collect()
    }

    fn wake_elsewhere(sleepers: &[(Arc<Sleeper>, Arc<Counter>)]) {
        std::thread::scope(|scope| {
            scope.spawn(|| sleepers.iter().for_each(|(sleeper, _)| sleeper.wake()));
        });
    }

    #[test]
    fn another_thread_wakes_all_by_one_and_nobody_is_left_behind() {
        let own = Arc::new(Counter::default());
        let waker = Waker::from(own.clone());
        let mut cx = Context::from_waker(&waker);
        let early = asleep(1);
        let mut gathering = Box::pin(gather_wakes());
        assert!(gathering.as_mut().poll(&mut cx).is_pending());
        let sleepers = asleep(3);
        let woken = |sleepers: &[(Arc<Sleeper>, Arc<Counter>)]| -> Vec<usize> {
            sleepers.iter().map(|(_, counter)| counter.count()).collect()
        };

        wake_elsewhere(&sleepers);
        assert_eq!((own.count(), woken(&sleepers)), (1, vec![0; 3]));
        assert!(gathering.as_mut().poll(&mut cx).is_pending());
        assert_eq!((own.count(), woken(&sleepers)), (1, vec![1; 3]));

        // On its own thread, and of one that lay down before, nothing is gathered.
        let here = asleep(1);
        here.iter().for_each(|(sleeper, _)| sleeper.wake());
        wake_elsewhere(&early);
        assert_eq!((own.count(), woken(&here), woken(&early)), (1, vec![1], vec![1]));

        let last = asleep(2);
        wake_elsewhere(&last);
        drop(gathering);
        assert_eq!((own.count(), woken(&last)), (2, vec![1; 2]));
        let after = asleep(1);
        last.iter()
            .for_each(|(sleeper, counter)| sleeper.register(&Waker::from(counter.clone())));
        wake_elsewhere(&last);
        wake_elsewhere(&after);
        assert_eq!(
            (own.count(), woken(&last), woken(&after)),
            (2, vec![2; 2], vec![1])
        );
        let mut again = pin!(gather_wakes());
        assert!(again.as_mut().poll(&mut cx).is_pending());
    }
}
