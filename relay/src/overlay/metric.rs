//! What a hop costs: the overlay's specification, section 2.
//!
//! Half the round trip, a fixed part per hop so that distances grow strictly, what retransmissions of lost packets cost on
//! average, and what the neighbour's operator asks. Never load, warmth or subscriptions: they would make distances move with what
//! the distances decide. Round trips are quantised, so that jitter does not move routes.

use std::collections::VecDeque;
use std::time::Duration;

use super::id::Cost;

/// Fixed part of a hop, in microseconds.
const HOP: u64 = 1_000;
/// Round trip that is assumed until one is measured.
const UNKNOWN: Duration = Duration::from_millis(50);
/// Ratio of two neighbouring steps of the quantised round trip, in per mille over one.
const STEP: f64 = 1.05;
/// How many steps the round trip must be away to move, and for how long, when better and when worse.
const AWAY: f64 = 1.5;
const BETTER: Duration = Duration::from_secs(10);
const WORSE: Duration = Duration::from_secs(3);
/// How often a round trip counts at most, and the part of the smoothed one that is left of what was before it.
const SAMPLE: Duration = Duration::from_secs(1);
const KEPT: f64 = 7.0 / 8.0;
/// Two round trips in a row that are so many times the smoothed one, or that part of it, are a change and no jitter.
const CHANGED: f64 = 1.25;
/// Over how long losses are counted, from how many packets on, and from which part on.
const WINDOW: Duration = Duration::from_secs(10);
const PACKETS: u64 = 200;
const LOSS: f64 = 0.005;

/// Measures one link, for the cost that its puller charges.
#[derive(Debug, Default)]
pub struct Estimator {
    /// Smoothed round trip and its mean deviation, in seconds.
    srtt: Option<f64>,
    rttvar: f64,
    sampled: Option<Duration>,
    /// The last one was far from what was smoothed then: above or below.
    changed: Option<bool>,
    /// The step that the cost is made with, and since when the round trip is away from it.
    step: Option<i32>,
    away: Option<(Duration, bool)>,
    /// Packets sent by the neighbour and lost, as it counts, over the window.
    counters: VecDeque<(Duration, u64, u64)>,
    loss: f64,
    price: u32,
}

impl Estimator {
    /// A round trip was measured.
    ///
    /// One counts an eighth, or, where the link has changed, for the time since the one before: an idle link, which is measured less
    /// often, is known anew as soon as a busy one.
    pub fn round_trip(&mut self, now: Duration, rtt: Duration) {
        let elapsed = self.sampled.map_or(SAMPLE, |sampled| now.saturating_sub(sampled));
        if elapsed < SAMPLE {
            return;
        }
        self.sampled = Some(now);
        let rtt = rtt.as_secs_f64().max(1e-6);
        let before = self.srtt.unwrap_or(rtt);
        let far = rtt > before * CHANGED || rtt < before / CHANGED;
        let side = far.then_some(rtt > before);
        let lasts = side.is_some() && self.changed == side;
        self.changed = side;
        let kept = if lasts {
            KEPT.powf(elapsed.as_secs_f64())
        } else {
            KEPT
        };
        let weight = 1.0 - kept;
        self.rttvar += ((rtt - before).abs() - self.rttvar) * weight;
        let srtt = before + (rtt - before) * weight;
        self.srtt = Some(srtt);
        let exact = srtt.ln() / STEP.ln();
        let Some(step) = self.step else {
            self.step = Some(nearest(exact));
            return;
        };
        let distance = exact - f64::from(step);
        if distance.abs() < AWAY {
            self.away = None;
            return;
        }
        let worse = distance > 0.0;
        match self.away {
            Some((since, side)) if side == worse => {
                if now.saturating_sub(since) >= if worse { WORSE } else { BETTER } {
                    self.step = Some(nearest(exact));
                    self.away = None;
                }
            }
            _ => self.away = Some((now, worse)),
        }
    }

    /// The neighbour tells how many packets it has sent, and of these, lost.
    pub fn loss(&mut self, now: Duration, sent: u64, lost: u64) {
        self.counters.push_back((now, sent, lost));
        while self.counters.len() > 1 && self.counters.get(1).is_some_and(|&(at, ..)| at + WINDOW <= now) {
            self.counters.pop_front();
        }
        let (Some(&(_, sent_then, lost_then)), Some(&(_, sent, lost))) =
            (self.counters.front(), self.counters.back())
        else {
            return;
        };
        let (sent, lost) = (sent.saturating_sub(sent_then), lost.saturating_sub(lost_then));
        #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
        let ratio = if sent < PACKETS {
            0.0
        } else {
            (lost as f64 / sent as f64).min(0.9)
        };
        self.loss = if ratio < LOSS { 0.0 } else { ratio };
    }

    /// What the neighbour's operator asks for a hop, in microseconds.
    pub const fn set_price(&mut self, price: u32) {
        self.price = price;
    }

    /// Smoothed round trip, once measured.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt.map(Duration::from_secs_f64)
    }

    /// Mean deviation of the round trip, zero until two differ.
    pub fn rttvar(&self) -> Duration {
        Duration::from_secs_f64(self.rttvar)
    }

    /// Part of the neighbour's packets that is lost, 0 to 1.
    pub const fn loss_ratio(&self) -> f64 {
        self.loss
    }

    /// What a hop to the neighbour costs.
    pub fn cost(&self) -> Cost {
        let rtt = self.step.map_or(UNKNOWN.as_secs_f64(), |step| STEP.powi(step)) * 1e6;
        let loss = 4.0 * self.loss / (1.0 - self.loss) * (1.5 * rtt + 10_000.0);
        let micros = (rtt / 2.0 + loss).min(f64::from(Cost::MAX.micros()));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and Cost::MAX"
        )]
        let micros = micros as u64;
        Cost::clamped(micros + HOP + u64::from(self.price))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "logarithms of round trips between a microsecond and hours"
)]
fn nearest(step: f64) -> i32 {
    step.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn measured(rtt_ms: u64, seconds: u32) -> Estimator {
        let mut estimator = Estimator::default();
        for second in 0..seconds {
            estimator.round_trip(SEC * second, Duration::from_millis(rtt_ms));
        }
        estimator
    }

    #[test]
    fn half_the_round_trip_and_a_hop() {
        assert_eq!(Estimator::default().cost().micros(), 26_000);
        let cost = measured(40, 1).cost().micros();
        assert!((20_400..=21_600).contains(&cost), "{cost}");
        assert!(measured(0, 1).cost() >= Cost::MIN);
    }

    #[test]
    fn jitter_does_not_move_it_and_a_lasting_change_does() {
        let mut estimator = measured(40, 20);
        let before = estimator.cost();
        for second in 20..60 {
            let rtt = if second % 2 == 0 { 39 } else { 41 };
            estimator.round_trip(SEC * second, Duration::from_millis(rtt));
            assert_eq!(estimator.cost(), before);
        }
        for second in 60..90 {
            estimator.round_trip(SEC * second, Duration::from_millis(160));
        }
        assert!(estimator.cost().micros() > 3 * before.micros());
    }

    #[test]
    fn an_idle_link_is_known_anew_as_soon_as_a_busy_one() {
        let settled = |every: u32| {
            let mut estimator = measured(200, 20);
            let changed = estimator.sampled.unwrap();
            let mut now = changed;
            while estimator.cost().micros() > 32_000 {
                now += SEC * every;
                estimator.round_trip(now, Duration::from_millis(50));
            }
            now.checked_sub(changed).unwrap()
        };
        let (busy, idle) = (settled(1), settled(5));
        // Three of its looks later at most: one to see the change, one to know that it lasts, one to believe the better.
        assert!(idle <= busy + 15 * SEC, "{busy:?} {idle:?}");
    }

    #[test]
    fn jitter_is_the_mean_deviation() {
        let mut estimator = measured(100, 20);
        assert_eq!(estimator.rttvar(), Duration::ZERO);
        for second in 20..120 {
            let rtt = if second % 2 == 0 { 80 } else { 120 };
            estimator.round_trip(SEC * second, Duration::from_millis(rtt));
        }
        let jitter = estimator.rttvar().as_millis();
        assert!((18..=23).contains(&jitter), "{jitter}");
    }

    #[test]
    fn losses_of_the_neighbours_direction_count() {
        let mut estimator = measured(40, 1);
        let clean = estimator.cost().micros();
        for second in 0..20_u32 {
            let sent = u64::from(second) * 100;
            estimator.loss(SEC * second, sent, sent / 20);
        }
        assert!((estimator.loss_ratio() - 0.05).abs() < 0.005);
        let lossy = estimator.cost().micros();
        assert!(
            lossy > clean + 14_000 && lossy < clean + 16_500,
            "{clean} {lossy}"
        );
        for second in 20..40_u32 {
            estimator.loss(SEC * second, 2000 + u64::from(second) * 100, 95);
        }
        assert_eq!(estimator.cost().micros(), clean, "forgotten after ten seconds");
    }

    #[test]
    fn nothing_makes_a_hop_free_or_endless() {
        let mut estimator = measured(60_000, 1);
        estimator.loss(SEC, 1, 0);
        estimator.loss(SEC * 2, 1_000_000, 999_999);
        assert_eq!(estimator.cost(), Cost::MAX);
        let mut estimator = measured(0, 1);
        estimator.set_price(u32::MAX);
        assert_eq!(estimator.cost(), Cost::MAX);
    }
}
