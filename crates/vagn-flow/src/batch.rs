//! A batch: up to 256 raw reports as they arrived, in one piece of memory, with one arrival time.
//!
//! The reports of one datagram may lie in two batches: each is judged, stored and answered by itself.
//!
//! On the hot path a message is a batch. Reports lie one behind the other rather than in receive slots of 2 KiB, so a
//! full queue of batches holds what was received and no more.

use std::sync::Arc;

use parking_lot::Mutex;
use vagn_otp::Topic;

use crate::allowance::Source;
use crate::fate::Share;
use crate::metrics::ReportMetrics;
use crate::open::Mark;
use crate::proof::SealMark;
use crate::receipt::{AlarmPart, Receipt, ReceiptPart, Sheet};
use crate::reply::ReplyTo;
use crate::stamp::Stamp;

/// Most reports in one batch; but those of one envelope are never parted, however many they are.
pub const BATCH_MAX: usize = 256;

/// The topic on which every door publishes what came in.
pub type Traffic = Topic<Arc<Batch>>;

/// The way to treat a batch when the service is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// The oldest batch is shed, and the shedding is counted: its senders do not wait.
    Shed,
    /// The sender is slowed down instead.
    Wait,
}

/// The door of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Name of the door, as in the log.
    pub door: &'static str,
    /// The way to treat the batch when the service is full.
    pub pressure: Pressure,
}

/// Raw reports on their way from a door to the stages behind the topic.
#[derive(Debug)]
pub struct Batch {
    origin: Origin,
    stamp: Stamp,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    alarms: Vec<u32>,
    share: Mutex<Option<Share>>,
    receipt: Option<Arc<Sheet>>,
    source: Option<Source>,
    sources: Vec<(u32, Source)>,
    replies: Vec<(u32, ReplyTo)>,
    seals: Vec<(u32, SealMark)>,
}

impl Batch {
    /// Returns the door it came in through.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the arrival time, ms since 1970.
    #[inline]
    pub fn time_ms(&self) -> i64 {
        self.stamp.time_ms
    }

    /// Returns the number of reports.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if it holds no report.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the length of all reports together, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Lists the reports: of each its index in the batch, its receive sequence and its bytes.
    #[inline]
    pub fn reports(&self) -> impl Iterator<Item = (u32, u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(index, (start, &end))| {
            let bytes = &self.bytes[start as usize..end as usize];
            (index as u32, self.stamp.first_seq + index as u64, bytes)
        })
    }

    /// Returns the reports that carry the flag: the index of each in the batch, and its bytes.
    #[inline]
    pub fn alarms(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.alarms.iter().map(|&index| {
            let at = index as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            (index, &self.bytes[start as usize..self.ends[at] as usize])
        })
    }

    /// Makes the caller responsible for the fates of all reports. `None` when the sender does not wait for an answer.
    ///
    /// To be called while the batch is published: once every subscriber has seen it, the answer may be out.
    pub fn answer_for_reports(&self) -> Option<ReceiptPart> {
        ReceiptPart::declare(self.receipt.as_ref()?, self.len())
    }

    /// Makes the caller responsible for the alarm of the report at `index`; else as
    /// [`answer_for_reports`](Self::answer_for_reports).
    pub fn answer_for_alarm(&self, index: u32) -> Option<AlarmPart> {
        AlarmPart::declare(self.receipt.as_ref()?, index)
    }

    /// Returns the way back to the sender of the report at `index`, if that is a datagram that asks for an answer.
    pub fn reply_to(&self, index: u32) -> Option<&ReplyTo> {
        let at = self.replies.binary_search_by_key(&index, |(asked, _)| *asked).ok()?;
        Some(&self.replies[at].1)
    }

    /// Returns the seals of reports that had one, with their indices, in order. None had one where this is empty.
    #[inline]
    pub fn seals(&self) -> &[(u32, SealMark)] {
        &self.seals
    }

    /// Lists the reports: of each its index, its seal if it had one, and its bytes.
    pub fn sealed_reports(&self) -> impl Iterator<Item = (u32, Option<SealMark>, &[u8])> {
        let mut seals = self.seals.iter().peekable();
        self.reports().map(move |(index, _, bytes)| {
            let seal = seals.next_if(|(at, _)| *at == index).map(|(_, seal)| *seal);
            (index, seal, bytes)
        })
    }

    /// Returns the seal of the report at `index`, if it had one.
    pub fn seal_of(&self, index: u32) -> Option<SealMark> {
        let at = self.seals.binary_search_by_key(&index, |(sealed, _)| *sealed).ok()?;
        Some(self.seals[at].1)
    }

    /// Returns the source of the alarm at `index`, if its door told.
    pub fn source(&self, index: u32) -> Option<Source> {
        let own = self.sources.binary_search_by_key(&index, |(at, _)| *at);
        own.map(|at| self.sources[at].1).ok().or(self.source)
    }

    /// Takes over the duty to count what became of the reports. Only the first taker gets it.
    pub fn take_share(&self) -> Option<Share> {
        self.share.lock().take()
    }
}

/// A batch being filled at a door.
#[derive(Debug)]
pub struct BatchBuilder {
    origin: Origin,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Rare, as are their sources and the replies. Empty they take no memory.
    alarms: Vec<u32>,
    /// Source of all reports, where they have one.
    source: Option<Source>,
    /// Sources of single alarms, in the order of their reports.
    sources: Vec<(u32, Source)>,
    /// In the order of their reports.
    replies: Vec<(u32, ReplyTo)>,
    /// In the order of their reports.
    seals: Vec<(u32, SealMark)>,
}

impl BatchBuilder {
    /// Returns an empty batch.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            bytes: Vec::new(),
            ends: Vec::new(),
            alarms: Vec::new(),
            source: None,
            sources: Vec::new(),
            replies: Vec::new(),
            seals: Vec::new(),
        }
    }

    /// Says that all reports come from one source.
    pub fn by(mut self, source: Option<Source>) -> Self {
        self.source = source;
        self
    }

    /// Makes room at once for what is about to come.
    pub fn reserve(&mut self, reports: usize, bytes: usize) {
        self.ends.reserve(reports);
        self.bytes.reserve(bytes);
    }

    /// Adds one report as it came in, and returns the mark that it leaves.
    // Inlined into the crates above, as are the others that run for every report: a call costs ten instructions each.
    #[inline]
    pub fn push(&mut self, report: &[u8]) -> Mark {
        let mark = Mark::of(report);
        self.push_marked(report, mark);
        mark
    }

    /// Adds one report that was [marked](crate::open::reports) already.
    #[inline]
    pub fn push_marked(&mut self, report: &[u8], mark: Mark) {
        if mark.is_alarm {
            self.alarms.push(self.ends.len() as u32);
        }
        self.bytes.extend_from_slice(report);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Notes the source of the alarm that was added last, in a batch of several sources.
    pub fn last_by(&mut self, source: Source) {
        self.sources.push((self.ends.len() as u32 - 1, source));
    }

    /// Notes the seal of the report that was added last.
    pub fn seal_last(&mut self, seal: SealMark) {
        self.seals.push((self.ends.len() as u32 - 1, seal));
    }

    /// Notes the sender of the report that was added last, to be told when its alarm is on disk.
    pub fn reply_last_to(&mut self, reply_to: ReplyTo) {
        self.replies.push((self.ends.len() as u32 - 1, reply_to));
    }

    /// Returns the number of reports so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if it holds no report.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the first report.
    pub fn first(&self) -> Option<&[u8]> {
        self.ends.first().map(|end| &self.bytes[..*end as usize])
    }

    /// Returns true if a report in it came under a seal.
    pub fn has_seal(&self) -> bool {
        !self.seals.is_empty()
    }

    /// Returns true if it has no room for another report.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_MAX
    }

    /// Returns true if it has no room for all these reports, which must not be parted.
    pub fn lacks_room_for(&self, reports: usize) -> bool {
        !self.is_empty() && self.len() + reports > BATCH_MAX
    }

    /// Closes the batch: from here on its reports count as received.
    pub fn seal(self, stamp: Stamp, receipt: Option<&Receipt>, metrics: &Arc<ReportMetrics>) -> Arc<Batch> {
        let Self { origin, bytes, ends, alarms, source, sources, replies, seals } = self;
        let share = Mutex::new(Some(Share::received(metrics, ends.len())));
        let receipt = receipt.map(Receipt::sheet);
        Arc::new(Batch {
            origin,
            stamp,
            bytes,
            ends,
            alarms,
            share,
            receipt,
            source,
            sources,
            replies,
            seals,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricRegistry;
    use crate::testing::reply_to;
    use crate::testing::{SHEDDING, emergency, report};
    use vagn_wire::Fate;

    #[test]
    fn gives_back_what_was_put_in() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let mut builder = BatchBuilder::new(SHEDDING);
        for report in [&b"one"[..], b"", b"three"] {
            builder.push(report);
        }
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 100 }, None, &metrics);
        let reports: Vec<_> = batch.reports().collect();
        assert_eq!(reports, [(0, 100, &b"one"[..]), (1, 101, b""), (2, 102, b"three")]);
        assert_eq!(metrics.received.get(), 3);
    }

    #[test]
    fn knows_which_reports_carry_the_flag() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let report = report("bus", None);
        let alarm = emergency("tram", None);
        let mut builder = BatchBuilder::new(SHEDDING);
        for (bytes, is_alarm) in
            [(&alarm, true), (&report, false), (&alarm, true), (&b"\xc3".to_vec(), false)]
        {
            assert_eq!(builder.push(bytes), Mark { is_alarm });
        }
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics);
        assert!(batch.alarms().eq([(0, &alarm[..]), (2, &alarm[..])]));
    }

    #[test]
    fn each_report_of_a_datagram_has_an_index_a_mark_and_a_receive_number() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let (report, alarm) = (report("bus", None), emergency("tram", None));
        let mut builder = BatchBuilder::new(SHEDDING);
        let datagram = [&report[..], &alarm, &report, b"\0\0"].concat();
        crate::open::reports(&datagram).for_each(|(mark, bytes)| builder.push_marked(bytes, mark));
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 100 }, None, &metrics);
        let last = [&report[..], b"\0\0"].concat();
        assert!(batch.reports().eq([(0, 100, &report[..]), (1, 101, &alarm), (2, 102, &last)]));
        assert!(batch.alarms().eq([(1, &alarm[..])]));
        assert_eq!(metrics.received.get(), 3);
    }

    #[test]
    fn keeps_the_way_back_to_a_sender_that_asks_and_no_memory_otherwise() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let mut builder = BatchBuilder::new(SHEDDING);
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
    fn knows_the_source_of_each_alarm_and_else_that_of_the_batch() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let source = |last| Source::from(std::net::IpAddr::from([192, 0, 2, last]));
        let mut builder = BatchBuilder::new(SHEDDING).by(Some(source(1)));
        for last in [2, 3] {
            builder.push(b"position");
            builder.push(&emergency("tram", None));
            builder.last_by(source(last));
        }
        let batch = builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics);
        assert_eq!([0, 1, 3].map(|index| batch.source(index)), [1, 2, 3].map(|last| Some(source(last))));
    }

    #[test]
    fn a_batch_without_a_taker_has_failed() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let mut builder = BatchBuilder::new(SHEDDING);
        builder.push(b"x");
        drop(builder.seal(Stamp { time_ms: 7, first_seq: 0 }, None, &metrics));
        assert_eq!(metrics.fate(Fate::Failed).get(), 1);
    }
}
