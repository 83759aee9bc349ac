//! What a node keeps on disk, and what carries it out for a driver.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::event::{Event, LogRecord};
use crate::ids::{ReadId, ShardId};

/// Something that is to be done on disk. [`Command`](crate::Command) says what each means.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the commands of a node that have these names say it")]
pub enum DiskCommand {
    WriteLog { shard: ShardId, records: Vec<LogRecord> },
    SyncLog(ShardId),
    TrimLog { shard: ShardId, through: u64 },
    ReadLog { read: ReadId, shard: ShardId, from: u64, max_bytes: usize },
    ReadRest { read: ReadId, shard: ShardId, from: u64, max_bytes: usize },
    DropRest(ShardId),
    SaveSnapshot { shard: ShardId, sequence: u64, bytes: Arc<[u8]> },
    InstallSnapshot { shard: ShardId, sequence: u64, bytes: Arc<[u8]> },
    DropShard(ShardId),
    WriteNote(Vec<u8>),
}

/// The disk of a node. What it must keep is told in [the crate](crate): above all, that commands for one shard take effect in their order.
///
/// A node has a bounded number of commands under way: its replicas take no more messages while their logs are behind.
pub trait Disk: Send {
    /// Begins to carry a command out, in the background: it must not wait.
    fn carry_out(&mut self, command: DiskCommand);

    /// Gives the next event: first those of [`Event::Disk`] up to their end, then answers to commands.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;
}
