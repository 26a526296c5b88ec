//! `moq list`: namespaces under a prefix, as they come and go.

use std::sync::Arc;

use headwater_pubsub::net::{Clock, NamespaceChange};
use headwater_pubsub::wire::TrackNamespace;
use tokio::task::JoinSet;

use crate::args::ListArgs;
use crate::exit::{Exit, Failure};
use crate::link::Link;
use crate::output::{Console, Data, WriteFailed, data_line};
use crate::signal::Signals;
use crate::target::path_of;

pub(super) async fn run(args: &ListArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let link = Link::new(&args.connect, Clock::new())?;
    let done = tokio::select! {
        done = list(args, &link, console) => done,
        () = signals.stop.cancelled() => return Ok(Exit::Interrupted),
    };
    match done {
        Err(WriteFailed::Failed(failure)) => Err(failure),
        Err(WriteFailed::ReaderGone) | Ok(()) => Ok(Exit::Ok),
    }
}

async fn list(args: &ListArgs, link: &Link, console: &Console) -> Result<(), WriteFailed> {
    let mut data = Data::stdout();
    let mut session = link.dial().await.map_err(WriteFailed::Failed)?;
    loop {
        let asked = session
            .client
            .namespaces(link.target().namespace.clone(), Vec::new())
            .await;
        let mut reader = match asked {
            Ok(reader) => Some(reader),
            Err(failed) if failed.code().is_some() => {
                let text = format!("{} does not list its namespaces: {failed}", link.target().place());
                return Err(WriteFailed::Failed(Failure::say(Exit::Refused, text)));
            }
            Err(failed) => {
                tracing::info!(%failed, "no list");
                None
            }
        };
        while let Some(reader) = &mut reader {
            let Some(change) = reader.next().await else { break };
            data_line(&mut data, &line(&change, args.json)).await?;
        }
        link.lost(&mut session, console).await;
        session.close().await;
        session = link.redial(console).await;
    }
}

fn line(change: &NamespaceChange, json: bool) -> String {
    let (sign, event, namespace) = match change {
        NamespaceChange::Added(namespace) => ('+', "added", namespace),
        NamespaceChange::Removed(namespace) => ('-', "removed", namespace),
    };
    if json {
        serde_json::json!({ "event": event, "namespace": fields(namespace), "path": path_of(namespace) })
            .to_string()
    } else {
        format!("{sign} {}", path_of(namespace))
    }
}

/// Fields as text; bytes that are no UTF-8 are replaced, the path has them exactly.
fn fields(namespace: &TrackNamespace) -> Vec<String> {
    namespace
        .fields()
        .map(|field| String::from_utf8_lossy(field).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_and_for_programs() {
        let namespace = TrackNamespace::new(["live", "a/b"]).unwrap();
        let added = NamespaceChange::Added(namespace.clone());
        assert_eq!(line(&added, false), "+ live/a%2Fb");
        assert_eq!(line(&NamespaceChange::Removed(namespace), false), "- live/a%2Fb");
        let json: serde_json::Value = serde_json::from_str(&line(&added, true)).unwrap();
        assert_eq!(json["namespace"], serde_json::json!(["live", "a/b"]));
        assert_eq!(
            (json["event"].as_str(), json["path"].as_str()),
            (Some("added"), Some("live/a%2Fb"))
        );
    }
}
