//! What all requests of a client share: waiting for their answer, updating them, and ending with their handle.

use tokio::sync::{oneshot, watch};

use super::{Client, state::Goaway};
use crate::{
    net::SessionEnd,
    session::{Accepted, IllegalMove, RequestKey, RequestRefused, Session},
    wire::{Parameters, RequestErrorCode, StreamCode, control::RequestError},
};

/// Why a request did not succeed. Nothing of it is left on the session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailed {
    /// The peer refused it; the code and the retry interval say whether to ask again.
    #[error("the peer refused: {} ({})", .0.reason, .0.code)]
    Refused(Box<RequestError>),
    /// The peer sent GOAWAY: connect again and ask there.
    #[error("the peer is going away")]
    GoingAway,
    /// Instead of an answer the peer sent just this request elsewhere (GOAWAY on its stream): to the URI, if there is one. A FETCH or
    /// TRACK_STATUS that is sent to this session again was asked once more already.
    #[error("the peer sends the request elsewhere")]
    Elsewhere(Goaway),
    /// The peer ended the request's stream without an answer, or an answered request ended meanwhile.
    #[error("the peer ended the request without an answer")]
    Ended(Option<StreamCode>),
    /// Nothing was sent: the request is not possible on this session, now or ever.
    #[error("not sent: {0}")]
    NotSent(#[source] RequestRefused),
    /// An update or answer that does not fit the state of its request.
    #[error("not possible: {0}")]
    Illegal(#[source] IllegalMove),
    /// The session ended.
    #[error("the session ended: {0}")]
    Session(#[source] SessionEnd),
}

impl RequestFailed {
    /// The peer's code, if it refused.
    pub const fn code(&self) -> Option<RequestErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }
}

impl From<RequestRefused> for RequestFailed {
    fn from(refused: RequestRefused) -> Self {
        match refused {
            RequestRefused::GoingAway => Self::GoingAway,
            refused => Self::NotSent(refused),
        }
    }
}

/// The peer's answer to a request or update.
pub(crate) type Answer<T> = Result<T, RequestFailed>;
/// Whom the answer goes to.
pub(crate) type Answered<T> = oneshot::Sender<Answer<T>>;

/// A request of ours, or a PUBLISH of the peer that we accepted. Dropped, it is cancelled and forgotten; that also makes every
/// `async fn` that waits for an answer cancel-safe, in that nothing stays behind.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) client: Client,
    pub(crate) key: RequestKey,
    ending: Ending,
}

/// How a request ends with its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Cancel,
    /// Somebody else sees to it.
    Leave,
}

impl Request {
    pub(crate) const fn new(client: Client, key: RequestKey) -> Self {
        Self {
            client,
            key,
            ending: Ending::Cancel,
        }
    }

    /// The request goes on without this handle.
    pub(crate) fn release(mut self) -> RequestKey {
        self.ending = Ending::Leave;
        self.key
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.ending == Ending::Leave {
            return;
        }
        if self.client.inner.forget(self.key).is_some() {
            self.client.handle.stop_sending(self.key, StreamCode::CANCELLED);
        }
        self.client.handle.receive_no_more(self.key);
        self.client.handle.receive_fetch_no_more(self.key);
        self.client
            .handle
            .act(|session, _| session.cancel(self.key, StreamCode::CANCELLED));
    }
}

/// A request whose answer is under way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    answer: oneshot::Receiver<Answer<Accepted>>,
}

impl Asked {
    pub(crate) async fn answer(self) -> Answer<(Request, Accepted)> {
        let Self { request, answer } = self;
        let answer = request.client.wait(answer).await?;
        Ok((request, answer))
    }

    /// The same for a request that a GOAWAY in place of the answer ends: one that can be made again at once.
    pub(crate) async fn answer_here(self) -> Answer<(Request, Accepted)> {
        let mut goaway = self.request.client.inner.goaway_watch(self.request.key);
        tokio::select! {
            biased;
            answer = self.answer() => answer,
            goaway = goaway.heard() => Err(RequestFailed::Elsewhere(goaway)),
        }
    }
}

impl Client {
    /// Send a request; its answer comes to what is returned. `remember` runs before any event of the request can.
    pub(crate) fn ask(
        &self,
        send: impl FnOnce(&mut Session) -> Result<RequestKey, RequestRefused>,
        remember: impl FnOnce(&mut super::state::State, RequestKey),
    ) -> Answer<Asked> {
        let (answered, answer) = oneshot::channel();
        let key = self.handle.act(|session, _| {
            // Both locks are held only in this order: the session's, then ours.
            let mut state = self.inner.state();
            if self.inner.end.borrow().is_some() {
                return Err(RequestRefused::Closed);
            }
            let key = send(session)?;
            state.waiting.insert(key, answered);
            state.goaways.insert(key, watch::Sender::new(None));
            remember(&mut state, key);
            Ok::<_, RequestRefused>(key)
        });
        match key {
            Ok(key) => Ok(Asked {
                request: Request::new(self.clone(), key),
                answer,
            }),
            Err(RequestRefused::Closed) => Err(RequestFailed::Session(self.end())),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Change a request and wait for the peer's answer to that.
    pub(crate) async fn update(&self, key: RequestKey, parameters: Parameters) -> Answer<Parameters> {
        let (answered, answer) = oneshot::channel();
        self.handle
            .act(|session, _| {
                session.update(key, parameters)?;
                self.inner
                    .state()
                    .updates
                    .entry(key)
                    .or_default()
                    .push_back(answered);
                Ok(())
            })
            .map_err(RequestFailed::Illegal)?;
        self.wait(answer).await
    }

    async fn wait<T>(&self, answer: oneshot::Receiver<Answer<T>>) -> Answer<T> {
        // Answers are dropped unsent only when everything ends.
        match answer.await {
            Ok(answer) => answer,
            Err(_dropped) => Err(RequestFailed::Session(self.closed().await)),
        }
    }
}
