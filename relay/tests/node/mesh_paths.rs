//! Stories of a mesh in which links, nodes and publishers go and come back.

use std::net::SocketAddr;
use std::time::Duration;

use headwater_pubsub::wire::Location;
use headwater_relay::config::Config;
use headwater_relay::emulator::{Link, Weather};
use headwater_relay::node::WallClock;
use tokio::task::JoinSet;

use crate::broadcast::{Audience, Broadcast, Stage, Takeover, until};
use crate::mesh::{Mesh, dialling, run};
use crate::peer::track;
use crate::running::Running;

/// A way to a node that can be cut; whoever dials its address goes over it.
async fn link_to(
    node: &Running,
    delay: Duration,
    tasks: &mut JoinSet<std::io::Result<()>>,
) -> (SocketAddr, Weather) {
    let weather = Weather::new(delay, 1);
    let link = Link::bind(node.address, weather.clone()).await.expect("a link");
    let address = link.local_addr().expect("bound");
    tasks.spawn(link.run());
    (address, weather)
}

fn neighbours(node: &Running) -> f64 {
    node.metric("moq_neighbours", "")
}

#[test]
fn halves_of_a_cut_mesh_keep_their_tracks_and_become_one_again() {
    run(async {
        let (mesh, mut tasks, mut stage) = (Mesh::new(), JoinSet::new(), Stage::new());
        // a - b | c - d
        let a = mesh.start(&[]);
        let b = mesh.start(&[&a]);
        let (way, weather) = link_to(&b, Duration::from_millis(5), &mut tasks).await;
        let c = mesh.start_at(&[way]);
        let d = mesh.start(&[&c]);
        let (left, right) = (track("left", "video"), track("right", "video"));
        let mut from_a = Broadcast::start(&mut stage, &a, &left, 0).await;
        let mut from_d = Broadcast::start(&mut stage, &d, &right, 0).await;
        let mut left_at_b = Audience::join(&mut stage, &b, &left).await;
        let mut right_at_c = Audience::join(&mut stage, &c, &right).await;
        // Across: so the halves know each other before the cut.
        let mut left_at_d = Audience::join(&mut stage, &d, &left).await;
        left_at_d.more(5).await;
        weather.cut(true);
        until("b and c know of the cut", || {
            neighbours(&b) == 1.0 && neighbours(&c) == 1.0
        })
        .await;
        // Born while apart, in both halves.
        let (young_left, young_right) = (track("young-left", "video"), track("young-right", "video"));
        let mut young_a = Broadcast::start(&mut stage, &a, &young_left, 0).await;
        let mut young_d = Broadcast::start(&mut stage, &d, &young_right, 0).await;
        let mut near = Audience::join(&mut stage, &b, &young_left).await;
        near.more(15).await;
        left_at_b.more(30).await;
        right_at_c.more(30).await;
        weather.cut(false);
        until("b and c meet again", || {
            neighbours(&b) == 2.0 && neighbours(&c) == 2.0
        })
        .await;
        for (node, name) in [
            (&d, &left),
            (&d, &young_left),
            (&a, &right),
            (&a, &young_right),
            (&b, &young_right),
            (&c, &young_left),
        ] {
            let mut across = Audience::join(&mut stage, node, name).await;
            across.more(12).await;
            across.assert_whole();
        }
        let last = from_a.finish().await;
        left_at_b.finish_reading().await;
        left_at_b.assert_whole();
        assert_eq!(left_at_b.seen.iter().max(), Some(&last), "to the last object");
        let last = from_d.finish().await;
        right_at_c.finish_reading().await;
        right_at_c.assert_whole();
        assert_eq!(right_at_c.seen.iter().max(), Some(&last), "to the last object");
        near.more(10).await;
        near.assert_whole();
        young_a.finish().await;
        young_d.finish().await;
    });
}

#[test]
fn of_two_publishers_the_nearer_serves_and_the_other_takes_over() {
    run(async {
        let (mesh, mut tasks, mut stage) = (Mesh::new(), JoinSet::new(), Stage::new());
        // first - here - middle - second
        let first = mesh.start(&[]);
        let second = mesh.start(&[]);
        // So far that it is farther even while the other link's round trip is not measured yet.
        let (far_way, _) = link_to(&second, Duration::from_millis(60), &mut tasks).await;
        let middle = mesh.start_at(&[far_way]);
        let (way, weather) = link_to(&first, Duration::ZERO, &mut tasks).await;
        let here = mesh.start_at(&[way, middle.address]);
        let name = track("twins", "video");
        let _near = Broadcast::start(&mut stage, &first, &name, 0).await;
        let mut far = Broadcast::announce(&mut stage, &second, &name, 1000).await;
        // The second one's node has its track already.
        until("here has two neighbours", || neighbours(&here) == 2.0).await;
        let mut there = Audience::join(&mut stage, &second, &name).await;
        far.begin();
        there.more(1).await;
        let mut audience = Audience::join(&mut stage, &here, &name).await;
        audience.more(25).await;
        assert!(
            audience.groups().iter().all(|&group| group < 1000),
            "the nearer one: {:?}",
            audience.groups()
        );
        weather.cut(true);
        audience.reach(Location::new(1000, 0)).await;
        audience.more(25).await;
        audience.assert_whole_but(1000, Takeover::Whole);
        let last = far.finish().await;
        audience.finish_reading().await;
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
    });
}

#[test]
fn a_publisher_that_moves_to_another_node_keeps_its_subscribers() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        // old - middle - new, and the subscriber in the middle's neighbourhood.
        let old = mesh.start(&[]);
        let middle = mesh.start(&[&old]);
        let new = mesh.start(&[&middle]);
        let far = mesh.start(&[&middle]);
        let name = track("nomad", "video");
        let before = Broadcast::start(&mut stage, &old, &name, 0).await;
        let mut audience = Audience::join(&mut stage, &far, &name).await;
        audience.more(25).await;
        before.leave();
        let mut after = Broadcast::start(&mut stage, &new, &name, 500).await;
        audience.reach(Location::new(500, 0)).await;
        audience.more(25).await;
        audience.assert_whole_but(500, Takeover::InsideGroup);
        let last = after.finish().await;
        audience.finish_reading().await;
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
    });
}

fn epoch(state: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(state.join("mesh.epoch")).expect("kept");
    text.trim().parse().expect("a number")
}

#[test]
fn a_node_that_was_restarted_is_found_again_with_its_tracks() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let dir = mesh.member();
        let edge = Running::start_at(dir.path(), dialling(&[]), WallClock::system());
        let middle = mesh.start(&[&edge]);
        let far = mesh.start(&[&middle]);
        let name = track("phoenix", "video");
        let before = Broadcast::start(&mut stage, &edge, &name, 0).await;
        let mut audience = Audience::join(&mut stage, &far, &name).await;
        audience.more(15).await;
        let first = epoch(dir.path());
        let config = Config {
            listen: edge.address,
            ..dialling(&[])
        };
        drop((edge, before));
        let edge = Running::start_at(dir.path(), config, WallClock::system());
        assert!(epoch(dir.path()) > first, "another life has another epoch");
        let mut after = Broadcast::start(&mut stage, &edge, &name, 100).await;
        audience.reach(Location::new(100, 0)).await;
        audience.more(25).await;
        audience.assert_whole_but(100, Takeover::InsideGroup);
        // And for who comes now.
        let mut late = Audience::join(&mut stage, &far, &name).await;
        late.more(15).await;
        late.assert_whole();
        let last = after.finish().await;
        for audience in [&mut audience, &mut late] {
            audience.finish_reading().await;
            assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        }
    });
}
