//! The memory that answers may take, all servers together, and the counters of what was refused or ended for want of it.
//!
//! ```text
//! 0 ──────────────── 70 % ─── 80 % ─── 90 % ─── 100 %
//!   any answer           small    deeds    operator
//! ```
//!
//! Large answers stop first. Above them there is always room for small ones, then for answers to deeds and to reports, which
//! may be calls for help, and last for the operator's pages.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::allowance::Source;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_flow::peer::SharedAddresses;

use super::account::{Account, AccountGauges, Full, Portion};

/// Bytes of all answers unless it is set.
pub const ANSWER_BYTES: usize = 256 << 20;

/// Part of all that one peer may hold: so four can use it up, and not one.
const PEERS_MIN: usize = 4;

/// Memory for output that sockets do not take, beside all that: one of so many parts of it.
const UNSENT_PART: usize = 4;

/// Reasons to end an answer that its peer does not take.
const CUT_REASONS: [&str; 2] = ["not_taken", "too_slow"];

/// Rank of an answer, which decides how far into the memory it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// An answer of any size.
    Large,
    /// A small answer.
    Small,
    /// An answer to a request that changes something, or that brings reports.
    Deed,
    /// An answer to the operator.
    Operator,
}

impl Rank {
    fn percent(self) -> usize {
        match self {
            Self::Large => 70,
            Self::Small => 80,
            Self::Deed => 90,
            Self::Operator => 100,
        }
    }
}

/// Memory of answers; all servers share it.
#[derive(Debug)]
pub struct Memory {
    answers: Arc<Account>,
    /// Output that sockets do not take.
    pub(crate) unsent: Arc<Account>,
    shared: SharedAddresses,
    /// Counters.
    pub(crate) metrics: MemoryMetrics,
}

/// Counters of what was refused or cut short for the sake of memory. Clones share their values.
#[derive(Debug, Clone)]
pub struct MemoryMetrics {
    answer_bytes: AccountGauges,
    unsent_bytes: AccountGauges,
    ungathered: Family<ReasonLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    cut: Family<ReasonLabel, Counter>,
    /// Bytes of bodies that are held.
    pub(crate) body_bytes: Gauge<u64, AtomicU64>,
    body_bytes_limit: Gauge<u64, AtomicU64>,
    bodies_refused: Family<ReasonLabel, Counter>,
    streams_refused: Family<ReasonLabel, Counter>,
}

impl MemoryMetrics {
    /// Registers the counters. Every label is there from the start.
    pub fn new(registry: &MetricRegistry) -> Self {
        Self {
            answer_bytes: AccountGauges {
                held: gauge(
                    registry,
                    "http_answer_bytes",
                    "Bytes of answers that are made or wait to be taken",
                ),
                highest: gauge(
                    registry,
                    "http_answer_bytes_highest",
                    "Most bytes of answers at once since the start",
                ),
            },
            unsent_bytes: AccountGauges {
                held: gauge(
                    registry,
                    "http_unsent_bytes",
                    "Bytes that wait for sockets, but for the first few KiB of each",
                ),
                highest: gauge(
                    registry,
                    "http_unsent_bytes_highest",
                    "Most bytes that waited for sockets at once since the start",
                ),
            },
            ungathered: counters(
                registry,
                "http_unsent_refused",
                "Times that output went out in small pieces for lack of memory by reason",
                &["full", "address"],
            ),
            refused: counters(
                registry,
                "http_answers_refused",
                "Answers refused for lack of memory by reason",
                &["full", "address"],
            ),
            cut: counters(
                registry,
                "http_answers_cut",
                "Answers ended because their peer did not take them, by reason",
                &CUT_REASONS,
            ),
            body_bytes: gauge(registry, "http_body_bytes", "Bytes of request bodies that are held"),
            body_bytes_limit: gauge(
                registry,
                "http_body_bytes_limit",
                "Most bytes of request bodies at once",
            ),
            bodies_refused: counters(
                registry,
                "http_bodies_refused",
                "Request bodies refused for lack of memory by reason",
                &["full", "full_small", "address", "connection", "gave_way"],
            ),
            streams_refused: counters(
                registry,
                "http_streams_refused",
                "Event streams refused by reason",
                &["full", "address", "connection", "token", "share"],
            ),
        }
    }

    fn answer(&self, full: Full) {
        self.refused.get_or_create(&ReasonLabel { reason: reason(full) }).inc();
    }

    /// Counts output that could not be gathered.
    pub(crate) fn ungathered(&self, full: Full) {
        self.ungathered.get_or_create(&ReasonLabel { reason: reason(full) }).inc();
    }

    /// Returns how often output could not be gathered for `reason`.
    #[cfg(test)]
    pub(crate) fn ungathered_for(&self, reason: &'static str) -> u64 {
        self.ungathered.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Counts an answer that was ended.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a body that was refused.
    pub(crate) fn body(&self, reason: &'static str) {
        self.bodies_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Returns how many bodies were refused for `reason`.
    #[cfg(test)]
    pub(crate) fn bodies(&self, reason: &'static str) -> u64 {
        self.bodies_refused.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Counts a stream that was refused.
    pub(crate) fn stream(&self, reason: &'static str) {
        self.streams_refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

fn gauge(registry: &MetricRegistry, name: &str, help: &str) -> Gauge<u64, AtomicU64> {
    registry.register(name, help, Gauge::default())
}

fn counters(
    registry: &MetricRegistry,
    name: &str,
    help: &str,
    reasons: &[&'static str],
) -> Family<ReasonLabel, Counter> {
    let family = registry.register(name, help, Family::<ReasonLabel, Counter>::default());
    for reason in reasons {
        // There from the first scrape on, so that an increase is seen.
        drop(family.get_or_create(&ReasonLabel { reason }));
    }
    family
}

fn sum(family: &Family<ReasonLabel, Counter>, reasons: &[&'static str]) -> u64 {
    reasons.iter().map(|reason| family.get_or_create(&ReasonLabel { reason }).get()).sum()
}

/// Returns the word of the counters.
pub(crate) fn reason(full: Full) -> &'static str {
    match full {
        Full::All => "full",
        Full::Peer => "address",
    }
}

fn account(bytes: usize, gauges: &AccountGauges) -> Arc<Account> {
    Account::new(bytes, bytes / PEERS_MIN, gauges.clone())
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(ANSWER_BYTES, SharedAddresses::default(), &MetricRegistry::new())
    }
}

impl Memory {
    /// Allows `answer_bytes` for all answers. Peers at `shared` addresses have no limit of their own.
    pub fn new(answer_bytes: usize, shared: SharedAddresses, registry: &MetricRegistry) -> Self {
        let metrics = MemoryMetrics::new(registry);
        let unsent_bytes = answer_bytes / UNSENT_PART;
        let limit = gauge(registry, "http_answer_bytes_limit", "Most bytes of answers at once");
        limit.set(answer_bytes as u64);
        let help = "Most bytes that may wait for sockets at once";
        gauge(registry, "http_unsent_bytes_limit", help).set(unsent_bytes as u64);
        Self {
            answers: account(answer_bytes, &metrics.answer_bytes),
            unsent: account(unsent_bytes, &metrics.unsent_bytes),
            shared,
            metrics,
        }
    }

    /// Notes how many bytes all bodies together may have. They are bounded by their [budgets](crate::body::Budget).
    pub fn note_bodies(&self, most: usize) {
        self.metrics.body_bytes_limit.set(most as u64);
    }

    /// Returns the bytes of answers that are held now.
    pub fn answer_bytes(&self) -> usize {
        self.answers.held()
    }

    /// Returns the most bytes that answers have held since the last call.
    pub fn take_peak(&self) -> usize {
        self.answers.take_peak()
    }

    /// Returns how many answers were refused, and how many ended, for any reason.
    pub fn refused_and_cut(&self) -> (u64, u64) {
        (sum(&self.metrics.refused, &["full", "address"]), sum(&self.metrics.cut, &CUT_REASONS))
    }

    /// Returns the peer behind an address; none where many may be behind it.
    pub(crate) fn peer(&self, address: IpAddr) -> Option<Source> {
        self.shared.peer(address)
    }

    /// Returns true if many clients may share one connection from an address.
    pub(crate) fn is_shared(&self, address: IpAddr) -> bool {
        self.shared.has(address)
    }

    /// Takes room for `bytes` of an answer, and counts a refusal.
    pub(crate) fn take(&self, peer: Option<Source>, bytes: usize, rank: Rank) -> Result<Portion, Full> {
        let up_to = self.answers.limit() / 100 * rank.percent();
        self.answers.take(peer, bytes, up_to).inspect_err(|full| self.metrics.answer(*full))
    }

    /// Counts bytes that are there in any case.
    pub(crate) fn owe(&self, peer: Option<Source>, bytes: usize) -> Portion {
        self.answers.owe(peer, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_important_stops_first() {
        let memory = Memory::new(1_000, SharedAddresses::default(), &MetricRegistry::new());
        let mut held = Vec::new();
        for (rank, beyond) in
            [(Rank::Large, 700), (Rank::Small, 800), (Rank::Deed, 900), (Rank::Operator, 1_000)]
        {
            while let Ok(portion) = memory.take(None, 10, rank) {
                held.push(portion);
            }
            assert_eq!(memory.answer_bytes(), beyond, "{rank:?}");
        }
        assert_eq!(memory.refused_and_cut().0, 4);
        held.clear();
        assert_eq!(memory.answer_bytes(), 0);
    }
}
