//! Stand-ins for what `vagn-otp` synchronises and waits with. Every step of each is one that the scheduler may put off.
//!
//! Channels and bells stay tokio's own: none of their steps waits for another task.

mod lock;
mod runtime;
pub mod schedules;
pub(crate) mod thread;
pub(crate) mod time;

use std::cell::Cell;

pub(crate) use shuttle::future::yield_now;
pub(crate) use shuttle::sync::atomic;

pub(crate) use lock::{Mutex, RwLock};
pub use runtime::Handle;
pub(crate) use time::Instant as ThreadInstant;

pub use crate::plant::Plant;

thread_local! {
    /// A whole exploration runs on one thread of the system.
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Returns true if this fault is planted in the present exploration.
pub(crate) fn planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}
