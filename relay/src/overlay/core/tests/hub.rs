//! The media half of a simulated node: one track of each origin, subscriptions to neighbours and from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::overlay::core::{Feed, Input, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::Entry;
use crate::overlay::upstream::Track;

/// What goes over a session beside gossip.
#[derive(Clone, Copy, Debug)]
pub(super) enum Media {
    Subscribe(NodeId, Feed),
    Unsubscribe(NodeId),
    Accepted(NodeId),
    /// The subscription does not begin, or is over.
    Refused(NodeId),
    Object(NodeId, u64),
    /// The sender is about to go.
    Goaway,
}

#[derive(Debug, Default)]
struct OneTrack {
    number: u64,
    /// Somebody at this node reads it.
    local: bool,
    wanted: bool,
    upstreams: BTreeSet<Neighbour>,
    children: BTreeSet<Neighbour>,
    newest: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Hub {
    tracks: BTreeMap<NodeId, OneTrack>,
    /// What is published here.
    pub(super) announced: BTreeSet<Entry>,
    /// What the overlay said that others publish.
    pub(super) remote: BTreeSet<Entry>,
}

/// What a node says to whom.
pub(super) type Said = Vec<(Neighbour, Media)>;

impl Hub {
    fn track(&mut self, origin: NodeId) -> &mut OneTrack {
        let number = self.tracks.len() as u64;
        self.tracks.entry(origin).or_insert_with(|| OneTrack {
            number,
            ..OneTrack::default()
        })
    }

    fn origin(&self, track: Track) -> Option<NodeId> {
        let found = self.tracks.iter().find(|(_, it)| it.number == track.0);
        found.map(|(&origin, _)| origin)
    }

    pub(super) fn newest(&self, origin: NodeId) -> Option<u64> {
        self.tracks.get(&origin)?.newest
    }

    pub(super) fn is_read(&self, origin: NodeId) -> bool {
        self.tracks.get(&origin).is_some_and(|track| track.local)
    }

    /// Somebody here reads the origin's track, or nobody any more.
    pub(super) fn read(&mut self, me: NodeId, origin: NodeId, local: bool) -> Vec<Input> {
        if me == origin {
            return Vec::new();
        }
        self.track(origin).local = local;
        self.review(origin).into_iter().collect()
    }

    /// Wants the track while somebody reads it here or at a child.
    fn review(&mut self, origin: NodeId) -> Option<Input> {
        let name = super::net::track_name();
        let track = self.track(origin);
        let wanted = track.local || !track.children.is_empty();
        if wanted == track.wanted {
            return None;
        }
        track.wanted = wanted;
        let number = Track(track.number);
        if !wanted {
            track.upstreams.clear();
            return Some(Input::Unwant { track: number });
        }
        Some(Input::Want {
            track: number,
            name,
            origin,
        })
    }

    /// The overlay names an upstream, or takes it back.
    pub(super) fn pull(&mut self, track: Track, neighbour: Neighbour, wanted: bool, feed: Feed) -> Said {
        let Some(origin) = self.origin(track) else {
            return Vec::new();
        };
        let upstreams = &mut self.track(origin).upstreams;
        if wanted {
            upstreams.insert(neighbour);
            vec![(neighbour, Media::Subscribe(origin, feed))]
        } else {
            upstreams.remove(&neighbour);
            vec![(neighbour, Media::Unsubscribe(origin))]
        }
    }

    /// What a neighbour said, and what follows.
    pub(super) fn hear(&mut self, core: &Overlay, from: Neighbour, media: Media) -> (Vec<Input>, Said) {
        let mut said = Vec::new();
        let mut inputs = Vec::new();
        match media {
            Media::Subscribe(origin, feed) => {
                if core.admit_child(origin, feed).is_err() {
                    said.push((from, Media::Refused(origin)));
                } else {
                    self.track(origin).children.insert(from);
                    said.push((from, Media::Accepted(origin)));
                    if core.node() != origin {
                        inputs.push(Input::Child {
                            neighbour: from,
                            origin,
                            present: true,
                        });
                        inputs.extend(self.review(origin));
                    }
                }
            }
            Media::Unsubscribe(origin) => inputs.extend(self.left(core.node(), from, origin)),
            Media::Accepted(origin) => {
                let track = self.track(origin);
                if track.upstreams.contains(&from) {
                    inputs.push(Input::Established {
                        track: Track(track.number),
                        neighbour: from,
                    });
                }
            }
            Media::Refused(origin) => {
                let track = self.track(origin);
                if track.upstreams.contains(&from) {
                    inputs.push(Input::Lost {
                        track: Track(track.number),
                        neighbour: from,
                    });
                }
            }
            Media::Object(origin, number) => {
                let track = self.track(origin);
                if track.upstreams.contains(&from) {
                    inputs.push(Input::Seen {
                        track: Track(track.number),
                        neighbour: from,
                        newest: (number, 0),
                    });
                    said = self.object(origin, number);
                }
            }
            Media::Goaway => inputs.push(Input::Leaving { neighbour: from }),
        }
        (inputs, said)
    }

    fn left(&mut self, me: NodeId, neighbour: Neighbour, origin: NodeId) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.track(origin).children.remove(&neighbour) && me != origin {
            inputs.push(Input::Child {
                neighbour,
                origin,
                present: false,
            });
            inputs.extend(self.review(origin));
        }
        inputs
    }

    /// A new object, from a publisher here or from upstream, goes to all children.
    pub(super) fn object(&mut self, origin: NodeId, number: u64) -> Said {
        let track = self.track(origin);
        if track.newest >= Some(number) {
            return Vec::new();
        }
        track.newest = Some(number);
        let object = Media::Object(origin, number);
        track.children.iter().map(|&child| (child, object)).collect()
    }

    /// A session is over.
    pub(super) fn lost(&mut self, me: NodeId, neighbour: Neighbour) -> Vec<Input> {
        let origins: Vec<_> = self.tracks.keys().copied().collect();
        let mut inputs = Vec::new();
        for origin in origins {
            self.track(origin).upstreams.remove(&neighbour);
            inputs.extend(self.left(me, neighbour, origin));
        }
        inputs
    }
}
