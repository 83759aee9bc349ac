//! The one way from a door to the stages: a batch is stamped, sealed, counted as received and published.

use std::sync::Arc;
use std::time::Duration;

use vagn_wire::Reject;

use crate::batch::{Batch, BatchBuilder, Traffic};
use crate::fate::Share;
use crate::guard::Guard;
use crate::metrics::ReportMetrics;
use crate::receipt::Receipt;
use crate::stamp::Stamper;

/// Takes in the batches of every door. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    traffic: Traffic,
    stamper: Arc<Stamper>,
    reports: Arc<ReportMetrics>,
    guard: Arc<Guard>,
}

/// A batch that was shown to the subscribers that are not waited for, and not yet to the others.
#[derive(Debug)]
#[must_use = "the other subscribers have not seen it"]
pub struct Offered {
    batch: Arc<Batch>,
    /// Open until every subscriber has seen the batch and has declared its part.
    _receipt: Option<Receipt>,
}

impl Intake {
    /// Publishes on `traffic`, stamps with `stamper`, and counts what comes in.
    pub fn new(traffic: Traffic, stamper: Arc<Stamper>, reports: Arc<ReportMetrics>) -> Self {
        let guard = Guard::open_to_all(reports.clone());
        Self { traffic, stamper, reports, guard }
    }

    /// Lets `guard` judge what comes in.
    pub fn guarded(self, guard: Arc<Guard>) -> Self {
        Self { guard, ..self }
    }

    /// Returns the guard that doors ask before they put a report into a batch.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Returns the topic on which batches are published.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Publishes without waiting: a subscriber that is full sheds. Returns true if one did.
    pub fn publish(&self, batch: BatchBuilder) -> bool {
        !batch.is_empty() && self.traffic.publish(&self.seal(batch, None)).dropped > 0
    }

    /// Publishes to the subscribers that are not waited for, the emergency lane among them: an alarm does not wait for room
    /// for positions. The other subscribers see the batch when it is [admitted](Self::admit).
    pub fn offer(&self, batch: BatchBuilder, receipt: Option<Receipt>) -> Offered {
        let batch = self.seal(batch, receipt.as_ref());
        self.traffic.publish_eager(&batch);
        Offered { batch, _receipt: receipt }
    }

    /// Waits for room with the subscribers that are waited for, so that the sender is slowed down rather than shed. False
    /// when there was none within this time: a subscriber that was full has shed the batch.
    pub async fn admit(&self, offered: Offered, within: Duration) -> bool {
        self.traffic.publish_patient(&offered.batch, within).await.full == 0
    }

    /// Counts one report that cannot even be put into a batch.
    pub fn reject(&self, reason: Reject) {
        Share::received(&self.reports, 1).reject(reason);
    }

    fn seal(&self, batch: BatchBuilder, receipt: Option<&Receipt>) -> Arc<Batch> {
        let stamp = self.stamper.stamp(batch.len());
        batch.seal(stamp, receipt, &self.reports)
    }
}

impl Offered {
    /// Counts the bytes of all reports in the batch.
    pub fn bytes(&self) -> usize {
        self.batch.bytes()
    }
}
