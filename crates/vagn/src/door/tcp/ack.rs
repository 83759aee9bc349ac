//! Acks: the answers that a connection owes, in the order of its reports.

use vagn_wire::VehicleId;
use vagn_wire::ack::{Ack, encode};

use vagn_flow::open::open;
use vagn_flow::receipt::{Answer, Outcome};

/// The answer that a report with `Seq` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AckRequest {
    /// Its place in the batch.
    pub(super) index: usize,
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
    /// Returns the answer that `object`, the report at `index`, asks for.
    pub(super) fn by(index: usize, object: &[u8]) -> Option<Self> {
        let report = open(object).ok()?;
        let vehicle_id = report.vehicle_id.as_str().into();
        report.seq.map(|seq| Self { index, seq, vehicle_id })
    }

    /// Appends its answer to `out`.
    pub(super) fn answer(&self, outcomes: &[Outcome], out: &mut Vec<u8>) {
        let (Some(outcome), Ok(vehicle_id)) = (outcomes.get(self.index), VehicleId::new(&self.vehicle_id))
        else {
            return;
        };
        let incident = outcome.incident.as_deref();
        encode(&Ack { vehicle_id, seq: self.seq, fate: outcome.fate, incident }, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::testing::report;
    use vagn_wire::Fate;
    use vagn_wire::ack::decode as decode_ack;

    #[test]
    fn answers_only_reports_with_a_seq() {
        assert_eq!(AckRequest::by(0, &report("bus", None)), None);
        assert_eq!(AckRequest::by(0, b"\xc1"), None);
        assert!(AckRequest::by(0, &report("bus", Some(0))).is_some());
    }

    #[test]
    fn names_the_vehicle_its_seq_and_the_fate() {
        let outcome =
            |fate, incident: Option<&str>| Outcome { fate, reject: None, incident: incident.map(Into::into) };
        let outcomes = [outcome(Fate::Stale, None), outcome(Fate::Stored, Some("i-1"))];
        let mut out = Vec::new();
        AckRequest::by(1, &report("bus", Some(42))).unwrap().answer(&outcomes, &mut out);
        let (ack, length) = decode_ack(&out).unwrap().unwrap();
        assert_eq!((ack.vehicle_id.as_str(), ack.seq, ack.fate), ("bus", 42, Fate::Stored));
        assert_eq!((ack.incident, length), (Some("i-1"), out.len()));
    }
}
