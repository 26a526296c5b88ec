//! Whatever is told in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Tell(Input),
    Wait(u64),
    Hedged(Neighbour),
    Refused,
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    (1..=3_u64).prop_map(Neighbour)
}

fn track() -> impl Strategy<Value = Track> {
    (1..=2_u64).prop_map(Track)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Primary),
        Just(Role::Pending),
        Just(Role::Track),
        Just(Role::Draining),
        Just(Role::Tentative),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let origin = ORIGIN;
    let told = prop_oneof![
        2 => track().prop_map(move |track| Input::Want { track, origin }),
        1 => track().prop_map(|track| Input::Unwant { track }),
        4 => (neighbour(), role()).prop_map(move |(neighbour, role)| Input::Use { origin, neighbour, role, rtt: ms(30) }),
        2 => (neighbour(), any::<bool>()).prop_map(move |(neighbour, at_once)| Input::Drop { origin, neighbour, at_once }),
        1 => neighbour().prop_map(move |neighbour| Input::Vacate { origin, neighbour }),
        1 => neighbour().prop_map(|neighbour| Input::Down { neighbour }),
        2 => (neighbour(), any::<bool>()).prop_map(|(neighbour, suspect)| Input::Suspect { neighbour, suspect }),
        4 => (track(), neighbour()).prop_map(|(track, neighbour)| Input::Established { track, neighbour }),
        2 => (track(), neighbour()).prop_map(|(track, neighbour)| Input::Lost { track, neighbour }),
        8 => (track(), neighbour(), 0..40_u64).prop_map(|(track, neighbour, object)| Input::Seen { track, neighbour, newest: (0, object) }),
    ];
    prop_oneof![
        8 => told.prop_map(Step::Tell),
        4 => (1..3000_u64).prop_map(Step::Wait),
        1 => neighbour().prop_map(Step::Hedged),
        1 => Just(Step::Refused),
    ]
}

/// Who was promised to be pulled from, as the inputs say.
#[derive(Default)]
struct Model {
    wanted: BTreeSet<Track>,
    used: BTreeSet<Neighbour>,
}

impl Model {
    fn note(&mut self, input: Input) {
        match input {
            Input::Want { track, .. } => drop(self.wanted.insert(track)),
            Input::Unwant { track } => drop(self.wanted.remove(&track)),
            Input::Use { neighbour, .. } => drop(self.used.insert(neighbour)),
            Input::Drop {
                neighbour,
                at_once: true,
                ..
            }
            | Input::Down { neighbour } => drop(self.used.remove(&neighbour)),
            _ => {}
        }
    }
}

fn check(bench: &Bench, model: &Model) {
    for &(track, neighbour) in &bench.pulls {
        assert!(
            model.wanted.contains(&track),
            "{track:?} is pulled and not wanted"
        );
        assert!(
            model.used.contains(&neighbour),
            "{track:?} is pulled from {neighbour} after its end"
        );
        assert!(bench.upstreams.pulled_from(neighbour));
    }
    for &track in &model.wanted {
        let asked: Vec<Neighbour> = bench.upstreams.upstreams(track).collect();
        assert_eq!(bench.pulled(track), asked, "what was said is what is believed");
    }
}

proptest! {
    #[test]
    fn pulls_are_as_said_and_time_is_asked_for_only_when_it_helps(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Tell(input) => {
                    // Only who was asked can refuse, and only once.
                    if let Input::Lost { track, neighbour } = input
                        && !bench.pulls.contains(&(track, neighbour))
                    {
                        continue;
                    }
                    if let Input::Want { track, .. } = input
                        && model.wanted.contains(&track)
                    {
                        continue;
                    }
                    model.note(input);
                    bench.tell(input);
                }
                Step::Wait(millis) => bench.wait(ms(millis)),
                Step::Hedged(neighbour) => bench.upstreams.hedged(bench.now, ORIGIN, neighbour),
                Step::Refused => bench.upstreams.hedge_refused(bench.now, ORIGIN),
            }
            check(&bench, &model);
        }
        // With no more news it comes to rest: each neighbour is released at most once more, and refused ones are retried.
        bench.wait(Duration::from_secs(600));
        check(&bench, &model);
        for neighbour in model.used.clone() {
            bench.tell(Input::Down { neighbour });
        }
        assert!(bench.pulls.is_empty());
    }
}
