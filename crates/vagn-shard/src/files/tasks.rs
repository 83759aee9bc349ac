//! Jobs that the node asks for, the tasks of threads that come of them, and the events that answer them.

use std::sync::Arc;

use parking_lot::Mutex;
use vagn_cluster::{Event, LogOutcome, LogRecord, ReadId, ShardId};

use super::log::{Failure, Log, Sync};
use super::read::View;
use super::start::Start;

/// Something that is to be done for a shard.
#[derive(Debug)]
pub(super) enum Job {
    Write(Vec<LogRecord>),
    Sync,
    Trim(u64),
    Read(Reading),
    ReadRest(Reading),
    DropRest,
    Save { sequence: u64, bytes: Arc<[u8]> },
    Install { sequence: u64, bytes: Arc<[u8]> },
    Drop,
}

/// A reading of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) read: ReadId,
    pub(super) from: u64,
    pub(super) max_bytes: usize,
}

/// The shard and the life of it that a job was asked for. A life ends when the files are replaced or removed, and with it go the answers
/// that are still owed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) shard: ShardId,
    pub(super) life: u64,
}

pub(super) type SharedLog = Arc<Mutex<Log>>;

/// Work for the thread that writes logs.
pub(super) enum LogTask {
    Write { owed: Owed, log: Option<SharedLog>, records: Vec<LogRecord>, is_syncing: bool },
    Sync { owed: Owed, log: Option<SharedLog> },
    Trim { owed: Owed, log: Option<SharedLog>, through: u64, is_syncing: bool },
    Read { owed: Owed, log: Option<SharedLog>, reading: Reading },
    Note(Vec<u8>),
}

/// Work for a thread that syncs.
pub(super) struct SyncTask {
    pub(super) owed: Owed,
    pub(super) log: SharedLog,
    pub(super) sync: Sync,
}

/// Work for the thread that reads, and writes snapshots.
pub(super) enum FileTask {
    Start(Box<Start>),
    Read { owed: Owed, read: ReadId, log: SharedLog, view: View },
    ReadRest { owed: Owed, reading: Reading },
    DropRest(Owed),
    Save { owed: Owed, number: u64, sequence: u64, bytes: Arc<[u8]> },
    Install { owed: Owed, number: u64, sequence: u64, bytes: Arc<[u8]>, old: Old },
    Drop { owed: Owed, keeps_old: bool },
}

/// Fate of files that others take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// They are whole, and go.
    Goes,
    /// The log is damaged, or could not be read. The snapshot is good, and all that there is until the other one is there.
    Log,
    /// The snapshot cannot be used either.
    All,
}

/// Answers a reading. Nothing is taken for the end of a log but its end.
pub(super) fn was_read(owed: Owed, read: ReadId, outcome: LogOutcome) -> Event {
    Event::LogRead { shard: owed.shard, read, outcome }
}

pub(super) fn failed(shard: ShardId, failure: Failure) -> Event {
    Event::LogFailed { shard, from: failure.from, fault: failure.fault }
}
