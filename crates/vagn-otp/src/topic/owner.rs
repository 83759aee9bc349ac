//! The owner of a topic. Subscribers are told when it goes and when it is back.

use super::Topic;

/// News of a topic for its subscribers, beside the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerChange {
    /// The topic has an owner (again).
    OwnerUp,
    /// The owner is gone. Items are published all the same.
    OwnerDown,
}

/// Held by the owner of a topic, best in the state of an actor: it goes with the incarnation, and comes with the next.
pub struct Owner<T: Send + Sync + 'static> {
    topic: Topic<T>,
}

impl<T: Send + Sync + 'static> Topic<T> {
    /// Becomes the owner, and tells every subscriber. A subscriber must not ask for the owner while it is told.
    pub fn own(&self) -> Owner<T> {
        // Counted, for the next incarnation may own it before the last one is dropped.
        let mut owners = self.core.owners.lock();
        *owners += 1;
        if *owners == 1 {
            self.notify(OwnerChange::OwnerUp);
        }
        drop(owners);
        Owner { topic: self.clone() }
    }

    /// Returns true while the topic has an owner.
    pub fn is_owned(&self) -> bool {
        *self.core.owners.lock() > 0
    }

    fn notify(&self, change: OwnerChange) {
        for entry in self.entries().iter() {
            entry.subscriber.owner_changed(change);
        }
    }
}

impl<T: Send + Sync + 'static> Owner<T> {
    /// Returns the topic that is owned.
    pub fn topic(&self) -> &Topic<T> {
        &self.topic
    }
}

impl<T: Send + Sync + 'static> Drop for Owner<T> {
    fn drop(&mut self) {
        let mut owners = self.topic.core.owners.lock();
        *owners -= 1;
        if *owners == 0 {
            self.topic.notify(OwnerChange::OwnerDown);
        }
    }
}
