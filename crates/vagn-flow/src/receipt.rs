//! Receipts: answers to senders that wait to learn what became of their reports.
//!
//! Only subscribers that declare themselves responsible hold a part of a receipt. The answer goes out when every declared
//! part is settled or dropped. A subscriber that only keeps the bytes of a batch, for however long, delays no answer.
//!
//! A part is settled by the index of a report and its fate, so it may be settled by any stage, wherever that runs.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use vagn_wire::{Fate, Reject};

use crate::proof::NoProof;

/// The end of one report whose sender waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Fate of the report; `Failed` until it is settled.
    pub fate: Fate,
    /// Reason of a refusal.
    pub reject: Option<Reject>,
    /// Reason for which it was not believed.
    pub no_proof: Option<NoProof>,
    /// Incident that the flag of the report opened or updated, once that is safe on disk.
    pub incident: Option<String>,
}

impl Outcome {
    /// Returns the outcome of a report that was not believed.
    pub fn refused(reason: NoProof) -> Self {
        Self { fate: Fate::Unauthenticated, reject: None, no_proof: Some(reason), incident: None }
    }
}

/// Resolves to one outcome per report, in the order of the batch.
pub type Answer = oneshot::Receiver<Vec<Outcome>>;

/// A receipt as its door holds it: open until the door has shown the batch to every subscriber, so that all of them have
/// declared their parts by then.
#[derive(Debug)]
pub struct Receipt {
    sheet: Arc<Sheet>,
}

impl Receipt {
    /// Returns a receipt for a batch of `reports` reports, and where its answer arrives.
    pub fn new(reports: usize) -> (Self, Answer) {
        let (answer, arrives) = oneshot::channel();
        let unsettled = Outcome { fate: Fate::Failed, reject: None, no_proof: None, incident: None };
        let entries = Entries {
            // The door's own hold.
            owed: 1,
            outcomes: vec![unsettled; reports],
            unrecorded: Vec::new(),
            answer: Some(answer),
        };
        (Self { sheet: Arc::new(Sheet { entries: Mutex::new(entries) }) }, arrives)
    }

    /// Makes the caller responsible for the fates of `reports` reports.
    pub fn answer_for_reports(&self, reports: usize) -> ReceiptPart {
        ReceiptPart::declare(&self.sheet, reports).expect("the answer waits for this receipt")
    }

    /// Makes the caller responsible for the alarm of the report at `index`.
    pub fn answer_for_alarm(&self, index: u32) -> AlarmPart {
        AlarmPart::declare(&self.sheet, index).expect("the answer waits for this receipt")
    }

    /// Returns the sheet on which parts are declared. It keeps no answer from going out.
    pub(crate) fn sheet(&self) -> Arc<Sheet> {
        self.sheet.clone()
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.sheet.entries.lock().release(1);
    }
}

/// The outcomes of a batch in the making.
#[derive(Debug)]
pub(crate) struct Sheet {
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    /// Duties that are declared and not settled, and one for the door as long as it holds the receipt.
    owed: usize,
    outcomes: Vec<Outcome>,
    /// Alarms that are not safe on disk.
    unrecorded: Vec<u32>,
    answer: Option<oneshot::Sender<Vec<Outcome>>>,
}

impl Sheet {
    /// Declares duties. False when the answer has gone out already.
    fn declare(&self, duties: usize) -> bool {
        let mut entries = self.entries.lock();
        let open = entries.answer.is_some();
        if open {
            entries.owed += duties;
        }
        open
    }
}

impl Entries {
    fn with(&mut self, index: u32, change: impl FnOnce(&mut Outcome)) {
        if let Some(outcome) = self.outcomes.get_mut(index as usize) {
            change(outcome);
        }
    }

    /// Gives up duties. The answer goes out with the last one.
    fn release(&mut self, duties: usize) {
        self.owed -= duties;
        if self.owed > 0 {
            return;
        }
        for index in std::mem::take(&mut self.unrecorded) {
            // Last, because the fate of the position may be settled after that of the alarm.
            self.with(index, |outcome| outcome.fate = Fate::Failed);
        }
        if let Some(answer) = self.answer.take() {
            // The sender may have gone; the fates are counted all the same.
            answer.send(std::mem::take(&mut self.outcomes)).ok();
        }
    }
}

/// The duty to say what became of some reports of a batch. What is not settled when it is dropped has failed.
#[derive(Debug)]
#[must_use = "a dropped part answers that its reports have failed"]
pub struct ReceiptPart {
    sheet: Arc<Sheet>,
    open: usize,
}

impl ReceiptPart {
    /// Declares the duty to settle `reports` reports. `None` when the answer has gone out.
    pub(crate) fn declare(sheet: &Arc<Sheet>, reports: usize) -> Option<Self> {
        sheet.declare(reports).then(|| Self { sheet: sheet.clone(), open: reports })
    }

    /// Settles reports by their index in the batch.
    pub fn settle(&mut self, fates: impl IntoIterator<Item = (u32, Fate)>) {
        let mut entries = self.sheet.entries.lock();
        let mut settled = 0;
        for (index, fate) in fates {
            entries.with(index, |outcome| outcome.fate = fate);
            settled += 1;
        }
        debug_assert!(settled <= self.open, "more fates than reports");
        let settled = settled.min(self.open);
        self.open -= settled;
        entries.release(settled);
    }

    /// Settles the report at `index` as refused.
    pub fn reject(&mut self, index: u32, reason: Reject) {
        self.sheet.entries.lock().with(index, |outcome| outcome.reject = Some(reason));
        self.settle([(index, Fate::Invalid)]);
    }

    /// Hands the duty for `reports` of the reports on.
    pub fn split(&mut self, reports: usize) -> Self {
        debug_assert!(reports <= self.open, "split off more than there is");
        let reports = reports.min(self.open);
        self.open -= reports;
        Self { sheet: self.sheet.clone(), open: reports }
    }
}

impl Drop for ReceiptPart {
    fn drop(&mut self) {
        if self.open > 0 {
            self.sheet.entries.lock().release(self.open);
        }
    }
}

/// The duty to say whether the alarm of a report is safe on disk, or that of several of one batch. Dropped unsettled, it says
/// that it is not.
#[derive(Debug)]
#[must_use = "a dropped part answers that its alarm is not on disk"]
pub struct AlarmPart {
    sheet: Arc<Sheet>,
    indices: Vec<u32>,
    recorded: bool,
}

impl AlarmPart {
    /// Declares the duty for the report at `index`. `None` when the answer has gone out.
    pub(crate) fn declare(sheet: &Arc<Sheet>, index: u32) -> Option<Self> {
        sheet.declare(1).then(|| Self { sheet: sheet.clone(), indices: vec![index], recorded: false })
    }

    /// Takes the duty for further alarms of the same batch over, which are settled together with these.
    ///
    /// # Errors
    /// They are of another batch: they are given back.
    pub fn join(&mut self, mut other: Self) -> Result<(), Self> {
        if !Arc::ptr_eq(&self.sheet, &other.sheet) {
            return Err(other);
        }
        self.indices.append(&mut other.indices);
        Ok(())
    }

    /// Settles the alarm as safe on disk, under this incident.
    pub fn record(mut self, incident_id: String) {
        self.recorded = true;
        let mut entries = self.sheet.entries.lock();
        for index in &self.indices {
            entries.with(*index, |outcome| outcome.incident = Some(incident_id.clone()));
        }
    }

    /// Settles the alarm as one that was made before: it is the fate of the position that tells so.
    pub fn repeat(mut self) {
        self.recorded = true;
    }

    /// Settles the alarm as not safe on disk: whatever becomes of its position, its sender must not hear "stored".
    pub fn fail(self) {}
}

impl Drop for AlarmPart {
    fn drop(&mut self) {
        let duties = self.indices.len();
        if duties == 0 {
            // Taken over by another part.
            return;
        }
        let mut entries = self.sheet.entries.lock();
        if !self.recorded {
            entries.unrecorded.append(&mut self.indices);
        }
        entries.release(duties);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_is_not_on_disk_is_never_answered_as_stored() {
        for dropped in [true, false] {
            let (receipt, mut answer) = Receipt::new(1);
            let mut stored = receipt.answer_for_reports(1);
            let alarm = receipt.answer_for_alarm(0);
            drop(receipt);
            if dropped {
                drop(alarm)
            } else {
                alarm.fail()
            }
            stored.settle([(0, Fate::Stored)]);
            assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Failed);
        }
    }

    #[test]
    fn the_answer_comes_when_every_declared_part_is_settled_or_dropped() {
        let (receipt, mut answer) = Receipt::new(3);
        let mut positions = receipt.answer_for_reports(3);
        let alarm = receipt.answer_for_alarm(0);
        positions.reject(1, Reject::Latitude);
        let mut one = positions.split(1);
        one.settle([(0, Fate::Stored)]);
        drop(positions);
        drop(receipt);
        assert!(answer.try_recv().is_err(), "answered too early");
        alarm.record("i-1".into());
        let outcomes = answer.try_recv().unwrap();
        assert_eq!(
            outcomes[0],
            Outcome { fate: Fate::Stored, reject: None, no_proof: None, incident: Some("i-1".into()) }
        );
        assert_eq!((outcomes[1].fate, outcomes[1].reject), (Fate::Invalid, Some(Reject::Latitude)));
        assert_eq!(outcomes[2].fate, Fate::Failed);
    }

    #[test]
    fn waits_for_the_door_because_later_subscribers_may_declare_a_part() {
        let (receipt, mut answer) = Receipt::new(1);
        receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
        assert!(answer.try_recv().is_err(), "a subscriber that waits for room has not seen the batch");
        drop(receipt);
        assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Stored);
    }

    #[test]
    fn alarms_of_one_batch_are_settled_together_and_those_of_another_are_not_taken_over() {
        for is_recorded in [true, false] {
            let (receipt, mut answer) = Receipt::new(3);
            receipt.answer_for_reports(3).settle([0, 1, 2].map(|at| (at, Fate::Stored)));
            let mut part = receipt.answer_for_alarm(0);
            part.join(receipt.answer_for_alarm(2)).unwrap();
            let (other, mut other_answer) = Receipt::new(1);
            let foreign = part.join(other.answer_for_alarm(0)).unwrap_err();
            drop((receipt, other));
            assert!(answer.try_recv().is_err(), "both are open");
            match is_recorded {
                true => part.record("i-1".into()),
                false => part.fail(),
            }
            let told: Vec<_> =
                answer.try_recv().unwrap().into_iter().map(|one| (one.fate, one.incident)).collect();
            let alarm = match is_recorded {
                true => (Fate::Stored, Some("i-1".to_owned())),
                false => (Fate::Failed, None),
            };
            assert_eq!(told, [alarm.clone(), (Fate::Stored, None), alarm]);
            assert!(other_answer.try_recv().is_err(), "it is still to be settled");
            foreign.repeat();
            assert_eq!(other_answer.try_recv().unwrap()[0].fate, Fate::Failed, "no stage answered for it");
        }
    }

    #[test]
    fn an_alarm_that_was_made_before_leaves_the_fate_of_its_position() {
        let (receipt, mut answer) = Receipt::new(1);
        let mut positions = receipt.answer_for_reports(1);
        receipt.answer_for_alarm(0).repeat();
        positions.settle([(0, Fate::Duplicate)]);
        drop(receipt);
        assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Duplicate);
    }

    #[test]
    fn nothing_can_be_declared_once_the_answer_has_gone_out() {
        let (receipt, mut answer) = Receipt::new(1);
        let sheet = receipt.sheet();
        drop(receipt);
        assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Failed);
        assert!(ReceiptPart::declare(&sheet, 1).is_none() && AlarmPart::declare(&sheet, 0).is_none());
    }
}
