//! The original's answer to a datagram, where the setting `udp.reply` asks for it.
//!
//! Sender addresses can be forged, so an answer must never lead to another one: two servers would talk to each other for ever.
//! Only a datagram with a report in it is answered, which no answer is: neither the original's, nor one about an alarm. The original
//! answered before it looked at anything, but it refused nobody: where no report of a datagram is taken in, an answer would say
//! otherwise.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use vagn_flow::allowance::{Allowances, Quota};
use vagn_flow::clock::Clock;
use vagn_flow::guard::Guard;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_flow::open::{open, reports};
use vagn_flow::proof::Proof;

use super::outlet::DoorOutlet;
use super::recvmmsg::Arrival;
use crate::door::DoorParts;

/// The two bytes of the original: backslash and `n`.
const ANSWER: &[u8] = b"\\n";

/// Answers to one address: as many as a gateway needs for a thousand vehicles that report once a second.
const QUOTA: Quota = Quota { burst: 1_000, every: Duration::from_millis(1) };

/// Gives the answers of the original. The sockets of the door share it.
pub(super) struct Originals {
    allowances: Mutex<Allowances>,
    clock: Arc<dyn Clock>,
    metrics: OriginalMetrics,
}

/// Counters of the answers that were not given.
struct OriginalMetrics {
    no_report: Counter,
    no_seal: Counter,
    too_many: Counter,
}

impl OriginalMetrics {
    fn new(registry: &MetricRegistry) -> Self {
        let help = "Datagrams that got no answer of the original, by reason";
        let refused = Family::<ReasonLabel, Counter>::default();
        let refused = registry.register("udp_replies_refused", help, refused);
        let of = |reason| refused.get_or_create_owned(&ReasonLabel { reason });
        Self { no_report: of("no_report"), no_seal: of("no_seal"), too_many: of("too_many") }
    }
}

impl Originals {
    pub(super) fn new(parts: &DoorParts) -> Arc<Self> {
        Arc::new(Self {
            allowances: Mutex::new(Allowances::new(QUOTA, parts.seed)),
            clock: parts.clock.clone(),
            metrics: OriginalMetrics::new(&parts.registry),
        })
    }

    /// Answers a datagram, unless it holds no report, none that this guard takes in, or its sender has had too many answers.
    pub(super) fn answer(&self, datagram: &[u8], arrival: &Arrival<'_>, guard: &Guard, outlet: &DoorOutlet) {
        if !has_report(datagram) {
            self.metrics.no_report.inc();
            return;
        }
        if !is_taken_in(datagram, guard) {
            self.metrics.no_seal.inc();
            return;
        }
        let Some(peer) = arrival.peer() else { return };
        let allowed = self.allowances.lock().take(peer.address.ip().into(), self.clock.monotonic());
        match allowed {
            Ok(()) => outlet.send(ANSWER, &peer, "udp_reply"),
            Err(_) => {
                self.metrics.too_many.inc();
            }
        }
    }
}

fn has_report(datagram: &[u8]) -> bool {
    reports(datagram).any(|(_, report)| open(report).is_ok())
}

/// True if a report in the datagram needs no seal.
fn is_taken_in(datagram: &[u8], guard: &Guard) -> bool {
    let mut readable = reports(datagram).filter_map(|(_, report)| open(report).ok());
    guard.takes_all() || readable.any(|report| guard.takes(&report, Proof::None))
}

#[cfg(test)]
mod tests {
    use vagn_flow::testing::{emergency, report};
    use vagn_wire::StoredAck;

    use super::*;

    #[test]
    fn no_answer_of_any_door_counts_as_a_report() {
        let alarm = emergency("bus", Some(7));
        let mut stored = Vec::new();
        let ack = StoredAck::asked_by(&open(&alarm).unwrap()).unwrap();
        StoredAck { incident: Some("an incident"), ..ack }.encode(500, &mut stored);
        for answer in [ANSWER, b"\\n\\n", b"", b"noise", &stored] {
            assert!(!has_report(answer), "{answer:x?}");
        }
        let two = [&report("bus", None)[..], &report("bus 2", None)].concat();
        for sent in [&report("bus", Some(1))[..], &alarm, &two, &[&two[..], b"\\n"].concat()] {
            assert!(has_report(sent), "{sent:x?}");
        }
    }
}
