//! The arrival order: where an object stands in it, its payload as it comes, and how it is given up.

use bytes::Bytes;

use super::admission::Incoming;
use super::{DatagramEntry, GRACE, LaneKey, State};
use crate::track::group::{Entry, Group, Head, Lane, Place};
use crate::wire::Location;

impl State {
    /// Puts the object into the arrival order, unless it is there.
    pub(super) fn log(&mut self, incoming: &Incoming) {
        let at = incoming.at;
        if self.absence.evicted_until(at).is_some() {
            return;
        }
        let (now, seq) = (self.now, self.next_seq());
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        group.stirred = Some(now);
        let Group {
            objects,
            subgroups,
            last_seq,
            ..
        } = group;
        let Some(object) = objects.get_mut(&at.object) else {
            return;
        };
        let Place::Subgroup(id) = object.place else {
            if object.logged.is_none() {
                object.logged = Some(Lane::Main);
                self.datagrams.push_back(DatagramEntry { seq, at });
            }
            return;
        };
        let Some(subgroup) = subgroups.get_mut(&id) else {
            return;
        };
        if let Some(lane) = object.logged {
            if let Some(entry) = subgroup
                .log_mut(lane)
                .live_mut(at.object)
                .filter(|entry| entry.prev.is_none())
            {
                entry.prev = incoming.prev;
            }
            return;
        }
        let lane = if subgroup.main.accepts(at.object) {
            Lane::Main
        } else {
            Lane::Late
        };
        let has_properties = subgroup.has_properties || !object.properties.is_empty();
        let log = subgroup.log_mut(lane);
        let after = log.last().filter(|&last| last < at.object);
        let head = Head::new(at.object, after, has_properties, object);
        log.push(Entry {
            seq,
            id: at.object,
            prev: incoming.prev,
            dead: None,
            head,
        });
        object.logged = Some(lane);
        object.cut = false;
        *last_seq = seq;
        let stored = object.received;
        self.touch(
            LaneKey {
                group: at.group,
                subgroup: id,
                lane,
            },
            stored,
        );
    }

    /// Appends payload to an object that exists; tells its lane.
    pub(in crate::track) fn append(&mut self, at: Location, bytes: Bytes) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        group.touched = now;
        group.stirred = group.stirred.map(|_| now);
        let Some(object) = group.objects.get_mut(&at.object) else {
            return;
        };
        let before = object.cost();
        let len = bytes.len() as u64;
        object.append(bytes);
        let after = object.cost();
        let key = match (object.place, object.logged) {
            (Place::Subgroup(subgroup), Some(lane)) => Some(LaneKey {
                group: at.group,
                subgroup,
                lane,
            }),
            _ => None,
        };
        let whole = object.is_complete();
        self.charge(at.group, before, after);
        self.stats.payload_bytes += len;
        match key {
            Some(key) => self.touch(key, len),
            // Only fetches see it, and they take whole objects.
            None => self.news |= whole,
        }
    }

    /// A stream left an object; `others`: another source of the track may complete it.
    pub(in crate::track) fn leave_object(&mut self, at: Location, others: bool) {
        let Some(object) = self
            .groups
            .get_mut(&at.group)
            .and_then(|group| group.objects.get_mut(&at.object))
        else {
            return;
        };
        object.writers = object.writers.saturating_sub(1);
        if object.writers > 0 || object.is_complete() {
            return;
        }
        if others {
            self.waiting.push((self.now + GRACE, at));
        } else {
            self.cut(at);
        }
    }

    /// Gives up on the rest of an object.
    pub(in crate::track) fn cut(&mut self, at: Location) {
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        let Some(object) = group.objects.get_mut(&at.object) else {
            return;
        };
        if object.is_complete() || object.writers > 0 || object.cut {
            return;
        }
        object.cut = true;
        let received = object.received;
        self.news = true;
        self.stats.cut_objects += 1;
        let (Place::Subgroup(subgroup), Some(lane)) = (object.place, object.logged.take()) else {
            return;
        };
        let entry = group
            .subgroups
            .get_mut(&subgroup)
            .and_then(|subgroup| subgroup.log_mut(lane).live_mut(at.object));
        if let Some(entry) = entry {
            entry.dead = Some(received);
            self.touch(
                LaneKey {
                    group: at.group,
                    subgroup,
                    lane,
                },
                0,
            );
        }
    }
}
