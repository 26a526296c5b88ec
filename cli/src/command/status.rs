//! `moq status`: what a running relay tells of itself, its neighbours and its tracks.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use tokio::task::JoinSet;

use super::cert::date;
use super::names::Names;
use crate::admin::Admin;
use crate::args::StatusArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Data, WriteFailed};
use crate::signal::Signals;
use crate::table::{micros, millis, table};

/// How often it is shown anew.
const PAUSE: Duration = Duration::from_secs(1);
/// For how many times the nodes' names are good.
const NAMES_KEPT: u64 = 30;
/// Clears a terminal and goes to its corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) async fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let done = tokio::select! {
        done = show(args) => done,
        () = signals.stop.cancelled() => return Ok(Exit::Interrupted),
    };
    match done {
        Err(WriteFailed::Failed(failure)) => Err(failure),
        Err(WriteFailed::ReaderGone) | Ok(()) => Ok(Exit::Ok),
    }
}

async fn show(args: &StatusArgs) -> Result<(), WriteFailed> {
    let mut data = Data::stdout();
    let admin = Admin::new(&args.admin);
    let mut names = Names::default();
    for round in 0_u64.. {
        let answer = ask(&admin).await.map_err(WriteFailed::Failed)?;
        let text = if args.admin.json {
            format!("{answer}\n")
        } else {
            let status = serde_json::from_value::<Status>(answer)
                .map_err(|error| WriteFailed::Failed(Failure::new(Exit::Connect, error)))?;
            // The whole mesh is asked for them.
            if status.node.mesh.is_some() && round.is_multiple_of(NAMES_KEPT) {
                names = Names::ask(&admin).await;
            }
            let text = status.text(&names);
            match (args.watch, std::io::stdout().is_terminal()) {
                (true, true) => format!("{CLEAR}{text}"),
                (true, false) => format!("{text}\n"),
                (false, _) => text,
            }
        };
        data.write(text.as_bytes()).await?;
        data.flush().await?;
        if !args.watch {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Everything in one value.
async fn ask(admin: &Admin<'_>) -> Result<Value, Failure> {
    let node: Value = admin.get("/api/v1/node").await?;
    let mut neighbours: Value = admin.get("/api/v1/neighbours").await?;
    let mut tracks: Value = admin.get("/api/v1/tracks").await?;
    let inner = |value: &mut Value, key: &str| value.get_mut(key).map_or(json!([]), Value::take);
    Ok(json!({
        "node": node,
        "neighbours": inner(&mut neighbours, "neighbours"),
        "tracks": inner(&mut tracks, "tracks"),
    }))
}

#[derive(Debug, Deserialize)]
struct Status {
    node: Node,
    neighbours: Vec<Neighbour>,
    tracks: Vec<Track>,
}

#[derive(Debug, Deserialize)]
struct Node {
    phase: String,
    #[serde(default)]
    name: String,
    version: String,
    sessions: u64,
    mesh: Option<Mesh>,
}

#[derive(Debug, Deserialize)]
struct Mesh {
    id: String,
    node: String,
    expires_unix: u64,
    #[serde(default)]
    cloned: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Neighbour {
    node: String,
    remote: String,
    opened: String,
    cost_us: u64,
    rtt_ms: Option<f64>,
    loss: f64,
    health: String,
    pulled: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Track {
    name: String,
    origin: Option<String>,
    upstreams: Vec<String>,
    subscribers: u64,
    children: Vec<String>,
    received: Volume,
}

#[derive(Debug, Deserialize)]
struct Volume {
    objects: u64,
}

impl Status {
    fn text(&self, names: &Names) -> String {
        let node = &self.node;
        let name = if node.name.is_empty() { "" } else { ", " };
        let mut text = format!(
            "relay {}{name}{}, {}, {}\n",
            node.name,
            node.version,
            node.phase,
            counted(node.sessions, "session")
        );
        match &node.mesh {
            None => text.push_str("in no mesh\n"),
            Some(mesh) => {
                let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(mesh.expires_unix);
                text.push_str(&format!(
                    "node  {}\nmesh  {}, member until {}\n\n{}\n",
                    mesh.node,
                    mesh.id,
                    date(expires),
                    counted(self.neighbours.len() as u64, "neighbour")
                ));
                for node in &mesh.cloned {
                    text.push_str(&format!(
                        "ALARM: two nodes run with the key of {node}: stop one of them\n"
                    ));
                }
                let rows: Vec<_> = self.neighbours.iter().map(|it| it.row(names)).collect();
                if !rows.is_empty() {
                    let heading = [
                        "NODE", "ADDRESS", "OPENED", "COST", "RTT", "LOSS", "HEALTH", "PULLED",
                    ];
                    text.push_str(&table(heading, &rows));
                }
            }
        }
        text.push_str(&format!("\n{}\n", counted(self.tracks.len() as u64, "track")));
        let own = self.node.mesh.as_ref().map(|mesh| mesh.node.as_str());
        let rows: Vec<_> = self.tracks.iter().map(|track| track.row(own, names)).collect();
        if !rows.is_empty() {
            let heading = ["TRACK", "UPSTREAM", "SUBSCRIBERS", "OF THEM NODES", "OBJECTS"];
            text.push_str(&table(heading, &rows));
        }
        text
    }
}

impl Neighbour {
    fn row(&self, names: &Names) -> [String; 8] {
        [
            names.tell(&self.node),
            self.remote.clone(),
            self.opened.clone(),
            micros(self.cost_us),
            millis(self.rtt_ms),
            format!("{:.1} %", self.loss * 100.0),
            self.health.clone(),
            counted(self.pulled.len() as u64, "track"),
        ]
    }
}

impl Track {
    /// `own`: this node's id.
    fn row(&self, own: Option<&str>, names: &Names) -> [String; 5] {
        let upstream = if self.origin.as_deref() == own {
            "published here".to_owned()
        } else if self.upstreams.is_empty() {
            "none".to_owned()
        } else {
            self.upstreams
                .iter()
                .map(|node| names.tell(node))
                .collect::<Vec<_>>()
                .join(", ")
        };
        [
            self.name.clone(),
            upstream,
            self.subscribers.to_string(),
            self.children.len().to_string(),
            self.received.objects.to_string(),
        ]
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(mesh: &Value) -> Status {
        let here = "a".repeat(64);
        serde_json::from_value(json!({
            "node": {"phase": "ready", "name": "attic", "version": "1.2.3", "sessions": 1, "mesh": mesh},
            "neighbours": [{
                "node": "b".repeat(64), "remote": "192.0.2.7:4443", "opened": "dialled", "cost_us": 6000,
                "rtt_ms": 10.5, "loss": 0.013, "health": "suspect", "pulled": ["x--y"],
            }],
            "tracks": [
                {"name": "x--y", "origin": "c", "upstreams": ["b".repeat(64)], "subscribers": 2, "children": ["d"],
                 "received": {"objects": 9}},
                {"name": "z--y", "origin": if mesh.is_null() { None } else { Some(here) }, "upstreams": [],
                 "subscribers": 0, "children": [], "received": {"objects": 0}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn neighbours_and_tracks_are_tables() {
        let names = Names::from([("b".repeat(64).as_str(), "cellar")]);
        let text = status(&json!({"id": "ee", "node": "a".repeat(64), "expires_unix": 90, "cloned": ["cc"]}))
            .text(&names);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        for expected in [
            vec!["relay attic, 1.2.3, ready, 1 session"],
            vec!["mesh", "ee, member until 1970-01-01T00:01:30Z"],
            vec!["1 neighbour"],
            vec!["ALARM: two nodes run with the key of cc: stop one of them"],
            vec![
                "bbbbbbbbbbbbbbbb (cellar)",
                "192.0.2.7:4443",
                "dialled",
                "6.0 ms",
                "10.5 ms",
                "1.3 %",
                "suspect",
                "1 track",
            ],
            vec!["2 tracks"],
            vec!["x--y", "bbbbbbbbbbbbbbbb (cellar)", "2", "1", "9"],
            vec!["z--y", "published here", "0", "0", "0"],
        ] {
            assert!(lines.contains(&expected), "{expected:?}\n{text}");
        }
    }

    #[test]
    fn a_relay_in_no_mesh_says_so() {
        let text = status(&Value::Null).text(&Names::default());
        assert!(
            text.contains("in no mesh\n") && !text.contains("neighbour"),
            "{text}"
        );
        assert!(text.contains("z--y") && text.contains("published here"), "{text}");
    }
}
