//! The text form of names: an accepted text is the only one of its name.

#![no_main]

use headwater_pubsub::wire::{FullTrackName, TrackNamespace};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(track) = text.parse::<FullTrackName>() {
        assert_eq!(track.to_string(), text);
    }
    if let Ok(namespace) = text.parse::<TrackNamespace>() {
        assert_eq!(namespace.to_string(), text);
    }
});
