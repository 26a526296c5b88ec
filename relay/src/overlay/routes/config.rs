//! Timers and limits of the routes, with their defaults: the overlay's specification, sections 4 and 9.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// When something happens. Every wait of the routes is one of these.
#[derive(Clone, Debug)]
pub struct Timers {
    /// An ordinary change waits this long for company; a retraction, the loss of the primary and an answer do not wait.
    pub flush: Duration,
    /// A distance that drifted by at most 2 % or 1 ms waits this long.
    pub drift: Duration,
    /// A starved node repeats its request after this, then after twice as long, up to [`request_max`](Self::request_max).
    pub request_retry: Duration,
    /// Longest wait between two requests of a starved node.
    pub request_max: Duration,
    /// An origin raises its sequence number at most once in this time.
    pub bump_min: Duration,
    /// A much better path that is not feasible is asked for after this.
    pub optimum_after: Duration,
    /// It is asked for again after this, then after twice as long, up to [`optimum_max`](Self::optimum_max).
    pub optimum_retry: Duration,
    /// Longest wait between two requests for a better path.
    pub optimum_max: Duration,
    /// A better feasible path must stay better for this long before the node moves to it.
    pub switch_hold: Duration,
    /// Least time between two voluntary switches of one origin; doubles with each switch back, up to
    /// [`dwell_max`](Self::dwell_max).
    pub dwell: Duration,
    /// Longest such time.
    pub dwell_max: Duration,
    /// A return to a neighbour that was left within this time is a flip.
    pub flip_window: Duration,
    /// A pending upstream whose media has not caught up after this is given up.
    pub pending_max: Duration,
    /// A replaced primary may finish what it is sending for this long.
    pub drain: Duration,
    /// Tracks that hinder the feasibility distance from falling have this long to move.
    pub vacate: Duration,
    /// An origin without any route and without children is forgotten after this.
    pub forget: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            flush: Duration::from_millis(10),
            drift: SECOND,
            request_retry: Duration::from_millis(400),
            request_max: 30 * SECOND,
            bump_min: Duration::from_millis(100),
            optimum_after: Duration::from_millis(300),
            optimum_retry: SECOND,
            optimum_max: 60 * SECOND,
            switch_hold: Duration::from_millis(500),
            dwell: 10 * SECOND,
            dwell_max: 300 * SECOND,
            flip_window: 600 * SECOND,
            pending_max: 5 * SECOND,
            drain: 2 * SECOND,
            vacate: Duration::from_millis(500),
            forget: 180 * SECOND,
        }
    }
}

/// What a neighbour may ask of this node. Beyond it the call is refused with a [`Refusal`](super::Refusal).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Rows per second from one neighbour, sustained.
    pub rows: u32,
    /// Requests per second from one neighbour, sustained. The burst is one per origin, as a neighbour that lost its best
    /// link is starved for many origins at once.
    pub requests: u32,
    /// Requests per second for one origin from one neighbour.
    pub requests_per_origin: u32,
    /// Origins that one neighbour may have a distance to; also the burst of rows, which is one full table.
    pub origins_per_neighbour: u32,
    /// Origins known at all.
    pub origins: usize,
    /// Sequence numbers that this node uses up in an hour at the wish of others.
    pub bumps_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 2_000,
            requests: 50,
            requests_per_origin: 5,
            origins_per_neighbour: 4_096,
            origins: 8_192,
            bumps_per_hour: 600,
        }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Waits.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
}
