//! The office of a node of a cluster, and its desk: how calls for help go on many machines.
//!
//! ```text
//! inbox ─▶ door ─▶ driver of the trail ◀──▶ trail desk (while this node leads) ─▶ targets
//!            ▲ │          │    │
//!            │ │          │    └─▶ incident-files ─▶ store, and what this node shows
//!            │ └─▶ calls  │
//!            └────────────┴──────▶ kept-alarms ─▶ alarms on disk
//! ```
//! An alarm gets its id at the *door*, which hands it to the driver of the trail ([`vagn_nats`]) and lets its sender know when the trail has
//! it. The *desk* decides as the one of one machine does ([`crate::desk`]); its drafts go into the trail in *groups*, and every node applies
//! them to its own store. What no leader takes in time the door calls about by itself.
//!
//! An alarm waits at two doors at once, under one id. The one here has its senders and its sittings, for up to 16 384 alarms, and outlives each run of
//! the driver. The driver's own ([`vagn_cluster::trail`]) has the clocks, of when to keep an alarm and when to call, and the way to the leader, for
//! 4 096 of them; what it has no room for it has kept, and reads when there is some. Where no driver lives the one here keeps and calls in its place.
//!
//! | file | holds |
//! |---|---|
//! | `room.rs` | what all of these share |
//! | `door.rs`, `door_actor.rs` | takes alarms of this node's reporters in, and hands them over |
//! | `arrivals.rs`, `departures.rs` | how an alarm finds its sitting; how it ends there |
//! | `asked.rs` | those whose vehicles another node must be asked about |
//! | `sittings.rs`, `turned_away.rs` | those that wait until the trail has them; those that found no room |
//! | `grants.rs` | senders that are to hear of which incident theirs is |
//! | `calls.rs`, `called.rs`, `door_source.rs` | calls that this node makes by itself, and shows until it has them from the trail; how far each is |
//! | `kept.rs`, `kept_alarms.rs` | alarms on disk |
//! | `files.rs`, `copies.rs`, `results.rs` | groups on disk, copies of that, and what deeds came to |
//! | `copier.rs` | the office of a node that only copies all incidents |
//! | `trail_desk.rs`, `deeds.rs` | the desk |
//! | `lane_office.rs`, `look.rs` | what the driver asks for, and when it looks |
//! | `answers.rs`, `losses.rs` | what the driver hears, and what found no place |
//! | `under_way.rs` | attempts for the desk of a leader |
//! | `alarm_form.rs`, `call_note.rs`, `deed_form.rs` | byte forms of what goes between nodes; groups are in `record` |

pub(crate) mod alarm_form;
pub(crate) mod answers;
mod arrivals;
pub(crate) mod asked;
mod call_note;
mod called;
pub(crate) mod calls;
pub(crate) mod copier;
pub(crate) mod copies;
pub(crate) mod deed_form;
mod deeds;
mod departures;
pub(crate) mod door;
pub(crate) mod door_actor;
pub(crate) mod door_source;
pub(crate) mod files;
mod grants;
pub(crate) mod kept;
pub(crate) mod kept_alarms;
pub(crate) mod lane_office;
pub(crate) mod look;
pub(crate) mod losses;
mod results;
pub(crate) mod room;
mod sittings;
#[cfg(test)]
mod tests;
pub(crate) mod trail_desk;
mod turned_away;
mod under_way;
