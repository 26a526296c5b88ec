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

/// Until caches, congestion windows and path MTUs are what they stay.
const WARM: Duration = Duration::from_millis(1500);

/// Who serves a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A server that only sends.
    Bare,
    /// `moq relay`, read over raw QUIC.
    Relay,
    /// The same, read over WebTransport.
    Web,
    /// The relay of `--against`.
    Other,
}

impl Kind {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Bare => "bare quinn",
            Self::Relay => "relay",
            Self::Web => "relay, WebTransport",
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
    pub(super) seconds: f64,
    /// CPU seconds of the server.
    pub(super) cpu: f64,
    /// Bytes of the server's memory at the end.
    pub(super) resident: f64,
    /// Milliseconds from the publisher's clock to the subscriber.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Turn {
    pub(super) fn json(&self) -> Value {
        json!({
            "bytes": self.bytes, "objects": self.objects, "seconds": self.seconds, "cpu_seconds": self.cpu,
            "resident_bytes": self.resident, "p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.max,
        })
    }
}

pub(super) fn run(fan: &Fan) -> Result<()> {
    let mut kinds = vec![Kind::Bare, Kind::Relay];
    if fan.web {
        kinds.push(Kind::Web);
    }
    if fan.against.is_some() {
        kinds.push(Kind::Other);
    }
    let mut all = Vec::new();
    let table = Table::begin(fan);
    for name in patterns(fan) {
        let mut turns: Vec<(Kind, Vec<Turn>)> = kinds.iter().map(|&kind| (kind, Vec::new())).collect();
        for _ in 0..fan.rounds {
            for (kind, done) in &mut turns {
                let turn =
                    turn(fan, name, *kind).with_context(|| format!("{}, {}", name.text(), kind.text()))?;
                all.push(json!({"pattern": name.text(), "server": kind.text(), "turn": turn.json()}));
                done.push(turn);
            }
        }
        table.rows(name, &turns);
    }
    if let Some(path) = &fan.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

fn patterns(fan: &Fan) -> Vec<Name> {
    if fan.patterns.is_empty() {
        vec![
            Name::Video,
            Name::FourK,
            Name::Audio,
            Name::Chat,
            Name::Bulk1,
            Name::Bulk10,
            Name::Bulk50,
            Name::Many,
            Name::Slow,
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
            Kind::Relay | Kind::Web => {
                let home = Home::new()?;
                let threads = fan.threads.to_string();
                let relay = home.relay().args(["--threads", &threads]).start()?;
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
                std::thread::sleep(WARM);
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

fn turn(fan: &Fan, name: Name, kind: Kind) -> Result<Turn> {
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
    let paced = match (&source, &server) {
        (Some(source), _) => source,
        (None, Server::Bare(bare)) => bare,
        (None, _) => bail!("nobody publishes"),
    };
    let mut args = words(&["sink", &address, &name.text()]);
    if kind == Kind::Bare {
        args.push("--bare".to_owned());
    }
    if kind == Kind::Web {
        args.push("--web".to_owned());
    }
    let sink = Running::start(&args, Some(paced.ear.clone()))?;
    sink.says("ready")?;
    paced.ear.tell("go")?;
    std::thread::sleep(WARM);
    let before = Usage::of(server.pid())?;
    sink.asks("mark", "marked")?;
    std::thread::sleep(Duration::from_secs(fan.seconds));
    let marked: Value = serde_json::from_str(&sink.asks("mark", "marked")?)?;
    let after = Usage::of(server.pid())?;
    let last = paced.asks("stop", "stopped")?;
    let result: Value = serde_json::from_str(&sink.asks(&format!("until {last}"), "result")?)?;
    let is_whole = ["lost", "twice", "misplaced"]
        .iter()
        .all(|&what| result.get(what) == Some(&json!(0)));
    let is_calm = result.get("faults") == Some(&json!([]));
    ensure!(
        is_whole && is_calm,
        "not all came, once and in its place: {result}"
    );
    let figure = |what: &str| marked.get(what).and_then(Value::as_f64).context("a figure");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let resident = after.resident as f64;
    Ok(Turn {
        bytes: figure("bytes")?,
        objects: figure("objects")?,
        seconds: figure("seconds")?,
        cpu: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
        resident,
        p50: figure("p50_us")? / 1000.0,
        p99: figure("p99_us")? / 1000.0,
        max: figure("max_us")? / 1000.0,
    })
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

/// A port that is free now.
fn free() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
