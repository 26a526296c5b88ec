//! `moq demo`: relays, publisher and subscriber in one process, over real QUIC, with a look at what arrives.

mod ledger;
mod relays;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_pubsub::net::Clock;
use headwater_relay::config::parse_duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::ledger::Ledger;
use self::relays::{Place, Plan, Relays};
use super::publish::{Pacer, serve};
use super::unix_ms;
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
/// What is to be seen after `--kill` strikes.
const AFTERMATH: u64 = 2;
/// Fewest relays of which one is between the others.
const LEAST_FOR_KILL: u8 = 3;
/// Longest delay of a link.
const MAX_DELAY: Duration = Duration::from_secs(1);

type Shared = Arc<Mutex<Ledger>>;

pub(super) async fn run(args: &DemoArgs, console: Arc<Console>) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let mut relays = Relays::start(&plan).await?;
    let (Some(first), Some(last)) = (relays.first(), relays.last()) else {
        return Err(Failure::say(Exit::Usage, "--relays: at least one"));
    };
    greet(args, &plan, [first, last], &console);
    let clock = Clock::new();
    let link = |place: Place| {
        let target = Target::parse(&format!("moqt://{}/{NAMESPACE}", place.address), None)
            .map_err(|error| Failure::new(Exit::Failure, error))?;
        Link::with(target, &place.trust(), None, clock)
    };
    let stage = Stage {
        args,
        console: &console,
        signals: &signals,
        ledger: Shared::default(),
        clock,
    };
    let done = stage.play(link(first)?, Arc::new(link(last)?), &mut relays).await;
    relays.stop().await;
    done
}

/// What the flags mean together.
fn plan(args: &DemoArgs) -> Result<Plan, Failure> {
    let usage = |text: String| Err(Failure::say(Exit::Usage, text));
    let delay = match parse_duration(&args.delay) {
        Ok(delay) if delay <= MAX_DELAY => delay,
        Ok(_) => return usage(format!("--delay {}: at most 1s", args.delay)),
        Err(error) => return usage(format!("--delay: {error}")),
    };
    if args.kill.is_some() && args.relays < LEAST_FOR_KILL {
        return usage(format!(
            "--kill needs at least {LEAST_FOR_KILL} relays: one between the others"
        ));
    }
    if let (Some(kill), Some(seconds)) = (args.kill, args.seconds)
        && seconds < kill + AFTERMATH
    {
        let least = kill + AFTERMATH;
        return usage(format!(
            "--kill strikes after {kill} s: give --seconds {least} or more"
        ));
    }
    Ok(Plan {
        relays: usize::from(args.relays),
        delay,
        listen: args.listen,
        state_dir: args.state_dir.clone(),
    })
}

/// What runs, and how to look at it.
fn greet(args: &DemoArgs, plan: &Plan, [first, last]: [Place; 2], console: &Console) {
    // Clients find the key of a single relay in its state directory.
    let pin = if plan.relays == 1 {
        console.note(format!("relay on {}", first.address));
        None
    } else {
        console.note(format!(
            "{} relays in a line, {} apart, from {} to {}",
            plan.relays, args.delay, first.address, last.address
        ));
        last.fingerprint
    };
    let pin = pin.map(|key| format!("--fingerprint {key} ")).unwrap_or_default();
    let port = last.address.port();
    console.note(format!(
        "watch: moq subscribe {pin}moqt://localhost:{port}/{NAMESPACE} | ffplay -"
    ));
    console.note(format!("open:  http://localhost:{port}/{NAMESPACE}"));
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
    async fn play(
        &self,
        upstream: Link,
        downstream: Arc<Link>,
        relays: &mut Relays,
    ) -> Result<Exit, Failure> {
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
            done = self.watch(&mut events, relays) => done,
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
    async fn watch(
        &self,
        events: &mut mpsc::Receiver<(usize, Event)>,
        relays: &mut Relays,
    ) -> Result<Exit, Failure> {
        let mut data = Data::stdout();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let mut seconds = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    seconds += 1;
                    relays.look();
                    self.second(&mut data, seconds, relays).await?;
                    if self.args.seconds.is_some_and(|limit| seconds >= limit) {
                        return self.summary(&mut data, seconds, relays).await;
                    }
                    if self.args.kill.is_some_and(|kill| seconds >= kill) {
                        self.strike(&mut data, seconds, relays).await?;
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
                    let exit = self.summary(&mut data, seconds, relays).await;
                    return exit.map(|_exit| Exit::Interrupted);
                }
            }
        }
    }

    /// What arrived in the last second, and along which relays.
    async fn second(&self, data: &mut Data, seconds: u64, relays: &Relays) -> Result<(), Failure> {
        let second = self.ledger().second();
        let mut text = second.line(seconds);
        let mut json = second.json("second", seconds);
        if self.args.relays > 1 {
            let path = numbers(&relays.path());
            text.push_str(&format!("  way {}", way(&path)));
            add(&mut json, "way", path);
        }
        self.say(data, &text, &json).await
    }

    /// Silences a relay between the ends, once, as soon as media passes one.
    async fn strike(&self, data: &mut Data, seconds: u64, relays: &mut Relays) -> Result<(), Failure> {
        let path = numbers(&relays.path());
        let Some(relay) = relays.silence_middle() else {
            return Ok(());
        };
        let relay = relay + 1;
        let text = format!(
            "{seconds:>4} s  relay {relay} falls silent on the way {}",
            way(&path)
        );
        let json = serde_json::json!({ "type": "kill", "seconds": seconds, "relay": relay, "way": path });
        self.say(data, &text, &json).await
    }

    async fn summary(&self, data: &mut Data, seconds: u64, relays: &Relays) -> Result<Exit, Failure> {
        let totals = self.ledger().total(self.clock.now());
        let mut text = totals.summary(seconds);
        let mut json = totals.json("summary", seconds);
        add(&mut json, "relays", self.args.relays);
        if let Some(relay) = relays.silenced() {
            text.push_str(&format!(", relay {} silenced", relay + 1));
            add(&mut json, "silenced", relay + 1);
        }
        self.say(data, &text, &json).await?;
        // A demonstration of a loss that did not happen shows nothing.
        let shown = self.args.kill.is_none() || relays.silenced().is_some();
        Ok(if totals.is_complete() && shown {
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

/// Relays as people count them.
fn numbers(path: &[usize]) -> Vec<usize> {
    path.iter().map(|index| index + 1).collect()
}

fn way(numbers: &[usize]) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    numbers.join("-")
}

fn add(json: &mut serde_json::Value, key: &str, value: impl Into<serde_json::Value>) {
    if let Some(object) = json.as_object_mut() {
        object.insert(key.to_owned(), value.into());
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
