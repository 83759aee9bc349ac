//! A channel: all clients that look at the same box in the same form. Their events are read and written once.

use std::sync::Arc;
use std::time::Duration;

use vagn_store::{BBox, Gone, Moved, OrderNumber, Sight, VehicleIdBuf};
use vagn_wire::Position;

use super::cell::Area;
use super::event::{EventWriter, GapReason};
use super::marks::{Departure, Marks};
use super::outlet::Outlet;
use super::row::FleetRow;

/// View of a client: the box that it looks at, and the form in which it is told.
#[derive(Clone)]
pub struct StreamView {
    /// The box.
    pub bbox: BBox,
    /// Form in which vehicles are seen in it.
    pub sight: Sight,
    /// Writer of its events.
    pub writer: Arc<dyn EventWriter>,
}

/// A view as clients share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ViewKey {
    edges: [u64; 4],
    sight: Sight,
    form: &'static str,
}

impl StreamView {
    pub(super) fn key(&self) -> ViewKey {
        // Adding zero gives zero one name.
        let edges = self.bbox.edges().map(|edge| (edge + 0.0).to_bits());
        ViewKey { edges, sight: self.sight, form: self.writer.name() }
    }
}

/// A client of a channel.
pub(super) struct Member {
    pub(super) outlet: Arc<Outlet>,
    /// Order numbers behind what it was told before it came back; `None` once it is told what the others are.
    pub(super) since: Option<Box<[OrderNumber]>>,
}

impl Drop for Member {
    /// Ends the stream: the hub has no more for it, perhaps because it crashed.
    fn drop(&mut self) {
        self.outlet.end();
    }
}

/// A box with its clients, and the vehicles that they have to be told of.
pub(super) struct Channel {
    pub(super) number: u64,
    pub(super) view: StreamView,
    pub(super) area: Area,
    pub(super) members: Vec<Member>,
    pub(super) marks: Marks,
    /// Reason for which all clients have to read the fleet afresh, until they are told.
    pub(super) gap: Option<GapReason>,
    /// Time of the next pass.
    pub(super) due: Duration,
    /// Time of the last event with an id.
    pub(super) told: Duration,
    /// Time since which it has no clients.
    pub(super) empty_since: Option<Duration>,
}

/// Room for marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkRoom {
    /// Most marks of a channel.
    pub(super) channel: usize,
    /// Marks of each channel that take no room.
    pub(super) own: usize,
    /// Marks that all channels together may still make beside.
    pub(super) left: usize,
}

impl MarkRoom {
    /// Counts the marks of a channel that take room.
    pub(super) fn taken_by(&self, channel: &Channel) -> usize {
        channel.marks.len().saturating_sub(self.own)
    }
}

impl Channel {
    /// Returns true when this position is seen in the box.
    #[inline]
    pub(super) fn has(&self, position: Position) -> bool {
        let StreamView { bbox, sight, .. } = &self.view;
        bbox.contains(sight.place(position))
    }

    /// Marks a vehicle that moved, if it is in the box or was there before. `stays`: its coarse place is the one before.
    #[inline]
    pub(super) fn note_move(&mut self, partition: u32, moved: &Moved<'_>, stays: bool, room: &mut MarkRoom) {
        if !self.is_told() || (stays && self.view.sight == Sight::Coarse) {
            return;
        }
        if self.has(moved.update.sighting.position) {
            let is_new = self.marks.mark(FleetRow { partition, row: moved.row });
            self.count(is_new, room);
        } else if moved.before.is_some_and(|before| self.has(before.position)) {
            let is_new = self.marks.mark_departed(VehicleIdBuf::from(moved.update.key), Departure::Left);
            self.count(is_new, room);
        }
    }

    /// Marks a vehicle that was deleted or forgotten, if it was in the box.
    pub(super) fn note_gone(&mut self, gone: &Gone, room: &mut MarkRoom) {
        if self.is_told() && self.has(gone.last) {
            let is_new = self.marks.mark_departed(gone.id, Departure::Gone);
            self.count(is_new, room);
        }
    }

    /// Forgets what its clients have to be told of: the next pass tells them of a gap instead.
    pub(super) fn lose(&mut self, reason: GapReason) {
        self.marks.clear();
        self.gap = Some(reason);
    }

    /// Returns true while there is a client to tell of a single vehicle.
    fn is_told(&self) -> bool {
        !self.members.is_empty() && self.gap.is_none()
    }

    fn count(&mut self, is_new: bool, room: &mut MarkRoom) {
        if !is_new {
            return;
        }
        let taken = room.taken_by(self);
        if taken == 0 && self.marks.len() <= room.channel {
            return;
        }
        if room.left == 0 || self.marks.len() > room.channel {
            // The last mark has not taken any yet.
            room.left += taken.saturating_sub(1);
            self.lose(GapReason::TooManyChanges);
        } else {
            room.left -= 1;
        }
    }
}
