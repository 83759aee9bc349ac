//! Reasons why a repair of a shard was not made, for the person who asked for it.

/// Reason why no new epoch of a shard was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not known which nodes own the shard, or there is no such shard.
    Unknown,
    /// No owner that has the shard is heard.
    NoOwner,
    /// The owner that was to begin is far behind, or has lost its disk, and another one is named.
    Behind,
    /// The log of the owner that was to begin could not be read to its end.
    LogUnread,
    /// Too many repairs are under way.
    Busy,
    /// The brokers did not make the stream of the new epoch.
    NoBrokers,
    /// The stream of the new epoch is in use: another node repairs the shard.
    Begun,
    /// The record of assignment did not take the new epoch in time.
    Late,
    /// The owner that has most was asked, and did not answer.
    Silent,
    /// The disk of the owner that was to begin is full.
    DiskFull,
    /// A part of the log of the owner that was to begin is damaged, and another one is named, which may have all.
    LogDamaged,
    /// No node that is there has stopped because of the stream: nothing is broken.
    NotBroken,
}

impl Refusal {
    /// All of them. The place of each is its number in messages.
    pub const ALL: [Self; 12] = [
        Self::Unknown,
        Self::NoOwner,
        Self::Behind,
        Self::LogUnread,
        Self::Busy,
        Self::NoBrokers,
        Self::Begun,
        Self::Late,
        Self::Silent,
        Self::DiskFull,
        Self::LogDamaged,
        Self::NotBroken,
    ];
}
