//! Upstreams of one node, told by hand.

mod props;
mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const ORIGIN: NodeId = NodeId([1; 32]);
const VIDEO: Track = Track(1);
const CHAT: Track = Track(2);
const A: Neighbour = Neighbour(1);
const B: Neighbour = Neighbour(2);

/// The machine, its clock, and what its outputs amount to.
#[derive(Default)]
struct Bench {
    now: Duration,
    upstreams: Upstreams,
    /// Subscriptions that were asked for and neither given up nor refused.
    pulls: BTreeSet<(Track, Neighbour)>,
    /// Outputs that are no pulls.
    said: Vec<Output>,
    reasons: BTreeMap<(Track, Neighbour), Why>,
}

impl Bench {
    fn tell(&mut self, input: Input) {
        match input {
            Input::Lost { track, neighbour } => drop(self.pulls.remove(&(track, neighbour))),
            Input::Unwant { track } => self.upstreams_unwanted(track),
            _ => {}
        }
        self.upstreams.handle(self.now, input);
        while let Some(output) = self.upstreams.poll() {
            match output {
                Output::Pull {
                    track,
                    neighbour,
                    wanted: true,
                    why,
                } => {
                    assert!(
                        self.pulls.insert((track, neighbour)),
                        "{track:?} is asked twice at {neighbour}"
                    );
                    self.reasons.insert((track, neighbour), why);
                }
                Output::Pull { track, neighbour, .. } => drop(self.pulls.remove(&(track, neighbour))),
                other => self.said.push(other),
            }
        }
        if let Some(deadline) = self.upstreams.deadline() {
            assert!(
                deadline > self.now,
                "a deadline that has passed keeps the caller busy"
            );
        }
    }

    /// Giving up a refused subscription is said by nobody.
    fn upstreams_unwanted(&mut self, track: Track) {
        let asked: BTreeSet<Neighbour> = self.upstreams.upstreams(track).collect();
        self.pulls
            .retain(|(of, neighbour)| *of != track || asked.contains(neighbour));
    }

    fn tick_to(&mut self, time: Duration) {
        let mut ticks = 0;
        while let Some(at) = self.upstreams.deadline().filter(|&at| at <= time) {
            self.now = at;
            self.tell(Input::Tick);
            ticks += 1;
            assert!(ticks < 10_000, "nothing but ticks");
        }
        self.now = time;
        self.tell(Input::Tick);
    }

    fn wait(&mut self, time: Duration) {
        self.tick_to(self.now + time);
    }

    fn want(&mut self, track: Track) {
        self.tell(Input::Want {
            track,
            origin: ORIGIN,
        });
    }

    fn use_as(&mut self, neighbour: Neighbour, role: Role) {
        self.tell(Input::Use {
            origin: ORIGIN,
            neighbour,
            role,
            rtt: ms(40),
        });
    }

    fn drop_from(&mut self, neighbour: Neighbour, at_once: bool) {
        self.tell(Input::Drop {
            origin: ORIGIN,
            neighbour,
            at_once,
        });
    }

    fn established(&mut self, track: Track, neighbour: Neighbour) {
        self.tell(Input::Established { track, neighbour });
    }

    fn seen(&mut self, track: Track, neighbour: Neighbour, object: u64) {
        self.tell(Input::Seen {
            track,
            neighbour,
            newest: (0, object),
        });
    }

    fn suspect(&mut self, neighbour: Neighbour, suspect: bool) {
        self.tell(Input::Suspect { neighbour, suspect });
    }

    /// Objects of a track from these neighbours, one each 33 ms. Gives the number of the next one.
    fn flow(&mut self, track: Track, neighbours: &[Neighbour], objects: std::ops::Range<u64>) -> u64 {
        for object in objects.clone() {
            self.wait(ms(33));
            neighbours
                .iter()
                .for_each(|&neighbour| self.seen(track, neighbour, object));
        }
        objects.end
    }

    fn pulled(&self, track: Track) -> Vec<Neighbour> {
        self.pulls
            .iter()
            .filter(|(of, _)| *of == track)
            .map(|&(_, neighbour)| neighbour)
            .collect()
    }

    fn take_said(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    /// A track that flows from A.
    fn flowing() -> Self {
        let mut bench = Self::default();
        bench.want(VIDEO);
        bench.use_as(A, Role::Primary);
        bench.established(VIDEO, A);
        bench.flow(VIDEO, &[A], 0..20);
        assert_eq!((bench.pulled(VIDEO), bench.take_said()), (vec![A], vec![]));
        bench
    }
}
