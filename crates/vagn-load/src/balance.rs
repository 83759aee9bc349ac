//! The fates of the reports that were sent, and the check that they add up.
//!
//! Every report that reached the server ends in exactly one fate. A report over UDP that did not reach it was dropped by its
//! kernel, which counts too: in datagrams, each of which holds one report of ours. So the counters before and after a run account for every report sent in between, as long as
//! there is no other sender.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use thiserror::Error;
use vagn_wire::Fate;

use crate::{
    exposition::samples,
    ops::{Ops, OpsError},
};

/// Pause between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Number of looks in a row without a change after which the server counts as idle.
const STILL_LOOKS: u32 = 8;

/// Reason why the counters could not be read.
#[derive(Debug, Error)]
pub enum BalanceError {
    /// The page could not be read.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// The page was refused.
    #[error("{0}/metrics answered with status {1}")]
    Status(Ops, u16),
    /// It is another server's page.
    #[error("{0}/metrics has no vagn_reports_received_total; is it the ops port of vagn?")]
    Foreign(Ops),
    /// The counters went back.
    #[error("the server was restarted in between, so its counters tell nothing; run again")]
    Restarted,
}

/// The server's counters of reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports that reached the process.
    pub received: u64,
    /// Reports in each fate.
    pub fates: BTreeMap<String, u64>,
    /// Datagrams that the kernel dropped before the process could take them.
    pub kernel_drops: u64,
}

impl Counts {
    /// Asks a server for its counters.
    ///
    /// # Errors
    /// When it does not answer with counters.
    pub fn scrape(ops: &Ops) -> Result<Self, BalanceError> {
        let page = ops.get("/metrics")?;
        if page.status != 200 {
            return Err(BalanceError::Status(ops.clone(), page.status));
        }
        Self::parse(&page.body).ok_or_else(|| BalanceError::Foreign(ops.clone()))
    }

    /// Reads a page in the text format of Prometheus; `None` when the counters are not in it.
    pub fn parse(page: &str) -> Option<Self> {
        let mut counts = Self::default();
        let mut found = false;
        for sample in samples(page) {
            match sample.name {
                "vagn_reports_received_total" => {
                    found = true;
                    counts.received += sample.count();
                }
                "vagn_udp_kernel_drops_total" => counts.kernel_drops += sample.count(),
                "vagn_reports_total" => {
                    let fate = sample.label("fate")?.to_owned();
                    *counts.fates.entry(fate).or_default() += sample.count();
                }
                _ => {}
            }
        }
        found.then_some(counts)
    }

    /// Reports that ended in a fate.
    pub fn settled(&self) -> u64 {
        self.fates.values().sum()
    }

    /// Returns the counts since `before`.
    ///
    /// # Errors
    /// When a counter went back.
    pub fn since(&self, before: &Self) -> Result<Self, BalanceError> {
        let mut fates = BTreeMap::new();
        for (fate, &now) in &self.fates {
            fates.insert(fate.clone(), increase(now, before.fates.get(fate).copied().unwrap_or(0))?);
        }
        Ok(Self {
            received: increase(self.received, before.received)?,
            fates,
            kernel_drops: increase(self.kernel_drops, before.kernel_drops)?,
        })
    }
}

/// Reports sent, against the fates that the server counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Reports that were sent.
    pub sent: u64,
    /// Counts of the server in the meantime.
    pub counts: Counts,
}

impl Balance {
    /// Waits until the server is idle, `limit` at most, and draws the balance.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn draw(ops: &Ops, before: &Counts, sent: u64, limit: Duration) -> Result<Self, BalanceError> {
        let start = Instant::now();
        let mut still_looks = 0;
        let mut last = Self { sent, counts: Counts::scrape(ops)?.since(before)? };
        while !last.adds_up() && still_looks < STILL_LOOKS && start.elapsed() < limit {
            thread::sleep(LOOK_EVERY);
            let now = Self { sent, counts: Counts::scrape(ops)?.since(before)? };
            still_looks = if now == last { still_looks + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    /// Number of reports that neither ended in a fate nor were dropped by the kernel. Negative when there are more fates than
    /// reports, because there was another sender.
    pub fn missing(&self) -> i128 {
        i128::from(self.sent) - i128::from(self.counts.settled()) - i128::from(self.counts.kernel_drops)
    }

    /// Returns true when each report sent is accounted for, and each one received has a fate.
    pub fn adds_up(&self) -> bool {
        self.missing() == 0 && self.counts.received == self.counts.settled()
    }
}

fn increase(now: u64, before: u64) -> Result<u64, BalanceError> {
    now.checked_sub(before).ok_or(BalanceError::Restarted)
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent =", self.sent)?;
        let mut plus = "";
        for (fate, count) in shown(&self.counts.fates) {
            write!(f, "{plus} {count} {fate}")?;
            plus = " +";
        }
        if self.counts.kernel_drops > 0 {
            write!(f, " + {} dropped by the kernel", self.counts.kernel_drops)?;
        }
        match self.missing() {
            0 if self.adds_up() => write!(f, "; adds up"),
            0 => write!(f, "; {} of {} received have a fate", self.counts.settled(), self.counts.received),
            missing @ 1.. => write!(f, "; {missing} unaccounted for"),
            more => write!(f, "; {} more than sent: is somebody else sending?", -more),
        }
    }
}

/// Fates to show: those that occurred, and `stored` always.
fn shown(fates: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let known = Fate::ALL.map(Fate::as_str).map(|fate| (fate, fates.get(fate).copied().unwrap_or(0)));
    let others = fates.iter().filter(|(word, _)| word.parse::<Fate>().is_err());
    let mut all: Vec<(&str, u64)> = known.to_vec();
    all.extend(others.map(|(word, &count)| (word.as_str(), count)));
    all.retain(|&(fate, count)| count > 0 || fate == Fate::Stored.as_str());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# HELP vagn_reports What became of reports.
# TYPE vagn_reports counter
vagn_reports_total{fate=\"stored\"} 100
vagn_reports_total{fate=\"stale\"} 5
# TYPE vagn_reports_received counter
vagn_reports_received_total 105
vagn_udp_kernel_drops_total{socket=\"positions\"} 2
vagn_udp_kernel_drops_total{socket=\"emergency\"} 1
vagn_query_seconds_sum{route=\"/\"} 0.25
# EOF
";
    const AFTER: &str = "\
vagn_reports_total{fate=\"stored\"} 1090
vagn_reports_total{fate=\"stale\"} 5
vagn_reports_total{fate=\"shed\"} 7
vagn_reports_received_total 1102
vagn_udp_kernel_drops_total{socket=\"positions\"} 5
vagn_udp_kernel_drops_total{socket=\"emergency\"} 1
";

    fn balance(sent: u64) -> Balance {
        let before = Counts::parse(BEFORE).unwrap();
        Balance { sent, counts: Counts::parse(AFTER).unwrap().since(&before).unwrap() }
    }

    #[test]
    fn accounts_for_every_report() {
        let exact = balance(1000);
        assert!(exact.adds_up());
        assert_eq!(exact.to_string(), "1000 sent = 990 stored + 7 shed + 3 dropped by the kernel; adds up");
    }

    #[test]
    fn shows_what_is_missing() {
        let short = balance(1010);
        assert_eq!((short.adds_up(), short.missing()), (false, 10));
        assert!(short.to_string().ends_with("; 10 unaccounted for"), "{short}");
        let over = balance(990);
        assert_eq!((over.adds_up(), over.missing()), (false, -10));
        assert!(over.to_string().contains("10 more than sent"), "{over}");
    }

    #[test]
    fn a_report_without_a_fate_does_not_add_up() {
        let mut open = balance(1000);
        open.counts.received += 1;
        assert!(!open.adds_up());
        assert!(open.to_string().ends_with("; 997 of 998 received have a fate"), "{open}");
    }

    #[test]
    fn notices_a_restart() {
        let before = Counts::parse(AFTER).unwrap();
        let after = Counts::parse(BEFORE).unwrap();
        assert!(matches!(after.since(&before), Err(BalanceError::Restarted)));
    }

    #[test]
    fn knows_a_foreign_page() {
        assert_eq!(Counts::parse("http_requests_total 5\n"), None);
        assert_eq!(Counts::parse(""), None);
    }
}
