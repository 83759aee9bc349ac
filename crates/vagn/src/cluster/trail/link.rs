//! The way to the trail's driver. It stays the same while the driver is started anew.

use std::sync::Arc;

use parking_lot::RwLock;
use vagn_nats::{TrailHandle, Unavailable};

/// Way to the driver that runs now, if one does. Clones are the same way.
pub struct TrailLink<D> {
    now: Arc<RwLock<(u64, Option<TrailHandle<D>>)>>,
}

impl<D> Clone for TrailLink<D> {
    fn clone(&self) -> Self {
        Self { now: self.now.clone() }
    }
}

impl<D> Default for TrailLink<D> {
    fn default() -> Self {
        Self { now: Arc::new(RwLock::new((0, None))) }
    }
}

impl<D> TrailLink<D> {
    /// Returns the handle of the driver.
    ///
    /// # Errors
    /// [`Unavailable`] while there is none.
    pub fn handle(&self) -> Result<TrailHandle<D>, Unavailable> {
        self.now.read().1.clone().ok_or(Unavailable)
    }

    /// Leads to this driver until the returned guard is dropped, or until it leads to another one.
    pub(super) fn lead(&self, handle: TrailHandle<D>) -> Leading<D> {
        let mut now = self.now.write();
        let run = now.0 + 1;
        *now = (run, Some(handle));
        Leading { link: self.clone(), run }
    }
}

/// Takes the way away when it is dropped, also by a crash. A thread that hung may drop it when another driver is led to: that one stays.
pub(super) struct Leading<D> {
    link: TrailLink<D>,
    run: u64,
}

impl<D> Drop for Leading<D> {
    fn drop(&mut self) {
        let mut now = self.link.now.write();
        if now.0 == self.run {
            now.1 = None;
        }
    }
}
