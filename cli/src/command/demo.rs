//! `moq demo`: relay, publisher and subscriber in one process, over real QUIC, with a look at what arrives.

mod ledger;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_certs::ClientTrust;
use headwater_pubsub::net::Clock;
use headwater_relay::config::Config;
use headwater_relay::node::{Node, Shutdown};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::ledger::Ledger;
use super::publish::{Pacer, serve};
use super::{relay, unix_ms};
use crate::args::DemoArgs;
use crate::broadcast::Broadcast;
use crate::exit::{Exit, Failure};
use crate::feed::{self, Absent, Event, Feed, Keeper};
use crate::link::Link;
use crate::media::package::{Packager, PackagerConfig};
use crate::media::{MediaKind, TrackInfo};
use crate::output::{Console, Data, WriteFailed, data_line};
use crate::signal::Signals;
use crate::source::{Item, Source};
use crate::target::Target;

/// Ten seconds of pictures and sound, made by `assets/make-demo.sh`.
const CLIP: &[u8] = include_bytes!("../../assets/demo.mp4");
/// Namespace of the demo.
const NAMESPACE: &str = "demo";
/// Where the relay listens if the port is free.
const USUAL_PORT: u16 = 4443;

type Shared = Arc<Mutex<Ledger>>;

pub(super) async fn run(args: &DemoArgs, console: Arc<Console>) -> Result<Exit, Failure> {
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let node = bind(args).await?;
    let address = node.local_addr();
    let trust = node
        .fingerprint()
        .map_or(ClientTrust::Insecure, |key| ClientTrust::Pin(vec![key]));
    let ended = CancellationToken::new();
    let shutdown = Shutdown {
        drain: CancellationToken::new(),
        abort: ended.clone(),
    };
    let relay = node.run(shutdown);
    let show = async {
        let clock = Clock::new();
        let target = Target::parse(&format!("moqt://{address}/{NAMESPACE}"), None)
            .map_err(|error| Failure::new(Exit::Failure, error))?;
        let link = || Link::with(target.clone(), &trust, None, clock);
        console.note(format!("relay on {address}"));
        console.note(format!(
            "watch: moq subscribe moqt://localhost:{}/{NAMESPACE} | ffplay -",
            address.port()
        ));
        console.note(format!("page:  http://localhost:{}/", address.port()));
        let stage = Stage {
            args,
            console: &console,
            signals: &signals,
            ledger: Shared::default(),
            clock,
        };
        let done = stage.play(link()?, Arc::new(link()?)).await;
        ended.cancel();
        done
    };
    let ((), done) = tokio::join!(relay, show);
    done
}

/// A relay for this machine only, on the usual port if nobody has it.
async fn bind(args: &DemoArgs) -> Result<Node, Failure> {
    let config = |listen| Config {
        listen,
        admin: None,
        threads: 1,
        public_overlay: true,
        state_dir: args.state_dir.clone(),
        ..Config::default()
    };
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wanted = config(args.listen.unwrap_or_else(|| here(USUAL_PORT)));
    match Node::bind(wanted.clone()).await {
        Ok(node) => Ok(node),
        Err(_busy) if args.listen.is_none() => {
            let any = config(here(0));
            Node::bind(any.clone())
                .await
                .map_err(|error| relay::start_failed(error, &any))
        }
        Err(error) => Err(relay::start_failed(error, &wanted)),
    }
}

/// Publisher and subscriber, and what is between them.
struct Stage<'a> {
    args: &'a DemoArgs,
    console: &'a Arc<Console>,
    signals: &'a Signals,
    ledger: Shared,
    clock: Clock,
}

impl Stage<'_> {
    async fn play(&self, upstream: Link, downstream: Arc<Link>) -> Result<Exit, Failure> {
        let mut reading = JoinSet::new();
        let broken = |error| Failure::new(Exit::Failure, error).context("the demo's own clip");
        let mut source = Source::repeat_bytes(CLIP, &mut reading).map_err(broken)?;
        let tracks = source.tracks().await.map_err(broken)?;
        let mut broadcast = Broadcast::new(upstream.target(), &tracks, self.clock)?;
        let published = broadcast.tracks();
        let session = upstream.dial().await?;
        let (quiet, endless) = (Console::new(true), CancellationToken::new());
        let serving = serve(&upstream, session, &published, &quiet, &endless);
        let mut packager = Packager::new(&tracks, PackagerConfig::default());
        let publishing = self.publish(&mut source, &mut packager, &mut broadcast);

        let session = downstream.dial().await?;
        let keeper = Keeper::new(downstream.clone(), session, self.console.clone());
        let (sender, mut events) = mpsc::channel(feed::QUEUE);
        let mut feeds = JoinSet::new();
        for (index, name) in names(&tracks).into_iter().enumerate() {
            let track = downstream
                .target()
                .track(&name)
                .map_err(|error| Failure::new(Exit::Failure, error))?;
            let feed = Feed::new(track, Absent::Wait);
            feed::spawn(&mut feeds, index, feed, keeper.current.clone(), sender.clone());
        }
        drop(sender);
        let done = tokio::select! {
            Err(failure) = serving => Err(failure),
            Err(failure) = publishing => Err(failure),
            done = self.watch(&mut events) => done,
        };
        feeds.shutdown().await;
        keeper.close().await;
        done
    }

    async fn publish(
        &self,
        source: &mut Source,
        packager: &mut Packager,
        broadcast: &mut Broadcast,
    ) -> Result<(), Failure> {
        let failed =
            |error: anyhow::Error| Failure::new(Exit::Failure, error).context("the demo's publisher");
        let mut pacer = Pacer::new(source.pace());
        while let Some(item) = source.next().await.map_err(|error| failed(error.into()))? {
            let packets = match item {
                Item::Sample(sample) => packager.push(sample),
                Item::Again => packager.next_pass(),
                Item::Tracks(_) => Ok(Vec::new()),
            };
            for packet in packets.map_err(|error| failed(error.into()))? {
                pacer.wait(&packet).await;
                let track = packet.track;
                let location = broadcast
                    .push(packet, unix_ms())
                    .map_err(|error| failed(error.into()))?;
                if let Some(location) = location {
                    self.ledger().sent(track, location, self.clock.now());
                }
            }
        }
        Ok(())
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what arrives and reports once a second, until the time is over.
    async fn watch(&self, events: &mut mpsc::Receiver<(usize, Event)>) -> Result<Exit, Failure> {
        let mut data = Data::stdout();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let mut seconds = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    seconds += 1;
                    let second = self.ledger().second();
                    self.say(&mut data, &second.line(seconds), &second.json("second", seconds)).await?;
                    if self.args.seconds.is_some_and(|limit| seconds >= limit) {
                        return self.summary(&mut data, seconds).await;
                    }
                }
                event = events.recv() => match event {
                    Some((track, Event::Object(object))) => {
                        let bytes = object.payload.len() as u64;
                        self.ledger().received(track, object.location, bytes, self.clock.now());
                    }
                    Some((_, Event::Refused(failed))) => {
                        return Err(Failure::new(Exit::Failure, failed).context("the demo's subscriber"));
                    }
                    Some(_) => {}
                    None => return Err(Failure::say(Exit::Failure, "the demo's subscriber has stopped")),
                },
                () = self.signals.stop.cancelled() => {
                    let exit = self.summary(&mut data, seconds).await;
                    return exit.map(|_exit| Exit::Interrupted);
                }
            }
        }
    }

    async fn summary(&self, data: &mut Data, seconds: u64) -> Result<Exit, Failure> {
        let totals = self.ledger().total(self.clock.now());
        self.say(data, &totals.summary(seconds), &totals.json("summary", seconds))
            .await?;
        Ok(if totals.is_complete() {
            Exit::Ok
        } else {
            Exit::Failure
        })
    }

    /// A report is what the demo is for: it goes to stdout, in either form.
    async fn say(&self, data: &mut Data, text: &str, json: &serde_json::Value) -> Result<(), Failure> {
        let line = if self.args.json {
            json.to_string()
        } else {
            text.to_owned()
        };
        match data_line(data, &line).await {
            // Nobody looks; the browser may.
            Ok(()) | Err(WriteFailed::ReaderGone) => Ok(()),
            Err(WriteFailed::Failed(failure)) => Err(failure),
        }
    }
}

/// Names of the tracks as the catalog gives them.
fn names(tracks: &[TrackInfo]) -> Vec<String> {
    let count = |kind: MediaKind, before: usize| {
        tracks
            .iter()
            .take(before)
            .filter(|track| track.kind == kind)
            .count()
    };
    let named = tracks
        .iter()
        .enumerate()
        .map(|(index, track)| format!("{}{}", track.kind, count(track.kind, index)));
    named.collect()
}
