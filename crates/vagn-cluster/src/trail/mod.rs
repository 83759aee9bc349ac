//! The trail: calls for help on many machines, as one desk and one chain of entries for the whole service.
//!
//! A [`TrailNode`] is a node's part in it, driven like [`Node`](crate::Node): it is told events and says what is to be done. It orders groups
//! of drafts and knows nothing of what is in them; that is for a [`DeskState`].
//!
//! # How it goes
//!
//! 1. An alarm comes to a *door*, which any node has. The door hands it to the leader, again and again, until the trail has it.
//! 2. The *leader*'s desk takes it in and drafts a group. The leader appends it behind the last entry it knows, and only there: an entry of
//!    somebody else in between makes the append fail, so a deposed leader writes nothing.
//! 3. Once the trail has the group the desk acts upon it, and the door hears that it is `stored`.
//! 4. Every node follows the trail and saves each group in its own incident store. The leader's renewals are entries too. After 3 s without
//!    any, a node that has saved everything claims; its desk recalls what is open from its store, as after a restart.
//!
//! What all stores have is purged from the stream. A store that lacks what was purged copies another one's; and so does each when a person begins a broken trail anew, in a
//! new epoch, from the store that has most. What only its own had before it hands in again.
//!
//! A call for help never waits for this: what the leader cannot record within 100 ms it calls about all the same, and what no leader answers
//! for within 250 ms the door does, both under the same id.
//!
//! # What a driver must keep
//!
//! What [`crate`] says of time, requests, subscriptions and messages; and
//!
//! - [`TrailEvent::Restored`] comes once the incident store is read. Alarms, and whatever is about kept ones, may come before it and are taken then; all else is passed over.
//! - A run begins with some event, such as [`DeskChanged`](TrailEvent::DeskChanged), also where the incident store cannot be read.
//! - [`TakeCopy`](TrailCommand::TakeCopy) with a mark, too, and a store that is read for a copy is as it was at one mark.
//! - A [`Save`](TrailCommand::Save) is atomic and synced: after a crash at any moment the store has the groups up to its mark, and no others.
//! - An alarm keeps its id as long as its incident is open at the door, over restarts too.
//! - `CallAlone` for an alarm about which the driver calls already changes nothing.
//! - Before a desk's decision is carried out, [`TrailNode::duty`] is asked with the time of that moment.
//! - The store tells of alarms that were joined to another, so that [`DeskState::take`] knows each alarm that was ever recorded.
//!
//! # Where what is
//!
//! | file | holds |
//! |---|---|
//! | `ids.rs`, `settings.rs`, `view.rs` | names, settings and faults for the proof, what a node shows of itself |
//! | `entry.rs`, `message.rs`, `mark.rs` | byte forms of entries, of messages between nodes, and of the place in the trail |
//! | `event.rs`, `command.rs` | what passes between it and a driver |
//! | `state.rs` | what a desk must be able to do |
//! | `chain.rs` | following, comparing, and saving |
//! | `append.rs` | the one entry that is under way, and what became of it |
//! | `succession.rs`, `agreement.rs` | who leads, and when to claim; with which settings |
//! | `lead.rs` | the desk while its node leads |
//! | `door.rs` | alarms of the node's own reporters |
//! | `peers.rs` | how far other nodes are, how far the stream may be purged, and whose clock is wrong |
//! | `copying.rs`, `rests.rs` | stores that take over another's content, and what only they had |
//! | `epochs.rs` | the record of the epoch, and repairs |
//! | `node.rs` | all of them put together; `reading.rs` what it makes of entries, `writing.rs` what it appends, `upkeep.rs` purging, copies and epochs |

mod agreement;
mod append;
mod chain;
mod command;
mod copying;
mod door;
mod entry;
mod epochs;
mod event;
mod ids;
mod lead;
mod mark;
mod message;
mod node;
mod peers;
mod reading;
mod rests;
mod settings;
mod state;
mod succession;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;
mod writing;

pub use agreement::Agreement;
pub use command::{DeedOutcome, TrailCommand, TrailHappened, TrailRefusal, TrailRepair, Why};
pub use entry::{GROUP_MAX, NAMES_MAX, TrailBody, TrailEntry};
pub use event::{CopyOutcome, KeptAlarm, TrailEvent};
pub use ids::{AlarmId, AlarmVersion, DeedId, EntryId, Term, TrailId};
pub use mark::Mark;
pub use message::{ALARM_MAX, Alarm, NOTE_MAX, PLACE_MAX};
pub use node::TrailNode;
pub use peers::Clocks;
pub use settings::{TrailFaults, TrailSettings};
pub use state::{DeedTaken, DeskState, Draft, Refusal, Taken};
pub use view::{Duty, TrailView};
