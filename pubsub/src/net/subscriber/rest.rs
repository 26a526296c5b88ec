//! The rest of a fetch that was cut: asked for again, behind the last object that came whole.
//!
//! A relay resets a stream that it cannot serve to its end, for one because its own upstream broke; the session stands, and the
//! next FETCH may find another way (draft section "Fetch Handling"). Pauses double. An object that comes proves that asking
//! helps, and the count begins anew; a fetch is thus bounded by its range. A session that ended is its owner's to replace.

use std::{fmt, pin::Pin, time::Duration};

use super::fetch::{AskedFetch, FetchOptions, Part};
use crate::{
    net::client::{Client, RequestFailed},
    session::FetchTarget,
    wire::{FullTrackName, GroupOrder, Location, RequestErrorCode},
};

/// Before the rest is asked for; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What asking for the rest of a fetch takes, and how far it has come.
pub(super) struct Rest {
    client: Client,
    track: FullTrackName,
    options: FetchOptions,
    /// The first location that may still come.
    next: Location,
    /// One past the last, as on the wire.
    end: Location,
    /// How often the rest was asked for since the last object.
    tries: u32,
    asking: Option<Asking>,
}

type Asking = Pin<Box<dyn Future<Output = Result<Part, RequestFailed>> + Send + Sync>>;

/// What comes after a cut.
pub(super) enum Sequel {
    /// The rest is being sent.
    Part(Part),
    /// There is none: everything had come.
    Nothing,
    /// It was asked for often enough, or nobody can be asked.
    Lost,
}

impl Rest {
    pub(super) fn new(
        client: Client,
        track: FullTrackName,
        options: FetchOptions,
        start: Location,
        end: Location,
    ) -> Self {
        Self {
            client,
            track,
            options,
            next: start,
            end,
            tries: 0,
            asking: None,
        }
    }

    /// An object was given on.
    pub(super) fn came(&mut self, at: Location) {
        self.tries = 0;
        self.next = match at.object.checked_add(1) {
            Some(object) => Location::new(at.group, object),
            None => Location::new(at.group.saturating_add(1), 0),
        };
    }

    /// Whether an answer is awaited: [`Rest::ask`] is to be called again before anything else.
    pub(super) const fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Whether what is missing after a cut can be asked for.
    pub(super) fn may_ask(&self) -> bool {
        // After a cut in descending order the rest is no range.
        let ascending = self.options.group_order.unwrap_or_default() == GroupOrder::Ascending;
        ascending && self.tries < self.options.again && !self.client.has_ended()
    }

    /// Asks for what is missing. Cancel-safe: called again it goes on.
    pub(super) async fn ask(&mut self) -> Sequel {
        loop {
            if self.asking.is_none() {
                if self.is_complete() {
                    return Sequel::Nothing;
                }
                if !self.may_ask() {
                    return Sequel::Lost;
                }
                self.tries += 1;
                self.asking = Some(self.asked());
            }
            let Some(asking) = &mut self.asking else {
                return Sequel::Lost;
            };
            let answer = asking.await;
            self.asking = None;
            match answer {
                Ok(part) => return Sequel::Part(part),
                Err(refused) if refused.code() == Some(RequestErrorCode::INVALID_RANGE) => {
                    return Sequel::Nothing;
                }
                Err(failed) if may_pass(&failed) => {
                    tracing::debug!(%failed, next = ?self.next, "the rest of a fetch is refused");
                }
                Err(_final) => return Sequel::Lost,
            }
        }
    }

    fn is_complete(&self) -> bool {
        let whole_group = self.end.object == 0;
        let last = if whole_group { u64::MAX } else { self.end.object };
        (self.next.group, self.next.object) >= (self.end.group, last)
    }

    fn asked(&self) -> Asking {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.saturating_sub(1).min(10));
        let client = self.client.clone();
        let options = self.options.clone();
        let target = FetchTarget::Standalone {
            track: self.track.clone(),
            start: self.next,
            end: self.end,
        };
        Box::pin(async move {
            let handle = client.handle();
            handle.sleep_until(handle.now().saturating_add(pause)).await;
            let asked: AskedFetch = client.ask_fetch(target, options)?;
            asked.part().await.map(|(part, _)| part)
        })
    }
}

/// Whether the same question may have another answer soon.
fn may_pass(failed: &RequestFailed) -> bool {
    match failed.code() {
        Some(code) => matches!(
            code,
            RequestErrorCode::INTERNAL_ERROR | RequestErrorCode::TIMEOUT | RequestErrorCode::EXCESSIVE_LOAD
        ),
        None => matches!(failed, RequestFailed::Ended(_)),
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest")
            .field("next", &self.next)
            .field("end", &self.end)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}
