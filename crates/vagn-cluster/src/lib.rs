//! The core of a node: one fleet's positions on many machines, as a state machine without I/O, clock, threads or chance.
//!
//! A [`Node`] is told what happened ([`Event`]) and says what is to be done ([`Command`]). Whoever carries the commands out is
//! its *driver*: one for real brokers, one for a model of them in virtual time. What a shard holds is a [`ShardState`].
//!
//! # How a driver drives it
//!
//! 1. It makes a [`Node`] from [`Settings`], whose `random` no other run has.
//! 2. It tells what is on disk: [`DiskPart::Note`] if there is one, for each shard the snapshot and then the records of its log, and
//!    [`DiskPart::Rest`] where one was damaged; at last [`DiskPart::End`]. Only then come other events.
//! 3. For each event it reads both clocks ([`Moment`]), calls [`Node::handle`], and carries out the commands that were
//!    appended to `out`, in their order, without waiting for one before the next. An answer is an event like others.
//! 4. It wakes the node at the moment of the last [`Command::WakeAt`], not earlier, and late if it must.
//!
//! What it must keep:
//!
//! - [`Moment::elapsed_ms`] does not go back. The wall clock may do what it likes.
//! - Each publish, read and write is answered exactly once, after 1 s by `NoAnswer` at the latest. What has got `NoAnswer` may
//!   still be done, then or later.
//! - Commands for one shard's disk take effect in their order. `SyncLog` covers all that was written before it. A failed write
//!   leaves no part of a record behind. After [`Command::InstallSnapshot`] or [`Command::DropShard`] no answer to
//!   older writes and syncs of that shard comes.
//! - A crash at any moment leaves, for each shard, the snapshot that was saved or installed last, and its log at least up to the
//!   last sync, without a gap, perhaps further. Nothing else has to survive but the note. Where the disk has damaged the log, it
//!   ends before that, and what can be read behind it is its rest.
//! - Messages of a subscription come in the order of the stream if they come; what is lost, doubled or out of order costs
//!   time and nothing else. [`Delivered::incarnation`] is read when the subscription is made.
//! - [`Command::MakeStream`] makes a stream that refuses what it has no room for (`discard: new`), has no age and syncs always.
//!   Nothing else makes a stream.
//! - Bytes from other nodes are given as they came. The transport knows the sender.
//!
//! # Where what is
//!
//! | file | holds |
//! |---|---|
//! | `ids.rs`, `hash.rs`, `numbers.rs` | names and numbers |
//! | `event.rs`, `command.rs`, `happened.rs`, `refusal.rs` | what passes between node and driver |
//! | `settings.rs`, `view.rs` | settings, faults for the proof, and what a node shows of itself |
//! | `state.rs` | what a shard's content must be able to do |
//! | `disk.rs` | what a node's disk must be able to do |
//! | `bytes.rs`, `entry.rs`, `message.rs` | byte forms of entries and of messages between nodes |
//! | `content.rs`, `doors.rs` | what follows from entries alone: time, hashes, repeats |
//! | `replica.rs`, `ring.rs` | the log before the content, snapshots, comparing |
//! | `follower.rs`, `pulse.rs` | every entry once, and of no other stream; how old a replica is |
//! | `batcher.rs`, `pace.rs`, `flight.rs`, `tickets.rs` | from reporters into streams, and fates back |
//! | `membership.rs`, `assignment.rs` | who is there, and who owns what |
//! | `bootstrap.rs`, `purge.rs` | copying a shard; what may go from a stream |
//! | `copied.rs` | what a copy of the whole service has of the fleet |
//! | `scatter.rs` | questions to owners |
//! | `node/` | the node, which puts them together |
//! | `trail/` | calls for help: one desk and one trail for the service. A part of its own |

mod assignment;
mod batcher;
mod bootstrap;
pub mod bytes;
mod command;
mod content;
mod copied;
mod disk;
mod doors;
mod entry;
mod event;
mod flight;
mod follower;
#[cfg(test)]
mod fuzz;
mod happened;
mod hash;
mod ids;
mod membership;
mod message;
mod node;
mod numbers;
mod pace;
mod pulse;
mod purge;
mod refusal;
mod replica;
mod ring;
mod scatter;
mod settings;
mod state;
#[cfg(test)]
mod testing;
mod tickets;
pub mod trail;
mod view;

pub use command::{Command, ShardAnswer};
pub use copied::{CopyRecord, ShardCopy};
pub use disk::{Disk, DiskCommand};
pub use entry::{Batch, BatchWriter, Body, ENTRY_MAX, Entry, Tick};
pub use event::{
    Delivered, DiskFault, DiskPart, Event, LogOutcome, LogRecord, PublishOutcome, RecordKey, RecordOutcome,
    StreamInfo, StreamOutcome, WriteOutcome,
};
pub use happened::{Happened, Stop};
pub use hash::{fold, hash, mix};
pub use ids::{
    BatchId, CHANGES_MAX, DoorId, Incarnation, Moment, NodeId, PublishId, QueryId, ReadId, SHARDS_MAX,
    ShardId, StreamId, SubscriptionId, Ticket, order_number,
};
pub use node::Node;
pub use refusal::Refusal;
pub use settings::{Faults, MESSAGES_VERSION, Settings};
pub use state::{Change, Damaged, FIELDS_MAX, NewChange, Place, ShardState};
pub use view::{Counts, MemberView, OwnerView, ShardView, Stage, TickMark};
