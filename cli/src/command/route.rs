//! `moq route`: the ways to who publishes a namespace, and why the one in use.

use serde::Deserialize;
use serde_json::Value;

use crate::admin::Admin;
use crate::args::NameArgs;
use crate::exit::{Exit, Failure};
use crate::table::{micros, short, table};
use crate::target::{parse_namespace, path_of};

pub(super) async fn run(args: &NameArgs) -> Result<Exit, Failure> {
    let path = question("routes", &args.namespace)?;
    let answer: Value = Admin::new(&args.admin).get(&path).await?;
    if args.admin.json {
        println!("{answer}");
    } else {
        let routes: Routes =
            serde_json::from_value(answer).map_err(|error| Failure::new(Exit::Connect, error))?;
        print!("{}", routes.text());
    }
    Ok(Exit::Ok)
}

/// The path that asks `what` about a namespace.
pub(super) fn question(what: &str, namespace: &str) -> Result<String, Failure> {
    let namespace = parse_namespace(namespace).map_err(|error| Failure::new(Exit::Usage, error))?;
    let value: String = url::form_urlencoded::byte_serialize(path_of(&namespace).as_bytes()).collect();
    Ok(format!("/api/v1/{what}?namespace={value}"))
}

#[derive(Debug, Deserialize)]
struct Routes {
    namespace: String,
    origins: Vec<Origin>,
}

#[derive(Debug, Deserialize)]
struct Origin {
    origin: String,
    total_us: Option<u64>,
    why: String,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Deserialize)]
struct Candidate {
    node: String,
    distance_us: Option<u64>,
    cost_us: u64,
    total_us: Option<u64>,
    feasible: bool,
    suspect: bool,
    full: bool,
    role: Option<String>,
}

impl Routes {
    fn text(&self) -> String {
        let mut text = String::new();
        for (index, origin) in self.origins.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let chosen = if index == 0 { "" } else { " (further)" };
            text.push_str(&format!(
                "{} is published at {}{chosen}, {}\n{}\n",
                self.namespace,
                short(&origin.origin),
                origin.total_us.map_or_else(
                    || "out of reach".to_owned(),
                    |total| format!("{} from here", micros(total))
                ),
                origin.why
            ));
            let rows: Vec<_> = origin.candidates.iter().map(Candidate::row).collect();
            if !rows.is_empty() {
                text.push_str(&table(
                    [
                        "VIA",
                        "ITS DISTANCE",
                        "HOP",
                        "TOTAL",
                        "FEASIBLE",
                        "USED AS",
                        "STATE",
                    ],
                    &rows,
                ));
            }
        }
        text
    }
}

impl Candidate {
    fn row(&self) -> [String; 7] {
        let distance = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
        let state = match (self.suspect, self.full) {
            (true, _) => "suspect",
            (false, true) => "full",
            (false, false) => "ok",
        };
        [
            short(&self.node).to_owned(),
            distance(self.distance_us),
            micros(self.cost_us),
            distance(self.total_us),
            if self.feasible { "yes" } else { "no" }.to_owned(),
            self.role.clone().unwrap_or_else(|| "-".to_owned()),
            state.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_question_holds_any_namespace() {
        assert_eq!(
            question("routes", "live/a%2Fb").unwrap(),
            "/api/v1/routes?namespace=live%2Fa%252Fb"
        );
        assert_eq!(question("trace", "a//b").unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn the_ways_are_a_table_under_the_reason() {
        let routes: Routes = serde_json::from_value(json!({
            "namespace": "live/cam",
            "origins": [{
                "origin": "c".repeat(64), "here": false, "primary": "b", "total_us": 6000, "why": "it is the only way",
                "candidates": [
                    {"node": "b".repeat(64), "distance_us": 0, "cost_us": 6000, "total_us": 6000, "feasible": true,
                     "suspect": false, "full": false, "role": "primary"},
                    {"node": "d".repeat(64), "distance_us": null, "cost_us": 900, "total_us": null, "feasible": false,
                     "suspect": true, "full": false, "role": null},
                ],
            }],
        }))
        .unwrap();
        let text = routes.text();
        for part in [
            "live/cam is published at cccccccccccccccc, 6.0 ms from here\nit is the only way\nVIA",
            "bbbbbbbbbbbbbbbb  0.0 ms        6.0 ms  6.0 ms  yes       primary  ok\n",
            "dddddddddddddddd  -             0.9 ms  -       no        -        suspect\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
