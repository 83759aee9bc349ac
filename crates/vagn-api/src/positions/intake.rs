//! The way of a request into the intake and back: batches out, one outcome per report in.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use vagn_flow::allowance::Source;
use vagn_flow::batch::{BATCH_MAX, BatchBuilder, Origin, Pressure};
use vagn_flow::intake::{Intake, Offered};
use vagn_flow::receipt::{Answer, Outcome, Receipt};
use vagn_http::problem::{Kind, Problem};
use vagn_wire::dialect::Reports;

/// The request waits for its answer, so a full service slows it down.
const ORIGIN: Origin = Origin { door: "http", pressure: Pressure::Wait };

/// Longest wait for room on the topic, for all reports of one request together.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for their fates after that. A disk was once seen to take 0.4 s for a sync.
const FATES_WITHIN: Duration = Duration::from_secs(10);

/// What became of the reports of one request.
pub(super) struct Published {
    /// Their outcomes, in order.
    pub(super) outcomes: Vec<Outcome>,
    /// One of them calls for help.
    pub(super) has_call: bool,
}

/// Publishes the reports, which come from `source`, and waits for their fates.
///
/// # Errors
/// [`Kind::DeadlinePassed`] when the fates are not known in time. Published reports stay published.
pub(super) async fn publish(
    intake: &Intake,
    reports: &Reports,
    source: Option<Source>,
) -> Result<Published, Problem> {
    let Offers { batches, answers, has_call } = offer(intake, reports, source);
    let room_until = Instant::now() + ROOM_WITHIN;
    for batch in batches {
        // A subscriber without room says so in the receipt.
        intake.admit(batch, room_until.saturating_duration_since(Instant::now())).await;
    }
    let outcomes = outcomes(answers, Instant::now() + FATES_WITHIN).await?;
    Ok(Published { outcomes, has_call })
}

/// Batches that are offered, and the answers that are awaited for them.
#[derive(Default)]
struct Offers {
    batches: Vec<Offered>,
    answers: Vec<Answer>,
    has_call: bool,
}

/// Offers every batch before one is admitted: an alarm at the end must not wait for room for the rest.
fn offer(intake: &Intake, reports: &Reports, source: Option<Source>) -> Offers {
    let mut reports = reports.iter();
    let mut offers = Offers::default();
    while reports.len() > 0 {
        let mut batch = BatchBuilder::new(ORIGIN).by(source);
        for report in reports.by_ref().take(BATCH_MAX) {
            offers.has_call |= batch.push(report).is_alarm;
        }
        let (receipt, answer) = Receipt::new(batch.len());
        offers.batches.push(intake.offer(batch, Some(receipt)));
        offers.answers.push(answer);
    }
    offers
}

async fn outcomes(answers: Vec<Answer>, until: Instant) -> Result<Vec<Outcome>, Problem> {
    let mut outcomes = Vec::new();
    for answer in answers {
        match timeout_at(until, answer).await {
            Ok(arrived) => outcomes.extend(arrived.expect("a receipt always answers")),
            Err(_) => return Err(late()),
        }
    }
    Ok(outcomes)
}

fn late() -> Problem {
    Problem::new(
        Kind::DeadlinePassed,
        "the fates of the reports are not known yet; sending them again does no harm where they carry Ts, or within 10 s Seq",
    )
}
