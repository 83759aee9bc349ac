//! One fate per report: whoever holds a [`Share`] of a batch must say what became of it, and what nobody says is counted
//! as failed. So the sum of all fates equals what was received, whatever crashes on the way.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use vagn_wire::{Fate, Reject};

use crate::metrics::ReportMetrics;

/// Some reports of one batch that have not met their fate yet.
#[derive(Debug)]
#[must_use = "a dropped share counts its reports as failed"]
pub struct Share {
    metrics: Arc<ReportMetrics>,
    open: usize,
}

impl Share {
    /// Counts `reports` as received and answers for them from here on.
    pub fn received(metrics: &Arc<ReportMetrics>, reports: usize) -> Self {
        metrics.received.inc_by(reports as u64);
        Self { metrics: metrics.clone(), open: reports }
    }

    /// How many reports are still without a fate.
    pub fn open(&self) -> usize {
        self.open
    }

    /// `reports` of this share have met `fate`.
    pub fn settle(&mut self, fate: Fate, reports: usize) {
        debug_assert!(reports <= self.open, "more fates than reports");
        let reports = reports.min(self.open);
        self.open -= reports;
        self.metrics.fate(fate).inc_by(reports as u64);
    }

    /// One report was turned down, for this reason.
    pub fn reject(&mut self, reason: Reject) {
        self.metrics.invalid(reason).inc();
        self.settle(Fate::Invalid, 1);
    }

    /// Everything that is left has met `fate`.
    pub fn settle_rest(mut self, fate: Fate) {
        let open = self.open;
        self.settle(fate, open);
    }

    /// Hands `reports` of this share on.
    pub fn split(&mut self, reports: usize) -> Self {
        debug_assert!(reports <= self.open, "split off more than there is");
        let reports = reports.min(self.open);
        self.open -= reports;
        Self { metrics: self.metrics.clone(), open: reports }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.metrics.fate(Fate::Failed).inc_by(self.open as u64);
    }
}

/// What became of one report of a batch whose sender waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The report's fate; `Failed` until somebody says better.
    pub fate: Fate,
    /// Why it was turned down, when it was.
    pub reject: Option<Reject>,
    /// The incident that its flag opened or updated, once that is safe on disk.
    pub incident: Option<String>,
}

/// The answer in the making: filled in by everyone who handles the batch, sent when the last of them lets go.
#[derive(Debug)]
pub struct Receipt {
    outcomes: Mutex<Vec<Outcome>>,
    /// Calls for help that are not safe on disk.
    unrecorded: Mutex<Vec<u32>>,
    answer: Mutex<Option<oneshot::Sender<Vec<Outcome>>>>,
}

/// Resolves to one outcome per report, in the order of the batch.
pub type Answer = oneshot::Receiver<Vec<Outcome>>;

impl Receipt {
    /// A receipt for a batch of `reports` reports, and where its answer arrives.
    pub fn new(reports: usize) -> (Arc<Self>, Answer) {
        let (answer, arrives) = oneshot::channel();
        let unknown = Outcome { fate: Fate::Failed, reject: None, incident: None };
        let outcomes = Mutex::new(vec![unknown; reports]);
        let unrecorded = Mutex::new(Vec::new());
        (Arc::new(Self { outcomes, unrecorded, answer: Mutex::new(Some(answer)) }), arrives)
    }

    /// The report at `index` of the batch has met `fate`.
    pub fn set(&self, index: u32, fate: Fate) {
        self.with(index, |outcome| outcome.fate = fate);
    }

    /// The report at `index` was turned down.
    pub fn reject(&self, index: u32, reason: Reject) {
        self.with(index, |outcome| {
            outcome.fate = Fate::Invalid;
            outcome.reject = Some(reason);
        });
    }

    /// The flag of the report at `index` is safe on disk under this incident.
    pub fn set_incident(&self, index: u32, incident_id: String) {
        self.with(index, |outcome| outcome.incident = Some(incident_id));
    }

    /// The flag of the report at `index` is not safe on disk: whatever becomes of its position, and whoever says that
    /// later, its sender must not hear that it was stored.
    pub fn fail_incident(&self, index: u32) {
        self.unrecorded.lock().push(index);
    }

    fn with(&self, index: u32, change: impl FnOnce(&mut Outcome)) {
        if let Some(outcome) = self.outcomes.lock().get_mut(index as usize) {
            change(outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        for index in std::mem::take(self.unrecorded.get_mut()) {
            self.set(index, Fate::Failed);
        }
        if let Some(answer) = self.answer.get_mut().take() {
            // Nobody may be waiting any more; the fates are counted all the same.
            drop(answer.send(std::mem::take(self.outcomes.get_mut())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    fn count(metrics: &ReportMetrics, fate: Fate) -> u64 {
        metrics.fate(fate).get()
    }

    #[test]
    fn counts_what_nobody_answered_for_as_failed() {
        let metrics = ReportMetrics::new(&Registry::new());
        let mut share = Share::received(&metrics, 10);
        share.settle(Fate::Stored, 4);
        let mut half = share.split(3);
        half.settle(Fate::Stale, 1);
        drop(half);
        drop(share);
        assert_eq!(metrics.received.get(), 10);
        assert_eq!(
            (count(&metrics, Fate::Stored), count(&metrics, Fate::Stale), count(&metrics, Fate::Failed)),
            (4, 1, 5)
        );
    }

    #[test]
    fn a_panic_in_the_middle_loses_no_count() {
        let metrics = ReportMetrics::new(&Registry::new());
        let mut share = Share::received(&metrics, 3);
        let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            share.settle(Fate::Stored, 1);
            panic!("poison");
        }));
        assert!(crash.is_err());
        assert_eq!((count(&metrics, Fate::Stored), count(&metrics, Fate::Failed)), (1, 2));
    }

    #[test]
    fn a_call_for_help_that_is_not_on_disk_is_never_answered_as_stored() {
        let (receipt, mut answer) = Receipt::new(1);
        receipt.fail_incident(0);
        receipt.set(0, Fate::Stored);
        drop(receipt);
        assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Failed);
    }

    #[test]
    fn the_answer_comes_when_the_last_holder_lets_go() {
        let (receipt, mut answer) = Receipt::new(3);
        let storage = receipt.clone();
        let emergency = receipt.clone();
        receipt.reject(1, Reject::Latitude);
        drop(receipt);
        storage.set(0, Fate::Stored);
        drop(storage);
        assert!(answer.try_recv().is_err(), "answered too early");
        emergency.set_incident(0, "i-1".into());
        drop(emergency);
        let outcomes = answer.try_recv().unwrap();
        assert_eq!(outcomes[0], Outcome { fate: Fate::Stored, reject: None, incident: Some("i-1".into()) });
        assert_eq!((outcomes[1].fate, outcomes[1].reject), (Fate::Invalid, Some(Reject::Latitude)));
        assert_eq!(outcomes[2].fate, Fate::Failed);
    }
}
