//! A batch: up to 256 raw reports as they arrived, in one piece of memory, with one arrival time.
//!
//! On the hot path a message is a batch. Reports lie one behind the other rather than in receive slots of 2 KiB, so a
//! full queue of batches holds what was received and no more.

use std::sync::Arc;

use parking_lot::Mutex;
use vagn_otp::Topic;
use vagn_wire::is_emergency;

use crate::fate::{Receipt, Share};
use crate::metrics::ReportMetrics;
use crate::reply::ReplyTo;
use crate::stamp::Stamp;

/// Most reports in one batch.
pub const BATCH_MAX: usize = 256;

/// The topic on which every door publishes what came in.
pub type Traffic = Topic<Arc<Batch>>;

/// The kind of door a batch came through. It decides what happens when the service is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody waits for an answer: may be shed, and the shedding is counted.
    Udp,
    /// The connection waits: backpressure instead of loss.
    Tcp,
    /// The request waits: backpressure instead of loss.
    Http,
}

/// Raw reports on their way from a door to the stages behind the topic.
#[derive(Debug)]
pub struct Batch {
    source: Source,
    stamp: Stamp,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    alarms: Vec<u32>,
    share: Mutex<Option<Share>>,
    receipt: Option<Arc<Receipt>>,
    replies: Vec<(u32, ReplyTo)>,
}

impl Batch {
    /// Where it came in.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Arrival time, ms since 1970.
    pub fn time_ms(&self) -> i64 {
        self.stamp.time_ms
    }

    /// How many reports it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each report: its index in the batch, its receive sequence and its bytes.
    pub fn reports(&self) -> impl Iterator<Item = (u32, u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(index, (start, &end))| {
            let bytes = &self.bytes[start as usize..end as usize];
            (index as u32, self.stamp.first_seq + index as u64, bytes)
        })
    }

    /// The reports that [call for help](is_emergency): the index of each in the batch, and its bytes.
    pub fn alarms(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.alarms.iter().map(|&index| {
            let at = index as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            (index, &self.bytes[start as usize..self.ends[at] as usize])
        })
    }

    /// Where outcomes are to be written, if the sender waits for them.
    pub fn receipt(&self) -> Option<Arc<Receipt>> {
        self.receipt.clone()
    }

    /// Whom to tell that the report at `index` is on disk, if it came as a datagram that asks for it.
    pub fn reply_to(&self, index: u32) -> Option<&ReplyTo> {
        let at = self.replies.binary_search_by_key(&index, |(asked, _)| *asked).ok()?;
        Some(&self.replies[at].1)
    }

    /// Takes over the duty to say what became of the reports. Only the first taker gets it.
    pub fn take_share(&self) -> Option<Share> {
        self.share.lock().take()
    }
}

/// A batch being filled at a door.
#[derive(Debug)]
pub struct BatchBuilder {
    source: Source,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Rare, as are the replies. Empty they take no memory.
    alarms: Vec<u32>,
    /// In the order of their reports.
    replies: Vec<(u32, ReplyTo)>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(source: Source) -> Self {
        Self { source, bytes: Vec::new(), ends: Vec::new(), alarms: Vec::new(), replies: Vec::new() }
    }

    /// Makes room at once for what is about to come.
    pub fn reserve(&mut self, reports: usize, bytes: usize) {
        self.ends.reserve(reports);
        self.bytes.reserve(bytes);
    }

    /// Adds one report as it came in.
    pub fn push(&mut self, report: &[u8]) {
        if is_emergency(report) {
            self.alarms.push(self.ends.len() as u32);
        }
        self.bytes.extend_from_slice(report);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Whether the report that was added last [calls for help](is_emergency).
    pub fn last_is_alarm(&self) -> bool {
        self.alarms.last().is_some_and(|&alarm| alarm as usize + 1 == self.ends.len())
    }

    /// The sender of the report that was added last is to hear when it is on disk.
    pub fn reply_last_to(&mut self, reply_to: ReplyTo) {
        self.replies.push((self.ends.len() as u32 - 1, reply_to));
    }

    /// How many reports it holds so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether it has room for no more.
    pub fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_MAX
    }

    /// Closes the batch: from here on its reports count as received.
    pub fn seal(
        self,
        stamp: Stamp,
        receipt: Option<Arc<Receipt>>,
        metrics: &Arc<ReportMetrics>,
    ) -> Arc<Batch> {
        let Self { source, bytes, ends, alarms, replies } = self;
        let share = Mutex::new(Some(Share::received(metrics, ends.len())));
        Arc::new(Batch { source, stamp, bytes, ends, alarms, share, receipt, replies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;
    use crate::testing::reply_to;
    use crate::testing::{emergency, report};
    use vagn_wire::Fate;

    #[test]
    fn gives_back_what_was_put_in() {
        let metrics = ReportMetrics::new(&Registry::new());
        let mut builder = BatchBuilder::new(Source::Udp);
        for report in [&b"one"[..], b"", b"three"] {
            builder.push(report);
        }
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 100 }, None, &metrics);
        let reports: Vec<_> = batch.reports().collect();
        assert_eq!(reports, [(0, 100, &b"one"[..]), (1, 101, b""), (2, 102, b"three")]);
        assert_eq!(metrics.received.get(), 3);
    }

    #[test]
    fn knows_which_reports_call_for_help() {
        let metrics = ReportMetrics::new(&Registry::new());
        let (report, call) = (report("bus", None), emergency("tram", None));
        let mut builder = BatchBuilder::new(Source::Udp);
        assert!(!builder.last_is_alarm());
        for (bytes, calls) in [(&call, true), (&report, false), (&call, true), (&b"\xc3".to_vec(), false)] {
            builder.push(bytes);
            assert_eq!(builder.last_is_alarm(), calls);
        }
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics);
        assert!(batch.alarms().eq([(0, &call[..]), (2, &call[..])]));
    }

    #[test]
    fn knows_who_asked_and_keeps_nothing_when_nobody_did() {
        let metrics = ReportMetrics::new(&Registry::new());
        let mut builder = BatchBuilder::new(Source::Udp);
        builder.push(b"one");
        assert_eq!(builder.replies.capacity(), 0);
        let (reply_to, heard) = reply_to();
        builder.push(b"two");
        builder.reply_last_to(reply_to);
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics);
        assert!(batch.reply_to(0).is_none() && batch.reply_to(2).is_none());
        batch.reply_to(1).unwrap().answer(b"stored");
        assert_eq!(heard.recv().unwrap(), b"stored");
    }

    #[test]
    fn a_batch_that_nobody_takes_has_failed() {
        let metrics = ReportMetrics::new(&Registry::new());
        let mut builder = BatchBuilder::new(Source::Udp);
        builder.push(b"x");
        drop(builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics));
        assert_eq!(metrics.fate(Fate::Failed).get(), 1);
    }
}
