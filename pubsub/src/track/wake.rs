//! Who wants to hear of news.

use std::task::Waker;

/// Registered wakers; each is woken at most once between two times it is armed.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    armed: usize,
}

#[derive(Debug)]
struct Slot {
    waker: Waker,
    armed: bool,
}

impl Wakers {
    pub(super) fn insert(&mut self, waker: Waker) -> usize {
        let slot = Some(Slot { waker, armed: true });
        self.armed += 1;
        if let Some(index) = self.free.pop()
            && let Some(place) = self.slots.get_mut(index)
        {
            *place = slot;
            return index;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }

    pub(super) fn replace(&mut self, index: usize, waker: Waker) {
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            slot.waker = waker;
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::take) {
            self.armed -= usize::from(slot.armed);
            self.free.push(index);
        }
    }

    /// The owner saw everything and waits.
    pub(super) fn arm(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !std::mem::replace(&mut slot.armed, true)
        {
            self.armed += 1;
        }
    }

    /// The wakers of all who wait, to be woken once the lock is gone.
    pub(super) fn take(&mut self) -> Vec<Waker> {
        let mut wake = Vec::with_capacity(self.armed);
        for slot in self.slots.iter_mut().flatten() {
            if std::mem::replace(&mut slot.armed, false) {
                wake.push(slot.waker.clone());
            }
        }
        self.armed = 0;
        wake
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
