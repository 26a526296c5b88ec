//! A subscription or a fetch that a session is sent.

use std::sync::Arc;

use super::queue::Ready;
use crate::{
    fanout::{Fetch, Subscription},
    session::Time,
    wire::control::PublishDone,
};

pub(super) struct Item {
    pub(super) body: Body,
    pub(super) ready: Arc<Ready>,
    /// A subscription that has nothing more to send, waiting for its streams to take their last bytes.
    pub(super) done: Option<PublishDone>,
    /// Its entry in the task's list of deadlines. [`Self::next_timeout`] may say later meanwhile, but never sooner.
    pub(super) deadline: Option<Time>,
    /// A subscription has sent something.
    pub(super) begun: bool,
}

impl Item {
    pub(super) fn new(body: Body, ready: Arc<Ready>) -> Self {
        Self {
            body,
            ready,
            done: None,
            deadline: None,
            begun: false,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        match &self.body {
            Body::Subscription(subscription) => subscription.next_timeout(),
            Body::Fetch { .. } => None,
        }
    }

    pub(super) fn forget_hole(&mut self) {
        if let Body::Fetch { hole, .. } = &mut self.body {
            *hole = None;
        }
    }
}

pub(super) enum Body {
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
    pub(super) fn priority(&self) -> u8 {
        match self {
            Self::Subscription(subscription) => subscription.priority(),
            Self::Fetch { fetch, .. } => fetch.priority(),
        }
    }
}
