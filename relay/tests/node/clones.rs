//! Two nodes that run with one key: a copied state directory that came to life beside the original.

use std::path::Path;
use std::time::Duration;

use headwater_relay::node::WallClock;
use tempfile::TempDir;

use crate::broadcast::{Audience, Broadcast, Stage, until};
use crate::mesh::{Mesh, dialling, run};
use crate::peer::track;
use crate::running::Running;

/// What somebody gets who copies a machine.
fn copy_of(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for file in std::fs::read_dir(dir.path()).expect("a directory") {
        let file = file.expect("an entry");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a file");
    }
    copy
}

fn start(dir: &Path, peer: &Running) -> Running {
    Running::start_at(dir, dialling(&[peer.address]), WallClock::system())
}

/// A part of what a node's interface answers.
fn at(node: &Running, path: &str, part: &str) -> serde_json::Value {
    let answer: serde_json::Value = serde_json::from_str(&node.get(path)).expect("JSON");
    answer.pointer(part).expect("told").clone()
}

/// The node whose key two have, as a node's interface tells it; itself among what it tells of its mesh.
fn cloned(node: &Running) -> Vec<String> {
    let cloned = at(node, "/api/v1/node", "/mesh/cloned");
    serde_json::from_value(cloned).expect("a list")
}

fn id_of(node: &Running) -> String {
    let id = at(node, "/api/v1/node", "/mesh/node");
    id.as_str().expect("an id").to_owned()
}

/// The session that a node has with another one, by its number.
fn session_with(node: &Running, id: &str) -> Option<u64> {
    let neighbours = at(node, "/api/v1/neighbours", "/neighbours");
    let mut neighbours = neighbours.as_array().expect("a list").iter();
    let found = neighbours.find(|neighbour| neighbour.get("node").is_some_and(|node| node == id));
    found?.get("session")?.as_u64()
}

#[test]
fn clones_far_apart_are_told_of_everywhere_and_no_object_of_others_is_lost() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let dir = mesh.member();
        let copy = copy_of(&dir);
        // one - left - middle - right - other
        let left = mesh.start(&[]);
        let middle = mesh.start(&[&left]);
        let right = mesh.start(&[&middle]);
        let name = track("steady", "video");
        let mut broadcast = Broadcast::start(&mut stage, &left, &name, 0).await;
        let mut audience = Audience::join(&mut stage, &right, &name).await;
        audience.more(25).await;
        let one = start(dir.path(), &left);
        let own = track("own", "video");
        let mut mine = Broadcast::start(&mut stage, &one, &own, 0).await;
        assert_eq!(cloned(&left), Vec::<String>::new());

        let other = start(copy.path(), &right);
        let id = id_of(&one);
        assert_eq!(id_of(&other), id);
        let mut theirs = Broadcast::start(&mut stage, &other, &track("theirs", "video"), 0).await;
        let all = [&one, &left, &middle, &right, &other];
        until("every node tells of the clones", || {
            all.iter().all(|node| node.metric("moq_cloned_nodes", "") == 1.0)
        })
        .await;
        for node in all {
            assert_eq!(cloned(node), std::slice::from_ref(&id));
            assert_eq!(node.metric("moq_neighbour_misconduct_total", "cloned_key"), 1.0);
        }
        audience.more(50).await;
        let last = broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        mine.finish().await;
        theirs.finish().await;

        // The copy is stopped, and the original started again: the word is taken back.
        drop((one, other));
        let one = start(dir.path(), &left);
        let left_over = [&one, &left, &middle, &right];
        until("nobody tells of clones any more", || {
            left_over
                .iter()
                .all(|node| node.metric("moq_cloned_nodes", "") == 0.0)
        })
        .await;
        assert_eq!(cloned(&right), Vec::<String>::new());
    });
}

#[test]
fn clones_of_one_neighbour_do_not_put_each_other_out_for_ever() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let dir = mesh.member();
        let copy = copy_of(&dir);
        let hub = mesh.start(&[]);
        let far = mesh.start(&[&hub]);
        let name = track("steady", "video");
        let mut broadcast = Broadcast::start(&mut stage, &hub, &name, 0).await;
        let mut audience = Audience::join(&mut stage, &far, &name).await;
        audience.more(10).await;
        let (one, other) = (start(dir.path(), &hub), start(copy.path(), &hub));
        let id = id_of(&one);
        until("the hub and the far node tell of the clones", || {
            [&hub, &far]
                .iter()
                .all(|node| node.metric("moq_cloned_nodes", "") == 1.0)
        })
        .await;
        until("one of them is in session", || session_with(&hub, &id).is_some()).await;
        let kept = session_with(&hub, &id);
        // Longer than who is refused waits before it dials again.
        let waited = tokio::time::Instant::now();
        while waited.elapsed() < Duration::from_secs(10) {
            audience.more(25).await;
            assert_eq!(session_with(&hub, &id), kept, "the session that is there stays");
        }
        let last = broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        drop((one, other));
    });
}
