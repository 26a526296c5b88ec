//! A neighbour that wants the subscription of another node made elsewhere (GOAWAY on its stream): the node asks where its routes
//! lead, the same neighbour again or the next one.

use std::time::{Duration, UNIX_EPOCH};

use headwater_pubsub::net::{Clock, SubscribeOptions, Subscriber};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{Location, StreamCode};
use headwater_relay::overlay::message::Entry;
use tokio::task::JoinSet;

use crate::broadcast::within;
use crate::impostor::{Impostor, Member};
use crate::mesh::{Mesh, run};
use crate::peer::track;

/// Of everyone's boot.
#[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
fn epoch() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("before the end of time")
}

async fn next(subscriber: &mut Subscriber) -> Location {
    loop {
        let object = within("an object", subscriber.next()).await;
        let object = object.expect("the subscription goes on");
        if object.status == ObjectStatus::Normal {
            return object.location;
        }
    }
}

#[test]
fn a_neighbour_that_sends_a_subscription_elsewhere_is_asked_again_or_the_next_one() {
    run(async {
        let mesh = Mesh::new();
        let door = mesh.start(&[]);
        let (origin_dir, relay_dir) = (mesh.member(), mesh.member());
        let (origin, relay) = (Member::of(origin_dir.path()), Member::of(relay_dir.path()));
        let epoch = epoch();
        let name = track("mesh", "video");
        let mut near = Impostor::neighbour(&door, &origin).await;
        near.say(&[origin.hello(epoch)]).await;
        let entry = Entry::Namespace(name.namespace().clone());
        near.announce(&origin, epoch, 0, Some(entry)).await;
        let mut next_best = Impostor::neighbour(&door, &relay).await;
        next_best.say(&[relay.hello(epoch)]).await;
        next_best.announce(&origin, epoch, 5, None).await;

        let mut drivers = JoinSet::new();
        let client = door.dial("moqt", Clock::new(), &mut drivers).await;
        let options = SubscribeOptions {
            rendezvous: Some(Duration::from_secs(10)),
            ..SubscribeOptions::default()
        };
        let (subscriber, old) = tokio::join!(client.subscribe(name, options), near.wanted());
        let mut subscriber = subscriber.expect("announced");
        near.publish(old, 0).await;
        assert_eq!(next(&mut subscriber).await, Location::new(0, 0));

        // The route leads there: it is asked again.
        near.send_elsewhere(old);
        assert_eq!(near.unwanted(old).await, Some(StreamCode::GOING_AWAY));
        let again = near.wanted().await;
        near.publish(again, 1).await;
        assert_eq!(next(&mut subscriber).await, Location::new(1, 0));

        // The route leads elsewhere.
        near.send_elsewhere(again);
        near.retract(origin.id(), epoch).await;
        let new = next_best.wanted().await;
        next_best.publish(new, 2).await;
        assert_eq!(next(&mut subscriber).await, Location::new(2, 0));
        assert!(next_best.is_heard(), "it is asked once");
        assert_eq!(door.metric("moq_neighbours", ""), 2.0);
    });
}
