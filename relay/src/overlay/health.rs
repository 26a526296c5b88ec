//! Whether a neighbour is alive: the overlay's specification, section 4 (ACTIVE_GAP, SUSPECT, DOWN).
//!
//! On a link with live tracks each side lets no gap grow longer than [`ACTIVE_GAP`]: padding datagrams fill it. So silence
//! means trouble, within a fraction of a second and whatever the tracks do. Life is any UDP datagram, counted by the transport
//! and sampled here: objects would stall a round trip at each loss. A sample that comes late says nothing about the neighbour:
//! the gap is stretched by that lag, as in Lifeguard.

use std::collections::VecDeque;
use std::time::Duration;

/// Longest silence that a sender lets grow on a link with live tracks.
pub const ACTIVE_GAP: Duration = Duration::from_millis(50);
/// How often the counters of an active link are sampled.
pub const SAMPLE: Duration = Duration::from_millis(20);
/// Silence on an idle link that ends it; its transport's keep-alive comes three times as often.
pub const IDLE_DOWN: Duration = Duration::from_secs(15);
/// Bounds of the silence that makes a neighbour suspect.
const SUSPECT: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(250));
/// Least silence that counts as its end.
const DOWN: Duration = Duration::from_millis(300);
/// A sampling that is later than this was our own fault.
const LAG: Duration = Duration::from_millis(50);
/// Gaps remembered for their 99th percentile, and how many it takes to believe it.
const GAPS: usize = 2048;
const BELIEVED: usize = 1000;

/// What is thought of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// It speaks.
    Ok,
    /// It has been silent for longer than usual: whatever is pulled from it is asked for elsewhere as well.
    Suspect,
    /// It counts as gone.
    Down,
}

/// What the transport says of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// UDP datagrams received so far.
    pub received: u64,
    /// Smoothed round trip and its variation.
    pub srtt: Duration,
    /// Mean deviation of the round trip.
    pub rttvar: Duration,
    /// Whether live tracks run over the link, either way.
    pub active: bool,
}

/// The detector of one session.
#[derive(Debug)]
pub struct Detector {
    received: u64,
    /// When the last datagram was seen to have come.
    heard: Duration,
    sampled: Duration,
    /// Since when both sides keep the link busy.
    active: Option<Duration>,
    health: Health,
    /// Latest gaps between datagrams of the busy link, oldest first.
    gaps: VecDeque<Duration>,
    p99: Option<Duration>,
    fresh: usize,
}

impl Detector {
    /// Of a session that begins now.
    pub fn new(now: Duration) -> Self {
        Self {
            received: 0,
            heard: now,
            sampled: now,
            active: None,
            health: Health::Ok,
            gaps: VecDeque::new(),
            p99: None,
            fresh: 0,
        }
    }

    /// What is thought now.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// How long nothing has come.
    pub const fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard)
    }

    /// Takes a sample; gives what is thought now if that has changed. Nothing follows [`Health::Down`].
    pub fn sample(&mut self, now: Duration, sample: Sample) -> Option<Health> {
        if self.health == Health::Down {
            return None;
        }
        let late = now.saturating_sub(self.sampled + SAMPLE);
        self.sampled = now;
        self.note_activity(now, sample.active);
        let own_fault = late > LAG;
        if own_fault {
            self.heard = (self.heard + late).min(now);
        }
        if sample.received > self.received {
            self.received = sample.received;
            if self.active.is_some() && !own_fault {
                self.learn(now.saturating_sub(self.heard));
            }
            self.heard = now;
        }
        let health = self.judge(now, sample);
        (std::mem::replace(&mut self.health, health) != health).then_some(health)
    }

    /// The other side begins to keep the link busy a round trip after we do, so the first gap is not held against it.
    fn note_activity(&mut self, now: Duration, active: bool) {
        match (active, self.active) {
            (true, None) => {
                self.active = Some(now);
                self.heard = now;
            }
            (false, Some(_)) => self.active = None,
            _ => {}
        }
    }

    fn judge(&self, now: Duration, sample: Sample) -> Health {
        let silence = self.silence(now);
        let Some(since) = self.active else {
            return if silence >= IDLE_DOWN {
                Health::Down
            } else {
                Health::Ok
            };
        };
        let suspect = self.suspect_after(sample);
        // A round trip passes until the other side knows that the link is busy.
        let warm = now.saturating_sub(since) > sample.srtt + ACTIVE_GAP;
        if silence >= self.down_after(sample) && warm {
            Health::Down
        } else if silence >= suspect && warm {
            Health::Suspect
        } else {
            Health::Ok
        }
    }

    /// Silence on the busy link that makes the neighbour suspect.
    pub fn suspect_after(&self, sample: Sample) -> Duration {
        let jitter = sample.srtt / 2 + 4 * sample.rttvar + 2 * ACTIVE_GAP;
        let usual = self.p99.map_or(Duration::ZERO, |p99| p99 * 3 / 2);
        SUSPECT.0.max(jitter).max(usual).clamp(SUSPECT.0, SUSPECT.1)
    }

    /// Silence on the busy link that ends the session.
    pub fn down_after(&self, sample: Sample) -> Duration {
        DOWN.max(2 * self.suspect_after(sample))
    }

    fn learn(&mut self, gap: Duration) {
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
        self.fresh += 1;
        if self.gaps.len() >= BELIEVED && self.fresh >= BELIEVED / 8 {
            self.fresh = 0;
            let mut gaps: Vec<Duration> = self.gaps.iter().copied().collect();
            let nearly_all = gaps.len() * 99 / 100;
            let (_, &mut p99, _) = gaps.select_nth_unstable(nearly_all);
            self.p99 = Some(p99);
        }
    }
}

/// Whether a padding datagram is due on a busy link: nothing was sent since the last look, one gap ago.
#[derive(Debug, Default)]
pub struct Keeper {
    sent: u64,
    at: Duration,
}

impl Keeper {
    /// Looks at how many datagrams were sent so far; true if one must be sent now. A look each [`SAMPLE`] keeps the gap.
    pub fn is_due(&mut self, now: Duration, sent: u64) -> bool {
        if sent > self.sent {
            self.sent = sent;
            self.at = now;
        }
        let due = now.saturating_sub(self.at) + SAMPLE > ACTIVE_GAP;
        if due {
            // The padding itself counts as sent by the next look, which is not when it went.
            self.sent = sent + 1;
            self.at = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sample(received: u64, active: bool) -> Sample {
        Sample {
            received,
            srtt: 40 * MS,
            rttvar: 5 * MS,
            active,
        }
    }

    /// Samples every 20 ms while a datagram comes every `gap`, then none; gives when it was suspected and down.
    fn silence_after(alive: Duration, gap: Duration) -> (Duration, Duration) {
        let mut detector = Detector::new(Duration::ZERO);
        let mut suspect = None;
        for step in 1.. {
            let now = SAMPLE * step;
            let received = u64::try_from(now.min(alive).as_micros() / gap.as_micros()).unwrap();
            match detector.sample(now, sample(received, true)) {
                Some(Health::Suspect) => suspect = Some(now - alive),
                Some(Health::Down) => return (suspect.unwrap(), now - alive),
                Some(Health::Ok) | None => {}
            }
            assert!(now < alive + Duration::from_secs(1), "not noticed");
        }
        unreachable!()
    }

    #[test]
    fn a_silent_neighbour_is_suspected_then_down_in_time() {
        for gap in [5 * MS, 20 * MS, 50 * MS] {
            let (suspect, down) = silence_after(Duration::from_secs(3), gap);
            assert!(suspect >= 130 * MS && suspect <= 190 * MS, "{suspect:?}");
            assert!(down >= 290 * MS && down <= 390 * MS, "{down:?}");
        }
    }

    #[test]
    fn our_own_lateness_is_not_held_against_it() {
        let mut detector = Detector::new(Duration::ZERO);
        for step in 1..=50 {
            assert_eq!(detector.sample(SAMPLE * step, sample(step.into(), true)), None);
        }
        // Our machine slept for a second: nothing was received meanwhile, and that says nothing.
        let now = SAMPLE * 50 + Duration::from_secs(1);
        assert_eq!(detector.sample(now, sample(50, true)), None);
        assert_eq!(detector.sample(now + SAMPLE, sample(51, true)), None);
        assert_eq!(detector.health(), Health::Ok);
    }

    #[test]
    fn an_idle_link_is_given_fifteen_seconds() {
        let mut detector = Detector::new(Duration::ZERO);
        let mut down = None;
        for step in 1..2000 {
            if detector.sample(SAMPLE * step, sample(0, false)) == Some(Health::Down) {
                down = Some(SAMPLE * step);
            }
        }
        assert_eq!(down, Some(IDLE_DOWN));
    }

    #[test]
    fn a_link_that_becomes_busy_gets_time_to_notice() {
        let mut detector = Detector::new(Duration::ZERO);
        for step in 1..=100 {
            assert_eq!(detector.sample(SAMPLE * step, sample(1, false)), None);
        }
        let start = SAMPLE * 100;
        for step in 1..=6 {
            assert_eq!(detector.sample(start + SAMPLE * step, sample(1, true)), None);
        }
    }

    #[test]
    fn it_recovers() {
        let mut detector = Detector::new(Duration::ZERO);
        for step in 1..=50 {
            detector.sample(SAMPLE * step, sample(step.into(), true));
        }
        let mut changes = Vec::new();
        for step in 51..=60 {
            changes.extend(detector.sample(SAMPLE * step, sample(50, true)));
        }
        changes.extend(detector.sample(SAMPLE * 61, sample(51, true)));
        assert_eq!(changes, [Health::Suspect, Health::Ok]);
    }

    #[test]
    fn padding_fills_every_gap_and_nothing_else() {
        let mut keeper = Keeper::default();
        let mut padded = 0;
        for step in 1..=100_u32 {
            if keeper.is_due(SAMPLE * step, padded) {
                padded += 1;
            }
        }
        assert!((49..=51).contains(&padded), "{padded} in two seconds");
        let mut keeper = Keeper::default();
        for step in 1..=100_u32 {
            assert!(!keeper.is_due(SAMPLE * step, u64::from(step)));
        }
    }
}
