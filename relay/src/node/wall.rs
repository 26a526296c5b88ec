//! The date, which certificates depend on and nothing else does.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Tells the date. A test may have a calendar of its own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    /// The machine's.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that certificates get the date from"
    )]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// Whatever this tells.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The date.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock(..)")
    }
}
