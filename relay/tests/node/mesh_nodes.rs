//! Stories of a mesh whose nodes are not quite as they should be: wrong in time, or dialling each other at once.

use std::time::{Duration, SystemTime};

use headwater_relay::config::Config;
use headwater_relay::node::WallClock;

use crate::broadcast::{Audience, Broadcast, Stage, until};
use crate::mesh::{Mesh, dialling, run};
use crate::peer::track;
use crate::running::Running;

const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn nodes_whose_clocks_are_an_hour_off_are_members_like_others() {
    for (words, calendar) in [
        ("an hour ahead", WallClock::new(|| now() + HOUR)),
        ("an hour behind", WallClock::new(|| now() - HOUR)),
    ] {
        run(async {
            let (mesh, mut stage) = (Mesh::new(), Stage::new());
            // The membership is of the right time and lasts long enough for both clocks.
            let right = mesh.start(&[]);
            let dir = mesh.member();
            let wrong = Running::start_at(dir.path(), dialling(&[right.address]), calendar);
            let far = mesh.start(&[&wrong]);
            for (at, reader, name) in [
                (&right, &far, track("right", "video")),
                (&wrong, &right, track("wrong", "video")),
                (&far, &wrong, track("far", "video")),
            ] {
                let mut broadcast = Broadcast::start(&mut stage, at, &name, 0).await;
                let mut audience = Audience::join(&mut stage, reader, &name).await;
                audience.more(15).await;
                let last = broadcast.finish().await;
                audience.finish_reading().await;
                audience.assert_whole();
                assert_eq!(audience.seen.iter().max(), Some(&last), "{words}");
            }
            for node in [&right, &wrong, &far] {
                assert_eq!(node.metric("moq_neighbour_misconduct", ""), 0.0, "{words}");
            }
        });
    }
}

#[test]
fn two_nodes_that_dial_each_other_keep_one_session() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        for _ in 0..3 {
            // An address that is free again, for a node that dials one which dials it.
            let address = mesh.start(&[]).address;
            let two = mesh.start_at(&[address]);
            let dir = mesh.member();
            let config = Config {
                listen: address,
                ..dialling(&[two.address])
            };
            let one = Running::start_at(dir.path(), config, WallClock::system());
            let both = [&one, &two];
            until("they are neighbours", || {
                both.iter().all(|node| node.metric("moq_neighbours", "") == 1.0)
            })
            .await;
            let name = track("between", "video");
            let mut broadcast = Broadcast::start(&mut stage, &one, &name, 0).await;
            let mut audience = Audience::join(&mut stage, &two, &name).await;
            // A handshake that came too early is tried again within a second, so by now both have dialled.
            audience.more(100).await;
            let replaced = || both.map(|node| node.metric("moq_route_changes", "neighbour_down"));
            let before = replaced();
            // Longer than both wait before they dial again.
            audience.more(150).await;
            assert_eq!(replaced(), before, "the session that is kept stays");
            for node in both {
                assert_eq!(node.metric("moq_neighbours", ""), 1.0);
            }
            let last = broadcast.finish().await;
            audience.finish_reading().await;
            audience.assert_whole();
            assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        }
    });
}
