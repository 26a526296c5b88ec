//! Sessions that come, look and go: how long each waits for its first object, and whether it sees all that follows.
//!
//! One asks as a viewer does: SUBSCRIBE, and a joining FETCH of the group that is under way. The bare server gives the same
//! without being asked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use headwater_pubsub::net::{Clock, SubscribeOptions};
use headwater_pubsub::wire::control::{Fetch, FetchKind};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{Message, Parameters};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::pattern::{Head, Pattern};
use super::sink::{Asked, Requests, Shared, ask, dial, subscribe_raw};
use super::source::session;
use super::stream;

const FETCH_OK: u64 = 0x18;
/// How long one stays after its first object.
const STAY: Duration = Duration::from_secs(1);
/// How long one waits for its first.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one joiner has seen.
#[derive(Debug)]
pub(super) struct Seen {
    began: Instant,
    first: Cell<Option<Duration>>,
    steps: RefCell<BTreeSet<u64>>,
    twice: Cell<u64>,
    came: Notify,
}

impl Seen {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            began: Instant::now(),
            first: Cell::new(None),
            steps: RefCell::default(),
            twice: Cell::new(0),
            came: Notify::new(),
        })
    }

    /// A viewer can begin with the first of a group only.
    pub(super) fn object(&self, head: Head, pattern: Pattern) {
        if self.first.get().is_none() && head.step.is_multiple_of(pattern.group) {
            self.first.set(Some(self.began.elapsed()));
            self.came.notify_one();
        }
        if !self.steps.borrow_mut().insert(head.step) {
            self.twice.set(self.twice.get() + 1);
        }
    }

    /// Objects that are missing between a group's first and the last that came.
    fn check(&self, pattern: Pattern) -> Result<()> {
        let steps = self.steps.borrow();
        let (first, last) = (
            steps.first().context("nothing came")?,
            steps.last().context("nothing came")?,
        );
        ensure!(
            first % pattern.group == 0,
            "it begins in the middle of a group: {first}"
        );
        let count = u64::try_from(steps.len())?;
        ensure!(
            last - first + 1 == count,
            "{} of {first} to {last} are missing",
            last - first + 1 - count
        );
        ensure!(self.twice.get() == 0, "{} came twice", self.twice.get());
        Ok(())
    }
}

/// Begins so many a second until it is dropped.
pub(super) fn come(
    at: SocketAddr,
    pattern: Pattern,
    per_second: u32,
    asked: Asked,
    socket: quinn::Endpoint,
    tally: Shared,
) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tick.tick().await;
            let (socket, tally) = (socket.clone(), Rc::clone(&tally));
            tally.borrow_mut().looking += 1;
            // All end with the process.
            drop(tokio::task::spawn_local(async move {
                let seen = Seen::new();
                let looked = match asked {
                    Asked::Web => look_web(&socket, at, pattern, &seen).await,
                    _ => look_raw(&socket, at, pattern, asked, &seen).await,
                };
                let mut tally = tally.borrow_mut();
                tally.looking -= 1;
                match looked.and_then(|()| seen.check(pattern)) {
                    Ok(()) => tally.joined(seen.first.get().unwrap_or_default(), seen.steps.borrow().len()),
                    Err(fault) => tally.fault(format!("a joiner: {fault:#}")),
                }
            }));
        }
    })
}

/// Waits for the first object, and a while behind it.
async fn stay(seen: &Seen) -> Result<()> {
    tokio::time::timeout(PATIENCE, seen.came.notified())
        .await
        .context("no first object")?;
    tokio::time::sleep(STAY).await;
    Ok(())
}

async fn look_raw(
    socket: &quinn::Endpoint,
    at: SocketAddr,
    pattern: Pattern,
    asked: Asked,
    seen: &Rc<Seen>,
) -> Result<()> {
    let connection = dial(socket, at).await?;
    let reading = {
        let (connection, seen) = (connection.clone(), Rc::clone(seen));
        tokio::task::spawn_local(async move {
            while let Ok(stream) = connection.accept_uni().await {
                let seen = Rc::clone(&seen);
                // What the close cuts off is not missed.
                drop(tokio::task::spawn_local(async move {
                    drop(stream::read(stream, &mut |_, head, _| seen.object(head, pattern)).await);
                }));
            }
        })
    };
    let mut requests = Requests::default();
    if asked == Asked::Raw {
        requests = subscribe_raw(&connection, pattern, 0).await?;
        let fetch = Message::Fetch(Fetch {
            request_id: 2,
            kind: FetchKind::RelativeJoining {
                subscription: 0,
                groups: 0,
            },
            parameters: Parameters::default(),
        });
        ask(&connection, &fetch, FETCH_OK, &mut requests).await?;
    }
    stay(seen).await?;
    reading.abort();
    connection.close(0_u32.into(), b"");
    drop(requests);
    Ok(())
}

async fn look_web(socket: &quinn::Endpoint, at: SocketAddr, pattern: Pattern, seen: &Seen) -> Result<()> {
    let mut drivers = JoinSet::new();
    let client = session(socket.clone(), at, "https", Clock::new(), &mut drivers).await?;
    let mut subscriber = client
        .join(pattern.track(0)?, 0, SubscribeOptions::default())
        .await?;
    let reading = async {
        while let Some(object) = subscriber.next().await {
            if object.status != ObjectStatus::Normal {
                continue;
            }
            let head = Head::decode(&object.payload).context("a payload without a head")?;
            seen.object(head, pattern);
        }
        bail!("the track ended")
    };
    tokio::select! {
        ended = reading => ended,
        stayed = stay(seen) => stayed,
    }
}
