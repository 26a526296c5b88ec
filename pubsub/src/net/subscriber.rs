//! Reading a track: live objects of a subscription, the past by FETCH, or both joined without a seam
//! (draft sections "Subscriptions", "Fetch State Management", "Joining Fetches").
//!
//! Objects come whole. A reader that is slow holds the peer back: its queue is bounded by [`SubscribeOptions::queue_bytes`], and
//! what does not fit stays in QUIC's windows; the publisher then drops or ends the subscription by its own rules.

mod fetch;
mod live;
mod options;
mod ordered;
mod reorder;
mod rest;
mod seam;

use std::{
    collections::VecDeque,
    pin::pin,
    task::{Context, Poll, Waker},
};

pub(crate) use self::live::{Feed, Live};
pub use self::{
    fetch::{FetchCut, FetchEnd, FetchOptions, FetchReader},
    options::{SubscribeOptions, SubscriptionChange},
    ordered::{Ordered, OrderedOptions},
};
use super::{
    client::{Client, GoawayWatch, RequestFailed, request::Request},
    queue::object_queue,
    reader::ReceivedObject,
};
use crate::{
    session::{Accepted, FetchTarget, IllegalMove, RequestKey},
    wire::{
        Filter, FullTrackName, GroupOrder, Location, Parameters, Properties, RequestErrorCode,
        control::PublishDone,
    },
};

/// A subscription. Dropping it cancels the subscription.
#[derive(Debug)]
pub struct Subscriber {
    request: Request,
    track: FullTrackName,
    properties: Properties,
    largest: Option<Location>,
    /// First location that the subscription can pass; `None`: not known.
    start: Option<Location>,
    /// First location that does not belong to the past, unless a filter made another the first.
    seam: Option<Location>,
    live: Live,
    join: Option<Join>,
    past: Past,
}

/// The past of a joined subscription, as long as it is not read to its end.
#[derive(Debug)]
struct Join {
    past: FetchReader,
    /// The largest location that belongs to the past.
    at: Location,
    /// Live objects that came meanwhile; they must leave the transport's windows, or the past could not arrive.
    waiting: VecDeque<ReceivedObject>,
    waiting_bytes: u64,
    max_bytes: u64,
}

/// What became of the past of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Past {
    /// None was asked for, or there is none.
    None,
    /// It is being read.
    Reading,
    /// All of it that exists was read.
    Whole,
    /// It was read, but for ranges that nobody knows any more.
    Unknown {
        /// How many.
        ranges: u64,
    },
    /// The fetch was cut short: its end is missing.
    Cut,
    /// So much of the present came meanwhile that the rest of it was given up.
    GivenUp,
}

/// Which part of a joined subscription is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Objects come from the past.
    Past,
    /// Objects come as they are published.
    Live,
}

impl Subscriber {
    fn new(request: Request, track: FullTrackName, parts: Parts, filter: Option<Filter>, live: Live) -> Self {
        let Parts {
            parameters,
            properties,
        } = parts;
        let largest = parameters.largest_object;
        Self {
            request,
            track,
            properties,
            largest,
            start: first_location(filter, largest),
            seam: seam(filter, largest),
            live,
            join: None,
            past: Past::None,
        }
    }

    /// A subscription that the publisher began and we accepted.
    pub(super) fn accepted(
        request: Request,
        track: FullTrackName,
        properties: Properties,
        largest: Option<Location>,
        options: &SubscribeOptions,
        live: Live,
    ) -> Self {
        let start = first_location(options.filter, largest);
        Self {
            request,
            track,
            properties,
            largest,
            start,
            seam: seam(options.filter, largest),
            live,
            join: None,
            past: Past::None,
        }
    }

    /// The track.
    pub const fn track(&self) -> &FullTrackName {
        &self.track
    }

    /// Track Properties as the publisher sent them.
    pub const fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The largest location when the subscription began; `None`: nothing was published yet.
    pub const fn largest(&self) -> Option<Location> {
        self.largest
    }

    /// Whether [`Subscriber::next`] gives objects of the past.
    pub const fn position(&self) -> Position {
        if self.join.is_some() {
            Position::Past
        } else {
            Position::Live
        }
    }

    /// What became of the past that [`Client::join`] asked for.
    pub const fn past(&self) -> Past {
        self.past
    }

    /// The next object, as they come: in order within a subgroup, in any order otherwise. After
    /// [`Client::join`] the past comes first, each object once.
    ///
    /// `None`: the subscription is over ([`Subscriber::done`] says why), and what was under way has been delivered. Objects that
    /// the publisher reset, dropped as expired, or sent in datagrams that were lost, do not come.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<ReceivedObject> {
        while let Some(join) = &mut self.join {
            match join.next(&mut self.live).await {
                Step::Object(object) => return Some(*object),
                Step::Over(past) => self.past = past,
            }
            if let Some(join) = self.join.take() {
                self.live.put_back(join.waiting);
            }
        }
        self.live.next().await
    }

    /// The next object of what has come already; a past that is still read is given up.
    fn take_ready(&mut self) -> Option<ReceivedObject> {
        loop {
            let mut context = Context::from_waker(Waker::noop());
            let polled = pin!(tokio::task::unconstrained(self.next())).poll(&mut context);
            if let Poll::Ready(object) = polled {
                return object;
            }
            self.live.put_back(self.join.take()?.waiting);
        }
    }

    /// Read in order of groups and objects instead.
    pub fn ordered(self, options: OrderedOptions) -> Ordered {
        Ordered::new(self, options)
    }

    /// Change the subscription.
    ///
    /// # Errors
    /// The publisher refuses: it ends the subscription then. Or the subscription is over.
    ///
    /// If dropped before it is ready, the change may be made nevertheless.
    pub async fn update(&self, change: SubscriptionChange) -> Result<(), RequestFailed> {
        self.request
            .client
            .update(self.request.key, change.into_parameters())
            .await
            .map(|_parameters| ())
    }

    /// Hears whether the peer wants this request made again elsewhere.
    pub fn goaway(&self) -> GoawayWatch {
        self.request.client.inner.goaway_watch(self.request.key)
    }

    /// The same of the fetch for the past that [`Client::join`] asked for, while it is read: see [`FetchReader::goaway`].
    pub fn past_goaway(&self) -> GoawayWatch {
        self.join
            .as_ref()
            .map_or_else(GoawayWatch::deaf, |join| join.past.goaway())
    }

    /// Ask the publisher of a track that it offered to us ([`TrackOffer`](super::TrackOffer)) to offer it again at `uri`, or if
    /// that is empty on this session. A client can name no `uri`. The subscription goes on meanwhile: with a `timeout` above zero
    /// it is reset with GOING_AWAY after it.
    ///
    /// A publisher that offers it again on this session ends the old subscription first, and streams under way are reset: fetch what is
    /// missed, up to the new offer's largest object.
    ///
    /// # Errors
    /// It was said before, the subscription is over, or a client names a URI.
    pub fn send_goaway(&self, uri: &str, timeout: std::time::Duration) -> Result<(), IllegalMove> {
        let uri = bytes::Bytes::copy_from_slice(uri.as_bytes());
        let key = self.request.key;
        let handle = self.request.client.handle();
        handle.act(|session, now| session.request_goaway(now, key, uri, timeout))
    }

    /// How the publisher ended the subscription; `None` while it has not, or if the session ended first.
    pub fn done(&self) -> Option<PublishDone> {
        self.live.done()
    }

    pub(crate) const fn start(&self) -> Option<Location> {
        self.start
    }

    /// Where the live half begins, if nothing says what of the groups from there on exists.
    pub(crate) const fn seam(&self) -> Option<Location> {
        self.seam
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.request.client
    }
}

/// What reading the past gives.
enum Step {
    Object(Box<ReceivedObject>),
    /// There is no more.
    Over(Past),
}

impl Join {
    /// The next object of the past, until there are no more or too much of the present waits.
    async fn next(&mut self, live: &mut Live) -> Step {
        loop {
            tokio::select! {
                biased;
                past = self.past.next() => match past {
                    Ok(Some(object)) if object.location > self.at => {}
                    Ok(Some(object)) => return Step::Object(Box::new(object)),
                    Ok(None) => return Step::Over(match self.past.unknown_ranges() {
                        0 => Past::Whole,
                        ranges => Past::Unknown { ranges },
                    }),
                    // The present goes on: a past that was cut short is like objects that were dropped.
                    Err(FetchCut) => return Step::Over(Past::Cut),
                },
                object = live.next(), if !live.is_over() => {
                    let Some(object) = object.filter(|object| object.location > self.at) else { continue };
                    self.waiting_bytes = self.waiting_bytes.saturating_add(object.payload.len() as u64);
                    self.waiting.push_back(object);
                    if self.waiting_bytes > self.max_bytes {
                        return Step::Over(Past::GivenUp);
                    }
                }
            }
        }
    }
}

/// The answer to a SUBSCRIBE.
struct Parts {
    parameters: Parameters,
    properties: Properties,
}

/// The first location that a subscription passes (draft section "Subscription Filters"), if it can be told.
fn first_location(filter: Option<Filter>, largest: Option<Location>) -> Option<Location> {
    let after = largest.map_or_else(Location::default, |at| {
        Location::new(at.group, at.object.saturating_add(1))
    });
    match filter {
        None | Some(Filter::LargestObject) => Some(after),
        Some(Filter::NextGroupStart) => Some(largest.map_or_else(Location::default, |at| {
            Location::new(at.group.saturating_add(1), 0)
        })),
        Some(Filter::AbsoluteStart(start) | Filter::AbsoluteRange { start, .. }) => Some(start.max(after)),
    }
}

/// Where a subscription without a start of its own begins: behind the largest object, or before all objects.
fn seam(filter: Option<Filter>, largest: Option<Location>) -> Option<Location> {
    let follows = matches!(filter, None | Some(Filter::LargestObject));
    let Some(at) = largest.filter(|_| follows) else {
        return follows.then(Location::default);
    };
    Some(Location::new(at.group, at.object.checked_add(1)?))
}

impl Client {
    /// Subscribe to what is published of a track from now on.
    ///
    /// # Errors
    /// See [`RequestFailed`]. DOES_NOT_EXIST: nobody publishes the track; set [`SubscribeOptions::rendezvous`] to wait for it.
    ///
    /// Cancel-safe: if dropped, the subscription is cancelled.
    pub async fn subscribe(
        &self,
        track: FullTrackName,
        options: SubscribeOptions,
    ) -> Result<Subscriber, RequestFailed> {
        let filter = options.filter;
        let (asked, live) = self.ask_subscription(&track, options)?;
        let (request, parts) = subscribed(asked.answer().await?)?;
        Ok(Subscriber::new(request, track, parts, filter, live))
    }

    /// Subscribe from now on, and fetch what came before: from the beginning of the group `groups_back` before the largest one.
    /// The filter of `options` is replaced. A track of which nothing was published yet begins live.
    ///
    /// # Errors
    /// See [`RequestFailed`]; also if the past is refused for another reason than that there is none.
    ///
    /// Cancel-safe: if dropped, both requests are cancelled.
    pub async fn join(
        &self,
        track: FullTrackName,
        groups_back: u64,
        mut options: SubscribeOptions,
    ) -> Result<Subscriber, RequestFailed> {
        let filter = Some(Filter::LargestObject);
        options.filter = filter;
        let fetch = FetchOptions {
            priority: options.priority,
            group_order: Some(GroupOrder::Ascending),
            tokens: options.tokens.clone(),
            queue_bytes: options.queue_bytes,
            ..FetchOptions::default()
        };
        let max_bytes = u64::from(options.queue_bytes);
        let (subscription, live) = self.ask_subscription(&track, options)?;
        let again = fetch.clone();
        let target = FetchTarget::RelativeJoining {
            subscription: subscription.request.key,
            groups: groups_back,
        };
        let past = self.ask_fetch(target, fetch)?;
        let (request, parts) = subscribed(subscription.answer().await?)?;
        let largest = parts.parameters.largest_object;
        let start = largest.map_or_else(Location::default, |at| {
            Location::new(at.group.saturating_sub(groups_back), 0)
        });
        let mut subscriber = Subscriber::new(request, track.clone(), parts, filter, live);
        let past = match past.answer(track, start, again).await {
            Ok(past) => past,
            Err(refused) if refused.code() == Some(RequestErrorCode::INVALID_RANGE) => return Ok(subscriber),
            Err(failed) => return Err(failed),
        };
        if let Some(at) = largest {
            subscriber.start = Some(start);
            subscriber.past = Past::Reading;
            subscriber.join = Some(Join {
                past,
                at,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                max_bytes,
            });
        }
        Ok(subscriber)
    }

    fn ask_subscription(
        &self,
        track: &FullTrackName,
        options: SubscribeOptions,
    ) -> Result<(super::client::request::Asked, Live), RequestFailed> {
        let (sender, receiver) = object_queue(options.queue_bytes);
        let feed = Feed::new();
        let live = |key| Live::new(self.handle().clone(), key, receiver, &feed);
        let parameters = options.into_parameters();
        let asked = self.ask(
            |session| session.subscribe(track.clone(), parameters),
            |state, key| {
                state.feeds.insert(key, feed.clone());
            },
        )?;
        // Data streams that are faster wait for this.
        self.handle()
            .receive(asked.request.key, super::Sink::Reader(sender));
        let key: RequestKey = asked.request.key;
        Ok((asked, live(key)))
    }
}

fn subscribed((request, answer): (Request, Accepted)) -> Result<(Request, Parts), RequestFailed> {
    match answer {
        Accepted::Subscribe {
            parameters,
            properties,
            ..
        } => Ok((
            request,
            Parts {
                parameters,
                properties,
            },
        )),
        // The session gives each request the answer of its kind.
        _ => Err(RequestFailed::Ended(None)),
    }
}
