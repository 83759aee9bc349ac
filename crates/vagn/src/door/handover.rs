//! Handing over: a door's batch is stamped, sealed, counted as received and published. The same for every door.

use std::sync::Arc;
use std::time::Duration;

use vagn_wire::Reject;

use vagn_flow::batch::{Batch, BatchBuilder, Traffic};
use vagn_flow::clock::Clock;
use vagn_flow::fate::{Receipt, Share};
use vagn_flow::metrics::{DoorMetrics, ReportMetrics};
use vagn_flow::stamp::Stamper;

/// What every door is given: where batches go, and what it takes to seal one.
#[derive(Clone)]
pub struct Handover {
    /// Where batches are published.
    pub topic: Traffic,
    /// Stamps arrivals.
    pub stamper: Arc<Stamper>,
    /// Tells a door how long things take.
    pub clock: Arc<dyn Clock>,
    /// Counts reports.
    pub reports: Arc<ReportMetrics>,
    /// Counts faults.
    pub doors: DoorMetrics,
}

impl Handover {
    /// Publishes without waiting: whoever is full sheds. Returns whether anybody did.
    pub(super) fn publish(&self, batch: BatchBuilder) -> bool {
        !batch.is_empty() && self.topic.publish(&self.seal(batch, None)).dropped > 0
    }

    /// Publishes to those who are not waited for, the emergency lane among them. The others still have to
    /// [admit](Self::admit) it.
    pub(super) fn offer(&self, batch: BatchBuilder, receipt: Option<Arc<Receipt>>) -> Arc<Batch> {
        let batch = self.seal(batch, receipt);
        self.topic.publish_eager(&batch);
        batch
    }

    /// Waits for room with those who are waited for, so that the sender is slowed down rather than shed. False when there
    /// was none within this time: whoever was full has shed the batch.
    pub(super) async fn admit(&self, batch: Arc<Batch>, within: Duration) -> bool {
        self.topic.publish_patient(&batch, within).await.full == 0
    }

    /// Counts one report that cannot even be put into a batch.
    pub(super) fn reject(&self, reason: Reject) {
        Share::received(&self.reports, 1).reject(reason);
    }

    fn seal(&self, batch: BatchBuilder, receipt: Option<Arc<Receipt>>) -> Arc<Batch> {
        let stamp = self.stamper.stamp(batch.len());
        batch.seal(stamp, receipt, &self.reports)
    }
}
