//! Sources of traffic: one encoded report after another, each with its time.
//!
//! A source is given the time since the start and answers with a report, a wait or the end. It has no clock, so that a test
//! plays an hour of traffic in a moment.

use std::time::Duration;

use crate::trace::TraceError;

/// Longest sleep of a sender, so that it notices a request to stop.
pub const NAP_MAX: Duration = Duration::from_millis(100);

/// Next step of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A report was appended.
    Report {
        /// True if it is an alarm.
        emergency: bool,
    },
    /// Nothing is due before this time has passed.
    Wait(Duration),
    /// There is nothing more to send.
    End,
}

/// Reports in the order in which they are to be sent.
pub trait Source {
    /// Appends the next report to `out` if it is due at `elapsed` since the start.
    ///
    /// # Errors
    /// When the recorded trace cannot be read further.
    fn next(&mut self, elapsed: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError>;

    /// Number of reports from start to end, if it is known.
    fn total(&self) -> Option<u64>;
}

/// Counts of the reports sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All reports, alarms among them.
    pub reports: u64,
    /// Reports that are alarms.
    pub emergencies: u64,
    /// Bytes of the reports themselves, without headers or TLS.
    pub bytes: u64,
}

/// Encoded reports that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool)>,
}

impl Batch {
    /// Replaces the content of the batch by up to `most` reports that are due; gives the step that follows them.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub fn fill(
        &mut self,
        source: &mut impl Source,
        elapsed: Duration,
        most: usize,
    ) -> Result<Next, TraceError> {
        self.bytes.clear();
        self.ends.clear();
        loop {
            let next = source.next(elapsed, &mut self.bytes)?;
            let Next::Report { emergency } = next else { return Ok(next) };
            self.ends.push((self.bytes.len(), emergency));
            if self.ends.len() >= most {
                return Ok(Next::Wait(Duration::ZERO));
            }
        }
    }

    /// Number of reports in the batch.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true when nothing was due.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all reports, one after another.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of each report, with true for an alarm.
    pub fn reports(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        starts.zip(&self.ends).map(|(start, &(end, emergency))| (&self.bytes[start..end], emergency))
    }

    /// Adds this batch to the counts.
    pub fn count_into(&self, tally: &mut Tally) {
        tally.reports += self.ends.len() as u64;
        tally.emergencies += self.ends.iter().filter(|(_, emergency)| *emergency).count() as u64;
        tally.bytes += self.bytes.len() as u64;
    }
}
