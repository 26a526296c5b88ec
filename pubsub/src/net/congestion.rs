//! How fast a connection may send: by losses (Cubic, RFC 9438), or by the path's measured rate and round trip (BBR).
//!
//! Cubic takes every loss for a full queue. On a path that loses 2 % by chance, with a round trip of 100 ms, it allows about
//! 1 Mbit/s however much the path could carry: a video that needs more falls behind for as long as it lasts. BBR does not mind
//! such losses, but costs more time per packet, so it is for the few links between relays and not for the many to subscribers.
//! Which of them a connection is shows only after its handshake: each begins with Cubic and may be switched once.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Makes the controllers of an endpoint's connections.
#[derive(Debug, Default)]
pub(super) struct Switchable;

impl ControllerFactory for Switchable {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Switch {
            current: Arc::new(CubicConfig::default()).build(now, mtu),
            endures: Arc::default(),
            switched: false,
            mtu,
        })
    }
}

/// From now on the connection bears losses that are no congestion.
pub(super) fn endure_losses(connection: &quinn::Connection) {
    // A copy, which shares the wish with the one in use.
    if let Ok(switch) = connection.congestion_state().into_any().downcast::<Switch>() {
        switch.endures.store(true, Ordering::Relaxed);
    }
}

/// One controller, until another is wished for.
struct Switch {
    current: Box<dyn Controller>,
    /// Wished for by whoever has a copy.
    endures: Arc<AtomicBool>,
    switched: bool,
    mtu: u16,
}

impl Switch {
    fn follow(&mut self, now: Instant) -> &mut dyn Controller {
        if !self.switched && self.endures.load(Ordering::Relaxed) {
            self.switched = true;
            let mut config = BbrConfig::default();
            config.initial_window(self.current.window());
            self.current = Arc::new(config).build(now, self.mtu);
        }
        &mut *self.current
    }
}

impl Controller for Switch {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.follow(now).on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.follow(now).on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.follow(now)
            .on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.follow(now)
            .on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.current.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.current.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.current.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            current: self.current.clone_box(),
            endures: Arc::clone(&self.endures),
            switched: self.switched,
            mtu: self.mtu,
        })
    }

    fn initial_window(&self) -> u64 {
        self.current.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The window after a loss in each of ten round trips.
    fn window_after_losses(controller: &mut dyn Controller, mut now: Instant) -> u64 {
        for packet in 0..10 {
            controller.on_sent(now, 1200, packet);
            let sent = now;
            now += Duration::from_millis(100);
            controller.on_congestion_event(now, sent, false, 1200);
        }
        controller.window()
    }

    #[test]
    fn losses_shrink_the_window_until_they_are_to_be_endured() {
        #[expect(
            clippy::disallowed_methods,
            reason = "controllers take the time, and any will do"
        )]
        let now = Instant::now();
        let mut heeds = Arc::new(Switchable).build(now, 1200);
        let before = heeds.window();
        assert!(window_after_losses(&mut *heeds, now) < before / 2);

        let mut endures = Arc::new(Switchable).build(now, 1200);
        let copy = endures.clone_box().into_any().downcast::<Switch>();
        copy.expect("one of ours").endures.store(true, Ordering::Relaxed);
        assert!(window_after_losses(&mut *endures, now) >= before);
    }
}
