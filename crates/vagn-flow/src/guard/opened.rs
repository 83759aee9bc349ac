//! The reports of an envelope, each with the mark of its seal. One buffer per door thread or connection, used again.

use std::collections::HashSet;

use vagn_seal::{Lane, Opened, Speaker};
use vagn_wire::VehicleId;
use vagn_wire::sealed::{Contents, Taken};

use crate::open::{Mark, open};
use crate::proof::{NoProof, SealMark};

/// Content of an envelope.
#[derive(Debug, Default)]
pub struct Content {
    /// Its reports in clear, as they were sealed.
    pub(super) clear: Vec<u8>,
    /// The same, complete.
    bytes: Vec<u8>,
    reports: Vec<Placed>,
    lane: Option<Lane>,
    envelope_len: usize,
}

/// A report in [`Content::bytes`].
#[derive(Debug, Clone, Copy)]
struct Placed {
    end: usize,
    mark: Mark,
    seal: SealMark,
    was_completed: bool,
    /// It is of the vehicle that the key stands for.
    is_own: bool,
    refused: Option<NoProof>,
}

/// A report that was taken out of an envelope.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The report, with its vehicle's id in it.
    pub bytes: &'a [u8],
    /// The mark that it leaves.
    pub mark: Mark,
    /// Its seal.
    pub seal: SealMark,
    /// Its vehicle's id was left out, and is that of the key.
    pub was_completed: bool,
    /// The reason for which it is not taken in; it is counted already.
    pub refused: Option<NoProof>,
}

impl Content {
    /// Returns the reports, those that are refused as well.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let starts = std::iter::once(0).chain(self.reports.iter().map(|report| report.end));
        starts.zip(&self.reports).map(|(start, report)| Entry {
            bytes: &self.bytes[start..report.end],
            mark: report.mark,
            seal: report.seal,
            was_completed: report.was_completed,
            refused: report.refused,
        })
    }

    /// Returns the number of reports, those that are refused as well.
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// Returns true when a report in it calls for help.
    pub fn has_call(&self) -> bool {
        self.reports.iter().any(|report| report.mark.is_alarm)
    }

    /// Returns true when nothing was taken out.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane.unwrap_or(Lane::Ordinary)
    }

    /// Returns the length of the envelope, in bytes.
    pub(super) fn envelope_len(&self) -> usize {
        self.envelope_len
    }

    pub(super) fn clear_reports(&mut self) {
        self.reports.clear();
        self.bytes.clear();
    }

    /// Takes the reports out of an envelope of `len` bytes whose key belongs to `speaker`.
    pub(super) fn take_in(
        &mut self,
        opened: &Opened<'_>,
        len: usize,
        speaker: Speaker<'_>,
        mark: impl Fn(&[u8]) -> Mark,
    ) {
        self.clear_reports();
        self.lane = Some(opened.lane);
        self.envelope_len = len;
        let stands_for = match speaker {
            Speaker::Vehicle(vehicle_id) => Some(vehicle_id),
            Speaker::Gateway { .. } => None,
        };
        let seal = SealMark {
            key_id: opened.key_id,
            epoch: opened.epoch,
            sequence: opened.sequence,
            more: false,
            call_number: 0,
            needs_time: stands_for.is_none(),
        };
        let mut contents = Contents::new(opened.reports, stands_for);
        while let Some(Taken { was_completed, is_own }) = contents.take(&mut self.bytes) {
            let start = self.reports.last().map_or(0, |report| report.end);
            let mark = mark(&self.bytes[start..]);
            let end = self.bytes.len();
            self.reports.push(Placed { end, mark, seal, was_completed, is_own, refused: None });
        }
    }

    /// Numbers an envelope with calls in it.
    pub(super) fn number(&mut self, call_number: u64) {
        for report in &mut self.reports {
            report.seal.call_number = call_number;
        }
    }

    /// Refuses the reports that the key may not send, and marks those that follow another one of their vehicle. Returns true when
    /// one is refused.
    pub(super) fn judge(&mut self, may_speak: impl Fn(VehicleId<'_>) -> bool) -> bool {
        // Nearly every envelope. What it takes to tell several vehicles apart costs as much as all else here.
        if let [only] = &self.reports[..]
            && only.is_own
        {
            return false;
        }
        let mut judged = HashSet::new();
        let mut is_refused = false;
        let mut start = 0;
        for report in &mut self.reports {
            let bytes = &self.bytes[start..report.end];
            start = report.end;
            // What cannot be read is refused as such by the stage behind.
            let Ok(read) = open(bytes) else { continue };
            if !report.is_own && !may_speak(read.vehicle_id) {
                report.refused = Some(NoProof::WrongVehicle);
                is_refused = true;
            } else if read.position.is_ok() {
                report.seal.more = !judged.insert(read.vehicle_id);
            }
        }
        is_refused
    }
}
