//! Copies of stores.

use vagn_cluster::ReadId;
use vagn_cluster::trail::{CopyOutcome, Mark, TrailEvent};

use super::{Model, ModelDue, Own, Picture};
use crate::agenda::{MILLI, SECOND};
use crate::calls::world::{Due, World};

/// Longest piece of a copy, so that small stores have several.
const PIECE: usize = 600;

/// Reads of copies that fail, in 10 000.
const UNREAD: u64 = 300;

/// Time for which a copy is held after it was read.
const HELD: u64 = 4 * SECOND;

impl World<Model> {
    /// Reads a piece of a machine's store for another one.
    pub(crate) fn read_copy(&mut self, id: usize, read: ReadId, of: (Option<Mark>, u64), from: &[u8]) {
        if !from.is_empty()
            && let Some(away) = self.giver_dies.take()
        {
            self.reached.note("giver killed in the middle of a copy");
            return self.agenda.after(0, Due::Kill { machine: id, away });
        }
        let (now, fails) = (self.now(), self.chance.often(UNREAD) && !self.calm);
        let machine = &mut self.machines[id];
        let outcome = if fails { CopyOutcome::Fault } else { piece(&mut machine.own, of, from, now) };
        self.reached.note(match &outcome {
            CopyOutcome::Piece { next: None, .. } => "last piece of a copy read",
            CopyOutcome::Piece { .. } => "piece of a copy read",
            CopyOutcome::Gone => "copy not held any more",
            CopyOutcome::Fault => "copy not read",
        });
        let (run, delay) = (Some(machine.run), self.chance.within(300..=60 * MILLI));
        let event = TrailEvent::CopyRead { read, outcome };
        self.agenda.after(delay, Due::Event { to: id, run, request: 0, event });
    }

    /// Begins to put a piece of a copy aside.
    pub(crate) fn take_copy(&mut self, id: usize, piece: u32, bytes: Vec<u8>, mark: Option<Mark>) {
        if piece > 0
            && let Some(away) = self.taker_dies.take()
        {
            self.reached.note("taker killed in the middle of a copy");
            return self.agenda.after(0, Due::Kill { machine: id, away });
        }
        let run = self.machines[id].run;
        let delay = self.chance.within(300..=6 * MILLI);
        self.agenda.after(delay, Due::Own(ModelDue::Taken { machine: id, run, piece, bytes, mark }));
    }

    pub(crate) fn taken(&mut self, id: usize, run: u64, piece: u32, bytes: &[u8], mark: Option<Mark>) {
        if self.machines[id].run != run {
            return;
        }
        let result = self.write(id, |store| store.take(piece, bytes, mark));
        if mark.is_some() && !self.machines[id].own.store.borrow().rest.is_empty() {
            self.reached.note("store with a rest behind a copy");
        }
        self.forget_what_is_over(id);
        self.event(id, Some(run), 0, TrailEvent::CopyTaken(result));
    }

    pub(crate) fn read_rest(&mut self, id: usize, max: usize) {
        let (rest, is_end) = {
            let store = self.machines[id].own.store.borrow();
            let rest = store.rest.iter().take(max).map(|(deed, bytes)| (*deed, bytes.clone())).collect();
            (rest, store.rest.len() <= max)
        };
        let run = Some(self.machines[id].run);
        let event = TrailEvent::RestRead { rest, is_end };
        self.agenda.after(MILLI, Due::Event { to: id, run, request: 0, event });
    }
}

/// Returns a piece of a machine's store as it was when the copy began.
fn piece(own: &mut Own, (of, least): (Option<Mark>, u64), from: &[u8], now: u64) -> CopyOutcome {
    let store = own.store.borrow();
    let is_held = |picture: &Picture| picture.read_at + HELD > now && picture.mark.sequence >= least;
    if of.is_none() && !own.picture.as_ref().is_some_and(is_held) {
        let Some(mark) = store.mark else { return CopyOutcome::Gone };
        own.picture = Some(Picture { mark, bytes: store.picture(), read_at: now });
    }
    let held = own.picture.as_mut().filter(|picture| of.is_none_or(|of| of == picture.mark));
    let Some(held) = held else { return CopyOutcome::Gone };
    held.read_at = now;
    let (mark, picture) = (held.mark, &held.bytes);
    let from = from.first_chunk().map_or(0, |from| u64::from_le_bytes(*from) as usize).min(picture.len());
    let end = (from + PIECE).min(picture.len());
    let next = (end < picture.len()).then(|| (end as u64).to_le_bytes().to_vec());
    CopyOutcome::Piece { mark, bytes: picture[from..end].to_vec(), next }
}
