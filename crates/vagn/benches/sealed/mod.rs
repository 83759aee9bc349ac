//! Sealed reports as a door opens them, of a fleet that is the same in every run.

use std::sync::Arc;

use vagn_flow::batch::{Batch, BatchBuilder};
use vagn_flow::clock::ManualClock;
use vagn_flow::guard::{Content, Guard, GuardParts};
use vagn_flow::metrics::ReportMetrics;
use vagn_flow::proof::DeviceMode;
use vagn_flow::stamp::Stamp;
use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, Secret, SenderKey, Speaker};
use vagn_wire::Report;

use crate::traffic;

/// A guard, and envelopes that it opens.
pub(crate) struct Sealed {
    guard: Arc<Guard>,
    pub(crate) envelopes: Vec<Vec<u8>>,
}

/// One report in each of `rounds` envelopes of each vehicle, each of which has a key. As senders are asked to, reports have their time.
pub(crate) fn fleet(vehicles: u32, rounds: u64, start: Stamp, metrics: &Arc<ReportMetrics>) -> Sealed {
    let keys = Arc::new(KeyTable::default());
    let datagrams = traffic::datagrams(vehicles);
    let reports: Vec<_> = datagrams.iter().map(|bytes| vagn_wire::decode(bytes).expect("a report")).collect();
    let senders: Vec<_> =
        reports.iter().zip(1_u64..).map(|(report, number)| put(&keys, report, number)).collect();
    let mut envelopes = Vec::new();
    for round in 1..=rounds {
        for (report, sender) in reports.iter().zip(&senders) {
            let timed = Report { event_time_ms: Some(start.time_ms + round as i64), ..*report };
            let (mut bytes, mut envelope) = (Vec::new(), Vec::new());
            vagn_wire::encode(&timed, &mut bytes);
            sender.seal(round, &bytes, Lane::Ordinary, &mut envelope);
            envelopes.push(envelope);
        }
    }
    let guard = Guard::new(GuardParts {
        mode: DeviceMode::Required,
        keys,
        reports: metrics.clone(),
        answers: None,
        clock: Arc::new(ManualClock::at(start.time_ms)),
    });
    Sealed { guard, envelopes }
}

fn put(keys: &KeyTable, report: &Report<'_>, number: u64) -> SenderKey {
    // Spread as random ones are.
    let key_id = KeyId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let secret = Secret([7; 32]);
    let sender = SenderKey::new(key_id, Epoch::FIRST, &secret);
    let speaker = Speaker::Vehicle(report.vehicle_id);
    assert!(keys.put(&KeyInForce { key_id, speaker, epochs: &[(Epoch::FIRST, secret)] }));
    sender
}

impl Sealed {
    /// Opens some envelopes, and makes a batch of their reports.
    pub(crate) fn batch(
        &self,
        envelopes: &[Vec<u8>],
        content: &mut Content,
        stamp: Stamp,
        metrics: &Arc<ReportMetrics>,
    ) -> Arc<Batch> {
        let mut builder = BatchBuilder::new(traffic::ORIGIN);
        self.guard.load(envelopes.iter().map(Vec::as_slice));
        for envelope in envelopes {
            self.guard.open(envelope, || None, content).expect("its key is in force");
            for entry in content.entries() {
                builder.push_marked(entry.bytes, entry.mark);
                builder.seal_last(entry.seal);
            }
        }
        builder.seal(stamp, None, metrics)
    }
}
