//! One track read in order over any number of sessions: each object once.
//!
//! A fresh feed joins at the start of the newest group. After a lost session it subscribes again and fetches what was
//! published meanwhile, from the object after the last one given on, so that nothing the relay still has is missed or
//! repeated. It does the same when a server sends the subscription elsewhere. A publisher that starts its numbers over is
//! recognised and read from its newest group. A past that is cut although the session stands is subscribed to and fetched
//! again a few times, from there on. One that is told to stop gives what has come, also behind a hole.

mod reading;

use std::sync::Arc;
use std::time::Duration;

use headwater_pubsub::net::{
    Client, FetchEnd, FetchOptions, FetchReader, ReceivedObject, RequestFailed, SubscribeOptions,
};
use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{FullTrackName, Location, PublishDoneCode, RequestErrorCode};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::reading::{Next, Reading};
use crate::link::{InCircles, Link, Moves, Session};
use crate::output::Console;

/// How long a request may wait at the relay for the track.
const RENDEZVOUS: Duration = Duration::from_secs(30);
/// Without an answer for so long, the user is told that we wait.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// Pause before a refused request is made again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a past that was cut is asked for again without an object in between; the reader of each has asked several times.
const CUTS: u32 = 3;
/// Events that may wait for the command; the network is held back beyond.
pub const QUEUE: usize = 64;

/// What to do about a track that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Wait for it, however long.
    Wait,
    /// Give up.
    Fail,
}

/// What happened on a track.
#[derive(Debug)]
pub enum Event {
    /// The next object, no marks.
    Object(ReceivedObject),
    /// The track is not there yet. Said once in a row.
    Waiting,
    /// The track was found.
    Found,
    /// The track has ended. Nothing follows.
    Ended,
    /// The server refuses for good, or [`Absent::Fail`] holds. Nothing follows.
    Refused(RequestFailed),
}

/// The session at hand, and how to get another one.
#[derive(Clone, Debug)]
pub struct Current {
    session: watch::Receiver<Option<Client>>,
    link: Arc<Link>,
}

impl Current {
    /// Waits for a session; `None` if there will be none any more. Cancel-safe.
    pub async fn session(&mut self) -> Option<Client> {
        self.session.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// The session, `None` while there is none.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.session.borrow().clone()
    }
}

/// Keeps a session open and tells readers of it, until `closing`.
async fn keep(
    link: &Link,
    mut session: Session,
    told: watch::Sender<Option<Client>>,
    console: &Console,
    closing: &CancellationToken,
) {
    loop {
        told.send_replace(Some(session.client.clone()));
        let lost = tokio::select! {
            () = link.lost(&mut session, console) => true,
            () = closing.cancelled() => false,
        };
        told.send_replace(None);
        session.close().await;
        if !lost {
            return;
        }
        session = tokio::select! {
            session = link.redial(console) => session,
            () = closing.cancelled() => return,
        };
    }
}

/// Reads `track` on a task of `tasks`; events come with `index`.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    index: usize,
    feed: Feed,
    current: Current,
    events: mpsc::Sender<(usize, Event)>,
) {
    tasks.spawn(async move {
        // The command has what it wanted.
        let _unwanted = feed.run(current, &Output { index, events }).await.is_err();
    });
}

/// One track, and how far it has been read.
#[derive(Debug)]
pub struct Feed {
    track: FullTrackName,
    absent: Absent,
    /// The first object wanted; `None`: from the newest group on.
    next: Option<Location>,
    /// Pasts that were cut since the last object.
    cuts: u32,
    stop: CancellationToken,
}

struct Output {
    index: usize,
    events: mpsc::Sender<(usize, Event)>,
}

/// Nobody reads the events any more, or wants more of them.
struct Gone;

impl Output {
    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events
            .send((self.index, event))
            .await
            .map_err(|_closed| Gone)
    }
}

/// How reading on one session ended.
enum End {
    /// The track is over.
    Track,
    /// The subscription is over, the track not: subscribe again.
    Subscription,
    /// The subscription is over because we were too slow.
    Behind,
    /// The server sent the subscription elsewhere: to this session. `None`: to the one that it came from, or where nobody is.
    Moved(Option<Session>),
}

/// What a request for the track leads to.
enum Opened {
    Reading(Box<Reading>),
    /// The past is at this session, and the track is to be read there.
    Moved(Session),
}

/// What was published while there was no session.
enum Missed {
    Here(Box<FetchReader>),
    At(Session),
    /// The past may be gone; the present goes on.
    Gone,
}

impl Feed {
    /// A track that nothing was read of yet.
    #[must_use]
    pub fn new(track: FullTrackName, absent: Absent) -> Self {
        Self {
            track,
            absent,
            next: None,
            cuts: 0,
            stop: CancellationToken::new(),
        }
    }

    /// Reads until `stop`, and then gives what has come without waiting for what is missing in it.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Reads from `start` on instead of from the newest group, as far as it is kept anywhere.
    #[must_use]
    pub fn from(self, start: Location) -> Self {
        Self {
            next: Some(start),
            ..self
        }
    }

    async fn run(mut self, mut current: Current, out: &Output) -> Result<(), Gone> {
        let mut waiting = false;
        let (mut moves, mut returns) = (Moves::default(), Moves::default());
        let mut detour: Option<Session> = None;
        let stop = self.stop.clone();
        loop {
            let Some(client) = stop.run_until_cancelled(current.session()).await.flatten() else {
                return Ok(());
            };
            let away = detour.take();
            let client = away.as_ref().map_or(client, |session| session.client.clone());
            let now = Instant::now;
            let opening = self.open(&client, &current.link, out, &mut waiting);
            let end = match stop.run_until_cancelled(opening).await.ok_or(Gone)?? {
                Ok(Opened::Reading(reading)) => {
                    if std::mem::take(&mut waiting) {
                        out.send(Event::Found).await?;
                    }
                    self.read(*reading, &current.link, out).await?
                }
                Ok(Opened::Moved(session)) => End::Moved(Some(session)),
                Err(RequestFailed::Elsewhere(goaway)) => End::Moved(current.link.follow(&goaway).await),
                // What another server says does not bind this one.
                Err(failed)
                    if away.is_none()
                        && self.is_final(&failed)
                        && moves.is_steady(now())
                        && returns.is_steady(now()) =>
                {
                    return out.send(Event::Refused(failed)).await;
                }
                Err(failed) => {
                    tracing::debug!(track = %self.track, %failed, "not subscribed");
                    let absent = failed.code().is_some();
                    if absent && !std::mem::replace(&mut waiting, true) {
                        out.send(Event::Waiting).await?;
                    }
                    End::Subscription
                }
            };
            match end {
                End::Track => return out.send(Event::Ended).await,
                End::Subscription => {}
                End::Behind => self.next = None,
                End::Moved(Some(session)) => {
                    if let Err(circles) = moves.count(now()) {
                        return out.send(Event::Refused(in_circles(circles))).await;
                    }
                    detour = Some(session);
                    continue;
                }
                End::Moved(None) => {
                    // Asked too often in a row, it is asked slowly, and at home.
                    if returns.count(now()).is_ok() {
                        detour = away;
                        continue;
                    }
                }
            }
            tokio::select! {
                _ = current.session.changed() => {}
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn is_final(&self, failed: &RequestFailed) -> bool {
        match failed.code() {
            None => matches!(failed, RequestFailed::NotSent(_) | RequestFailed::Illegal(_)),
            Some(
                RequestErrorCode::DOES_NOT_EXIST
                | RequestErrorCode::TIMEOUT
                | RequestErrorCode::INVALID_RANGE,
            ) => self.absent == Absent::Fail,
            Some(
                RequestErrorCode::GOING_AWAY
                // The subscription before this one is being cancelled.
                | RequestErrorCode::DUPLICATE_SUBSCRIPTION
                | RequestErrorCode::EXCESSIVE_LOAD
                | RequestErrorCode::INTERNAL_ERROR,
            ) => false,
            Some(_) => true,
        }
    }

    /// Subscribes; says so if it takes long.
    async fn open(
        &mut self,
        client: &Client,
        link: &Link,
        out: &Output,
        waiting: &mut bool,
    ) -> Result<Result<Opened, RequestFailed>, Gone> {
        let opening = self.subscribe(client, link);
        tokio::pin!(opening);
        if !*waiting {
            match tokio::time::timeout(IMPATIENCE, &mut opening).await {
                Ok(opened) => return Ok(opened),
                Err(_elapsed) => {
                    *waiting = true;
                    out.send(Event::Waiting).await?;
                }
            }
        }
        Ok(opening.await)
    }

    async fn subscribe(&mut self, client: &Client, link: &Link) -> Result<Opened, RequestFailed> {
        let opened = |reading| Ok(Opened::Reading(Box::new(reading)));
        let options = SubscribeOptions {
            rendezvous: (self.absent == Absent::Wait).then_some(RENDEZVOUS),
            ..SubscribeOptions::default()
        };
        let Some(next) = self.next else {
            let subscriber = client.join(self.track.clone(), 0, options).await?;
            return opened(Reading::new(subscriber, None));
        };
        let subscriber = client.subscribe(self.track.clone(), options.clone()).await?;
        tracing::debug!(track = %self.track, ?next, largest = ?subscriber.largest(), "resuming");
        let Some(largest) = subscriber.largest() else {
            // The relay does not know yet; the first object will tell.
            let mut reading = Reading::new(subscriber, None);
            reading.unknown = Some(client.clone());
            return opened(reading);
        };
        if started_over(next, largest) {
            drop(subscriber);
            self.next = None;
            let subscriber = client.join(self.track.clone(), 0, options).await?;
            return opened(Reading::new(subscriber, None));
        }
        if largest < next {
            return opened(Reading::new(subscriber, None));
        }
        match self.missed(client, link, next, largest).await {
            Missed::Here(past) => opened(Reading::new(subscriber, Some(*past))),
            Missed::Gone => opened(Reading::new(subscriber, None)),
            Missed::At(session) => Ok(Opened::Moved(session)),
        }
    }

    /// What was published from `next` to `last` while there was no session.
    async fn missed(&self, client: &Client, link: &Link, next: Location, last: Location) -> Missed {
        let last = FetchEnd::Object(last);
        let fetched = client.fetch(self.track.clone(), next, last, FetchOptions::default());
        let failed = match fetched.await {
            Ok(fetched) => return Missed::Here(Box::new(fetched)),
            Err(failed) => failed,
        };
        if let RequestFailed::Elsewhere(goaway) = &failed
            && let Some(session) = link.follow(goaway).await
        {
            return Missed::At(session);
        }
        tracing::info!(track = %self.track, %failed, "what was missed is gone");
        Missed::Gone
    }

    async fn read(&mut self, mut reading: Reading, link: &Link, out: &Output) -> Result<End, Gone> {
        let moving = reading.moved(link);
        tokio::pin!(moving);
        // Where the subscription is now, it goes on until there is another place.
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return rest(reading, out).await,
                session = &mut moving => return Ok(End::Moved(session)),
                next = reading.next() => next,
            };
            let object = match next {
                Next::Object(object) => object,
                Next::Over => break,
                // What came early lies behind the cut: it is fetched once more with the rest.
                Next::Cut if self.cuts < CUTS => {
                    self.cuts += 1;
                    tracing::info!(track = %self.track, next = ?self.next, "asking again for the past");
                    return Ok(End::Subscription);
                }
                Next::Cut => {
                    tracing::warn!(track = %self.track, "not all of the past has come: it was cut short");
                    continue;
                }
            };
            if let Some(client) = reading.unknown.take()
                && let Some(next) = self.next
            {
                if started_over(next, object.location) {
                    self.next = None;
                } else if object.location > next {
                    match self.missed(&client, link, next, object.location).await {
                        Missed::Here(past) => reading.read_before(Some(*past), object),
                        Missed::Gone => reading.read_before(None, object),
                        Missed::At(session) => return Ok(End::Moved(Some(session))),
                    }
                    continue;
                }
            }
            if self.next.is_some_and(|next| object.location < next) {
                continue;
            }
            let Location {
                group, object: id, ..
            } = object.location;
            match object.status {
                ObjectStatus::Normal => {
                    self.next = Some(Location::new(group, id.saturating_add(1)));
                    self.cuts = 0;
                    out.send(Event::Object(object)).await?;
                }
                ObjectStatus::EndOfGroup => self.next = Some(Location::new(group.saturating_add(1), 0)),
                ObjectStatus::EndOfTrack => return Ok(End::Track),
            }
        }
        let done = reading.done();
        tracing::debug!(track = %self.track, ?done, "subscription over");
        Ok(match done.map(|done| done.code) {
            Some(PublishDoneCode::TRACK_ENDED | PublishDoneCode::SUBSCRIPTION_ENDED) => End::Track,
            Some(PublishDoneCode::TOO_FAR_BEHIND) => End::Behind,
            _ => End::Subscription,
        })
    }
}

/// Gives what has come, whatever is missing in it.
async fn rest(mut reading: Reading, out: &Output) -> Result<End, Gone> {
    while let Some(object) = reading.take_ready() {
        if object.status == ObjectStatus::Normal {
            out.send(Event::Object(object)).await?;
        }
    }
    Ok(End::Track)
}

fn in_circles(circles: InCircles) -> RequestFailed {
    RequestFailed::Refused(Box::new(RequestError {
        code: RequestErrorCode::GOING_AWAY,
        retry_after_ms: None,
        reason: circles.to_string(),
        redirect: None,
    }))
}

/// A publisher without wall-clock group IDs came back: its numbers are far below what was read.
fn started_over(next: Location, largest: Location) -> bool {
    largest < next && largest.group < next.group.div_ceil(2)
}

/// The session of a command that reads, kept open beside what it does.
#[derive(Debug)]
pub struct Keeper {
    tasks: JoinSet<()>,
    closing: CancellationToken,
    /// The session at hand.
    pub current: Current,
}

impl Keeper {
    /// Keeps `session` open on a task.
    #[must_use]
    pub fn new(link: Arc<Link>, session: Session, console: Arc<Console>) -> Self {
        let (told, at_hand) = watch::channel(Some(session.client.clone()));
        let current = Current {
            session: at_hand,
            link: link.clone(),
        };
        let closing = CancellationToken::new();
        let ending = closing.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { keep(&link, session, told, &console, &ending).await });
        Self {
            tasks,
            closing,
            current,
        }
    }

    /// Closes the session.
    ///
    /// # Panics
    /// A panic in the session's task is continued here.
    pub async fn close(mut self) {
        self.closing.cancel();
        if let Some(Err(error)) = self.tasks.join_next().await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[cfg(test)]
mod tests;
