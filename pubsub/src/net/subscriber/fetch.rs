//! Reading the past: FETCH.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    live::{Feed, Stage},
    options::millis,
    rest::{Rest, Sequel},
};
use crate::{
    net::{
        FillSink,
        client::{
            Client, GoawayWatch, RequestFailed,
            request::{Asked, Request},
        },
        queue::{ObjectReceiver, object_queue},
        reader::ReceivedObject,
    },
    session::{Accepted, FetchTarget},
    wire::{FullTrackName, GroupOrder, Location, Parameters, Properties, Token},
};

/// Where a fetch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// With this object.
    Object(Location),
    /// With the last object of this group.
    Group(u64),
}

impl FetchEnd {
    fn on_wire(self) -> Location {
        match self {
            // The object after u64::MAX has no number; the whole group is the same.
            Self::Object(last) => Location::new(last.group, last.object.checked_add(1).unwrap_or(0)),
            Self::Group(group) => Location::new(group, 0),
        }
    }
}

/// How to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// Against the other requests of this session: lower is more urgent. Default 128.
    pub priority: u8,
    /// The order of groups; `None`: ascending.
    pub group_order: Option<GroupOrder>,
    /// How long relays may search for objects that they do not have; beyond, these are skipped. `None`: as they see fit.
    pub fill_timeout: Option<Duration>,
    /// Authorization.
    pub tokens: Vec<Token>,
    /// Bytes of payload that may wait for [`FetchReader::next`]. Default 8 MiB.
    pub queue_bytes: u32,
    /// How often the rest is asked for when the peer cuts the result short, without an object in between; only in ascending
    /// order. Default 3, within 0.7 s.
    pub again: u32,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            priority: 128,
            group_order: None,
            fill_timeout: None,
            tokens: Vec::new(),
            queue_bytes: 8 << 20,
            again: 3,
        }
    }
}

/// The result of a fetch. Dropping it cancels the rest.
#[derive(Debug)]
pub struct FetchReader {
    part: Part,
    rest: Rest,
    /// Unknown ranges of the parts before this one.
    unknown: u64,
    /// How it ended.
    over: Option<Result<(), FetchCut>>,
    end: Location,
    end_of_track: bool,
    properties: Properties,
}

/// What one FETCH gives of the result; all of it, unless it is cut.
#[derive(Debug)]
pub(super) struct Part {
    request: Request,
    goaway: GoawayWatch,
    queue: ObjectReceiver,
    stage: watch::Receiver<Stage>,
}

/// What FETCH_OK says besides.
#[derive(Debug)]
pub(super) struct Answer {
    end: Location,
    end_of_track: bool,
    properties: Properties,
}

/// A fetch ended before everything was there: the peer reset it, again and again, or the session ended. What came before is
/// good; the rest can be asked for on another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fetch was cut short")]
pub struct FetchCut;

impl FetchReader {
    /// The next object: groups in the order asked for, objects ascending inside a group; `None` after the last. Objects missing in
    /// between do not exist, or [nobody knows](Self::unknown_ranges). If the peer cuts the result short, the rest is asked for again
    /// as [`FetchOptions::again`] says.
    ///
    /// # Errors
    /// The fetch was cut short; every further call says so, too.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<ReceivedObject>, FetchCut> {
        loop {
            if let Some(over) = self.over {
                return over.map(|()| None);
            }
            if !self.rest.is_asking() {
                match self.part.next(self.rest.may_ask()).await {
                    Ok(Some(object)) => {
                        self.rest.came(object.location);
                        return Ok(Some(object));
                    }
                    Ok(None) => {
                        self.over = Some(Ok(()));
                        continue;
                    }
                    Err(FetchCut) => {}
                }
            }
            match self.rest.ask().await {
                Sequel::Part(part) => {
                    let before = std::mem::replace(&mut self.part, part);
                    self.unknown = self.unknown.saturating_add(before.queue.unknown_ranges());
                }
                Sequel::Nothing => self.over = Some(Ok(())),
                Sequel::Lost => self.over = Some(Err(FetchCut)),
            }
        }
    }

    /// Ranges that came so far of which nobody knows whether objects exist there. A gap that is none of them is known to be empty.
    pub fn unknown_ranges(&self) -> u64 {
        self.unknown.saturating_add(self.part.queue.unknown_ranges())
    }

    /// Where the result ends: last object plus one, or object 0 for the whole of the group.
    pub const fn end(&self) -> Location {
        self.end
    }

    /// Hears whether the peer wants the fetch made again at another URI. It goes on here until it is cut. What the peer wants asked
    /// again on this session, is.
    pub fn goaway(&self) -> GoawayWatch {
        self.part.goaway.clone()
    }

    /// Whether the result reaches the end of the track.
    pub const fn reaches_end_of_track(&self) -> bool {
        self.end_of_track
    }

    /// Track Properties as the publisher sent them.
    pub const fn properties(&self) -> &Properties {
        &self.properties
    }
}

impl Part {
    /// `follows`: a GOAWAY to this session is a cut. Cancel-safe.
    async fn next(&mut self, follows: bool) -> Result<Option<ReceivedObject>, FetchCut> {
        loop {
            let (filled, over) = {
                let stage = self.stage.borrow_and_update();
                (stage.filled, stage.over)
            };
            if over && filled.is_none() {
                // Nothing more will come; what is in the queue is given first.
                self.queue.close();
            }
            tokio::select! {
                biased;
                object = self.queue.recv() => match (object, filled) {
                    (Some(object), _) => return Ok(Some(object)),
                    (None, Some(true)) => return Ok(None),
                    (None, Some(false)) => return Err(FetchCut),
                    (None, None) if over => return Err(FetchCut),
                    // The stream was read to its end; how it ended is about to be told.
                    (None, None) => self.stage.changed().await.map_err(|_forgotten| FetchCut)?,
                },
                changed = self.stage.changed(), if !over => changed.map_err(|_forgotten| FetchCut)?,
                // All that came was given: the rest is asked for again.
                () = self.goaway.heard_here(), if follows => {
                    self.request.client.handle().receive_fetch_no_more(self.request.key);
                    return Err(FetchCut);
                }
            }
        }
    }
}

/// A fetch whose answer is under way.
#[derive(Debug)]
pub(super) struct AskedFetch {
    asked: Asked,
    target: FetchTarget,
    options: FetchOptions,
    queue: ObjectReceiver,
    feed: Arc<Feed>,
}

impl AskedFetch {
    /// `start`: the first location that may come. `track`, `options`: to ask for the rest.
    pub(super) async fn answer(
        self,
        track: FullTrackName,
        start: Location,
        options: FetchOptions,
    ) -> Result<FetchReader, RequestFailed> {
        let client = self.asked.request.client.clone();
        let (part, answer) = self.part().await?;
        let Answer {
            end,
            end_of_track,
            properties,
        } = answer;
        Ok(FetchReader {
            part,
            rest: Rest::new(client, track, options, start, end),
            unknown: 0,
            over: None,
            end,
            end_of_track,
            properties,
        })
    }

    /// Asks once more if the peer wants that.
    pub(super) async fn part(self) -> Result<(Part, Answer), RequestFailed> {
        let client = self.asked.request.client.clone();
        let (target, options) = (self.target.clone(), self.options.clone());
        match self.answered().await {
            Err(RequestFailed::Elsewhere(goaway)) if goaway.uri.is_empty() => {
                client.ask_fetch(target, options)?.answered().await
            }
            answer => answer,
        }
    }

    async fn answered(self) -> Result<(Part, Answer), RequestFailed> {
        let Self {
            asked, queue, feed, ..
        } = self;
        let (request, answer) = asked.answer_here().await?;
        let Accepted::Fetch {
            end_of_track,
            end,
            properties,
            ..
        } = answer
        else {
            return Err(RequestFailed::Ended(None));
        };
        let part = Part {
            goaway: request.client.inner.goaway_watch(request.key),
            request,
            queue,
            stage: feed.subscribe(),
        };
        let answer = Answer {
            end,
            end_of_track,
            properties,
        };
        Ok((part, answer))
    }
}

impl Client {
    /// Fetch objects that were published before, from `start` to `last`, both inclusive.
    ///
    /// # Errors
    /// See [`RequestFailed`]. INVALID_RANGE: nothing was published at or after `start`.
    ///
    /// Cancel-safe: if dropped, the fetch is cancelled.
    pub async fn fetch(
        &self,
        track: FullTrackName,
        start: Location,
        last: FetchEnd,
        options: FetchOptions,
    ) -> Result<FetchReader, RequestFailed> {
        let target = FetchTarget::Standalone {
            track: track.clone(),
            start,
            end: last.on_wire(),
        };
        let asked = self.ask_fetch(target, options.clone())?;
        asked.answer(track, start, options).await
    }

    pub(super) fn ask_fetch(
        &self,
        target: FetchTarget,
        options: FetchOptions,
    ) -> Result<AskedFetch, RequestFailed> {
        let (sender, queue) = object_queue(options.queue_bytes);
        let order = options.group_order.unwrap_or_default();
        let (again, asked_with) = (target.clone(), options.clone());
        let parameters = Parameters {
            subscriber_priority: (options.priority != 128).then_some(options.priority),
            group_order: options.group_order,
            fill_timeout_ms: options.fill_timeout.map(millis),
            authorization_tokens: options.tokens,
            ..Parameters::default()
        };
        let feed = Feed::new();
        let asked = self.ask(
            |session| session.fetch(target, parameters),
            |state, key| {
                state.feeds.insert(key, feed.clone());
            },
        )?;
        self.handle()
            .receive_fetch(asked.request.key, FillSink::Reader(sender, order));
        Ok(AskedFetch {
            asked,
            target: again,
            options: asked_with,
            queue,
            feed,
        })
    }
}
