//! What was sent and what of it arrived, and how long it took: both ends are in one process and share a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_pubsub::wire::Location;
use serde_json::{Value, json};

use crate::output::{bits_per_second, rate};

/// An object that has not arrived after so long is lost.
const OVERDUE: Duration = Duration::from_secs(2);
/// Objects under way at one time; five minutes of the demo's clip.
const MAX_UNDER_WAY: usize = 1 << 14;
/// Latencies remembered for the percentiles of a report; 40 objects a second fill it in half an hour.
const MAX_LATENCIES: usize = 72_000;

/// Objects under way and counters.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    under_way: BTreeMap<(usize, Location), Duration>,
    /// The last object received of each track: what is lost is counted from the first one on.
    last: BTreeMap<usize, Location>,
    /// When it was sent and received.
    times: BTreeMap<usize, (Duration, Duration)>,
    second: Totals,
    total: Totals,
}

/// What arrived in some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Objects written by the publisher.
    pub(super) sent: u64,
    pub(super) groups: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// Objects that were sent after the first one received and did not arrive.
    pub(super) lost: u64,
    /// Objects that came twice, or after later ones, or were never sent.
    pub(super) twice: u64,
    /// Tracks of which something was sent but nothing received.
    pub(super) silent: usize,
    /// The longest that an object came later after the one before it than it was sent after that.
    pub(super) gap: Duration,
    time: Duration,
    latencies: Vec<Duration>,
}

impl Ledger {
    pub(super) fn sent(&mut self, track: usize, at: Location, now: Duration) {
        self.second.sent += 1;
        self.total.sent += 1;
        self.under_way.insert((track, at), now);
        if self.under_way.len() > MAX_UNDER_WAY {
            let dropped = self.under_way.pop_first();
            self.total.lost +=
                u64::from(dropped.is_some_and(|((track, _), _)| self.last.contains_key(&track)));
        }
    }

    pub(super) fn received(&mut self, track: usize, at: Location, bytes: u64, now: Duration) {
        let sent = self.under_way.remove(&(track, at));
        let last = self.last.insert(track, at);
        // Objects of a track come in order: what is still under way before this one will not come.
        let before: Vec<_> = self
            .under_way
            .range((track, Location::default())..(track, at))
            .map(|(key, _)| *key)
            .collect();
        let lost = if last.is_some() { before.len() as u64 } else { 0 };
        for key in before {
            self.under_way.remove(&key);
        }
        let gap = sent.map_or(Duration::ZERO, |sent| self.gap(track, sent, now));
        for totals in [&mut self.second, &mut self.total] {
            totals.gap = totals.gap.max(gap);
            totals.objects += 1;
            totals.bytes += bytes;
            totals.lost += lost;
            totals.groups += u64::from(last.is_none_or(|last| last.group != at.group));
            match sent {
                Some(sent) if totals.latencies.len() < MAX_LATENCIES => {
                    totals.latencies.push(now.saturating_sub(sent));
                }
                Some(_) => {}
                None => totals.twice += 1,
            }
        }
    }

    /// How much longer the pause before an object of this track is than it was at the publisher.
    fn gap(&mut self, track: usize, sent: Duration, now: Duration) -> Duration {
        match self.times.insert(track, (sent, now)) {
            Some((sent_before, before)) => now
                .saturating_sub(before)
                .saturating_sub(sent.saturating_sub(sent_before)),
            None => Duration::ZERO,
        }
    }

    /// The report of the second that ends now.
    pub(super) fn second(&mut self) -> Totals {
        let second = Totals {
            time: Duration::from_secs(1),
            ..std::mem::take(&mut self.second)
        };
        self.total.time += second.time;
        second
    }

    /// The report of everything.
    pub(super) fn total(&self, now: Duration) -> Totals {
        let mut totals = self.total.clone();
        let overdue = |(key, since): &(&(usize, Location), &Duration)| {
            self.last.contains_key(&key.0) && now.saturating_sub(**since) > OVERDUE
        };
        totals.lost += self.under_way.iter().filter(overdue).count() as u64;
        let mut silent: Vec<_> = self
            .under_way
            .keys()
            .map(|(track, _)| track)
            .filter(|track| !self.last.contains_key(track))
            .collect();
        silent.dedup();
        totals.silent = silent.len();
        totals
    }
}

impl Totals {
    /// Media arrived, all of it, once.
    pub(super) const fn is_complete(&self) -> bool {
        self.objects > 0 && self.lost == 0 && self.twice == 0 && self.silent == 0
    }

    /// Nearest-rank percentile of the latencies in microseconds.
    fn latency_us(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted
            .get(rank)
            .map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX))
    }

    fn latency(&self, percent: usize) -> String {
        self.latency_us(percent)
            .map_or_else(|| "-".to_owned(), milliseconds)
    }

    fn gap_us(&self) -> u64 {
        u64::try_from(self.gap.as_micros()).unwrap_or(u64::MAX)
    }

    /// A line for people.
    pub(super) fn line(&self, seconds: u64) -> String {
        let Self {
            groups,
            objects,
            lost,
            ..
        } = self;
        let rate = rate(self.bytes, self.time);
        let (p50, p99) = (self.latency(50), self.latency(99));
        let gap = milliseconds(self.gap_us());
        format!(
            "{seconds:>4} s  {groups:>3} groups  {objects:>4} objects  {rate:>13}  latency p50 {p50} p99 {p99}  gap {gap}  {lost} lost"
        )
    }

    /// The last line for people.
    pub(super) fn summary(&self, seconds: u64) -> String {
        let verdict = match (self.silent, self.objects) {
            (_, 0) => "nothing arrived".to_owned(),
            (0, _) => format!("{} lost, {} twice", self.lost, self.twice),
            (silent, _) => format!("{} lost, {} twice, {silent} silent tracks", self.lost, self.twice),
        };
        format!(
            "{verdict}: {} of {} objects in {} groups in {seconds} s, {}, latency p50 {} p99 {}, longest gap {}",
            self.objects,
            self.sent,
            self.groups,
            rate(self.bytes, self.time),
            self.latency(50),
            self.latency(99),
            milliseconds(self.gap_us())
        )
    }

    /// Either, for programs.
    pub(super) fn json(&self, kind: &str, seconds: u64) -> Value {
        json!({
            "type": kind,
            "seconds": seconds,
            "sent": self.sent,
            "groups": self.groups,
            "objects": self.objects,
            "bytes": self.bytes,
            "bits_per_second": bits_per_second(self.bytes, self.time),
            "latency_p50_us": self.latency_us(50),
            "latency_p99_us": self.latency_us(99),
            "lost": self.lost,
            "twice": self.twice,
            "gap_us": self.gap_us(),
            "complete": self.is_complete(),
        })
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(group: u64, object: u64) -> Location {
        Location::new(group, object)
    }

    #[test]
    fn what_arrives_in_full_is_complete() {
        let mut ledger = Ledger::default();
        for object in 0..100 {
            let sent = Duration::from_millis(object);
            ledger.sent(0, at(1, object), sent);
            ledger.received(0, at(1, object), 10, sent + Duration::from_millis(object + 1));
        }
        let second = ledger.second();
        assert_eq!(
            (second.objects, second.groups, second.bytes, second.lost),
            (100, 1, 1000, 0)
        );
        assert_eq!(
            (second.latency_us(50), second.latency_us(99)),
            (Some(50_000), Some(99_000))
        );
        assert_eq!(second.latency(50), "50.0 ms");
        assert!(ledger.total(Duration::from_secs(1)).is_complete());
        assert_eq!(ledger.second().latency(50), "-");
    }

    #[test]
    fn only_what_was_sent_after_the_first_received_can_be_lost() {
        let mut ledger = Ledger::default();
        for object in 0..4 {
            ledger.sent(0, at(1, object), MS);
        }
        // A late start is no loss; a hole later on is.
        ledger.received(0, at(1, 1), 1, MS);
        assert!(ledger.total(MS).is_complete());
        ledger.received(0, at(1, 3), 1, MS);
        let total = ledger.total(MS);
        assert_eq!((total.lost, total.is_complete()), (1, false));
    }

    #[test]
    fn what_never_comes_is_lost_when_it_is_overdue() {
        let mut ledger = Ledger::default();
        ledger.sent(0, at(1, 0), MS);
        ledger.received(0, at(1, 0), 1, MS);
        ledger.sent(0, at(1, 1), MS);
        assert!(ledger.total(Duration::from_secs(1)).is_complete());
        assert_eq!(ledger.total(Duration::from_secs(4)).lost, 1);
    }

    #[test]
    fn a_silent_track_and_a_repeated_object_are_noticed() {
        let mut ledger = Ledger::default();
        ledger.sent(0, at(1, 0), MS);
        ledger.sent(1, at(1, 0), MS);
        ledger.received(0, at(1, 0), 1, MS);
        assert_eq!(ledger.total(MS).silent, 1);
        ledger.received(1, at(1, 0), 1, MS);
        assert!(ledger.total(MS).is_complete());
        ledger.received(1, at(1, 0), 1, MS);
        assert_eq!(ledger.total(MS).twice, 1);
    }

    #[test]
    fn a_gap_is_what_a_pause_is_longer_than_it_was_when_sent() {
        let mut ledger = Ledger::default();
        for (object, sent, received) in [
            (0, 0, 50),
            (1, 40, 90),
            (2, 1040, 1090),
            (3, 1080, 1330),
            (4, 1120, 1331),
        ] {
            ledger.sent(0, at(1, object), MS * sent);
            ledger.received(0, at(1, object), 1, MS * received);
        }
        assert_eq!(ledger.total(MS).gap, MS * 200);
        assert_eq!(ledger.total(MS).json("summary", 2)["gap_us"], 200_000);
        assert_eq!(ledger.second().gap, MS * 200);
        assert_eq!(ledger.second().gap, Duration::ZERO);
    }
}
