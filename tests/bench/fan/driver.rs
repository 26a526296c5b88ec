//! Turn by turn: server, source and sink; what the server used while the sink counted.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use headwater_tests::{Home, Relay};
use serde_json::{Value, json};

use super::Fan;
use super::pattern::Name;
use super::report::Table;
use super::role::Running;
use super::usage::Usage;

/// How long a stranger is given to listen.
const STRANGER: Duration = Duration::from_millis(1500);
/// What the relay may cache of the pattern in which it must be full.
const SMALL: [&str; 4] = ["--set", "cache.bytes=4MiB", "--set", "limits.lag_bytes=4MiB"];
/// Joiners come for so long.
const JOINING: u64 = 20;
/// And so often: each turn has a thousand of them.
const JOINING_ROUNDS: usize = 3;

/// Who serves a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A server that only sends.
    Bare,
    /// `moq relay`, read over raw QUIC.
    Relay,
    /// The same, read over WebTransport.
    Web,
    /// `moq relay` with two network threads, read over raw QUIC.
    Two,
    /// The relay of `--against`.
    Other,
}

impl Kind {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Bare => "bare quinn",
            Self::Relay => "relay",
            Self::Web => "relay, WebTransport",
            Self::Two => "relay, two threads",
            Self::Other => "other relay",
        }
    }
}

/// What one turn gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Payload bytes delivered.
    pub(super) bytes: f64,
    pub(super) objects: f64,
    /// Sessions that came and went.
    pub(super) joined: f64,
    pub(super) seconds: f64,
    /// CPU seconds of the server.
    pub(super) cpu: f64,
    /// Bytes of the server's memory at the end.
    pub(super) resident: f64,
    /// Of that, what the subscribers' sessions brought.
    pub(super) sessions: f64,
    /// Of the CPU time of all network threads, what the busiest took.
    pub(super) busiest: f64,
    /// Milliseconds from the publisher's clock to the subscriber.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Turn {
    pub(super) fn json(&self) -> Value {
        json!({
            "bytes": self.bytes, "objects": self.objects, "joined": self.joined, "seconds": self.seconds,
            "cpu_seconds": self.cpu, "busiest_thread": self.busiest, "resident_bytes": self.resident,
            "sessions_bytes": self.sessions, "p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.max,
        })
    }
}

pub(super) fn run(fan: &Fan) -> Result<()> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    let mut table = Table::begin(fan);
    for name in patterns(fan) {
        let mut turns: Vec<(Kind, Vec<Turn>)> = kinds(fan, name)
            .into_iter()
            .map(|kind| (kind, Vec::new()))
            .collect();
        let rounds = match name {
            Name::Join => fan.rounds.min(JOINING_ROUNDS),
            _ => fan.rounds,
        };
        for _ in 0..rounds {
            for (kind, done) in &mut turns {
                match turn(fan, name, *kind) {
                    Ok(turn) => {
                        all.push(json!({"pattern": name.text(), "server": kind.text(), "turn": turn.json()}));
                        done.push(turn);
                    }
                    // The others are worth their time nevertheless.
                    Err(error) => {
                        let failure = format!("{}, {}: {error:#}", name.text(), kind.text());
                        println!("\nFAILED: {failure}\n");
                        failures.push(failure);
                    }
                }
            }
        }
        table.rows(name, turns);
    }
    if let Some(path) = &fan.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    table.end();
    ensure!(failures.is_empty(), "failed turns:\n{}", failures.join("\n"));
    Ok(())
}

/// Who takes turns.
fn kinds(fan: &Fan, name: Name) -> Vec<Kind> {
    let mut kinds = vec![Kind::Bare, Kind::Relay];
    if fan.web {
        kinds.push(Kind::Web);
    }
    if fan.two && matches!(name, Name::Video | Name::Audio | Name::Chat) {
        kinds.push(Kind::Two);
    }
    if fan.against.is_some() && name != Name::Join {
        kinds.push(Kind::Other);
    }
    kinds
}

fn patterns(fan: &Fan) -> Vec<Name> {
    if fan.patterns.is_empty() {
        vec![
            Name::Video,
            Name::Slow,
            Name::FourK,
            Name::Audio,
            Name::Chat,
            Name::Bulk1,
            Name::Bulk10,
            Name::Bulk50,
            Name::Many,
            Name::Join,
            Name::Idle,
        ]
    } else {
        fan.patterns.clone()
    }
}

/// A server process.
enum Server {
    Bare(Running),
    Relay {
        relay: Relay,
        /// Its files.
        _home: Home,
    },
    Other(Child),
}

impl Server {
    fn start(fan: &Fan, name: Name, kind: Kind) -> Result<(Self, SocketAddr)> {
        match kind {
            Kind::Bare => {
                let bare = Running::start(&words(&["bare", &name.text()]), None)?;
                let at = bare.says("ready")?.parse()?;
                Ok((Self::Bare(bare), at))
            }
            Kind::Relay | Kind::Web | Kind::Two => {
                let home = Home::new()?;
                let threads = if kind == Kind::Two { "2" } else { "1" };
                let mut relay = home.relay().args(["--threads", threads]);
                if name == Name::Join {
                    relay = relay.args(SMALL);
                }
                let relay = relay.start()?;
                let at = relay.listen();
                Ok((Self::Relay { relay, _home: home }, at))
            }
            Kind::Other => {
                let command = fan.against.as_deref().context("--against")?;
                let at = free()?;
                let words: Vec<String> = command
                    .split_whitespace()
                    .map(|word| word.replace("{listen}", &at.to_string()))
                    .collect();
                let (program, args) = words.split_first().context("--against is empty")?;
                let child = Command::new(program)
                    .args(args)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                // Nothing tells when a stranger listens.
                std::thread::sleep(STRANGER);
                Ok((Self::Other(child), at))
            }
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Bare(bare) => bare.pid(),
            Self::Relay { relay, .. } => relay.process.id(),
            Self::Other(child) => child.id(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Other(child) = self {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The processes of a turn, at work.
struct Cast {
    /// Its memory before any subscriber came.
    alone: u64,
    server: Server,
    source: Option<Running>,
    sink: Running,
}

impl Cast {
    fn begin(fan: &Fan, name: Name, kind: Kind) -> Result<Self> {
        let (server, at) = Server::start(fan, name, kind)?;
        let address = at.to_string();
        let source = match &server {
            Server::Bare(_) => None,
            Server::Relay { .. } | Server::Other(_) => {
                let source = Running::start(&words(&["source", &address, &name.text()]), None)?;
                source.says("ready")?;
                Some(source)
            }
        };
        let alone = Usage::of(server.pid())?.resident;
        let mut args = words(&["sink", &address, &name.text()]);
        match kind {
            Kind::Bare => args.push("--bare".to_owned()),
            Kind::Web => args.push("--web".to_owned()),
            Kind::Relay | Kind::Two | Kind::Other => {}
        }
        let ear = paced(source.as_ref(), &server)?.ear.clone();
        let sink = Running::start(&args, Some(ear.clone()))?;
        sink.says("ready")?;
        ear.tell("go")?;
        std::thread::sleep(name.pattern().warm());
        Ok(Self {
            alone,
            server,
            source,
            sink,
        })
    }

    /// Fails unless all came, once and in its place.
    fn end(&self) -> Result<()> {
        let last = paced(self.source.as_ref(), &self.server)?.asks("stop", "stopped")?;
        let result: Value = serde_json::from_str(&self.sink.asks(&format!("until {last}"), "result")?)?;
        let is_whole = ["lost", "twice", "misplaced"]
            .iter()
            .all(|&what| result.get(what) == Some(&json!(0)));
        let is_calm = result.get("faults") == Some(&json!([]));
        ensure!(
            is_whole && is_calm,
            "not all came, once and in its place: {result}"
        );
        Ok(())
    }
}

/// The process that sets the pace: the source, or the bare server.
fn paced<'a>(source: Option<&'a Running>, server: &'a Server) -> Result<&'a Running> {
    match (source, server) {
        (Some(source), _) => Ok(source),
        (None, Server::Bare(bare)) => Ok(bare),
        (None, _) => bail!("nobody publishes"),
    }
}

fn turn(fan: &Fan, name: Name, kind: Kind) -> Result<Turn> {
    let joins = name.pattern().joins.is_some();
    let cast = Cast::begin(fan, name, kind)?;
    let before = Usage::of(cast.server.pid())?;
    cast.sink.asks("mark", "marked")?;
    std::thread::sleep(Duration::from_secs(if joins { JOINING } else { fan.seconds }));
    let marked: Value = serde_json::from_str(&cast.sink.asks("mark", "marked")?)?;
    let after = Usage::of(cast.server.pid())?;
    cast.end()?;
    let figure = |what: &str| marked.get(what).and_then(Value::as_f64).context("a figure");
    // Where nothing came there is none.
    let delay = |what: &str| figure(what).map_or(f64::NAN, |us| us / 1000.0);
    let joined = figure("joined")?;
    ensure!(!joins || joined > 0.0, "nobody joined");
    let used = after.since(&before);
    Ok(Turn {
        bytes: figure("bytes")?,
        objects: figure("objects")?,
        seconds: figure("seconds")?,
        cpu: used.cpu.as_secs_f64(),
        resident: megabytes(after.resident) * 1e6,
        sessions: megabytes(after.resident.saturating_sub(cast.alone)) * 1e6,
        joined,
        busiest: used.busiest("moq"),
        p50: delay("p50_us"),
        p99: delay("p99_us"),
        max: delay("max_us"),
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

/// A port that is free now.
fn free() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Runs a pattern for long and prints the relay's memory each minute: behind the first third it must not grow.
pub(super) fn soak(fan: &Fan, minutes: u64) -> Result<()> {
    let name = fan.patterns.first().copied().unwrap_or(Name::Video);
    let kind = if fan.web { Kind::Web } else { Kind::Relay };
    let cast = Cast::begin(fan, name, kind)?;
    println!("| minute | CPU-s | memory, MB |\n|---|---|---|");
    let mut memory = Vec::new();
    let mut before = Usage::of(cast.server.pid())?;
    for minute in 1..=minutes {
        std::thread::sleep(Duration::from_secs(60));
        let now = Usage::of(cast.server.pid())?;
        // Memory of what came is let go by it.
        drop(cast.sink.asks("mark", "marked")?);
        println!(
            "| {minute} | {:.2} | {:.1} |",
            now.since(&before).cpu.as_secs_f64(),
            megabytes(now.resident)
        );
        memory.push(now.resident);
        before = now;
    }
    cast.end()?;
    // The first third is for caches and allocators to fill.
    let third = memory.len() / 3;
    let middle = |of: Option<&[u64]>| {
        let mut of = of.unwrap_or_default().to_vec();
        of.sort_unstable();
        of.get(of.len() / 2).copied().context("too short for thirds")
    };
    let (before, after) = (
        middle(memory.get(third..2 * third))?,
        middle(memory.get(2 * third..))?,
    );
    println!(
        "\nin the middle of the second third {:.1} MB, of the last {:.1} MB",
        megabytes(before),
        megabytes(after)
    );
    ensure!(after <= before + before / 50, "memory grows");
    Ok(())
}
