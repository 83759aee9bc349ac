//! Who answers for a topic, and how subscribers learn that it is gone or back.

use std::sync::atomic::Ordering;

use super::Topic;

/// What a topic tells its subscribers beside the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The owner is there (again).
    OwnerUp,
    /// The owner is gone. Items are published all the same.
    OwnerDown,
}

/// Held by a topic's owner, best in its actor's state: it goes when the incarnation goes, and comes with the next.
pub struct Owner<T: Send + Sync + 'static> {
    topic: Topic<T>,
}

impl<T: Send + Sync + 'static> Topic<T> {
    /// Becomes the owner, which every subscriber is told.
    pub fn own(&self) -> Owner<T> {
        if self.core.owners.fetch_add(1, Ordering::AcqRel) == 0 {
            self.notify(Notice::OwnerUp);
        }
        Owner { topic: self.clone() }
    }

    /// True while somebody owns it.
    pub fn is_owned(&self) -> bool {
        self.core.owners.load(Ordering::Acquire) > 0
    }

    fn notify(&self, notice: Notice) {
        self.entries().iter().for_each(|entry| entry.subscriber.notice(notice));
    }
}

impl<T: Send + Sync + 'static> Owner<T> {
    /// The topic owned.
    pub fn topic(&self) -> &Topic<T> {
        &self.topic
    }
}

impl<T: Send + Sync + 'static> Drop for Owner<T> {
    fn drop(&mut self) {
        if self.topic.core.owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.topic.notify(Notice::OwnerDown);
        }
    }
}
