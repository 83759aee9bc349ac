//! Numbers that a node gives to what it asks for: each once in a run.

use crate::hash::mix;
use crate::ids::{PublishId, ReadId, SubscriptionId};

/// The last number that was given, and the seed of those that follow by chance.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last: u64,
    seed: u64,
}

impl Numbers {
    /// Begins for a run that drew this number.
    pub(crate) fn new(seed: u64) -> Self {
        Self { last: 0, seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn publish(&mut self) -> PublishId {
        PublishId(self.next())
    }

    pub(crate) fn subscription(&mut self) -> SubscriptionId {
        SubscriptionId(self.next())
    }

    pub(crate) fn read(&mut self) -> ReadId {
        ReadId(self.next())
    }

    /// Returns a number as if by chance; other runs have others.
    pub(crate) fn random(&mut self) -> u64 {
        mix(self.seed ^ mix(self.next()))
    }
}
