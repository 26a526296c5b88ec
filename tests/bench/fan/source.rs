//! The publisher: all tracks of a pattern from one session.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{
    self, Client, Clock, ConnectOptions, Dialer, GroupWriter, PublishedTrack, QuicLimits, TrackWriter,
    connect,
};
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::Properties;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::pattern::{Pattern, Rate, WINDOW, namespace};
use super::role::{number, say, told};
use super::sink::{STREAM_WINDOW, STREAMS, WINDOW as RECEIVE_WINDOW};

pub(super) fn run(at: SocketAddr, pattern: Pattern) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(publish(at, pattern))
}

/// A session with the server from this socket, its driver among `drivers`.
pub(super) async fn session(
    socket: quinn::Endpoint,
    at: SocketAddr,
    scheme: &str,
    clock: Clock,
    drivers: &mut JoinSet<()>,
) -> Result<Client> {
    let tls = client_config(&ClientTrust::Insecure, &[])?;
    let limits = QuicLimits {
        max_uni_streams: STREAMS,
        stream_receive_window: STREAM_WINDOW,
        receive_window: RECEIVE_WINDOW,
        ..QuicLimits::default()
    };
    let dialer = Dialer::new(socket, tls, limits);
    let options = ConnectOptions {
        clock,
        ..ConnectOptions::default()
    };
    let (client, driver) = connect(&dialer, &format!("{scheme}://{at}/").parse()?, options).await?;
    drivers.spawn(async move { drop(driver.run().await) });
    if let Err(end) = client.established().await {
        bail!("no session: {end}");
    }
    Ok(client)
}

async fn publish(at: SocketAddr, pattern: Pattern) -> Result<()> {
    let clock = Clock::new();
    let mut drivers = JoinSet::new();
    let client = session(net::client()?, at, "moqt", clock, &mut drivers).await?;
    let cache = Cache::new(CacheLimits::default());
    let mut tracks = Vec::new();
    for number in 0..pattern.tracks {
        let track = PublishedTrack::new(pattern.track(number)?, Properties::default(), &cache)?;
        client.serve(&track);
        tracks.push(Writing {
            writer: track.writer(clock),
            group: None,
            _track: track,
        });
    }
    let _announced = client.publish_namespace(namespace()?, Vec::new()).await?;
    let mut pace = Pace::new(pattern);
    say("ready");
    pace.begun().await?;
    let mut step = 0;
    while pace.next(step).await? {
        for (number, track) in tracks.iter_mut().enumerate() {
            track.write(pattern, number, step)?;
        }
        step += 1;
    }
    for track in &mut tracks {
        if let Some(group) = track.group.take() {
            group.finish()?;
        }
    }
    say(&format!("stopped {}", step.saturating_sub(1)));
    // Until the driver ends it: subscribers still fetch what is on its way.
    pace.over().await;
    drop(client);
    Ok(())
}

struct Writing {
    writer: TrackWriter,
    group: Option<GroupWriter>,
    _track: PublishedTrack,
}

impl Writing {
    fn write(&mut self, pattern: Pattern, number: usize, step: u64) -> Result<()> {
        if step.is_multiple_of(pattern.group) {
            self.group = Some(self.writer.group(step / pattern.group)?);
        }
        let group = self.group.as_mut().context("a group is open")?;
        group.object(Properties::default(), pattern.payload(number, step))?;
        if (step + 1).is_multiple_of(pattern.group)
            && let Some(group) = self.group.take()
        {
            group.finish()?;
        }
        Ok(())
    }
}

/// When the next object is due: by the clock, or by what the subscribers have taken.
pub(super) struct Pace {
    told: Receiver<String>,
    tick: Option<tokio::time::Interval>,
    /// Without a tick: objects that may be out before one more is taken.
    ahead: u64,
    taken: u64,
}

impl Pace {
    pub(super) fn new(pattern: Pattern) -> Self {
        let tick = match pattern.rate {
            Rate::PerSecond(rate) => {
                let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
                tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
                Some(tick)
            }
            Rate::AsTaken | Rate::Still => None,
        };
        Self {
            told: told(),
            tick,
            ahead: if pattern.rate == Rate::Still { 1 } else { WINDOW },
            taken: 0,
        }
    }

    /// Waits until the driver says so.
    pub(super) async fn begun(&mut self) -> Result<()> {
        while let Some(line) = self.told.recv().await {
            if line == "go" {
                if let Some(tick) = &mut self.tick {
                    tick.reset();
                }
                return Ok(());
            }
        }
        bail!("the driver is gone")
    }

    /// Waits until this object is due; false: no more are.
    pub(super) async fn next(&mut self, step: u64) -> Result<bool> {
        loop {
            let due = async {
                match &mut self.tick {
                    Some(tick) => drop(tick.tick().await),
                    None if step < self.taken + self.ahead => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                line = self.told.recv() => match line.as_deref() {
                    Some("stop") => return Ok(false),
                    Some(line) => self.taken = number(line, "taken ").unwrap_or(self.taken),
                    None => bail!("the driver is gone"),
                },
                () = due => return Ok(true),
            }
        }
    }

    /// Waits for the driver's end.
    pub(super) async fn over(&mut self) {
        while self.told.recv().await.is_some() {}
    }
}
