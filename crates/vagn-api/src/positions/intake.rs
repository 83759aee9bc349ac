//! The way of a request into the intake and back: batches out, one outcome per report in.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use vagn_flow::allowance::Source;
use vagn_flow::batch::{BatchBuilder, Origin, Pressure};
use vagn_flow::guard::{Content, Guard};
use vagn_flow::intake::{Intake, Offered};
use vagn_flow::proof::{NoProof, Proof};
use vagn_flow::receipt::{Answer, Outcome, Receipt};
use vagn_http::problem::{Kind, Problem};
use vagn_wire::dialect::{REPORTS_MAX, Reports, TooMany};
use vagn_wire::sealed::envelope;

/// The request waits for its answer, so a full service slows it down.
const ORIGIN: Origin = Origin { door: "http", pressure: Pressure::Wait };

/// Longest wait for room on the topic, for all reports of one request together.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for their fates after that. A disk was once seen to take 0.4 s for a sync.
const FATES_WITHIN: Duration = Duration::from_secs(10);

/// Publishes what is prepared, and waits for the fates, in order: one for each report, those in envelopes as well, and one
/// for each envelope that stays closed.
///
/// # Errors
/// [`Kind::DeadlinePassed`] when the fates are not known in time. Published reports stay published.
pub(super) async fn publish(intake: &Intake, prepared: Prepared) -> Result<Vec<Outcome>, Problem> {
    let Prepared { batches, refused, .. } = prepared;
    let (batches, answers) = offer(intake, batches);
    let room_until = Instant::now() + ROOM_WITHIN;
    for batch in batches {
        // A subscriber without room says so in the receipt.
        intake.admit(batch, room_until.saturating_duration_since(Instant::now())).await;
    }
    let taken = outcomes(answers, Instant::now() + FATES_WITHIN).await?;
    Ok(in_order(taken, refused))
}

/// Offers every batch before one is admitted: an alarm at the end must not wait for room for the rest.
fn offer(intake: &Intake, batches: Vec<BatchBuilder>) -> (Vec<Offered>, Vec<Answer>) {
    let offer = |batch: BatchBuilder| {
        let (receipt, answer) = Receipt::new(batch.len());
        (intake.offer(batch, Some(receipt)), answer)
    };
    batches.into_iter().map(offer).unzip()
}

/// Sender of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    /// Its address.
    pub(super) source: Option<Source>,
    /// Proof that the request itself brings.
    pub(super) proof: Proof,
    /// Envelopes may be among its reports.
    pub(super) may_seal: bool,
}

/// Reports of one request, in batches: only those that are believed.
pub(super) struct Prepared {
    batches: Vec<BatchBuilder>,
    /// The others, by their place among all.
    refused: Vec<(usize, NoProof)>,
    /// Number of all.
    placed: usize,
    /// One that is believed calls for help.
    has_call: bool,
}

impl Prepared {
    /// Opens envelopes, and asks for the proof that the other reports need.
    ///
    /// # Errors
    /// There are too many reports in the envelopes.
    pub(super) fn new(intake: &Intake, reports: &Reports, sender: Sender) -> Result<Self, TooMany> {
        let mut filling = Filling {
            guard: intake.guard(),
            sender,
            batch: BatchBuilder::new(ORIGIN).by(sender.source),
            prepared: Self { batches: Vec::new(), refused: Vec::new(), placed: 0, has_call: false },
        };
        let mut content = Content::default();
        for report in reports.iter() {
            match envelope(report).filter(|_| sender.may_seal) {
                Some(envelope) => filling.push_sealed(envelope, &mut content),
                None => filling.push(report),
            }
            if filling.prepared.placed > REPORTS_MAX {
                return Err(TooMany);
            }
        }
        filling.close_batch();
        Ok(filling.prepared)
    }

    /// Number of outcomes that there will be.
    pub(super) fn len(&self) -> usize {
        self.placed
    }

    /// True if a report that is believed calls for help.
    pub(super) fn has_call(&self) -> bool {
        self.has_call
    }
}

/// Batches in the making.
struct Filling<'a> {
    guard: &'a Guard,
    sender: Sender,
    batch: BatchBuilder,
    prepared: Prepared,
}

impl Filling<'_> {
    fn push(&mut self, report: &[u8]) {
        let Sender { source, proof, .. } = self.sender;
        if let Err(reason) = self.guard.check(report, proof, || source) {
            return self.refuse(reason);
        }
        if self.batch.is_full() {
            self.close_batch();
        }
        self.prepared.has_call |= self.batch.push(report).is_alarm;
        self.prepared.placed += 1;
    }

    fn push_sealed(&mut self, envelope: &[u8], content: &mut Content) {
        let source = self.sender.source;
        if let Err(reason) = self.guard.open(envelope, || source, content) {
            return self.refuse(reason);
        }
        if self.batch.lacks_room_for(content.len()) {
            self.close_batch();
        }
        for entry in content.entries() {
            if let Some(reason) = entry.refused {
                self.refuse(reason);
                continue;
            }
            self.batch.push_marked(entry.bytes, entry.mark);
            self.batch.seal_last(entry.seal);
            self.prepared.has_call |= entry.mark.is_alarm;
            self.prepared.placed += 1;
        }
    }

    fn refuse(&mut self, reason: NoProof) {
        self.prepared.refused.push((self.prepared.placed, reason));
        self.prepared.placed += 1;
    }

    fn close_batch(&mut self) {
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::new(ORIGIN).by(self.sender.source));
        if !batch.is_empty() {
            self.prepared.batches.push(batch);
        }
    }
}

/// Puts the outcomes of reports that were not believed to their places among those that were.
fn in_order(taken: Vec<Outcome>, refused: Vec<(usize, NoProof)>) -> Vec<Outcome> {
    if refused.is_empty() {
        return taken;
    }
    let mut outcomes = Vec::with_capacity(taken.len() + refused.len());
    let mut taken = taken.into_iter();
    for (place, reason) in refused {
        outcomes.extend(taken.by_ref().take(place - outcomes.len()));
        outcomes.push(Outcome::refused(reason));
    }
    outcomes.extend(taken);
    outcomes
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
