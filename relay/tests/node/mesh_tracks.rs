//! SUBSCRIBE_TRACKS at one node of a mesh, PUBLISH at others.

use headwater_pubsub::net::{SubscribeOptions, TrackEvent, TrackOffer, TrackOffers};
use headwater_pubsub::wire::{FullTrackName, TrackNamespace};

use crate::broadcast::{Audience, Broadcast, Stage, within};
use crate::mesh::{Mesh, run};
use crate::peer::track;

async fn offer(offers: &mut TrackOffers, name: &FullTrackName) -> TrackOffer {
    match within("an offer", offers.next()).await {
        Some(TrackEvent::Offer(offer)) => {
            assert_eq!(offer.track(), name);
            offer
        }
        other => panic!("no offer of {name}: {other:?}"),
    }
}

#[test]
fn tracks_that_are_published_at_other_nodes_are_offered_and_read_to_their_end() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let a = mesh.start(&[]);
        let b = mesh.start(&[&a]);
        let c = mesh.start(&[&b]);
        let names = ["early", "late", "near"].map(|name| track("room", name));
        let [early, late, near] = &names;
        let mut first = Broadcast::publish(&mut stage, &a, early, 0).await;
        let client = stage.client(&c).await;
        let room = TrackNamespace::new(["room"]).expect("short");
        let mut offers = client.tracks(room, Vec::new()).await.expect("accepted");
        // Published before and after it was asked for, two hops away, one hop away, and here.
        let mut told = vec![(offer(&mut offers, early).await, &mut first)];
        let mut second = Broadcast::publish(&mut stage, &b, late, 0).await;
        told.push((offer(&mut offers, late).await, &mut second));
        let mut third = Broadcast::publish(&mut stage, &c, near, 0).await;
        told.push((offer(&mut offers, near).await, &mut third));
        for (offer, broadcast) in told {
            let subscriber = offer.accept(&SubscribeOptions::default()).expect("still offered");
            let mut audience = Audience::of(client.clone(), subscriber);
            audience.more(15).await;
            let last = broadcast.finish().await;
            audience.finish_reading().await;
            audience.assert_whole();
            assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
        }
        // One that ended is offered again when it is published again, at whichever node.
        first.withdraw();
        first.leave();
        let mut again = Broadcast::publish(&mut stage, &b, early, 1000).await;
        let offered = offer(&mut offers, early).await;
        let subscriber = offered
            .accept(&SubscribeOptions::default())
            .expect("still offered");
        let mut audience = Audience::of(client.clone(), subscriber);
        audience.more(15).await;
        again.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
    });
}
