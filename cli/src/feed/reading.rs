//! One subscription of a feed, and the past that belongs before it.

use std::collections::VecDeque;

use headwater_pubsub::net::{Client, FetchReader, Ordered, OrderedOptions, Past, ReceivedObject, Subscriber};
use headwater_pubsub::wire::control::PublishDone;

use crate::link::{Link, Session};

/// Bytes of the present held while the past is read; beyond, the rest of the past is given up.
const EARLY_BYTES: usize = 64 << 20;

/// A subscription, and a fetch of what was before it.
pub(super) struct Reading {
    live: Ordered,
    past: Option<FetchReader>,
    /// Live objects that came while the past was read: they must leave the transport, or the past could not arrive.
    early: VecDeque<ReceivedObject>,
    early_bytes: usize,
    /// What became of the past that was joined was told.
    told: bool,
    /// Holes that were skipped before the object given last.
    skipped: u64,
    /// Where to fetch what was missed, once the first object shows where the present is.
    pub(super) unknown: Option<Client>,
}

/// What reading gives.
pub(super) enum Next {
    Object(ReceivedObject),
    /// What follows is behind a hole that another request may fill. Said once for each.
    Cut,
    /// The subscription is over.
    Over,
}

impl Reading {
    pub(super) fn new(subscriber: Subscriber, past: Option<FetchReader>) -> Self {
        Self {
            live: subscriber.ordered(OrderedOptions::default()),
            past,
            early: VecDeque::new(),
            early_bytes: 0,
            told: false,
            skipped: 0,
            unknown: None,
        }
    }

    /// Reads `past` and then `object` before what comes.
    pub(super) fn read_before(&mut self, past: Option<FetchReader>, object: ReceivedObject) {
        self.past = past;
        self.early.push_front(object);
    }

    /// Tells when the subscription is sent elsewhere, and the session there, if there is one; or when its past is, and somebody is
    /// there: they belong together. The past is asked for again without us if it is to come from the same place.
    pub(super) fn moved<'link>(
        &self,
        link: &'link Link,
    ) -> impl Future<Output = Option<Session>> + use<'link> {
        let subscriber = self.live.subscriber();
        let mut live = subscriber.goaway();
        let past = self.past.as_ref().map(FetchReader::goaway);
        let mut past = past.unwrap_or_else(|| subscriber.past_goaway());
        async move {
            let past_moved = async {
                match link.follow(&past.heard().await).await {
                    Some(session) => session,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                goaway = live.heard() => link.follow(&goaway).await,
                session = past_moved => Some(session),
            }
        }
    }

    /// How the publisher ended the subscription.
    pub(super) fn done(&self) -> Option<PublishDone> {
        self.live.done()
    }

    /// The next object in order. Cancel-safe.
    pub(super) async fn next(&mut self) -> Next {
        let mut live_over = false;
        while let Some(past) = &mut self.past {
            tokio::select! {
                biased;
                object = past.next() => match object {
                    Ok(Some(object)) => return Next::Object(object),
                    Ok(None) => {
                        let unknown = past.unknown_ranges();
                        if unknown > 0 {
                            tracing::warn!(ranges = unknown, "nobody knows some of what was missed any more");
                        }
                        self.past = None;
                    }
                    Err(cut) => {
                        tracing::debug!(%cut, "what was missed");
                        self.past = None;
                        return Next::Cut;
                    }
                },
                object = self.live.next(), if !live_over => match object {
                    Some(object) => {
                        self.early_bytes += object.payload.len();
                        self.early.push_back(object);
                        if self.early_bytes > EARLY_BYTES {
                            tracing::warn!("the present came too fast to read all of what was missed");
                            self.past = None;
                        }
                    }
                    None => live_over = true,
                },
            }
        }
        if let Some(object) = self.early.pop_front() {
            return Next::Object(object);
        }
        let object = self.live.next().await;
        if self.is_cut() {
            // The object is not lost: it stays at hand if nobody asks again.
            self.early.extend(object);
            return Next::Cut;
        }
        object.map_or(Next::Over, Next::Object)
    }

    /// The next object of what has come already, without waiting: for one who stops reading.
    pub(super) fn take_ready(&mut self) -> Option<ReceivedObject> {
        self.early.pop_front().or_else(|| self.live.take_ready())
    }

    /// Whether what was just read lies behind a hole: of a joined past that was cut, or of a session that broke before the objects
    /// in between had come.
    fn is_cut(&mut self) -> bool {
        let skipped = self.live.skipped();
        let hole = std::mem::replace(&mut self.skipped, skipped) < skipped;
        let broken = hole && self.live.is_over() && self.live.done().is_none();
        let past = self.live.subscriber().past();
        if self.told || past == Past::Reading {
            return broken;
        }
        self.told = true;
        match past {
            Past::Cut => return true,
            Past::Unknown { .. } => tracing::warn!("nobody knows some of the past any more"),
            Past::GivenUp => tracing::warn!("the present came too fast to read all of the past"),
            _ => {}
        }
        broken
    }
}
