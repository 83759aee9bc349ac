//! The way to the node. It stays the same while the node is started anew, as the address of an actor does.

use std::sync::Arc;

use parking_lot::RwLock;
use vagn_nats::{Handle, Unavailable};

/// Way to the node that is driven now, if one is. Clones are the same way.
pub struct NodeLink<S> {
    now: Arc<RwLock<Current<S>>>,
}

struct Current<S> {
    handle: Option<Handle<S>>,
    run: u64,
}

impl<S> Clone for NodeLink<S> {
    fn clone(&self) -> Self {
        Self { now: self.now.clone() }
    }
}

impl<S> Default for NodeLink<S> {
    fn default() -> Self {
        Self { now: Arc::new(RwLock::new(Current { handle: None, run: 0 })) }
    }
}

impl<S> NodeLink<S> {
    /// Returns the handle of the node.
    ///
    /// # Errors
    /// [`Unavailable`] while it is being started.
    pub fn handle(&self) -> Result<Handle<S>, Unavailable> {
        self.now.read().handle.clone().ok_or(Unavailable)
    }

    /// Returns the number of starts so far: what a node counts begins anew with each.
    pub fn run(&self) -> u64 {
        self.now.read().run
    }

    /// Leads to this node until the returned guard is dropped.
    pub(super) fn lead(&self, handle: Handle<S>) -> Leading<S> {
        let mut now = self.now.write();
        *now = Current { handle: Some(handle), run: now.run + 1 };
        Leading(self.clone())
    }
}

/// Takes the way away when it is dropped, also by a crash.
pub(super) struct Leading<S>(NodeLink<S>);

impl<S> Drop for Leading<S> {
    fn drop(&mut self) {
        self.0.now.write().handle = None;
    }
}
