//! What everybody sees of a mesh: from where each node pulls a broadcast.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_relay::emulator::{Link, Weather};
use headwater_relay::overlay::message::NamespaceHash;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::broadcast::{Audience, Broadcast, Stage, until, within};
use crate::mesh::{Mesh, run};
use crate::peer::track;
use crate::running::Running;

fn json(answer: &str) -> Value {
    serde_json::from_str(answer).expect("JSON")
}

fn text(value: &Value, at: &str) -> Option<String> {
    value.pointer(at)?.as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).expect("a list")
}

fn id(node: &Running) -> String {
    let told = json(&node.get("/api/v1/node"));
    text(&told, "/mesh/node").expect("in a mesh")
}

/// Upstreams by node, none where it is published.
type Tree = BTreeMap<String, Vec<Option<String>>>;

/// Who serves a namespace, as one node tells.
async fn tree(teller: &Running, hash: NamespaceHash) -> Tree {
    let told = json(&teller.ask("/api/v1/overlay").await);
    let mut tree = Tree::new();
    for node in list(&told, "/nodes") {
        let pulls = list(node, "/pulls").iter();
        for pull in pulls.filter(|pull| text(pull, "/hash") == Some(hash.to_string())) {
            let name = text(node, "/node").expect("an id");
            tree.entry(name).or_default().push(text(pull, "/from"));
        }
    }
    tree
}

/// Asks until the answer is this.
async fn sees(what: &str, teller: &Running, hash: NamespaceHash, expected: &Tree) {
    within(what, async {
        while tree(teller, hash).await != *expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[test]
fn any_node_tells_the_tree_of_a_broadcast_and_that_it_changed() {
    run(async {
        let (mesh, mut tasks, mut stage) = (Mesh::new(), JoinSet::new(), Stage::new());
        // origin - middle - reader, and a longer way from the reader to the origin
        let origin = mesh.start(&[]);
        let middle = mesh.start(&[&origin]);
        let way = Link::bind(origin.address, Weather::new(Duration::from_millis(60), 1));
        let way = way.await.expect("a link");
        let longer = way.local_addr().expect("bound");
        tasks.spawn(way.run());
        let reader = mesh.start_at(&[middle.address, longer]);
        until("all are neighbours", || {
            [&origin, &middle, &reader]
                .iter()
                .all(|node| node.metric("moq_neighbours", "") == 2.0)
        })
        .await;
        let [first, second, third] = [&origin, &middle, &reader].map(id);
        let name = track("secretroom", "video");
        let hash = NamespaceHash::of(name.namespace());
        let expected = |pulls: &[(&String, Option<&String>)]| -> Tree {
            let pull = |&(node, from): &(&String, Option<&String>)| (node.clone(), vec![from.cloned()]);
            pulls.iter().map(pull).collect()
        };

        let mut broadcast = Broadcast::start(&mut stage, &origin, &name, 0).await;
        let lone = expected(&[(&first, None)]);
        sees("it is seen before anybody reads", &reader, hash, &lone).await;
        let mut audience = Audience::join(&mut stage, &reader, &name).await;
        audience.more(5).await;
        let line = expected(&[(&first, None), (&second, Some(&first)), (&third, Some(&second))]);
        for teller in [&origin, &middle, &reader] {
            sees("the line", teller, hash, &line).await;
            let told = teller.ask("/api/v1/overlay").await;
            assert!(!told.contains("secretroom"), "{told}");
        }

        drop(middle);
        let past = expected(&[(&first, None), (&third, Some(&first))]);
        sees("the way past the middle", &origin, hash, &past).await;
        audience.more(20).await;
        let last = broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        broadcast.withdraw();
        sees("nobody who serves it", &origin, hash, &Tree::new()).await;
    });
}
