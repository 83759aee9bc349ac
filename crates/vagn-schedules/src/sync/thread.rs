//! Threads that the scheduler runs, and whose waits end by the model of time.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

pub(crate) use shuttle::thread::{Builder, Thread, current, park};

use super::time::{Instant, Timer};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the thread until it is unparked, or the time is up.
pub(crate) fn park_timeout(within: Duration) {
    let mut timer = Timer::new(Instant::now() + within);
    if !timer.is_due(&Waker::from(Arc::new(Unpark(current())))) {
        park();
    }
}
