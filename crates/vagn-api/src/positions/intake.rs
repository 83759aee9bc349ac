//! From a request to the topic and back: batches out, one outcome per report in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vagn_otp::Topic;
use vagn_wire::dialect::Reports;

use vagn_flow::batch::{BATCH_MAX, Batch, BatchBuilder, Source};
use vagn_flow::fate::{Answer, Outcome, Receipt};
use vagn_flow::metrics::ReportMetrics;
use vagn_flow::stamp::Stamper;
use vagn_http::body::Budget;
use vagn_http::problem::{Kind, Problem};

/// How long the reports of one request may wait for room on the topic, all together.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// How long after that their fates may take to be known. A disk was once seen to take 0.4 s for a sync.
const FATES_WITHIN: Duration = Duration::from_secs(10);

/// Where reports of a request go.
pub struct Intake {
    /// What the doors publish on, too.
    pub traffic: Topic<Arc<Batch>>,
    /// Stamps their arrival.
    pub stamper: Arc<Stamper>,
    /// Counts them.
    pub reports: Arc<ReportMetrics>,
    /// What request bodies may cost.
    pub budget: Budget,
}

impl Intake {
    /// Publishes the reports and waits for their fates, in order.
    ///
    /// # Errors
    /// [`Kind::DeadlinePassed`] when the fates are not known in time. What was published is not called back.
    pub async fn publish(&self, reports: &Reports) -> Result<Vec<Outcome>, Problem> {
        let (batches, answers) = self.offer(reports);
        let room_until = Instant::now() + ROOM_WITHIN;
        for batch in batches {
            // Who has no room says so in the receipt.
            self.traffic.publish_patient(&batch, room_until.saturating_duration_since(Instant::now())).await;
        }
        outcomes(answers, Instant::now() + FATES_WITHIN).await
    }

    /// Shows every batch to those who are not waited for: a call for help at the end must not wait for room for the rest.
    fn offer(&self, reports: &Reports) -> (Vec<Arc<Batch>>, Vec<Answer>) {
        let mut reports = reports.iter();
        let (mut batches, mut answers) = (Vec::new(), Vec::new());
        while reports.len() > 0 {
            let (batch, answer) = self.batch(reports.by_ref().take(BATCH_MAX));
            self.traffic.publish_eager(&batch);
            batches.push(batch);
            answers.push(answer);
        }
        (batches, answers)
    }

    fn batch<'a>(&self, reports: impl Iterator<Item = &'a [u8]>) -> (Arc<Batch>, Answer) {
        let mut builder = BatchBuilder::new(Source::Http);
        reports.for_each(|report| builder.push(report));
        let (receipt, answer) = Receipt::new(builder.len());
        let stamp = self.stamper.stamp(builder.len());
        (builder.seal(stamp, Some(receipt), &self.reports), answer)
    }
}

async fn outcomes(answers: Vec<Answer>, until: Instant) -> Result<Vec<Outcome>, Problem> {
    let mut outcomes = Vec::new();
    for answer in answers {
        match timeout_at(until, answer).await {
            Ok(arrived) => outcomes.extend(arrived.expect("a receipt answers when it is dropped")),
            Err(_) => return Err(late()),
        }
    }
    Ok(outcomes)
}

fn late() -> Problem {
    Problem::new(
        Kind::DeadlinePassed,
        "what became of the reports is not known yet; sending them again does no harm where they carry Seq or Ts",
    )
}
