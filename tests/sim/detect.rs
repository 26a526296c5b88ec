//! How often the detector suspects, or gives up, a neighbour that is well (T14), on recorded links: see `record`.
//!
//! Three rows. The recording as it is, each link once: little time, but nothing in it is counted twice. The same from random
//! places in a circle for [`Plan::link_hours`](crate::Plan::link_hours): that varies only how samples fall between datagrams, so its hours are not independent and its
//! bound is not one for other links. And as long with delay and loss drawn anew for every datagram: independent as
//! far as the link goes. How late the machine sent and delivered comes from the recording in all three.

use std::time::Duration;

use headwater_relay::overlay::health::{Detector, Health, SAMPLE, Sample};

use crate::Verdicts;
use crate::network::Dice;
use crate::record::{Sent, draw};

static TRACE: &[u8] = include_bytes!("traces/jitter30-loss2.bin");
const HOUR: u64 = 3_600_000;

/// When a datagram came, and how long it had been on the way; in milliseconds.
type Arrival = (u64, u64);

/// What was thought of links that were well all the time.
#[derive(Default)]
struct Faults {
    time: u64,
    suspect: u64,
    down: u64,
    longest: Duration,
}

fn flows(mut bytes: &[u8]) -> Vec<Vec<Sent>> {
    let mut flows = Vec::new();
    while let Some((count, rest)) = bytes.split_first_chunk() {
        let (datagrams, rest) = rest.split_at(4 * u32::from_be_bytes(*count) as usize);
        bytes = rest;
        let (datagrams, _) = datagrams.as_chunks();
        flows.push(
            datagrams
                .iter()
                .map(|&packed| Sent::unpack(u32::from_be_bytes(packed)))
                .collect(),
        );
    }
    flows
}

/// What arrives of a flow in `time`, from its datagram number `first` on and round and round, in order.
fn arrivals(flow: &[Sent], first: usize, time: u64, mut anew: Option<&mut Dice>) -> Vec<Arrival> {
    let (mut clock, mut late, mut arrivals) = (0, 0, Vec::new());
    for sent in flow.iter().cycle().skip(first) {
        clock += sent.since;
        if clock > time {
            break;
        }
        // How late one that was lost would have come is not known.
        late = sent.delay.map_or(late, |_| sent.late);
        if let Some(delay) = anew.as_mut().map_or(sent.delay, |dice| draw(dice)) {
            arrivals.push((clock + delay + late, delay + late));
        }
    }
    arrivals.sort_unstable();
    arrivals
}

/// The detector of a receiver that looks every 20 ms. The round trip is a datagram's time on the way here and that of another
/// one on the way there, smoothed as QUIC does (RFC 9002 §5.3).
fn watch(arrivals: &[Arrival], faults: &mut Faults) {
    let other = arrivals.iter().cycle().skip(arrivals.len() / 2);
    let mut coming = arrivals.iter().zip(other).peekable();
    let end = arrivals.last().map_or(0, |&(at, _)| at);
    let (mut srtt, mut rttvar) = (120_000, 60_000);
    let (mut now, mut received) = (Duration::ZERO, 0);
    let mut detector = Detector::new(now);
    while (now + SAMPLE).as_millis() < u128::from(end) {
        now += SAMPLE;
        while let Some((&(_, here), &(_, there))) =
            coming.next_if(|((at, _), _)| u128::from(*at) <= now.as_millis())
        {
            received += 1;
            let round_trip = 1_000 * (here + there);
            rttvar = (3 * rttvar + round_trip.abs_diff(srtt)) / 4;
            srtt = (7 * srtt + round_trip) / 8;
        }
        let sample = Sample {
            received,
            srtt: Duration::from_micros(srtt),
            rttvar: Duration::from_micros(rttvar),
            active: true,
        };
        let change = detector.sample(now, sample);
        faults.longest = faults.longest.max(detector.silence(now));
        match change {
            Some(Health::Suspect) => faults.suspect += 1,
            Some(Health::Down) => {
                faults.down += 1;
                detector = Detector::new(now);
            }
            Some(Health::Ok) | None => {}
        }
    }
    faults.time += end;
}

/// The mean of a Poisson count that is exceeded in one case of twenty, after Wilson and Hilferty.
fn bound(count: u64) -> f64 {
    let shape = (count + 1) as f64;
    shape * (1.0 - 1.0 / (9.0 * shape) + 1.645 / (3.0 * shape.sqrt())).powi(3)
}

/// Without `verdicts` nothing is judged.
fn row(what: &str, faults: &Faults, mut verdicts: Option<&mut Verdicts>) {
    let hours = faults.time as f64 / HOUR as f64;
    let mut cell = |name: &str, count: u64, unit: f64| {
        let (rate, most) = (count as f64 / hours * unit, bound(count) / hours * unit);
        let cell = format!("{count}: {rate:.3} (under {most:.3})");
        match verdicts.as_mut() {
            None => cell,
            // What cannot be shown is not missed.
            Some(_) if rate <= 1.0 && most > 1.0 => format!("{cell} not shown"),
            Some(verdicts) => verdicts.judge(&format!("T14 {name}, {what}"), most <= 1.0, cell),
        }
    };
    let suspect = cell("SUSPECT", faults.suspect, 1.0);
    let down = cell("DOWN", faults.down, 24.0);
    let longest = faults.longest.as_millis();
    println!("| {what} | {hours:.1} | {suspect} | {down} | {longest} |");
}

pub fn report(hours: u64, verdicts: &mut Verdicts) {
    println!("\n## False alarms (T14): 2 % loss, 30 ms jitter\n");
    let flows = flows(TRACE);
    let mut dice = Dice(14);
    let [mut once, mut replayed, mut anew] = [(); 3].map(|()| Faults::default());
    for flow in &flows {
        let time = flow.iter().map(|sent| sent.since).sum();
        watch(&arrivals(flow, 0, time, None), &mut once);
    }
    for _ in 0..hours {
        let flow = &flows[dice.below(flows.len())];
        let first = dice.below(flow.len());
        watch(&arrivals(flow, first, HOUR, None), &mut replayed);
        watch(&arrivals(flow, first, HOUR, Some(&mut dice)), &mut anew);
    }
    let sent: Vec<&Sent> = flows.iter().flatten().collect();
    let share = |count: usize| 100.0 * count as f64 / sent.len() as f64;
    let lost = share(sent.iter().filter(|sent| sent.delay.is_none()).count());
    let late = share(sent.iter().filter(|sent| sent.late > 20).count());
    let (since, latest) = sent.iter().fold((0, 0), |(since, late), sent| {
        (since.max(sent.since), late.max(sent.late))
    });
    println!(
        "Recorded: {} datagrams of {} links, {lost:.2} % lost, sent {since} ms after the one before at most; the machine delivered \
         {late:.2} % of them more than 20 ms late, at most {latest} ms.\n",
        sent.len(),
        flows.len(),
    );
    println!(
        "| datagrams | link-hours | false SUSPECT: per hour | false DOWN: per day | longest silence, ms |"
    );
    println!("|---|---|---|---|---|");
    row("as recorded, once", &once, Some(verdicts));
    row("as recorded, again and again", &replayed, None);
    row("delay and loss drawn anew", &anew, Some(verdicts));
}
