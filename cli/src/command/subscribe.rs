//! `moq subscribe`: a broadcast as one MP4, or the objects of a track.

mod media;
mod objects;

use std::sync::Arc;

use headwater_pubsub::net::{Clock, RequestFailed};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::SubscribeArgs;
use crate::exit::{Exit, Failure};
use crate::feed::{self, Absent, Event, Feed, Keeper};
use crate::link::Link;
use crate::output::{Console, Data, WriteFailed};
use crate::signal::Signals;
use crate::target::path_of;

pub(super) async fn run(args: &SubscribeArgs, console: Arc<Console>) -> Result<Exit, Failure> {
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let format = objects::Format::of(args)?;
    let range = objects::Range::of(args)?;
    let link = Arc::new(Link::new(&args.connect, Clock::new())?);
    let (session, mut data) = tokio::select! {
        opened = async {
            // Nothing is made or emptied before there is somebody to read from.
            let session = link.dial().await?;
            let data = match &args.output {
                Some(path) => Data::create(path).await?,
                None => Data::stdout(),
            };
            Ok::<_, Failure>((session, data))
        } => opened?,
        () = signals.stop.cancelled() => return Ok(Exit::Interrupted),
    };
    let reading = Reading {
        keeper: Keeper::new(link.clone(), session, console.clone()),
        absent: if args.no_wait { Absent::Fail } else { Absent::Wait },
        link,
        console,
        signals,
    };
    let done = match &args.track {
        Some(track) => objects::run(&reading, track, &range, &format, &mut data).await,
        None => media::run(&reading, args, &mut data).await,
    };
    // What was written is good whatever ended it.
    let flushed = data.flush().await.map_err(Stop::from);
    reading.keeper.close().await;
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => Ok(exit),
        Err(Stop::ReaderGone) => Ok(Exit::Ok),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// What both ways of reading need.
struct Reading {
    link: Arc<Link>,
    keeper: Keeper,
    absent: Absent,
    console: Arc<Console>,
    signals: Signals,
}

/// Why reading stops early.
enum Stop {
    /// Nobody reads our stdout any more.
    ReaderGone,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<WriteFailed> for Stop {
    fn from(failed: WriteFailed) -> Self {
        match failed {
            WriteFailed::ReaderGone => Self::ReaderGone,
            WriteFailed::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// The feeds of some tracks of the broadcast.
struct Feeds {
    _tasks: JoinSet<()>,
    stop: CancellationToken,
    events: mpsc::Receiver<(usize, Event)>,
}

impl Feeds {
    async fn next(&mut self) -> Option<(usize, Event)> {
        self.events.recv().await
    }

    /// No more is wanted than what has come: then [`Feeds::next`] ends.
    fn stop(&self) {
        self.stop.cancel();
    }
}

impl Reading {
    /// Reads the tracks of these names; events come with their index.
    fn feeds<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Feeds, Failure> {
        let mut feeds = Vec::new();
        for name in names {
            let track = self
                .link
                .target()
                .track(name)
                .map_err(|error| Failure::new(Exit::Usage, error))?;
            feeds.push(Feed::new(track, self.absent));
        }
        Ok(self.spawn(feeds))
    }

    fn spawn(&self, feeds: Vec<Feed>) -> Feeds {
        let (sender, events) = mpsc::channel(feed::QUEUE);
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for (index, feed) in feeds.into_iter().enumerate() {
            feed::spawn(
                &mut tasks,
                index,
                feed.until(stop.clone()),
                self.keeper.current.clone(),
                sender.clone(),
            );
        }
        Feeds {
            _tasks: tasks,
            stop,
            events,
        }
    }

    /// The broadcast, for people.
    fn name(&self) -> String {
        let target = self.link.target();
        format!("{} at {}", path_of(&target.namespace), target.place())
    }

    fn refused(&self, what: &str, failed: &RequestFailed) -> Failure {
        let advice = if self.absent == Absent::Fail {
            "; check the name, or leave out --no-wait to wait for it"
        } else {
            ""
        };
        Failure::say(
            Exit::Refused,
            format!("cannot read {what} of {}: {failed}{advice}", self.name()),
        )
    }
}
