//! Which publisher refused which track a moment ago: whoever asks again is told the same without troubling the publisher.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{FullTrackName, RequestErrorCode};

use super::input::SessionId;

type Key = (SessionId, FullTrackName);

/// Refusals that still count, bounded in number.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    entries: BTreeMap<Key, (Duration, RequestError)>,
    order: BTreeSet<(Duration, Key)>,
}

impl Refusals {
    /// Remembers until `until`; forgets the entry closest to its end if there are more than `bound`.
    pub(super) fn add(&mut self, key: Key, until: Duration, error: RequestError, bound: usize) {
        self.remove(&key);
        self.entries.insert(key.clone(), (until, error));
        self.order.insert((until, key));
        if self.entries.len() > bound
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(super) fn get(&self, session: SessionId, track: &FullTrackName) -> Option<&RequestError> {
        self.entries
            .get(&(session, track.clone()))
            .map(|(_, error)| error)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some((until, _)) = self.entries.remove(key) {
            self.order.remove(&(until, key.clone()));
        }
    }

    /// Forgets what `session` refused, of the tracks that `which` picks.
    pub(super) fn forget(&mut self, session: SessionId, which: impl Fn(&FullTrackName) -> bool) {
        let first = (session, lowest_name());
        let gone: Vec<Key> = self
            .entries
            .range(first..)
            .map(|(key, _)| key)
            .take_while(|(of, _)| *of == session)
            .filter(|(_, track)| which(track))
            .cloned()
            .collect();
        for key in &gone {
            self.remove(key);
        }
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.order.first().map(|&(until, _)| until)
    }

    /// Takes one refusal that no longer counts.
    pub(super) fn expired(&mut self, now: Duration) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.entries.remove(&key);
        Some(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A REQUEST_ERROR of our own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: RequestErrorCode,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) reason: &'static str,
}

/// One that does not invite to retry.
pub(super) const fn error(code: RequestErrorCode, reason: &'static str) -> Refusal {
    Refusal {
        code,
        retry_after_ms: None,
        reason,
    }
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            retry_after_ms: refusal.retry_after_ms,
            reason: refusal.reason.to_owned(),
            redirect: None,
        }
    }
}

/// What a subscriber is told after `refusals`: the most telling of them, less what concerned only us.
pub(super) fn most_useful(refusals: impl IntoIterator<Item = RequestError>) -> Option<RequestError> {
    refusals
        .into_iter()
        .map(for_downstream)
        .min_by_key(|error| rank(error.code))
}

/// Replaces a code that speaks of the session between the publisher and us.
fn for_downstream(mut refusal: RequestError) -> RequestError {
    refusal.code = match refusal.code.known() {
        RequestErrorCode::MALFORMED_AUTH_TOKEN
        | RequestErrorCode::EXPIRED_AUTH_TOKEN
        | RequestErrorCode::PREFIX_OVERLAP
        | RequestErrorCode::NAMESPACE_TOO_LARGE
        | RequestErrorCode::INVALID_JOINING_REQUEST_ID => RequestErrorCode::INTERNAL_ERROR,
        RequestErrorCode::DUPLICATE_SUBSCRIPTION | RequestErrorCode::UNINTERESTED => {
            RequestErrorCode::DOES_NOT_EXIST
        }
        // It is the publisher that goes, not this relay.
        RequestErrorCode::GOING_AWAY => RequestErrorCode::TIMEOUT,
        code => code,
    };
    refusal
}

/// Verdicts on the track before passing troubles, passing troubles before "not here".
fn rank(code: RequestErrorCode) -> u8 {
    match code {
        RequestErrorCode::REDIRECT => 0,
        RequestErrorCode::MALFORMED_TRACK
        | RequestErrorCode::UNSUPPORTED_EXTENSION
        | RequestErrorCode::INVALID_RANGE => 1,
        RequestErrorCode::UNAUTHORIZED => 2,
        RequestErrorCode::EXCESSIVE_LOAD | RequestErrorCode::TIMEOUT => 3,
        RequestErrorCode::DOES_NOT_EXIST => 5,
        _ => 4,
    }
}

fn lowest_name() -> FullTrackName {
    super::tracks::first_under(&headwater_pubsub::wire::TrackNamespace::empty())
}

/// Whether a refusal is about the track itself, so that waiting for another publisher is of no use.
pub(super) fn is_verdict(code: RequestErrorCode) -> bool {
    rank(code) <= 2
}
