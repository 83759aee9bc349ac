//! Acks: the answers that a connection owes, in the order of its reports.

use vagn_wire::ack::{Ack, encode};
use vagn_wire::{Fate, VehicleId};

use vagn_flow::open::open;
use vagn_flow::receipt::{Answer, Outcome};

/// The answer that a report with `Seq` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AckRequest {
    /// Its place in the batch; `None` when it is not in it, as it was not believed.
    pub(super) index: Option<usize>,
    pub(super) seq: u64,
    vehicle_id: Box<str>,
}

/// A batch whose sender waits for answers. Holds copies, since the batch itself is gone before its answers are known.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) asked: Vec<AckRequest>,
    pub(super) answer: Answer,
}

impl AckRequest {
    /// Returns the answer that `object`, the report at `index`, asks for; `None` for one that was not believed.
    pub(super) fn by(index: Option<usize>, object: &[u8]) -> Option<Self> {
        let report = open(object).ok()?;
        let vehicle_id = report.vehicle_id.as_str().into();
        report.seq.map(|seq| Self { index, seq, vehicle_id })
    }

    /// Appends its answer to `out`.
    pub(super) fn answer(&self, outcomes: &[Outcome], out: &mut Vec<u8>) {
        let Ok(vehicle_id) = VehicleId::new(&self.vehicle_id) else { return };
        let (fate, incident) = match self.index {
            Some(index) => match outcomes.get(index) {
                Some(outcome) => (outcome.fate, outcome.incident.as_deref()),
                None => return,
            },
            None => (Fate::Unauthenticated, None),
        };
        encode(&Ack { vehicle_id, seq: self.seq, fate, incident }, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::testing::report;
    use vagn_wire::ack::decode as decode_ack;

    #[test]
    fn answers_only_reports_with_a_seq() {
        assert_eq!(AckRequest::by(Some(0), &report("bus", None)), None);
        assert_eq!(AckRequest::by(Some(0), b"\xc1"), None);
        assert!(AckRequest::by(Some(0), &report("bus", Some(0))).is_some());
    }

    #[test]
    fn names_the_vehicle_its_seq_and_the_fate() {
        let outcome = |fate, incident: Option<&str>| Outcome {
            fate,
            reject: None,
            no_proof: None,
            incident: incident.map(Into::into),
        };
        let outcomes = [outcome(Fate::Stale, None), outcome(Fate::Stored, Some("i-1"))];
        let mut out = Vec::new();
        AckRequest::by(Some(1), &report("bus", Some(42))).unwrap().answer(&outcomes, &mut out);
        let (ack, length) = decode_ack(&out).unwrap().unwrap();
        assert_eq!((ack.vehicle_id.as_str(), ack.seq, ack.fate), ("bus", 42, Fate::Stored));
        assert_eq!((ack.incident, length), (Some("i-1"), out.len()));
        out.clear();
        AckRequest::by(None, &report("bus", Some(43))).unwrap().answer(&outcomes, &mut out);
        assert_eq!(decode_ack(&out).unwrap().unwrap().0.fate, Fate::Unauthenticated);
    }
}
