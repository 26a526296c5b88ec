//! `moq trace`: the path by which a namespace comes here, hop by hop, as each node on it tells.

use serde::Deserialize;
use serde_json::Value;

use super::names::Names;
use super::route::question;
use crate::admin::Admin;
use crate::args::NameArgs;
use crate::exit::{Exit, Failure};
use crate::table::{micros, millis, short, table};

pub(super) async fn run(args: &NameArgs) -> Result<Exit, Failure> {
    let path = question("trace", &args.namespace)?;
    let admin = Admin::new(&args.admin);
    let answer: Value = admin.get(&path).await?;
    let trace = Trace::deserialize(&answer).map_err(|error| Failure::new(Exit::Connect, error))?;
    if args.admin.json {
        println!("{answer}");
    } else {
        print!("{}", trace.text(&Names::ask(&admin).await));
    }
    // The path is known, or the question has no whole answer.
    Ok(if trace.outcome == "reached" {
        Exit::Ok
    } else {
        Exit::Refused
    })
}

#[derive(Debug, Deserialize)]
struct Trace {
    namespace: String,
    origin: String,
    outcome: String,
    total_us: u64,
    hops: Vec<Hop>,
}

#[derive(Debug, Deserialize)]
struct Hop {
    node: String,
    upstream: Option<String>,
    cost_us: Option<u64>,
    rtt_ms: Option<f64>,
    since_ms: Option<u64>,
}

impl Trace {
    fn text(&self, names: &Names) -> String {
        let rows: Vec<_> = self
            .hops
            .iter()
            .enumerate()
            .map(|(index, hop)| hop.row(index, names))
            .collect();
        let heading = ["HOP", "NODE", "PULLS FROM", "COST", "RTT", "SINCE"];
        let last = self.hops.last();
        let node = last.map_or("", |hop| short(&hop.node));
        let end = match self.outcome.as_str() {
            "reached" => format!("{} hops, distance {}", self.hops.len() - 1, micros(self.total_us)),
            "no_route" => format!("the path ends: {node} has no route"),
            "no_answer" => format!(
                "the path is not known to its end: {} did not answer {node}",
                last.and_then(|hop| hop.upstream.as_deref())
                    .map_or("nobody", short)
            ),
            _ => "the path is longer than a trace".to_owned(),
        };
        format!(
            "{} is published at {}\n{}{end}\n",
            self.namespace,
            names.tell(&self.origin),
            table(heading, &rows)
        )
    }
}

impl Hop {
    fn row(&self, index: usize, names: &Names) -> [String; 6] {
        let none = || "-".to_owned();
        [
            index.to_string(),
            names.tell(&self.node),
            self.upstream
                .as_deref()
                .map_or_else(none, |node| names.tell(node)),
            self.cost_us.map_or_else(none, micros),
            millis(self.rtt_ms),
            self.since_ms
                .map_or_else(none, |millis| format!("{} s", millis / 1000)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace(outcome: &str) -> String {
        let trace: Trace = serde_json::from_value(json!({
            "namespace": "live/cam", "origin": "b".repeat(64), "outcome": outcome, "total_us": 6000,
            "hops": [
                {"node": "a".repeat(64), "upstream": "b".repeat(64), "cost_us": 6000, "rtt_ms": 10.0, "since_ms": 2500},
                {"node": "b".repeat(64), "upstream": null, "cost_us": null, "rtt_ms": null, "since_ms": null},
            ],
        }))
        .unwrap();
        trace.text(&Names::from([("b".repeat(64).as_str(), "attic")]))
    }

    #[test]
    fn hops_are_rows_and_the_end_is_told() {
        let text = trace("reached");
        for part in [
            "live/cam is published at bbbbbbbbbbbbbbbb (attic)\n",
            "0    aaaaaaaaaaaaaaaa          bbbbbbbbbbbbbbbb (attic)  6.0 ms  10.0 ms  2 s\n",
            "1    bbbbbbbbbbbbbbbb (attic)  -                         -       -        -\n",
            "1 hops, distance 6.0 ms\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(trace("no_route").contains("bbbbbbbbbbbbbbbb has no route"));
        assert!(trace("no_answer").contains("did not answer bbbbbbbbbbbbbbbb"));
        assert!(trace("too_far").contains("longer"));
    }
}
