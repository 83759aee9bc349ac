//! What the crate synchronises and waits with, in one place: `vagn-schedules` builds the same sources with stand-ins, and tries
//! them under many orders of events.

pub(crate) use std::sync::atomic;
pub(crate) use std::thread;
pub(crate) use std::time::Instant as ThreadInstant;

pub(crate) use parking_lot::{Mutex, RwLock};
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::task::yield_now;
pub(crate) use tokio::time;
