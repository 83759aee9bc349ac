//! Faults planted into the cores by the tests of `vagn-schedules`, which must find each of them. There are none in the product.

#[cfg(feature = "shuttle")]
pub(crate) use crate::sync::planted;

/// A fault as it is easily made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "shuttle"),
    expect(unreachable_pub, reason = "only the tests that plant a fault name one")
)]
pub enum Plant {
    /// A taker that gives up keeps the wake-up that was meant for the next.
    LostWakeUp,
    /// The room in a queue is looked at under one lock, and taken under another.
    MissedBound,
    /// A giver looks before the lock whether the queue is closed.
    CloseRace,
    /// An item that is dropped for a newer one is counted in two steps.
    DropWithoutCount,
    /// The late news of an end is taken for that of the incarnation that runs by now.
    DoubleRestart,
    /// A new subscriber is added to a copy of the list that may be old.
    LostSubscriber,
}

/// Returns false: nothing is planted here.
#[cfg(not(feature = "shuttle"))]
pub(crate) const fn planted(_: Plant) -> bool {
    false
}
