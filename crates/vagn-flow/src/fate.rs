//! One fate per report. The holder of a [`Share`] of a batch counts what became of it; reports without a fate when the share
//! is dropped count as failed. So the sum of all fates equals what was received, whatever crashes on the way.

use std::sync::Arc;

use vagn_wire::{Fate, Oddities, Reject};

use crate::metrics::ReportMetrics;
use crate::proof::NoProof;

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

    /// Returns the number of reports without a fate.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Counts `fate` for `reports` of this share.
    pub fn settle(&mut self, fate: Fate, reports: usize) {
        debug_assert!(reports <= self.open, "more fates than reports");
        let reports = reports.min(self.open);
        self.open -= reports;
        self.metrics.fate(fate).inc_by(reports as u64);
    }

    /// Counts one report as refused, for this reason.
    pub fn reject(&mut self, reason: Reject) {
        self.metrics.invalid(reason).inc();
        self.settle(Fate::Invalid, 1);
    }

    /// Counts one report as not believed, for this reason.
    pub fn refuse(&mut self, reason: NoProof) {
        self.metrics.unauthenticated(reason).inc();
        self.settle(Fate::Unauthenticated, 1);
    }

    /// Counts sealed reports of this share that came before, whatever their fates.
    pub fn replayed(&self, reports: u64) {
        if reports > 0 {
            self.metrics.seal_replays.inc_by(reports);
        }
    }

    /// Counts what is odd about a report of this share, whatever its fate.
    pub fn odd(&self, odd: Oddities) {
        for oddity in odd.iter() {
            self.metrics.oddity(oddity).inc();
        }
    }

    /// Counts `fate` for all reports that are left.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricRegistry;

    fn count(metrics: &ReportMetrics, fate: Fate) -> u64 {
        metrics.fate(fate).get()
    }

    #[test]
    fn reports_without_a_fate_have_failed() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
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
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let mut share = Share::received(&metrics, 3);
        let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            share.settle(Fate::Stored, 1);
            panic!("poison");
        }));
        assert!(crash.is_err());
        assert_eq!((count(&metrics, Fate::Stored), count(&metrics, Fate::Failed)), (1, 2));
    }
}
