//! Joins while the past is being fetched from upstream: live objects before, between and behind those of the fetch.

use proptest::prelude::*;

use super::harness::*;
use crate::fanout::SubscribeOptions;
use crate::track::Track;
use crate::wire::data::FetchObject;
use crate::wire::property::Properties;
use crate::wire::{Filter, GroupOrder, Location};

const GROUP: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next object comes by subscription.
    Live,
    /// The fetch from upstream brings its next object, or its FIN.
    Fill,
    /// Everybody reads.
    Read,
    /// Another subscriber joins.
    Join,
}

/// A subscriber and its joining fetch.
struct Joined {
    at: u64,
    live: Subscriber,
    past: Fetcher,
}

impl Joined {
    fn new(track: &std::sync::Arc<Track>) -> Self {
        let options = SubscribeOptions {
            filter: Some(Filter::LargestObject),
            ..SubscribeOptions::default()
        };
        let live = Subscriber::new(track, ms(0), options);
        let at = live.subscription.joining_location().unwrap().object;
        let (start, end) = (Location::new(GROUP, 0), Location::new(GROUP, at + 1));
        Self {
            at,
            live,
            past: Fetcher::new(track, start, end, GroupOrder::Ascending),
        }
    }

    fn read(&mut self) {
        self.live.drain(ms(0));
        self.past.drain(ms(0));
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Live),
        4 => Just(Step::Fill),
        2 => Just(Step::Read),
        1 => Just(Step::Join),
    ]
}

fn all(objects: impl Iterator<Item = u64>) -> Vec<Location> {
    objects.map(|object| at(GROUP, object)).collect()
}

#[test]
fn what_came_since_a_stated_edge_is_owed() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), GROUP, 2);
    let mut writer = source.subgroup(ms(0), &header(GROUP + 1, 0)).unwrap();
    put(&mut writer, ms(0), GROUP + 1, 0..3);
    let edge = track.edge();
    assert_eq!(edge.largest, Some(at(GROUP + 1, 2)));
    put(&mut writer, ms(0), GROUP + 1, 3..5);
    let options = SubscribeOptions {
        filter: Some(Filter::LargestObject),
        ..SubscribeOptions::default()
    };
    let mut reader = Subscriber::since(&track, edge, ms(0), options);
    assert_eq!(reader.subscription.joining_location(), edge.largest);
    put(&mut writer, ms(0), GROUP + 1, 5..6);
    reader.drain(ms(0));
    assert_eq!(
        reader.objects(),
        [at(GROUP + 1, 3), at(GROUP + 1, 4), at(GROUP + 1, 5)]
    );
}

proptest! {
    #[test]
    fn whoever_joins_gets_each_object_once(
        joined in 0..12u64,
        // How far the fetch goes beyond the joining location, and how far upstream is there when it answers.
        wide in prop_oneof![0..6u64, Just(u64::MAX)],
        ahead in 0..6u64,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let track = relay();
        let source = track.source();
        track.claim_largest(at(GROUP, joined));
        let mut writer = source.subgroup(ms(0), &header(GROUP, 0)).unwrap();
        let asked = at(GROUP, joined.saturating_add(wide));
        let mut fill = Some(track.fill(at(GROUP, 0), asked, GroupOrder::Ascending));
        let last_filled = asked.object.min(joined + ahead);
        let last = joined + ahead + 3;
        let (mut next_live, mut next_filled) = (joined + 1, 0);
        let mut readers = vec![Joined::new(&track)];
        let rest = std::iter::repeat_n([Step::Live, Step::Fill], 40).flatten().chain([Step::Read]);
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Live if next_live <= last => {
                    put(&mut writer, ms(0), GROUP, [next_live]);
                    next_live += 1;
                }
                Step::Fill if next_filled > last_filled => {
                    if let Some(fill) = fill.take() {
                        fill.fin(ms(0), at(GROUP, last_filled + 1), false);
                    }
                }
                Step::Fill => {
                    let payload = payload(GROUP, next_filled);
                    let object = FetchObject {
                        location: at(GROUP, next_filled),
                        subgroup: Some(0),
                        priority: 100,
                        properties: Properties::empty(),
                        payload_len: payload.len() as u64,
                    };
                    let fill = fill.as_mut().unwrap();
                    fill.object(ms(0), &object).unwrap();
                    if !payload.is_empty() {
                        fill.payload(ms(0), payload).unwrap();
                    }
                    next_filled += 1;
                }
                Step::Read => readers.iter_mut().for_each(Joined::read),
                Step::Join if readers.len() < 4 => readers.push(Joined::new(&track)),
                Step::Live | Step::Join => {}
            }
        }
        for reader in &readers {
            prop_assert!(reader.past.fin && reader.past.unknown.is_empty());
            prop_assert_eq!(&reader.past.objects, &all(0..=reader.at));
            prop_assert_eq!(reader.live.objects(), all(reader.at + 1..=last));
        }
    }
}
