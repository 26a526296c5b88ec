//! A subscription that goes on after FORWARD was 0: the answer to the update says behind which object.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use headwater_pubsub::{
    net::{DataEvent, Handler, SessionHandle, Sink, object_queue},
    session::{Accepted, Event},
    wire::{Location, Parameters, Properties},
};
use tokio::sync::mpsc;

use crate::harness::{handled, name, payload, track};

/// Subscribes by hand and passes on what updates are answered with.
struct Viewer {
    answers: mpsc::Sender<Option<Location>>,
}

impl Handler for Viewer {
    fn event(&self, _session: &SessionHandle, event: Event) {
        let largest = match event {
            Event::Accepted {
                answer: Accepted::Subscribe { parameters, .. },
                ..
            } => parameters.largest_object,
            Event::UpdateAnswered { result, .. } => result.expect("nothing to refuse").largest_object,
            _ => return,
        };
        self.answers.try_send(largest).expect("awaited one by one");
    }

    fn data(&self, _session: &SessionHandle, _event: DataEvent) {}
}

#[test]
fn objects_go_on_right_behind_what_the_answer_says() {
    handled(
        || {
            let (answers, answered) = mpsc::channel(1);
            let viewer = Viewer { answers };
            (Arc::new(viewer), answered)
        },
        async |near, mut answered| {
            let track = track(name("video"));
            near.client.serve(&track);
            let mut writer = track.writer(near.clock);
            let mut group = writer.group(0).expect("new");
            group.object(Properties::default(), payload("x")).expect("first");
            let running = Arc::new(AtomicBool::new(true));
            let goes_on = running.clone();
            let thread = std::thread::spawn(move || {
                while goes_on.load(Ordering::Relaxed) {
                    group
                        .object(Properties::default(), payload("x"))
                        .expect("in order");
                    std::thread::yield_now();
                }
            });
            let (sender, mut queue) = object_queue(1 << 20);
            let key = near
                .far
                .act(|session, _| session.subscribe(name("video"), Parameters::default()))
                .expect("sent");
            near.far.receive(key, Sink::Reader(sender));
            answered.recv().await.expect("served");
            for _ in 0..10 {
                for forward in [false, true] {
                    let parameters = Parameters {
                        forward: Some(forward),
                        ..Parameters::default()
                    };
                    near.far
                        .act(|session, _| session.update(key, parameters))
                        .expect("live");
                    let largest = answered
                        .recv()
                        .await
                        .expect("answered")
                        .expect("published before");
                    if !forward {
                        continue;
                    }
                    let next = loop {
                        let object = queue.recv().await.expect("live").location;
                        if object > largest {
                            break object;
                        }
                    };
                    assert_eq!(next, Location::new(0, largest.object + 1));
                }
            }
            running.store(false, Ordering::Relaxed);
            thread.join().expect("no panic");
        },
    );
}
